"""Chance from one seed, in streams with names: what one of them draws never shifts another one's."""

from __future__ import annotations

from hashlib import blake2b
from random import Random


class Streams:
    """The streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, name: str) -> Random:
        """The stream with that name, from its beginning."""
        return Random(blake2b(f"{self.seed} {name}".encode()).digest())


class StreamEntropy:
    """The `Entropy` port over a stream."""

    def __init__(self, stream: Random) -> None:
        self._stream = stream
        self.draws = 0

    def random_bytes(self, count: int) -> bytes:
        """The next `count` bytes."""
        self.draws += 1
        return self._stream.randbytes(count)
