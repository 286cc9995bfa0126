"""Doing together what several requests ask for at the same time.

A commit waits for the disk, and a node for the wire, as long for one send as for twenty. So while one thread is at work for its
request, those that arrive wait, and one of them then works for all: under load a set per commit, without load no delay at all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from custody_core.errors import BrokenInvariant

T = TypeVar("T")
R = TypeVar("R")


class _Ticket(Generic[T, R]):
    """An item and, once it is done, what came of it."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_done = False
        self._result: R | None = None
        self._error: BaseException | None = None

    def settle(self, result: R) -> None:
        self._result, self.is_done = result, True

    def fail(self, error: BaseException) -> None:
        self._error, self.is_done = error, True

    def result(self) -> R:
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # settled: it holds what `work` gave, which may be None


class Combiner(Generic[T, R]):
    """Runs `work` on sets of at most `most` items, one set at a time. `work` gives a result for each item, in order.

    When it raises for a set, each item is tried again alone, so that one is not refused for another's sake: it must be safe to
    repeat.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[_Ticket[T, R]] = deque()
        self._is_working = False

    def run(self, item: T) -> R:
        """What came of `item`. Raises what `work` raises for it alone."""
        ticket: _Ticket[T, R] = _Ticket(item)
        with self._changed:
            self._waiting.append(ticket)
        while not ticket.is_done:
            batch = self._next_batch(ticket)
            if batch:
                self._do(batch)
        return ticket.result()

    def _next_batch(self, ticket: _Ticket[T, R]) -> list[_Ticket[T, R]]:
        """The set that this thread has to do; none once somebody else has done its item."""
        with self._changed:
            self._changed.wait_for(lambda: ticket.is_done or not self._is_working)
            if ticket.is_done:
                return []
            self._is_working = True
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]

    def _do(self, batch: Sequence[_Ticket[T, R]]) -> None:
        try:
            self._settle(batch)
        finally:
            with self._changed:
                self._is_working = False
                self._changed.notify_all()

    def _settle(self, batch: Sequence[_Ticket[T, R]]) -> None:
        try:
            results = self._results(batch)
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that asked
            if len(batch) == 1:
                batch[0].fail(error)
                return
            for ticket in batch:
                self._settle([ticket])
        else:
            for ticket, result in zip(batch, results, strict=True):
                ticket.settle(result)

    def _results(self, batch: Sequence[_Ticket[T, R]]) -> Sequence[R]:
        results = self._work([ticket.item for ticket in batch])
        if len(results) != len(batch):
            raise BrokenInvariant("a set has a result for each of its items")
        return results
