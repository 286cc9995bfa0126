"""Every workflow, crashed at every call to a port: before its effect, after it, with its answer lost. The end is the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

import attrs

from tests.unit.simulation.business import BusinessState, business_state
from tests.unit.simulation.ends import require_as_written
from tests.unit.simulation.failures import Crashed, Failure, InvariantBroken
from tests.unit.simulation.gate import Fate
from tests.unit.simulation.rehearsal import Rehearsal
from tests.unit.simulation.tiny import tiny
from tests.unit.simulation.workflows import STAGES, WORKFLOWS

FATES: Final = (Fate.KILLED_BEFORE, Fate.KILLED_AFTER, Fate.LOST_AFTER)
ACTS: Final = frozenset({"commit", "broadcast", "sign", "create"})
"""Calls with an effect. A question has none, so dying before it and after it is the same."""


@attrs.frozen
class CrashPoint:
    """What happens at which calls of a workflow: one, or two of them."""

    workflow: str
    strikes: Mapping[int, Fate]

    def __str__(self) -> str:
        return f"{self.workflow}, " + " and ".join(f"call {at}: {fate.name}" for at, fate in self.strikes.items())


def clean_run(workflow: str) -> tuple[list[str], BusinessState]:
    """The calls to ports, and the end, of a run that nothing disturbs. Raises a `Failure` unless it ends as it is written."""
    calls, state = undisturbed(workflow)
    require_as_written(workflow, state)
    return calls, state


def undisturbed(workflow: str) -> tuple[list[str], BusinessState]:
    """The same, however it ends."""
    try:
        on = _run(workflow, Rehearsal(stage=STAGES.get(workflow)))
        calls = list(on.calls)
        state = business_state(on)
        on.require_sound()
    except (Failure, AssertionError):
        raise
    except Exception as problem:
        raise Crashed(f"{workflow}: {type(problem).__name__}: {problem}") from problem
    return calls, state


def crash_points(workflow: str, calls: Sequence[str]) -> Iterator[CrashPoint]:
    """Every point of a workflow."""
    for at, call in enumerate(calls, 1):
        for fate in FATES:
            if call in ACTS or fate is Fate.KILLED_BEFORE or (fate is Fate.LOST_AFTER and call != "read"):
                yield CrashPoint(workflow, {at: fate})


def crash_pairs(workflow: str, calls: Sequence[str]) -> Iterator[CrashPoint]:
    """Every pair of these points. The second call is counted in the clean run; after the first crash it may be another one."""
    points = [next(iter(point.strikes.items())) for point in crash_points(workflow, calls)]
    for (first, first_fate), (second, second_fate) in combinations(points, 2):
        if first < second:
            yield CrashPoint(workflow, {first: first_fate, second: second_fate})


def require_the_same_end(point: CrashPoint, expected: BusinessState) -> bool:
    """Runs the workflow with that crash; whether each of its strikes landed. Raises a `Failure` unless it ends as the clean run."""
    on = Rehearsal(point.strikes, STAGES.get(point.workflow))
    try:
        _run(point.workflow, on)
        state = business_state(on)
        on.require_sound()
    except Failure as failure:
        raise type(failure)(f"{point}: {failure}") from failure
    except Exception as problem:
        raise Crashed(f"{point}: {type(problem).__name__}: {problem}") from problem
    if state != expected:
        differs = {name: (state[name], expected[name]) for name in state if state[name] != expected[name]}
        raise InvariantBroken(f"{point} ends otherwise: {differs}")
    return on.landed == len(point.strikes)


def _run(workflow: str, on: Rehearsal) -> Rehearsal:
    with tiny(on.stage.is_tiny):
        WORKFLOWS[workflow](on)
        on.settle()
    return on
