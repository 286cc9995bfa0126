"""Kept traces: the few decisions that made a story fail once, by a bug that is mended or was planted. They end well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.simulation.ddmin import ddmin
from tests.unit.simulation.failures import Failure
from tests.unit.simulation.script import FOLDER, read, written
from tests.unit.simulation.shrinking import Shrinker, named, replay
from tests.unit.simulation.story import Story
from tests.unit.simulation.zoo import ZOO, planted

SHORT = 30
TRACES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_r06_what_once_failed_ends_well(path: Path) -> None:
    kept = read(path)
    _, failure = replay(kept.script)
    assert failure is None
    assert written(kept) == path.read_text()


def test_a_failing_story_shrinks_to_a_few_decisions_that_need_the_bug() -> None:
    bug = next(bug for bug in ZOO if bug.what == "sends are not taken back")
    with planted(bug):
        story = Story(0)
        with pytest.raises(Failure) as failed:
            story.tell()
        script = Shrinker(story, failed.value).shrink()
        assert script is not None
        assert len(script.decisions) <= SHORT < len(story.decisions.taken)
        _, again = replay(script)
        assert again is not None
        assert named(again) == named(failed.value)
    assert replay(script)[1] is None


def test_a_story_told_by_its_own_decisions_is_the_same() -> None:
    story = Story(5, steps=600)
    story.tell_trouble()
    script = story.script()
    again, failure = replay(script, to_the_end=False)
    assert failure is None
    assert again.script().decisions == script.decisions
    assert again.trace.digest() == story.trace.digest()


@pytest.mark.parametrize("needed", [set(), {0}, {7}, {3, 4}, {0, 5, 9}, set(range(10))])
def test_delta_debugging_leaves_what_is_needed(needed: set[int]) -> None:
    assert ddmin(range(10), lambda left: needed <= set(left)) == sorted(needed)
