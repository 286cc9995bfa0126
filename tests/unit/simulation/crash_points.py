"""Every workflow, crashed at every call to a port: before its effect, after it, with its answer lost. The end is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from tests.unit.simulation.failures import Crashed, Failure, InvariantBroken
from tests.unit.simulation.gate import Fate
from tests.unit.simulation.rehearsal import BusinessState, Rehearsal
from tests.unit.simulation.workflows import WORKFLOWS

FATES: Final = (Fate.KILLED_BEFORE, Fate.KILLED_AFTER, Fate.LOST_AFTER)


@attrs.frozen
class CrashPoint:
    """One call of a workflow, and what happens there."""

    workflow: str
    at: int
    call: str
    fate: Fate


def clean_run(workflow: str) -> tuple[list[str], BusinessState]:
    """The calls to ports, and the end, of a run that nothing disturbs."""
    on = _run(workflow, Rehearsal())
    calls = list(on.calls)
    state = on.business_state()
    on.require_sound()
    return calls, state


def crash_points(workflow: str, calls: list[str]) -> Iterator[CrashPoint]:
    """Every point of a workflow. A question has no effect, so dying before it and after it is the same."""
    for at, call in enumerate(calls, 1):
        for fate in FATES:
            if (
                call in {"commit", "broadcast", "sign", "create"}
                or fate is Fate.KILLED_BEFORE
                or (fate, call) == _asked_in_vain(call)
            ):
                yield CrashPoint(workflow, at, call, fate)


def require_the_same_end(point: CrashPoint, expected: BusinessState) -> None:
    """Runs the workflow with that crash. Raises a `Failure` unless it ends as the clean run."""
    on = Rehearsal(point.at, point.fate)
    try:
        _run(point.workflow, on)
        state = on.business_state()
        on.require_sound()
    except Failure:
        raise
    except Exception as problem:
        raise Crashed(f"{point}: {type(problem).__name__}: {problem}") from problem
    if state != expected:
        differs = {name: (state[name], expected[name]) for name in state if state[name] != expected[name]}
        raise InvariantBroken(f"{point} ends otherwise: {differs}")


def _asked_in_vain(call: str) -> tuple[Fate, str] | None:
    return None if call == "read" else (Fate.LOST_AFTER, call)


def _run(workflow: str, on: Rehearsal) -> Rehearsal:
    WORKFLOWS[workflow](on)
    on.settle()
    return on
