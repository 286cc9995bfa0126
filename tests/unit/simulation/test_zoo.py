"""The simulator sees: each planted bug makes one of a few stories, or a crash point, fail."""

from __future__ import annotations

import pytest

from tests.unit.simulation.zoo import ZOO, Bug, planted, seen

SEEDS = range(30)
STEPS = 3_000


@pytest.mark.parametrize("bug", ZOO, ids=lambda bug: bug.what)
def test_r06_a_planted_bug_is_seen(bug: Bug) -> None:
    assert seen(bug, seeds=SEEDS, steps=STEPS) is not None


def test_a_bug_is_gone_when_its_test_is_over() -> None:
    bug = next(bug for bug in ZOO if bug.name == "accept")
    with planted(bug):
        assert bug.owner.accept.__code__.co_filename == "zoo"
    assert bug.owner.accept.__code__.co_filename != "zoo"


def test_a_bug_that_the_core_has_outgrown_is_told_of() -> None:
    gone = Bug("something else", ZOO[0].owner, ZOO[0].name, "a text that is not there", "")
    with pytest.raises(ValueError, match="the core has changed"), planted(gone):
        pass
