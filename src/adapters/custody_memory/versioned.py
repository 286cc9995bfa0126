"""Integers that are remembered by block height, so that the past can be asked and a reorganisation undone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Versioned(Generic[K]):
    """What each key was at each height; 0 before it was ever set."""

    def __init__(self) -> None:
        self._heights: dict[K, list[int]] = {}
        self._values: dict[K, list[int]] = {}
        self._changed_at: dict[int, list[K]] = {}

    def at(self, key: K, height: int) -> int:
        """The value at the end of block `height`."""
        heights = self._heights.get(key)
        index = bisect_right(heights, height) if heights else 0
        return self._values[key][index - 1] if index else 0

    def ever_set(self) -> list[K]:
        """Every key that was ever set, in the order in which they were first."""
        return list(self._heights)

    def set(self, key: K, height: int, value: int) -> None:
        """The value from `height` on, which is not below any height set before."""
        heights, values = self._heights.setdefault(key, []), self._values.setdefault(key, [])
        if heights and heights[-1] == height:
            values[-1] = value
            return
        heights.append(height)
        values.append(value)
        self._changed_at.setdefault(height, []).append(key)

    def forget_above(self, height: int) -> None:
        """Undoes every change of the blocks above `height`."""
        for undone in [changed for changed in self._changed_at if changed > height]:
            for key in self._changed_at.pop(undone):
                self._heights[key].pop()
                self._values[key].pop()
