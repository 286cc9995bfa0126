"""Doing together what several requests ask for at the same time.

A commit waits for the disk, and a node for the wire, as long for one send as for twenty. So while one thread is at work for its
request, those that arrive wait, and one of them then works for all: under load a set per commit, without load no delay at all.
Nobody waits longer for the others' sake: what a set cannot do at once is done by the thread that asked for it, alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Generic, TypeVar

from custody_core.errors import BrokenInvariant, CustodyError

T = TypeVar("T")
R = TypeVar("R")


class _Stage(Enum):
    WAITING = auto()
    DONE = auto()
    ALONE = auto()
    """It is for the thread that asked."""


class _Ticket(Generic[T, R]):
    """An item and, once it is done, what came of it."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.stage = _Stage.WAITING
        self.results: list[R] = []

    def settle(self, result: R) -> None:
        self.results.append(result)
        self.stage = _Stage.DONE


class Combiner(Generic[T, R]):
    """Runs `work` on sets of at most `most` items, one set at a time. `work` gives a result for each item, in order.

    Where it raises for a set, or `is_left` says so of an item's result, `alone` is run for the item in the thread that asked. So
    `work` must be safe to repeat, and should not wait for what holds up one item only.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        *,
        alone: Callable[[T], R],
        is_left: Callable[[R], bool],
        most: int,
    ) -> None:
        self._work = work
        self._alone = alone
        self._is_left = is_left
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[_Ticket[T, R]] = deque()
        self._is_working = False

    def run(self, item: T) -> R:
        """What came of `item`. Raises what `alone` raises for it."""
        ticket: _Ticket[T, R] = _Ticket(item)
        with self._changed:
            self._waiting.append(ticket)
        while ticket.stage is _Stage.WAITING:
            batch = self._next_batch(ticket)
            if batch:
                self._do(batch)
        return self._alone(item) if ticket.stage is _Stage.ALONE else ticket.results[0]

    def _next_batch(self, ticket: _Ticket[T, R]) -> list[_Ticket[T, R]]:
        """The set that this thread has to do; none once somebody else has done its item."""
        with self._changed:
            self._changed.wait_for(lambda: ticket.stage is not _Stage.WAITING or not self._is_working)
            if ticket.stage is not _Stage.WAITING:
                return []
            self._is_working = True
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]

    def _do(self, batch: Sequence[_Ticket[T, R]]) -> None:
        try:
            for ticket, result in zip(batch, self._results(batch), strict=True):
                if not self._is_left(result):
                    ticket.settle(result)
        except CustodyError:
            pass  # each finds out for itself
        finally:
            with self._changed:
                for ticket in batch:
                    if ticket.stage is _Stage.WAITING:
                        ticket.stage = _Stage.ALONE
                self._is_working = False
                self._changed.notify_all()

    def _results(self, batch: Sequence[_Ticket[T, R]]) -> Sequence[R]:
        results = self._work([ticket.item for ticket in batch])
        if len(results) != len(batch):
            raise BrokenInvariant("a set has a result for each of its items")
        return results
