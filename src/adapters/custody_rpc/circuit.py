"""The health of one node: which failures make it rest, for how long, and when it may be tried again.

Rules of this file

1. A few failures in a row make a node rest; one success at any time makes it healthy again.
2. Each further failure doubles the rest, up to a limit. Chance is added, so that processes that lost a node together do not come
   back to it together.
3. When a rest is over, one caller gets the right to try. Nobody else does until that try is overdue, too. Only its failure makes
   the rest longer: what was under way when the node fell out says nothing new.
4. A node that says for how long it wants to be left alone (`Retry-After`) rests at once, for that long within the limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from custody_rpc.transport import Waiting


@attrs.frozen
class Resting:
    """When and for how long a failing node is left alone."""

    failures_max: int = 3
    """This many failures in a row are one too many."""
    rest_first_s: float = 1.0
    rest_max_s: float = 60.0


@attrs.frozen
class NodeState:
    """One node, for operators. `name` is scheme, host and port: the rest of its URL is a secret."""

    name: str
    is_healthy: bool
    failures: int
    """In a row, up to now."""
    last_failure: str | None
    """Why the last request that failed did so; it may be long ago."""


class Circuit:
    """One node's health. Safe to share between threads. `changed` is told, outside of any lock, when it falls out or comes back."""

    def __init__(self, name: str, resting: Resting, waiting: Waiting, changed: Callable[[NodeState], None]) -> None:
        self._name = name
        self._resting = resting
        self._waiting = waiting
        self._changed = changed
        self._lock = threading.Lock()
        self._failures = 0
        self._last_failure: str | None = None
        self._rests = 0
        self._rests_until_s = 0.0
        self._is_tried = False

    @property
    def state(self) -> NodeState:
        """How it is now."""
        with self._lock:
            return self._state()

    @property
    def is_resting(self) -> bool:
        """Whether it is left alone."""
        return self._rests > 0

    @property
    def rests_until_s(self) -> float:
        """When the next try is due, in monotonic seconds; of two nodes that rest, the sooner is the less bad."""
        return self._rests_until_s

    def takes_try(self) -> bool:
        """Whether its rest is over and nobody else tries it now; with True, the caller has the right, and the duty, to."""
        with self._lock:
            now_s = self._waiting.monotonic_s()
            if not self._rests or now_s < self._rests_until_s:
                return False
            self._rests_until_s = now_s + self._rest_s()
            self._is_tried = True
            return True

    def succeeded(self) -> None:
        """It answered."""
        if not self._failures:
            return  # the common case costs no lock
        with self._lock:
            was_resting = self._rests > 0
            self._failures = self._rests = 0
            self._is_tried = False
            state = self._state()
        if was_resting:
            self._changed(state)

    def failed(self, reason: str, *, wait_s: float | None = None) -> None:
        """It did not answer. `reason` holds no secret; `wait_s` is what it asked for."""
        with self._lock:
            was_resting = self._rests > 0
            self._failures += 1
            self._last_failure = reason
            is_one_too_many = self._failures >= self._resting.failures_max or bool(wait_s)
            if self._is_tried if was_resting else is_one_too_many:
                self._rests += 1
                self._is_tried = False
                asked_s = min(wait_s or 0.0, self._resting.rest_max_s)
                self._rests_until_s = self._waiting.monotonic_s() + max(self._rest_s(), asked_s)
            state = self._state()
        if not was_resting and not state.is_healthy:
            self._changed(state)

    def _rest_s(self) -> float:
        doublings = min(self._rests - 1, 30)
        longest = min(self._resting.rest_first_s * (1 << doublings), self._resting.rest_max_s)
        return longest * (0.5 + 0.5 * self._waiting.chance())

    def _state(self) -> NodeState:
        return NodeState(self._name, self._rests == 0, self._failures, self._last_failure)
