"""P4 as most would do it: a set of strings."""

from __future__ import annotations

import random

from tests.benchmarks.peers.memory import resident_mb
from tests.benchmarks.peers.serving import serve


def hold(count: int) -> float:
    """By how many megabytes memory grows for so many addresses."""
    chance, before = random.Random(4), resident_mb()
    held = {"0x" + chance.randbytes(20).hex() for _ in range(count)}
    grown = resident_mb() - before
    if len(held) != count:
        raise AssertionError("two addresses were alike")
    return grown


if __name__ == "__main__":
    serve({"hold": hold})
