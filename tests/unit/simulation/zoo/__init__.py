"""The bug zoo, and whether the simulator sees what is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.unit.simulation.crash_points import clean_run, crash_points, require_the_same_end
from tests.unit.simulation.failures import Failure
from tests.unit.simulation.script import FOLDER, read
from tests.unit.simulation.shrinking import named, replay
from tests.unit.simulation.story import Story
from tests.unit.simulation.zoo.asking import ASKING
from tests.unit.simulation.zoo.bug import Bug, planted
from tests.unit.simulation.zoo.deciding import DECIDING
from tests.unit.simulation.zoo.halting import HALTING
from tests.unit.simulation.zoo.isolation import ISOLATION
from tests.unit.simulation.zoo.keeping import KEEPING
from tests.unit.simulation.zoo.lies import LIES
from tests.unit.simulation.zoo.receiving import RECEIVING
from tests.unit.simulation.zoo.replacing import REPLACING
from tests.unit.simulation.zoo.sending import SENDING
from tests.unit.simulation.zoo.tokens import TOKENS

__all__ = ["ZOO", "Bug", "crash_fails", "planted", "seen", "story_fails", "trace_fails", "trace_of"]

ZOO: Final = (*RECEIVING, *SENDING, *REPLACING, *KEEPING, *HALTING, *TOKENS, *LIES, *ASKING, *DECIDING, *ISOLATION)


def seen(bug: Bug, *, seeds: range, steps: int) -> str | None:
    """How the simulator sees it, or None: by its trace, else, where the core has moved on, by the stories of `seeds`."""
    with planted(bug):
        if bug.flow is not None:
            return crash_fails(bug.flow)
        return trace_fails(bug) or next((why for seed in seeds if (why := story_fails(seed, steps))), None)


def trace_of(bug: Bug) -> Path:
    """The file of the few decisions by which it was seen."""
    return FOLDER / (re.sub(r"\W+", "-", bug.what.replace("'", "")) + ".json")


def trace_fails(bug: Bug) -> str | None:
    """How the story of its trace fails, or None; to fail of another cause than when it was kept is none of its."""
    path = trace_of(bug)
    if not path.exists():
        return None
    kept = read(path)
    failure = replay(kept.script)[1]
    return f"{path.stem}: {failure.kind}: {failure}" if failure is not None and named(failure) == kept.failure else None


def story_fails(seed: int, steps: int) -> str | None:
    """How the story of that seed fails, or None."""
    story = Story(seed, steps=steps)
    try:
        story.tell()
    except Failure as failure:
        return f"seed {seed}, step {story.scheduler.steps}: {failure.kind}: {failure}"
    return None


def crash_fails(workflow: str) -> str | None:
    """How a crash point of that workflow fails, or None."""
    try:
        calls, expected = clean_run(workflow)
        for point in crash_points(workflow, calls):
            require_the_same_end(point, expected)
    except Failure as failure:
        return f"{failure.kind}: {failure}"
    return None
