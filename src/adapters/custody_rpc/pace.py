"""How much of one node is asked at once.

Rules of this file

1. A node for which a batch was too much gets half as much in the next ones, of whatever kind, but that heavy questions have a
   pace of their own. With every batch that it takes it gets somewhat more again, up to what was asked for.
2. To find out that a batch takes too long costs as long as is waited for an answer. It is not tried again before the node has taken
   a good many of those that it can take.
3. Some batches of one question are on their way at the same time, so that a node's distance counts once. The first of them is asked
   by whoever has the question.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE_MAX: Final = 4
_SHARE_MIN: Final = 1 / 128
_GROWTH: Final = 1.25
STEADY_BATCHES: Final = 50
"""So many are taken before they grow again, once one took too long."""


class Pace:
    """The pace of one node. Safe to share between threads."""

    def __init__(self) -> None:
        self._share = 1.0
        self._steady = 0
        self._helpers: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def batch_max(self, wanted: int) -> int:
        """How many calls to put into a batch where `wanted` are asked for."""
        return max(1, int(wanted * self._share))

    def was_too_much(self, size: int, *, of: int) -> None:
        """A batch of `size` was, where `of` were wanted at most. Of several such that were on their way together, one counts."""
        with self._lock:
            self._share = max(min(self._share, max(self._share / 2, size // 2 / of)), _SHARE_MIN)

    def was_too_slow(self, size: int, *, of: int) -> None:
        """The same, and it took long to find out."""
        self.was_too_much(size, of=of)
        self._steady = STEADY_BATCHES

    def was_taken(self) -> None:
        """The node took a batch."""
        if self._share < 1:
            with self._lock:
                self._steady = max(self._steady - 1, 0)
                if not self._steady:
                    self._share = min(self._share * _GROWTH, 1.0)

    def each(self, work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
        """What `work` makes of each part, several at the same time. It does not raise."""
        if len(parts) < 2:
            return [work(part) for part in parts]
        later = [self._helping().submit(work, part) for part in parts[1:]]
        return [work(parts[0]), *(each.result() for each in later)]

    def close(self) -> None:
        """Lets go of threads."""
        with self._lock:
            if self._helpers is not None:
                self._helpers.shutdown()
            self._helpers = None

    def _helping(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._helpers is None:
                self._helpers = ThreadPoolExecutor(AT_ONCE_MAX - 1, thread_name_prefix="rpc-batch")
            return self._helpers
