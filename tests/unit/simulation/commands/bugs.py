"""The bug zoo, one by one: by which story each planted bug is seen, and the few decisions that it takes."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from typing import Final

import attrs

from tests.unit.simulation.commands import page
from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.failures import Failure
from tests.unit.simulation.script import Kept, Script, read, written
from tests.unit.simulation.shrinking import Shrinker, named
from tests.unit.simulation.story import STEPS, Story
from tests.unit.simulation.zoo import ZOO, Bug, crash_fails, planted, trace_of

STEPS_BUDGET: Final = 2_000_000
SHRINKS_MAX: Final = 3
GOOD_ENOUGH: Final = 20
"""A list of so many decisions is not shrunk from another seed."""


@attrs.frozen
class Sight:
    """How a planted bug was seen, after how many steps of stories in all; and how short a list of decisions shows it."""

    what: str
    by: str
    steps: int = 0
    decisions: int | None = None
    of: int = 0
    shrunk_s: float = 0


def see_all(workers: int, *, keep: bool, write: bool = False) -> list[tuple[Bug, Sight | None]]:
    """Every bug. With `keep` what it shrinks to is written as a trace, with `write` what was found into the page."""
    progress = Progress(len(ZOO), what="planted bugs")
    found: list[tuple[Bug, Sight | None]] = []
    with ProcessPoolExecutor(workers) as pool:
        for bug, sight in zip(ZOO, pool.map(_see, range(len(ZOO)), [keep] * len(ZOO)), strict=True):
            found.append((bug, sight))
            progress.step()
            progress.end()
            print(f"{bug.what}: {_told(sight)}", flush=True)
    seen = sum(sight is not None for _, sight in found)
    print(f"{seen} of {len(ZOO)} planted bugs are seen, {progress.passed_s:.0f} s")
    if write:
        page.write(
            "make sim-bugs",
            ("Planted bug", "Shipped by", "Seen as", "By", "Shrinks to"),
            [_row(bug, sight) for bug, sight in found],
        )
    return found


def _see(index: int, keep: bool) -> Sight | None:
    bug = ZOO[index]
    with planted(bug):
        if bug.flow is not None:
            why = crash_fails(bug.flow)
            return Sight(": ".join(why.split(": ")[:2]), f"a crash of {bug.flow}") if why else None
        return _see_in_stories(bug, keep=keep)


def _see_in_stories(bug: Bug, *, keep: bool) -> Sight | None:
    first: Sight | None = None
    best: tuple[str, Script] | None = None
    shrinks, steps = 0, 0
    for seed in count():
        if steps > STEPS_BUDGET:
            break
        story = Story(seed, steps=STEPS)
        try:
            steps += story.tell().steps
        except Failure as failure:
            steps += story.scheduler.steps
            began_s = time.process_time()
            shrinker = Shrinker(story, failure)
            script = shrinker.shrink() if keep else None
            if script is not None and (best is None or len(script.decisions) < len(best[1].decisions)):
                best = named(failure), script
            length = len(script.decisions) if script else None
            first = first or Sight(
                named(failure), f"seed {seed}", steps, length, len(story.decisions.taken), time.process_time() - began_s
            )
            shrinks += 1
            if not keep or shrinks == SHRINKS_MAX or (best and len(best[1].decisions) <= GOOD_ENOUGH):
                break
    if best is not None:
        trace_of(bug).write_text(written(Kept(best[0], bug.what, best[1])))
    return first


def _row(bug: Bug, sight: Sight | None) -> tuple[str, ...]:
    if sight is None:
        return bug.what, bug.peer or "", "**not seen**", "", ""
    after = f", {sight.steps:,} steps" if sight.steps else ""
    length = len(read(trace_of(bug)).script.decisions) if trace_of(bug).exists() else None
    return bug.what, bug.peer or "", sight.what, sight.by + after, f"{length} decisions" if length is not None else "one crash"


def _told(sight: Sight | None) -> str:
    if sight is None:
        return "NOT SEEN"
    told = f"{sight.what} by {sight.by}"
    if sight.steps:
        told += f" after {sight.steps:,} steps"
    if sight.decisions is not None:
        told += f"; {sight.decisions} of {sight.of:,} decisions, {sight.shrunk_s:.0f} s"
    return told
