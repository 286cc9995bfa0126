"""Workflows that move money, crashed at each call to a port: the business ends as if nothing had happened."""

from __future__ import annotations

import pytest

from tests.unit.simulation.crash_points import clean_run, crash_points, require_the_same_end
from tests.unit.simulation.rehearsal import Rehearsal
from tests.unit.simulation.workflows import WORKFLOWS

EVERY = 4
"""One point in so many is crashed here; `make sim` crashes them all."""


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_r06_a_crash_at_any_call_changes_nothing_of_the_end(workflow: str) -> None:
    calls, expected = clean_run(workflow)
    assert "commit" in calls
    points = list(crash_points(workflow, calls))
    for point in points[len(workflow) % EVERY :: EVERY]:
        require_the_same_end(point, expected)


def test_the_bump_is_one() -> None:
    on = Rehearsal()
    WORKFLOWS["bump"](on)
    assert len(on.transaction(on.sends["send"]).attempts) > 1
