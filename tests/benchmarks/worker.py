"""A peer at work in a process of its own: one JSON line in, one JSON line back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.environments import ROOT


class Worker:
    """Runs `module`, a program of `tests.benchmarks.peers`, with the peer's own interpreter."""

    def __init__(self, python: Path, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [str(python), "-m", f"tests.benchmarks.peers.{module}"],
            cwd=ROOT,
            # Peers reach the dev chain on this machine directly, whatever proxy the environment names.
            env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONNOUSERSITE": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()  # closes its stdin, which ends it

    def ask(self, what: str, **arguments: Any) -> Any:
        """What the worker's function `what` returns. Its own traceback is on stderr when it fails."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the worker was started with pipes")
        self._process.stdin.write(json.dumps({"ask": what, "with": arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer ended while it was asked to {what}")
        return json.loads(answer)
