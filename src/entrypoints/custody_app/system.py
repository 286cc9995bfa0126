"""Time and chance from the operating system."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds that never go backward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


class SystemEntropy:
    """The kernel's random source."""

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes from getrandom(2) or its equal."""
        return os.urandom(count)
