"""In a process of its own, one mutant is judged: first by the simulation, then by the unit tests of the core that run the line.

Nothing of the core is imported here before the mutant stands in its place.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Final

import attrs

from tests.unit.simulation.covering import Covered, is_out_of_memory, run_covered, run_tests

CORE: Final = Path(__file__).parents[3] / "src" / "custody_core"
STORIES: Final = 8
STORY_STEPS: Final = 1_500
POINTS_EVERY: Final = 40
PATIENCE: Final = 8
"""So many times the processor time of the clean core are given to a mutant, and `LEAST_S` more; then it does not end."""
LEAST_S: Final = 5
MEMORY_MAX_BYTES: Final = 3 * 2**30
OUT_OF_MEMORY: Final = 70
"""The exit code of a process that has used up what memory it may have."""
SIMULATION: Final = "the simulation"
UNIT_TESTS: Final = "unit tests"
NOBODY: Final = "nobody"


@attrs.frozen
class Changed:
    """A text that stands in the place of a module's own. `domain/fees` is a module's name."""

    module: str
    source: str


def clean(tell: Connection) -> None:
    """Tells the processor time that the simulation of the core takes as it is."""
    began_s = time.process_time()
    _simulate()
    tell.send(time.process_time() - began_s)


def covered(tell: Connection, files: Sequence[str]) -> None:
    """Tells what each unit test of these files runs of the core, a list of `Covered`; None where one fails."""
    _silence()
    tell.send(run_covered(files, CORE))


def judged(tell: Connection, changed: Changed, clean_s: float, tests: Sequence[Covered]) -> None:
    """Tells whose turn it is, and `NOBODY` when all of them have found nothing. Who ends this process early has seen the mutant,
    but for the limits of time and memory (`OUT_OF_MEMORY`).
    """
    _silence()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.meta_path.insert(0, _Finder(changed))
    try:
        tell.send(SIMULATION)
        _allow(clean_s)
        _simulate()
        tell.send(UNIT_TESTS)
        is_seen = bool(tests) and not run_tests(tests, before=lambda test: _allow(test.cost_s))
    except Exception as problem:
        if is_out_of_memory(problem):
            sys.exit(OUT_OF_MEMORY)
        raise
    if is_seen:
        sys.exit(1)
    tell.send(NOBODY)


def _simulate() -> None:
    """The workflows end as it is written, the stories keep what is promised, and crashes change nothing."""
    from tests.unit.simulation.crash_points import clean_run, crash_points, require_the_same_end  # noqa: PLC0415
    from tests.unit.simulation.story import Story  # noqa: PLC0415
    from tests.unit.simulation.workflows import WORKFLOWS  # noqa: PLC0415

    runs = {workflow: clean_run(workflow) for workflow in WORKFLOWS}
    for seed in range(STORIES):
        Story(seed, steps=STORY_STEPS).tell()
    for workflow, (calls, state) in runs.items():
        for point in list(crash_points(workflow, calls))[::POINTS_EVERY]:
            require_the_same_end(point, state)


def _allow(clean_s: float) -> None:
    """From now on. A process that takes far longer than the clean core is ended; what others do on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until_s = used.ru_utime + used.ru_stime + LEAST_S + PATIENCE * clean_s
    resource.setrlimit(resource.RLIMIT_CPU, (int(until_s) + 1, resource.RLIM_INFINITY))


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


class _Finder(MetaPathFinder):
    """Finds the changed module; others find the rest."""

    def __init__(self, changed: Changed) -> None:
        self._name = "custody_core." + changed.module.replace("/", ".")
        self._path = CORE / f"{changed.module}.py"
        self._source = changed.source

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002  as it is called
        if name != self._name:
            return None
        return spec_from_file_location(name, self._path, loader=_Loader(self._path, self._source))


class _Loader(SourceLoader):
    """Loads a module from a text instead of its file; what is compiled is kept nowhere."""

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source

    def get_filename(self, name: str) -> str:  # noqa: ARG002  it loads one module only
        return str(self._path)

    def get_data(self, path: bytes | str) -> bytes:  # noqa: ARG002  nothing is read from a file
        return self._source.encode()
