"""Blocks that may be read without what contracts paid in them: what nodes answer, and how long it is waited for.

The core's own rules, written a second time, and a little wider: which block of several was asked about by whom is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from custody_core.domain.chain import Block, InternalTransfer
from custody_core.ports import Absent, Answer, Unknown
from custody_core.services import patience, tracing
from tests.unit.simulation.block_tree import BlockTree
from tests.unit.simulation.lies import Lies
from tests.unit.simulation.virtual_time import MICROSECONDS, VirtualTime

IMPATIENT: Final = timedelta(seconds=40)
"""Stories are a few minutes long."""


@contextmanager
def impatient(is_impatient: bool) -> Iterator[None]:
    """Where `is_impatient`, who waits for traces gives up after less than a minute."""
    before = patience.PATIENCE_MAX
    if is_impatient:
        patience.PATIENCE_MAX = IMPATIENT  # type: ignore[misc]
    try:
        yield
    finally:
        patience.PATIENCE_MAX = before  # type: ignore[misc]


class Untraced:
    """Remembers of what nobody told what contracts paid. `jumps` says whether a clock has, so that nothing is known of waiting."""

    def __init__(self, tree: BlockTree, lies: Lies, time: VirtualTime, jumps: Callable[[], bool]) -> None:
        self._tree = tree
        self._lies = lies
        self._time = time
        self._jumps = jumps
        self._since_us: int | None = None

    def answered(self, blocks: Sequence[Block], answers: Sequence[Answer[Sequence[InternalTransfer]]]) -> None:
        """All nodes together were asked. Where they have no traces, the block is read; where they do not answer, the first of those
        that were asked about is, after a while.
        """
        for block, answer in zip(blocks, answers, strict=True):
            if isinstance(answer, Absent):
                mined = self._tree.ever_mined(block.header.hash)
                self._lies.left_out_of_traces(mined, list(mined.internal))
        if any(isinstance(answer, Unknown) for answer in answers):
            self._since_us = self._time.us if self._since_us is None else self._since_us
        if answers and isinstance(answers[0], Unknown) and self._is_waited_out:
            self._give_up(blocks[0])

    @property
    def _is_waited_out(self) -> bool:
        waited_us = self._time.us - (self._since_us or 0)
        return self._jumps() or waited_us >= patience.PATIENCE_MAX.total_seconds() * MICROSECONDS

    def _give_up(self, block: Block) -> None:
        """Nobody waits for it any more, and after some such, for those above it either, which nobody is asked about then."""
        self._lies.kept_back(block.header.hash)
        if self._lies.how_many_kept_back() >= tracing.IN_A_ROW_MAX:
            for above in self._tree.just_above(block.header.number):
                self._lies.kept_back(above)
