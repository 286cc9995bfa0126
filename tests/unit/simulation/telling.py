"""Telling stories in worker processes: what a seed came to, as a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import attrs

from tests.unit.simulation.business import BusinessState
from tests.unit.simulation.crash_points import CrashPoint, clean_run, crash_pairs, crash_points, require_the_same_end
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


@attrs.frozen
class Tried:
    """What the crash points of one workflow came to: how many were tried, at how many of them every strike landed, what failed, and
    the class of the first failure.
    """

    workflow: str
    points: int
    landed: int
    failures: Sequence[str]
    exit_code: int


def crash_everywhere(workflow: str, every: int) -> Tried:
    """All crash points of a workflow, or every so many-th."""
    calls, expected = clean_run(workflow)
    return _tried(workflow, islice(crash_points(workflow, calls), 0, None, every), expected)


def crash_at_pairs(workflow: str, every: int) -> Tried:
    """The same at pairs of them."""
    calls, expected = clean_run(workflow)
    return _tried(workflow, islice(crash_pairs(workflow, calls), 0, None, every), expected)


def _tried(workflow: str, points: Iterable[CrashPoint], expected: BusinessState) -> Tried:
    failures, code, count, landed = list[str](), 0, 0, 0
    for point in points:
        count += 1
        try:
            landed += require_the_same_end(point, expected)
        except Failure as failure:
            failures.append(f"{failure.kind}: {failure}")
            code = code or failure.exit_code
    return Tried(workflow, count, landed, failures, code)


def tell_asked(asked: tuple[int, int]) -> Verdict:
    """The same for (seed, steps)."""
    return tell(*asked)
