"""Mutations: the core with one operator, number or statement changed, and whether anything sees it.

A sample of all that can be changed in the modules that money passes through. Each mutant gets a process of its own, forked from one
that has imported everything but the core; there the simulation judges it, and then the unit tests that run the changed line do.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import Any, Final

import attrs

from tests.unit.simulation.commands import page
from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.covering import Covered, test_files
from tests.unit.simulation.harmless import is_harmless
from tests.unit.simulation.judging import (
    CORE,
    NOBODY,
    OUT_OF_MEMORY,
    SIMULATION,
    UNIT_TESTS,
    Changed,
    clean,
    covered,
    judged,
)
from tests.unit.simulation.modules import MONEY
from tests.unit.simulation.mutating import Mutation, mutated, mutations

SAMPLE: Final = 150
BUDGET_S: Final = 18 * 60
"""No mutant is begun later; the last ones are judged within twenty minutes."""
SCORE_MIN_PERCENT: Final = 85
TEST_COST_MAX_S: Final = 3
"""Unit tests that take longer, while it is measured what they run, are not asked: a few of them take half of the time of all."""
ENDLESS: Final = "no end"
"""The verdict on a mutant that uses up its processor time or its memory: nobody who looks at results has seen it."""
USED_UP: Final = frozenset({-signal.SIGXCPU, -signal.SIGKILL, OUT_OF_MEMORY})
"""How a process ends that did: by its limit of time, by the kernel where memory is short, by its own limit of memory."""
PRELOADED: Final = (
    "attrs",
    "coverage",
    "eth_abi",
    "eth_account",
    "eth_utils",
    "hypothesis",
    "msgspec",
    "pytest",
    "rlp",
    "sqlalchemy",
)


@attrs.frozen
class Mutant:
    """A mutation of one module."""

    module: str
    mutation: Mutation

    def __str__(self) -> str:
        return f"{self.module}:{self.mutation.line}: {self.mutation.what!r} in `{self.mutation.text}`"


@attrs.frozen
class Judge:
    """What a mutant is held against."""

    clean_s: float
    """The processor time that the simulation of the clean core takes."""
    tests: Sequence[Covered]

    def verdict(self, mutant: Mutant) -> str:
        """Who sees it, `NOBODY`, or `ENDLESS`."""
        source = (CORE / f"{mutant.module}.py").read_text("utf-8")
        return self._asked(Changed(mutant.module, mutated(source, mutant.mutation)), _concerned(mutant, self.tests))

    def require_clean(self) -> None:
        """Raises `RuntimeError` where the core as it is would be taken for a mutant that somebody sees."""
        source = (CORE / f"{MONEY[0]}.py").read_text("utf-8")
        if (who := self._asked(Changed(MONEY[0], source), self.tests)) != NOBODY:
            raise RuntimeError(f"{who} finds something in the core that nobody changed")

    def _asked(self, changed: Changed, tests: Sequence[Covered]) -> str:
        told, ended_with = _in_a_process(judged, changed, self.clean_s, sorted(tests, key=lambda test: test.cost_s))
        return ENDLESS if ended_with in USED_UP else str(told[-1])


def run(workers: int, *, sample: int, seed: int, budget_s: float, write: bool) -> int:
    """Prints what survives. 0 where enough are seen."""
    every = [Mutant(module, each) for module in MONEY for each in mutations((CORE / f"{module}.py").read_text("utf-8"))]
    chosen = Random(seed).sample(every, min(sample, len(every)))
    progress = Progress(len(chosen), what="mutants")
    with ThreadPoolExecutor(workers) as pool:
        judge = _judge(pool, workers)
        sound = pool.submit(judge.require_clean)
        verdicts = [pool.submit(_within, judge, mutant, lambda: progress.passed_s < budget_s) for mutant in chosen]
        by: Counter[str] = Counter()
        alive: list[Mutant] = []
        for mutant, verdict in zip(chosen, verdicts, strict=True):
            if (who := verdict.result()) is None:
                break
            by[who] += 1
            if who == NOBODY and not is_harmless(mutant.module, mutant.mutation):
                alive.append(mutant)
                progress.end()
                print(f"alive: {mutant}", flush=True)
            progress.step(f"{len(alive)} alive")
        sound.result()
    progress.end()
    return _told(chosen, len(every), by, len(alive), seed, progress.passed_s, write=write)


def _judge(pool: ThreadPoolExecutor, workers: int) -> Judge:
    files = test_files()
    (clean_s,), _ = _in_a_process(clean)  # first, because what fails without a mutation fails here soonest
    shares = [told for (told,), _ in pool.map(partial(_in_a_process, covered), [files[at::workers] for at in range(workers)])]
    if None in shares:
        raise RuntimeError("a unit test of the core fails before anything was changed")
    return Judge(clean_s, [test for share in shares for test in share if test.cost_s <= TEST_COST_MAX_S])


def _within(judge: Judge, mutant: Mutant, is_time_left: Callable[[], bool]) -> str | None:
    """Who sees it, or None where the time was up before it was its turn."""
    return judge.verdict(mutant) if is_time_left() else None


def _concerned(mutant: Mutant, tests: Sequence[Covered]) -> list[Covered]:
    """The tests that run the line. What runs at import concerns them all."""
    within = mutant.mutation.within
    return [test for test in tests if within is None or test.runs(mutant.module, within)]


def _in_a_process(judging: Callable[..., None], *given: object) -> tuple[list[Any], int | None]:
    """All that it told before it ended, and its exit code. Raises `RuntimeError` where it told nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    hear, tell = context.Pipe(duplex=False)
    process = context.Process(target=judging, args=(tell, *given))
    process.start()
    tell.close()
    told = []
    while True:
        try:
            told.append(hear.recv())
        except EOFError:
            break
    process.join()
    if not told:
        raise RuntimeError(f"{judging.__name__} ended with {process.exitcode} before it told anything")
    return told, process.exitcode


def _told(chosen: Sequence[Mutant], total: int, by: Counter[str], alive: int, seed: int, passed_s: float, *, write: bool) -> int:
    """Prints what came of it."""
    judged_count, seen = by.total(), by[SIMULATION] + by[UNIT_TESTS]
    harmless = by[NOBODY] - alive
    percent = 100 * seen / max(judged_count - by[ENDLESS] - harmless, 1)
    which = f"{judged_count}" if judged_count == len(chosen) else f"the first {judged_count} of a sample of {len(chosen)}"
    rows = [
        ("Mutants judged", f"{which}, of {total:,} in {len(MONEY)} modules (seed {seed})"),
        *((f"Seen by {who}", f"{by[who]}") for who in (SIMULATION, UNIT_TESTS)),
        ("Do not end", f"{by[ENDLESS]}; they count as seen by nobody in the first share, and not at all in the second"),
        ("Seen by nobody", f"{by[NOBODY]}, of which {harmless} change nothing that matters, by review"),
        ("Seen of all", f"{100 * seen / max(judged_count, 1):.1f} %"),
        ("Seen of those that end and matter", f"{percent:.1f} %"),
        ("Time", f"{passed_s / 60:.0f} minutes"),
    ]
    for what, figure in rows:
        print(f"{what}: {figure}")
    if write:
        page.write("make sim-mutants", ("What", "Figure"), rows)
    return 0 if percent >= SCORE_MIN_PERCENT else 1
