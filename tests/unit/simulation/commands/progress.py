"""How far a long run is: a bar where somebody watches, a line now and then where nobody does."""

from __future__ import annotations

import sys
import time
from typing import Final

WIDTH: Final = 24
LINE_EVERY_S: Final = 30


class Progress:
    """Of `total` things. `show` is called after each of them."""

    def __init__(self, total: int, *, what: str) -> None:
        self._total = total
        self._what = what
        self._done = 0
        self._told_s = time.monotonic()
        self.began_s = time.monotonic()

    @property
    def passed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began_s

    def step(self, figures: str = "") -> None:
        """One more is done."""
        self._done += 1
        full = WIDTH * self._done // max(self._total, 1)
        line = f"[{'#' * full}{'.' * (WIDTH - full)}] {self._done:,}/{self._total:,} {self._what}{', ' if figures else ''}{figures}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line}\x1b[K")
        elif time.monotonic() - self._told_s > LINE_EVERY_S:
            self._told_s = time.monotonic()
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Makes room for what is printed next."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
