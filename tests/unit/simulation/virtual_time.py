"""Time that passes when the scheduler says so. Wall and monotonic time are apart: each machine's wall clock may be wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2025, 1, 1, tzinfo=UTC)
MICROSECONDS: Final = 1_000_000


class VirtualTime:
    """Microseconds since the beginning of the story."""

    def __init__(self) -> None:
        self.us = 0

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.us / MICROSECONDS


class ProcessClock:
    """One machine's `Clock`. `skew_us` is how far its wall clock is ahead."""

    def __init__(self, time: VirtualTime, *, sleep: Callable[[float], None], skew_us: int = 0) -> None:
        self._time = time
        self._sleep = sleep
        self.skew_us = skew_us
        self._at_us = -1
        self._now = START

    def now(self) -> datetime:
        """The time of day on this machine, in UTC."""
        at_us = self._time.us + self.skew_us
        if at_us != self._at_us:
            self._at_us, self._now = at_us, START + timedelta(microseconds=at_us)
        return self._now

    def monotonic_s(self) -> float:
        """Seconds since the beginning, whatever the wall clock says."""
        return self._time.seconds

    def sleep(self, seconds: float) -> None:
        """Lets others go on for that long."""
        self._sleep(seconds)
