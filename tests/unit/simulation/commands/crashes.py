"""Workflows crashed at every call to a port, and at pairs of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import attrs

from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.telling import Tried, crash_at_pairs, crash_everywhere
from tests.unit.simulation.workflows import PAIRED, THINNED, WORKFLOWS

THINNED_EVERY: Final = 4


@attrs.frozen
class Crashes:
    """How many points were tried, at how many of them every strike landed, and the first failure's class."""

    points: int
    landed: int
    exit_code: int


def crash_all(workers: int, *, is_thinned: bool) -> Crashes:
    """Every workflow, crashed at every call to a port, or some at one in four."""
    every = [THINNED_EVERY if is_thinned and workflow in THINNED else 1 for workflow in WORKFLOWS]
    crashes, passed_s = _crash(crash_everywhere, list(WORKFLOWS), every, workers, "crash points")
    print(f"{crashes.points:,} crash points of {len(WORKFLOWS)} workflows, {passed_s:.0f} s")
    return crashes


def crash_pairs(workers: int, *, every: int) -> Crashes:
    """Short workflows, crashed at every so many-th pair of calls."""
    crashes, passed_s = _crash(crash_at_pairs, PAIRED, [every] * len(PAIRED), workers, "pairs of crash points")
    print(
        f"{crashes.points:,} pairs of crash points of {len(PAIRED)} workflows, at {crashes.landed:,} both struck, {passed_s:.0f} s"
    )
    return crashes


def _crash(
    crash: Callable[[str, int], Tried], workflows: Sequence[str], every: Sequence[int], workers: int, what: str
) -> tuple[Crashes, float]:
    count, landed, code, progress = 0, 0, 0, Progress(len(workflows), what="workflows")
    with ProcessPoolExecutor(workers) as pool:
        for tried in pool.map(crash, workflows, every):
            count, landed, code = count + tried.points, landed + tried.landed, code or tried.exit_code
            progress.step(f"{count:,} {what}")
            if tried.failures:
                progress.end()
                print(*(f"{tried.workflow}: {failure}" for failure in tried.failures), sep="\n")
    progress.end()
    return Crashes(count, landed, code), progress.passed_s
