"""How a simulation fails, by class, so that a failure is sorted before anybody reads it."""

from __future__ import annotations

from typing import ClassVar


class Failure(Exception):
    """What was found. `exit_code` is the process's; 0 is a pass."""

    exit_code: ClassVar[int]
    kind: ClassVar[str]


class InvariantBroken(Failure):
    """Something happened that must never happen."""

    exit_code = 1
    kind = "invariant"


class NotLive(Failure):
    """The trouble ended, and something did not come to its end."""

    exit_code = 2
    kind = "liveness"


class Crashed(Failure):
    """The core raised what it does not raise."""

    exit_code = 3
    kind = "crash"


class NotDeterministic(Failure):
    """The same seed told another story."""

    exit_code = 4
    kind = "non-determinism"


def require(holds: object, invariant: str, detail: str) -> None:
    """Raises `InvariantBroken` unless it holds."""
    if not holds:
        raise InvariantBroken(f"{invariant}: {detail}")
