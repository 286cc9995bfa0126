"""Those who watch: who is told of progress and trouble, and how."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from typing import TextIO


class QuietObserver:
    """Keeps the newest trouble of each kind for whoever asks; says nothing."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}

    def progress(self, what: str, *, done: int, total: int) -> None:
        """Is not told to anyone."""

    def trouble(self, what: str, detail: str) -> None:
        """Keeps it."""
        self.troubles[what] = detail


class LogObserver:
    """One JSON line for each thing worth reading: new trouble at once, trouble that goes on once a minute, progress when it is
    long.
    """

    REPEAT_AFTER_S = 60.0
    PROGRESS_FROM = 100
    """Blocks behind from which catching up is told."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._told_at: dict[tuple[str, str], datetime] = {}
        self._lock = threading.Lock()

    def progress(self, what: str, *, done: int, total: int) -> None:
        """Tells it while there is far to go, at most once a second."""
        if total - done >= self.PROGRESS_FROM and self._is_due(("progress", what), 1.0):
            self._write(level="info", event="progress", what=what, done=done, total=total)

    def trouble(self, what: str, detail: str) -> None:
        """Tells it, unless the same was told within the last minute."""
        if self._is_due((what, detail), self.REPEAT_AFTER_S):
            self._write(level="warning", event=what, detail=detail)

    def info(self, event: str, **fields: str | int) -> None:
        """Tells something that is neither; a `level` among the fields says that it is worse."""
        self._write(**{"level": "info", "event": event, **fields})

    def _is_due(self, key: tuple[str, str], after_s: float) -> bool:
        now = datetime.now(UTC)
        with self._lock:
            told = self._told_at.get(key)
            if told is not None and (now - told).total_seconds() < after_s:
                return False
            self._told_at[key] = now
            return True

    def _write(self, **fields: str | int) -> None:
        line = json.dumps({"at": datetime.now(UTC).isoformat(), **fields}, ensure_ascii=True)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()
