"""Waiting for something outside, with a deadline: never sleeping for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S = 0.02


def until(probe: Callable[[], T | None], *, what: str, timeout_s: float = 10.0) -> T:
    """The first answer of `probe` that is neither None nor False; fails naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s} s: {what}")
        time.sleep(PAUSE_S)
