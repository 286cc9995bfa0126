"""What a command's exit code says. Chosen here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from custody_core.domain.transaction import State
from custody_core.errors import CustodyError


class ExitCode(IntEnum):
    """The whole list; scripts rely on it."""

    OK = 0
    ERROR = 1
    USAGE = 2
    POLICY_DENIED = 3
    PENDING_APPROVAL = 4
    TIMED_OUT = 5
    VERIFICATION_FAILED = 6


_BY_CODE: Mapping[str, ExitCode] = {
    # What was typed cannot be understood, whatever the state of the service.
    "invalid-request": ExitCode.USAGE,
    "idempotency-key-missing": ExitCode.USAGE,
    "validation-failed": ExitCode.USAGE,
    "invalid-address": ExitCode.USAGE,
    "invalid-amount": ExitCode.USAGE,
    "policy-denied": ExitCode.POLICY_DENIED,
    "timed-out": ExitCode.TIMED_OUT,
}

_BY_STATE: Mapping[State, ExitCode] = {
    State.REJECTED: ExitCode.POLICY_DENIED,
    State.PENDING_APPROVAL: ExitCode.PENDING_APPROVAL,
    State.REVERTED: ExitCode.ERROR,
    State.CANCELLED: ExitCode.ERROR,
    State.EXPIRED: ExitCode.ERROR,
    State.FAILED: ExitCode.ERROR,
}


def exit_code_of(problem: CustodyError) -> ExitCode:
    """The exit code of a command that ended with `problem`."""
    return _BY_CODE.get(problem.code, ExitCode.ERROR)


def exit_code_of_state(state: State) -> ExitCode:
    """The exit code of a command that sent something, or waited for it, and left it in `state`."""
    return _BY_STATE.get(state, ExitCode.OK)
