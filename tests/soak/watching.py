"""How far a long run is, for whoever watches: a line that is written over on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Self, TextIO

BAR_CELLS = 24
TERMINAL_EVERY_S = 0.2
LOG_EVERY_S = 10.0


class Watch:
    """Tells of `total` things that are to be done."""

    def __init__(self, total: int, stream: TextIO = sys.stderr) -> None:
        self._total = total
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._started_s = time.monotonic()
        self._told_s = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._is_terminal:
            self._stream.write("\n")

    def tell(self, what: str, done: int, **figures: int) -> None:
        """`what` is going on, how many of the things are through it, and what else is worth knowing; not too often."""
        now_s = time.monotonic()
        if now_s - self._told_s < (TERMINAL_EVERY_S if self._is_terminal else LOG_EVERY_S):
            return
        self._told_s = now_s
        filled = BAR_CELLS * done // self._total if self._total else BAR_CELLS
        more = " ".join(f"{name}={figure}" for name, figure in figures.items())
        line = f"soak: {now_s - self._started_s:4.0f} s [{'#' * filled:.<{BAR_CELLS}}] {done}/{self._total} {what} {more}"
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r" + line[:width].ljust(width))
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
