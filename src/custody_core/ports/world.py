"""Time, chance, and those who watch."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """The time of day, in UTC, aware."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go backward, for measuring waits."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class Entropy(Protocol):
    """Chance."""

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes that nobody can predict."""
        ...


class Observer(Protocol):
    """Those who watch: the core never logs."""

    def progress(self, what: str, *, done: int, total: int) -> None:
        """Long work has got so far."""
        ...

    def trouble(self, what: str, detail: str) -> None:
        """Something that will be tried again did not work. `detail` holds no secret."""
        ...
