"""Time and chance that a test owns."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from hashlib import sha256


class ManualClock:
    """A `Clock` that stands still until it is moved, or until somebody sleeps."""

    def __init__(self, start: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic_s(self) -> float:
        """Seconds since the clock was made."""
        return self._passed_s

    def sleep(self, seconds: float) -> None:
        """Lets that time pass at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Moves on by `seconds`, which are not negative."""
        if seconds < 0:
            raise ValueError("time does not go backward")
        with self._lock:
            self._passed_s += seconds


class SeededEntropy:
    """An `Entropy` that everybody can predict: the same bytes for the same seed. Never for keys that hold value."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0
        self._lock = threading.Lock()

    def random_bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        with self._lock:
            self._drawn += 1
            draw = self._drawn
        blocks = (sha256(b"%d %d %d" % (self._seed, draw, block)).digest() for block in range(-(-count // 32)))
        return b"".join(blocks)[:count]
