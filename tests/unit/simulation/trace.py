"""What happened, in order, as values: told in words only when somebody wants to read it, and byte for byte the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TypeAlias

Line: TypeAlias = tuple[int, str, str, str]


class Trace:
    """(microseconds, who, what, how it went)."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def add(self, us: int, who: str, what: str, how: str = "") -> None:
        """One line more."""
        self._lines.append((us, who, what, how))

    def told(self, last: int | None = None) -> Iterator[str]:
        """All lines in words, or the `last` ones."""
        first = 0 if last is None else max(len(self._lines) - last, 0)
        for number, (us, who, what, how) in enumerate(self._lines[first:], first + 1):
            yield f"{number:>7} {us / 1_000_000:>12.6f}s {who:<20} {what}{'  → ' + how if how else ''}"

    def digest(self) -> str:
        """The same for the same story, and for no other."""
        digest = sha256()
        for line in self._lines:
            digest.update(repr(line).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._lines)
