"""What the stories reach of the money modules. `make coverage-of-stories`: exits with 1 where that is too little.

100,000 steps of stories alone, each process measured by itself: lines and branches of each money module, every edge of both state
machines, and every kind of trouble.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import coverage

from tests.gates.money import MONEY, ROOT, path_of
from tests.gates.stories import edges, troubles

STORIES: Final = 50
"""Of 2,000 steps each."""
SHARE_MIN: Final = 95.0
"""Percent of the lines and branches of all money modules together."""


def measure(stories: int, workers: int, folder: Path) -> tuple[coverage.Coverage, set[str]]:
    """The coverage of so many stories, and what else they told: `edge …` and `trouble …`, one a line."""
    size = -(-stories // workers)
    running = [_begin(range(first, min(first + size, stories)), folder) for first in range(0, stories, size)]
    told: set[str] = set()
    for process in running:
        output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError("a story failed")
        told |= set(output.splitlines())
    measured = coverage.Coverage(data_file=str(folder / "all"), config_file=str(ROOT / "pyproject.toml"))
    measured.combine([str(folder)])
    return measured, told


def _begin(seeds: range, folder: Path) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "coverage", "run", "--branch", "--concurrency=greenlet", "--source=custody_core"]
    program += ["-m", "tests.gates.stories", str(seeds.start), str(seeds.stop)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COVERAGE_FILE": str(folder / "all")}
    return subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def report(measured: coverage.Coverage) -> tuple[float, str]:
    """The share in percent, and a line for each module."""
    text = io.StringIO()
    share = measured.report(include=[str(path_of(module)) for module in MONEY], file=text, skip_covered=False)
    return share, text.getvalue()


def missing(told: set[str], wanted: Iterator[str]) -> list[str]:
    """What of `wanted` no story told."""
    return sorted(set(wanted) - told)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measures what stories reach.")
    parser.add_argument("--stories", type=int, default=STORIES)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measured, told = measure(asked.stories, asked.workers, Path(folder))
        share, text = report(measured)
    print(text)
    print(*(f"no story had this {each}" for each in (*missing(told, edges()), *missing(told, troubles()))), sep="\n")
    print(f"{share:.1f} % of the lines and branches of the money modules (at least {SHARE_MIN:.0f} have to be reached)")
    return int(share < SHARE_MIN)


if __name__ == "__main__":
    sys.exit(main())
