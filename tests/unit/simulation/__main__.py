"""`make sim`: many stories within a budget, or one again, with its trace.

    python -m tests.unit.simulation                     500 seeds from 0, one line of progress
    python -m tests.unit.simulation --seed 7            the story of seed 7; its trace, where it fails
    python -m tests.unit.simulation --seed 7 --trace    the same, and its trace in any case
    python -m tests.unit.simulation --crash-points      every workflow, crashed at every call to a port

Exits with 0, or with the class of the first failure: 1 an invariant, 2 liveness, 3 a crash, 4 non-determinism.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.unit.simulation.failures import Failure
from tests.unit.simulation.story import STEPS, Story
from tests.unit.simulation.telling import crash_everywhere, tell_asked
from tests.unit.simulation.workflows import WORKFLOWS

TRACE_LINES = 200


def tell_one(seed: int, steps: int, *, with_trace: bool) -> int:
    """One story, with its trace where it fails."""
    story = Story(seed, steps=steps)
    print(f"seed {seed}: {story.faults.told()}")
    try:
        told = story.tell()
    except Failure as failure:
        print(*story.trace.told(TRACE_LINES), sep="\n")
        print(f"seed {seed}, step {story.scheduler.steps}: {failure.kind}: {failure}")
        return failure.exit_code
    if with_trace:
        print(*story.trace.told(), sep="\n")
    print(f"seed {seed}: {told.steps} steps, {told.commits} commits, {told.kills} kills, {told.intents} sends, {told.digest}")
    return 0


def tell_many(seeds: Sequence[int], steps: int, *, budget_s: float, workers: int) -> int:
    """Many stories, as far as the budget goes. Every failure is told; the first one's class is the exit code."""
    began, steps_done, kills, commits, virtual_s, code, line = time.monotonic(), 0, 0, 0, 0.0, 0, ""
    with ProcessPoolExecutor(workers) as pool:
        for done, verdict in enumerate(pool.map(tell_asked, [(seed, steps) for seed in seeds], chunksize=4), 1):
            if verdict.told is None:
                code = code or verdict.exit_code
                print(f"\nseed {verdict.seed}: {verdict.why}\n  again: make sim SEED={verdict.seed} STEPS={steps}")
            else:
                told = verdict.told
                steps_done, kills, commits = steps_done + told.steps, kills + told.kills, commits + told.commits
                virtual_s += told.seconds
            passed_s = time.monotonic() - began
            line = f"{done}/{len(seeds)} seeds, {steps_done:,} steps, {commits:,} commits, {kills:,} kills, "
            line += f"{virtual_s / 3600:,.1f} virtual hours, {steps_done / passed_s:,.0f} steps/s"
            if sys.stdout.isatty() or done % 100 == 0:
                print(f"\r{line}", end="" if sys.stdout.isatty() else "\n", flush=True)
            if passed_s > budget_s:
                pool.shutdown(wait=False, cancel_futures=True)
                break
        print(f"\n{line}")
    return code


def crash_all(workers: int) -> int:
    """Every workflow, crashed at every call to a port."""
    began, count, code = time.monotonic(), 0, 0
    with ProcessPoolExecutor(workers) as pool:
        for workflow, points, failures, failed in pool.map(crash_everywhere, WORKFLOWS):
            count, code = count + points, code or failed
            print(*(f"{workflow}: {failure}" for failure in failures), sep="\n", end="\n" if failures else "")
    print(f"{count:,} crash points of {len(WORKFLOWS)} workflows in {time.monotonic() - began:.0f} s")
    return code


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Tells the stories of seeds.")
    parser.add_argument("--seed", type=int, help="this story alone")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps before the trouble ends")
    parser.add_argument("--seeds", type=int, default=500, help="how many stories")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--budget-s", type=float, default=180, help="seconds after which no further story is begun")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true", help="the whole trace of --seed")
    parser.add_argument("--crash-points", action="store_true", help="no stories: every workflow, crashed at every call")
    asked = parser.parse_args()
    if asked.seed is not None:
        return tell_one(asked.seed, asked.steps, with_trace=asked.trace)
    if asked.crash_points:
        return crash_all(asked.workers)
    seeds = range(asked.first, asked.first + asked.seeds)
    return tell_many(seeds, asked.steps, budget_s=asked.budget_s, workers=asked.workers)


if __name__ == "__main__":
    sys.exit(main())
