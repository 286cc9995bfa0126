"""Processes that we start and that never outlive us, however we are ended (but for SIGKILL)."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self

ENDS_WITHIN_S = 10.0
"""How long a process has to end politely."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Children:
    """Starts processes, and turns SIGINT, SIGTERM and SIGHUP into `KeyboardInterrupt`, so that whoever started one ends it.

    A signal that comes while a process is being started is kept until we know of the process. Use as a context manager, from
    the main thread.
    """

    def __init__(self) -> None:
        self._is_starting = False
        self._is_interrupted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def running(self, command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
        """The process, without standard input and away from our terminal's Ctrl-C; ended at the end of the block."""
        process = None
        try:
            self._is_starting = True
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)  # noqa: S603 - our own or the operator's program
            self._is_starting = False
            if self._is_interrupted:
                raise KeyboardInterrupt
            yield process
        finally:
            self._is_starting = False
            if process is not None:
                _end(process)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_interrupted = True
        if not self._is_starting:
            raise KeyboardInterrupt


def _end(process: subprocess.Popen[Any]) -> None:
    """Ends a process by asking, then by force; also when somebody is tired of waiting for us."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(ENDS_WITHIN_S)
    finally:
        process.kill()
        process.wait()
