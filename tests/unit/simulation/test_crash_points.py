"""Workflows that move money, crashed at each call to a port: the business ends as if nothing had happened."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.unit.simulation.crash_points import CrashPoint, clean_run, crash_pairs, crash_points, require_the_same_end
from tests.unit.simulation.gate import Fate
from tests.unit.simulation.rehearsal import Rehearsal
from tests.unit.simulation.workflows import PAIRED, WORKFLOWS

EVERY = 5
"""One point in so many is crashed here; `make sim` crashes them all."""
PAIRS_EVERY = 500
"""Of pairs, too; `make sim-long` crashes them all."""


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_r06_a_crash_at_any_call_changes_nothing_of_the_end(workflow: str) -> None:
    calls, expected = clean_run(workflow)
    assert "commit" in calls
    points = list(crash_points(workflow, calls))
    for point in points[len(workflow) % EVERY :: EVERY]:
        require_the_same_end(point, expected)


@pytest.mark.parametrize("workflow", PAIRED)
def test_r06_neither_do_two_crashes(workflow: str) -> None:
    calls, expected = clean_run(workflow)
    for point in islice(crash_pairs(workflow, calls), len(workflow), None, PAIRS_EVERY):
        require_the_same_end(point, expected)


def test_a_second_crash_that_never_came_is_no_pair() -> None:
    _, expected = clean_run("deposit")
    assert require_the_same_end(CrashPoint("deposit", {1: Fate.KILLED_BEFORE, 2: Fate.LOST_AFTER}), expected)
    assert not require_the_same_end(CrashPoint("deposit", {1: Fate.KILLED_BEFORE, 10_000: Fate.KILLED_BEFORE}), expected)


def test_the_bump_is_one() -> None:
    on = Rehearsal()
    WORKFLOWS["bump"](on)
    assert len(on.transaction(on.sends["send"]).attempts) > 1
