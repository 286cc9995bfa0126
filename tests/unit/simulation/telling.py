"""Telling stories in worker processes: what a seed came to, as a value."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeAlias

import attrs

from tests.unit.simulation.crash_points import CrashPoint, clean_run, crash_pairs, crash_points, require_the_same_end
from tests.unit.simulation.failures import Failure, NotDeterministic
from tests.unit.simulation.rehearsal import BusinessState
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


Crashed: TypeAlias = tuple[str, int, list[str], int]
"""A workflow's name, how many of its points were tried, what failed, and the class of the first of these."""


def crash_everywhere(workflow: str, every: int) -> Crashed:
    """All crash points of a workflow, or every so many-th."""
    calls, expected = clean_run(workflow)
    return _crashed(workflow, islice(crash_points(workflow, calls), 0, None, every), expected)


def crash_at_pairs(workflow: str, every: int) -> Crashed:
    """The same at pairs of them."""
    calls, expected = clean_run(workflow)
    return _crashed(workflow, islice(crash_pairs(workflow, calls), 0, None, every), expected)


def _crashed(workflow: str, points: Iterable[CrashPoint], expected: BusinessState) -> Crashed:
    failures, code, count = list[str](), 0, 0
    for point in points:
        count += 1
        try:
            require_the_same_end(point, expected)
        except Failure as failure:
            failures.append(f"{failure.kind}: {failure}")
            code = code or failure.exit_code
    return workflow, count, failures, code


def tell_asked(asked: tuple[int, int]) -> Verdict:
    """The same for (seed, steps)."""
    return tell(*asked)
