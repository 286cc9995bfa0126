"""Which blocks a rescan has left out: it took in some of what was missing, and ended before its last block.

Until they are read, or somebody says that they never will be, the books hold half of what those blocks say, and no comparison with
the chain judges by it. Kept as one value per chain, changed only by whoever holds the chain's row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from custody_core.ports import Unit

Range = tuple[int, int]
"""Blocks, the first and the last included."""


def unfinished(unit: Unit, chain_id: int) -> list[Range]:
    """What is to be read still, in order."""
    kept = unit.setting(_name(chain_id))
    return [(first, last) for first, last in json.loads(kept)] if kept else []


def read_again(unit: Unit, chain_id: int, done: Range, left_out: Range | None) -> None:
    """`done` is read; `left_out` is to be read still from now on, None for nothing more."""
    known = unfinished(unit, chain_id)
    ranges = without(known, done) if left_out is None else joined([*without(known, done), left_out])
    if ranges != known:
        unit.put_setting(_name(chain_id), json.dumps(ranges).encode())


def give_up(unit: Unit, chain_id: int) -> None:
    """Nothing is to be read still."""
    unit.put_setting(_name(chain_id), b"[]")


def without(ranges: Iterable[Range], done: Range) -> list[Range]:
    """`ranges` without the blocks of `done`."""
    first, last = done
    parts = [part for low, high in ranges for part in ((low, min(high, first - 1)), (max(low, last + 1), high))]
    return [(low, high) for low, high in parts if low <= high]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The same blocks in as few ranges as they make, in order."""
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found


def _name(chain_id: int) -> str:
    return f"rescan:unfinished:{chain_id}"
