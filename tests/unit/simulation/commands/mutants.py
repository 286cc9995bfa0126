"""Mutations: the core with one operator, number or statement changed, and whether anything sees it.

A sample of all that can be changed in the modules that money passes through. Each mutant is a copy of the core in a folder of its
own; first the simulation judges it, in another process, then the core's unit tests do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import attrs

from tests.unit.simulation.commands import page
from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.crash_points import clean_run, crash_points, require_the_same_end
from tests.unit.simulation.failures import InvariantBroken
from tests.unit.simulation.modules import MONEY
from tests.unit.simulation.mutating import Mutation, mutated, mutations
from tests.unit.simulation.story import Story
from tests.unit.simulation.workflows import WORKFLOWS

SAMPLE: Final = 150
SCORE_MIN_PERCENT: Final = 85
STORIES: Final = 8
STORY_STEPS: Final = 1_500
POINTS_EVERY: Final = 40
JUDGED_WITHIN_S: Final = 60
TESTED_WITHIN_S: Final = 150
CORE: Final = page.ROOT / "src" / "custody_core"


@attrs.frozen
class Mutant:
    """A mutation of one module."""

    module: str
    mutation: Mutation


def run(workers: int, *, sample: int, seed: int, write: bool) -> int:
    """Prints what survives. 0 where enough are seen."""
    every = [Mutant(module, each) for module in MONEY for each in mutations((CORE / f"{module}.py").read_text())]
    chosen = Random(seed).sample(every, min(sample, len(every)))
    progress = Progress(len(chosen), what="mutants")
    by: dict[str, int] = {"the simulation": 0, "unit tests": 0}
    alive: list[Mutant] = []
    with TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        ends = Path(folder, "ends.json")
        ends.write_text(json.dumps(_ends()))
        for mutant, who in zip(chosen, pool.map(lambda each: _seen_by(each, ends), chosen), strict=True):
            if who is None:
                alive.append(mutant)
                progress.end()
                print(f"alive: {mutant.module}:{mutant.mutation.line}: {mutant.mutation.what}", flush=True)
            else:
                by[who] += 1
            progress.step(f"{len(alive)} alive")
    progress.end()
    percent = 100 * sum(by.values()) / len(chosen)
    print(f"{percent:.1f} % of {len(chosen)} mutants of {len(every):,} are seen, {by}; {progress.passed_s / 60:.0f} minutes")
    if write:
        rows = [
            ("Mutants tried", f"{len(chosen)} of {len(every):,} in {len(MONEY)} modules"),
            *((f"Seen by {who}", f"{count}, {100 * count / len(chosen):.1f} %") for who, count in by.items()),
            ("Seen in all", f"{percent:.1f} %"),
        ]
        page.write("make sim-mutants", ("What", "Figure"), rows)
    return 0 if percent >= SCORE_MIN_PERCENT else 1


def judge(ends: Path) -> int:
    """In the process that runs a mutant: the workflows end as they should, the stories keep what is promised."""
    expected = json.loads(ends.read_text())
    if _ends() != expected:
        raise InvariantBroken("a workflow ends otherwise")
    for seed in range(STORIES):
        Story(seed, steps=STORY_STEPS).tell()
    for workflow in WORKFLOWS:
        calls, state = clean_run(workflow)
        for point in list(crash_points(workflow, calls))[::POINTS_EVERY]:
            require_the_same_end(point, state)
    return 0


def _ends() -> dict[str, str]:
    return {workflow: repr(clean_run(workflow)[1]) for workflow in WORKFLOWS}


def _seen_by(mutant: Mutant, ends: Path) -> str | None:
    with TemporaryDirectory() as folder:
        shutil.copytree(CORE, Path(folder, "custody_core"), ignore=shutil.ignore_patterns("__pycache__"))
        changed = Path(folder, "custody_core", f"{mutant.module}.py")
        changed.write_text(mutated(changed.read_text(), mutant.mutation))
        paths = [folder, *(str(page.ROOT / "src" / each) for each in ("adapters", "entrypoints"))]
        simulated = [sys.executable, "-m", "tests.unit.simulation", "mutants", "--judge", str(ends)]
        if not _passes(simulated, paths, JUDGED_WITHIN_S):
            return "the simulation"
        tested = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", "tests/unit/core"]
        if not _passes([*tested, "-o", f"pythonpath={' '.join([*paths, str(page.ROOT)])}"], paths, TESTED_WITHIN_S):
            return "unit tests"
    return None


def _passes(command: list[str], paths: list[str], within_s: float) -> bool:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=page.ROOT, env=environment, capture_output=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
