"""Telling stories: one with its trace, or many within a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import attrs

from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.failures import Failure
from tests.unit.simulation.script import FOLDER, Kept, written
from tests.unit.simulation.shrinking import Shrinker, named, replay
from tests.unit.simulation.story import Story
from tests.unit.simulation.telling import tell_asked

TRACE_LINES: Final = 200


@attrs.define
class Sum:
    """What many stories came to."""

    seeds: int = 0
    steps: int = 0
    commits: int = 0
    kills: int = 0
    virtual_s: float = 0
    struck: Counter[str] = attrs.field(factory=Counter)
    exit_code: int = 0

    def line(self, passed_s: float) -> str:
        """In words."""
        return (
            f"{self.seeds:,} seeds, {self.steps:,} steps, {self.commits:,} commits, {self.kills:,} kills, "
            f"{self.virtual_s / 3600:,.1f} virtual hours, {self.steps / passed_s:,.0f} steps/s, {passed_s:,.0f} s"
        )


def tell_many(seeds: Sequence[int], steps: int, *, budget_s: float, workers: int) -> tuple[Sum, float]:
    """Many stories, as far as the budget goes, and the seconds that they took. Every failure is told."""
    found, progress = Sum(), Progress(len(seeds), what="seeds")
    with ProcessPoolExecutor(workers) as pool:
        for verdict in pool.map(tell_asked, [(seed, steps) for seed in seeds], chunksize=4):
            if verdict.told is None:
                found.exit_code = found.exit_code or verdict.exit_code
                progress.end()
                print(f"seed {verdict.seed}: {verdict.why}\n  again: make sim SEED={verdict.seed} STEPS={steps}")
            else:
                told = verdict.told
                found.seeds, found.steps, found.commits = found.seeds + 1, found.steps + told.steps, found.commits + told.commits
                found.kills, found.virtual_s = found.kills + told.kills, found.virtual_s + told.seconds
                found.struck.update(told.struck)
            progress.step(f"{found.steps:,} steps, {found.steps / progress.passed_s:,.0f} steps/s")
            if progress.passed_s > budget_s:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    progress.end()
    return found, progress.passed_s


def tell_one(seed: int, steps: int, *, with_trace: bool, keep: str | None) -> int:
    """One story, with its trace where it fails, and with the few decisions that make it fail."""
    story = Story(seed, steps=steps)
    print(f"seed {seed}: {story.faults.told()}")
    try:
        told = story.tell()
    except Failure as failure:
        print(*story.trace.told(TRACE_LINES), sep="\n")
        print(f"seed {seed}, step {story.scheduler.steps}: {failure.kind}: {failure}")
        _tell_shrunk(story, failure, keep)
        return failure.exit_code
    if with_trace:
        print(*story.trace.told(), sep="\n")
    print(f"seed {seed}: {told.steps} steps, {told.commits} commits, {told.kills} kills, {told.intents} sends, {told.digest}")
    return 0


def _tell_shrunk(story: Story, failure: Failure, keep: str | None) -> None:
    shrinker = Shrinker(story, failure)
    script = shrinker.shrink()
    if script is None:
        print("it cannot be told shorter: as a list of decisions it does not fail")
        return
    again, failure_again = replay(script)
    print(f"\nthe same in {len(script.decisions)} of {len(story.decisions.taken)} decisions, found in {shrinker.runs} runs:")
    print(*script.told(), sep="\n")
    print("\nand what happens then:")
    print(*again.trace.told(TRACE_LINES), sep="\n")
    print(f"{named(failure)}: {failure_again}")
    if keep is not None:
        (FOLDER / f"{keep}.json").write_text(written(Kept(named(failure), None, script)))
        print(f"kept as {keep}.json; from now on a test tells it")
