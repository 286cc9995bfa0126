"""Telling stories in worker processes: what a seed came to, as a value."""

from __future__ import annotations

from itertools import islice

import attrs

from tests.unit.simulation.crash_points import clean_run, crash_pairs, crash_points, require_the_same_end
from tests.unit.simulation.failures import Failure, NotDeterministic
from tests.unit.simulation.story import Story, Told

TWICE_EVERY = 50


@attrs.frozen
class Verdict:
    """What one seed came to: told, or failed."""

    seed: int
    told: Told | None
    exit_code: int = 0
    why: str = ""


def tell(seed: int, steps: int) -> Verdict:
    """Tells one story; some twice, to see that they are the same."""
    try:
        told = Story(seed, steps=steps).tell()
        if seed % TWICE_EVERY == 0 and Story(seed, steps=steps).tell().digest != told.digest:
            raise NotDeterministic("told twice, it was another story")
    except Failure as failure:
        return Verdict(seed, None, failure.exit_code, f"{failure.kind}: {failure}")
    return Verdict(seed, told)


def crash_everywhere(workflow: str, pairs_every: int | None) -> tuple[str, int, list[str], int]:
    """All crash points of a workflow, or every so many-th pair: its name, how many, what failed, and the first one's class."""
    calls, expected = clean_run(workflow)
    points = list(
        crash_points(workflow, calls) if pairs_every is None else islice(crash_pairs(workflow, calls), 0, None, pairs_every)
    )
    failures, code = list[str](), 0
    for point in points:
        try:
            require_the_same_end(point, expected)
        except Failure as failure:
            failures.append(f"{failure.kind}: {failure}")
            code = code or failure.exit_code
    return workflow, len(points), failures, code


def tell_asked(asked: tuple[int, int]) -> Verdict:
    """The same for (seed, steps)."""
    return tell(*asked)
