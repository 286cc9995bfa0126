"""Workflows crashed at every call to a port, and at pairs of calls."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.telling import crash_everywhere
from tests.unit.simulation.workflows import PAIRED, WORKFLOWS


def crash_all(workers: int) -> tuple[int, int]:
    """Every workflow, crashed at every call to a port: how many points, and the first failure's class."""
    return _crash(list(WORKFLOWS), None, workers, "crash points")


def crash_pairs(workers: int, *, every: int) -> tuple[int, int]:
    """Short workflows, crashed at every so many-th pair of calls: the same."""
    return _crash(PAIRED, every, workers, "pairs of crash points")


def _crash(workflows: Sequence[str], pairs_every: int | None, workers: int, what: str) -> tuple[int, int]:
    count, code, progress = 0, 0, Progress(len(workflows), what="workflows")
    with ProcessPoolExecutor(workers) as pool:
        for workflow, points, failures, failed in pool.map(crash_everywhere, workflows, [pairs_every] * len(workflows)):
            count, code = count + points, code or failed
            progress.step(f"{count:,} {what}")
            if failures:
                progress.end()
                print(*(f"{workflow}: {failure}" for failure in failures), sep="\n")
    progress.end()
    print(f"{count:,} {what} of {len(workflows)} workflows, {progress.passed_s:.0f} s")
    return count, code
