"""What nodes said that is not so, and that the books cannot know: by the block that it was said of."""

from __future__ import annotations

import attrs

from custody_core.domain.chain import BlockRef, InternalTransfer
from custody_memory.blocks import MinedBlock
from tests.unit.simulation.oracle import Movement, movement_of


@attrs.define
class Lies:
    """All that was made up or left out so far. What nobody lied about is judged as if nobody ever lied."""

    _left_out: set[tuple[str, Movement]] = attrs.field(factory=set)
    _kept_back: set[str] = attrs.field(factory=set)
    _balances: set[int] = attrs.field(factory=set)

    def left_out_of_traces(self, mined: MinedBlock, transfers: list[InternalTransfer]) -> None:
        """A node left these calls out of a block."""
        self._left_out.update((mined.block.header.hash, movement_of(each)) for each in transfers)

    def kept_back(self, block_hash: str) -> None:
        """Nobody told a block's traces for so long that it may be read without; whoever does so has to tell somebody."""
        self._kept_back.add(block_hash)

    def how_many_kept_back(self) -> int:
        """Of so many blocks."""
        return len(self._kept_back)

    def about_balances(self, at: BlockRef) -> None:
        """A node made up balances."""
        self._balances.add(at.number)

    def was_left_out(self, block_hash: str, movement: Movement) -> bool:
        """Whether a node left that out of that block's traces, or nobody told them."""
        return (block_hash, movement) in self._left_out or self.was_kept_back(block_hash, movement)

    def was_kept_back(self, block_hash: str, movement: Movement) -> bool:
        """Whether nothing but patience that ended speaks for its being left out."""
        return movement[1] == "internal" and block_hash in self._kept_back and (block_hash, movement) not in self._left_out

    def is_about_balances(self, heights: range) -> bool:
        """Whether balances of one of these blocks were made up."""
        return not self._balances.isdisjoint(heights)
