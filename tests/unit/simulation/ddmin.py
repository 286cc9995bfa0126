"""Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002): the smallest list that still
fails, in the sense that it passes as soon as any one item is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """`items` with everything left out that `fails` does not need. Always the rest of one part, in ever smaller parts."""
    left, parts = list(items), 2
    while left:
        size = -(-len(left) // parts)
        start, was_shorter = 0, False
        while start < len(left):
            rest = left[:start] + left[start + size :]
            if fails(rest):
                left, was_shorter = rest, True
            else:
                start += size
        if size == 1 and not was_shorter:
            break
        parts = min(parts if was_shorter and size > 1 else 2 * parts, max(len(left), 1))
    return left
