"""The replay server as a benchmark has it: a process of its own, and what its chain holds."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.environments import ROOT

SEED = 20_250_615
DELAY_MS = 25


class Replay:
    """A replayed chain of so many blocks above an empty one. `far_url` answers `DELAY_MS` later than `near_url`.

    `known` is what a scanner is told beforehand, as JSON: `managed` addresses and listed `tokens`; and `deposits`, in each of
    which is the number of its block and what has to be found.
    """

    def __init__(self, blocks: int, *, seed: int = SEED) -> None:
        self.blocks = blocks
        program = [sys.executable, "-m", "tests.benchmarks.replay.server", str(seed), str(blocks), str(DELAY_MS)]
        self._process = subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.known: dict[str, Any] = json.loads(self._process.stdout.readline() if self._process.stdout else "")
        self.near_url, self.far_url = self.known.pop("near"), self.known.pop("far")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()  # closes its stdin, which ends it
