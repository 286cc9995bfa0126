"""Workflows crashed at every call to a port."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.telling import crash_everywhere
from tests.unit.simulation.workflows import WORKFLOWS


def crash_all(workers: int) -> tuple[int, int]:
    """Every workflow, crashed at every call to a port: how many points, and the first failure's class."""
    count, code, progress = 0, 0, Progress(len(WORKFLOWS), what="workflows")
    with ProcessPoolExecutor(workers) as pool:
        for workflow, points, failures, failed in pool.map(crash_everywhere, WORKFLOWS):
            count, code = count + points, code or failed
            progress.step(f"{count:,} crash points")
            if failures:
                progress.end()
                print(*(f"{workflow}: {failure}" for failure in failures), sep="\n")
    progress.end()
    print(f"{count:,} crash points of {len(WORKFLOWS)} workflows, {progress.passed_s:.0f} s")
    return count, code
