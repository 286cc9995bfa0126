"""Observers: one that remembers, one that does not care."""

from __future__ import annotations

import attrs


@attrs.define
class RecordingObserver:
    """Keeps what it was told: `progress_made` as (what, done, total), `troubles` as (what, detail)."""

    progress_made: list[tuple[str, int, int]] = attrs.field(factory=list)
    troubles: list[tuple[str, str]] = attrs.field(factory=list)

    def progress(self, what: str, *, done: int, total: int) -> None:
        """Long work has got so far."""
        self.progress_made.append((what, done, total))

    def trouble(self, what: str, detail: str) -> None:
        """Something that will be tried again did not work."""
        self.troubles.append((what, detail))


class SilentObserver:
    """Hears and forgets."""

    def progress(self, what: str, *, done: int, total: int) -> None:
        """Nothing."""

    def trouble(self, what: str, detail: str) -> None:
        """Nothing."""
