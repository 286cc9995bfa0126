"""Workflows crashed at every call to a port, and at pairs of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.telling import Crashed, crash_at_pairs, crash_everywhere
from tests.unit.simulation.workflows import PAIRED, THINNED, WORKFLOWS

THINNED_EVERY: Final = 4


def crash_all(workers: int, *, is_thinned: bool) -> tuple[int, int]:
    """Every workflow, crashed at every call to a port, or some at one in four: how many points, and the first failure's class."""
    every = [THINNED_EVERY if is_thinned and workflow in THINNED else 1 for workflow in WORKFLOWS]
    return _crash(crash_everywhere, list(WORKFLOWS), every, workers, "crash points")


def crash_pairs(workers: int, *, every: int) -> tuple[int, int]:
    """Short workflows, crashed at every so many-th pair of calls: the same."""
    return _crash(crash_at_pairs, PAIRED, [every] * len(PAIRED), workers, "pairs of crash points")


def _crash(
    crash: Callable[[str, int], Crashed], workflows: Sequence[str], every: Sequence[int], workers: int, what: str
) -> tuple[int, int]:
    count, code, progress = 0, 0, Progress(len(workflows), what="workflows")
    with ProcessPoolExecutor(workers) as pool:
        for workflow, points, failures, failed in pool.map(crash, workflows, every):
            count, code = count + points, code or failed
            progress.step(f"{count:,} {what}")
            if failures:
                progress.end()
                print(*(f"{workflow}: {failure}" for failure in failures), sep="\n")
    progress.end()
    print(f"{count:,} {what} of {len(workflows)} workflows, {progress.passed_s:.0f} s")
    return count, code
