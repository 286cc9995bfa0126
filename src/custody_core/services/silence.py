"""How long nodes have kept back what the cross-check of a chain waits for.

Every block waits from when it came into the books, and not from when those below it were done with: however many there are of which
a second node shows nothing, or no trace, together they wait no longer than one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from custody_core.domain.chain import BlockRef, ChainState
from custody_core.domain.deposit import Deposit

WAITED_FOR = timedelta(minutes=10)
"""How long a second node's word, or its trace, is waited for where something else can be done."""

_ASKED_FOR = timedelta(minutes=1)
"""For how long a node is asked about a block itself, however long the block was held up by others: one answer may be lost."""


class Silence:
    """The silence about one chain's blocks. Held in memory, except for what the deposits themselves tell."""

    def __init__(self) -> None:
        self._saved: list[tuple[int, datetime]] = []
        self._lacking: dict[BlockRef, datetime] = {}
        self._since: datetime | None = None

    def note(self, state: ChainState, now: datetime) -> None:
        """Takes in how far the books have come, and forgets what is final."""
        height, final = state.cursor.number, state.final.number
        at_height = next((since for number, since in self._saved if number >= height), now)
        lower = [(number, since) for number, since in self._saved if final < number < height]
        self._saved = [*lower, (height, at_height)]
        self._lacking = {ref: since for ref, since in self._lacking.items() if ref.number > final}

    def asked(self, block: BlockRef, now: datetime, *, is_lacking: bool) -> None:
        """Takes in what came of asking about a block."""
        if is_lacking:
            self._lacking.setdefault(block, now)
        else:
            self._lacking.pop(block, None)

    def goes_on(self, now: datetime) -> None:
        """A second node shows nothing of the next block either."""
        self._since = self._since or now

    def ends(self) -> None:
        """A second node was heard about the next block."""
        self._since = None

    def lasts(self, block: BlockRef, now: datetime) -> timedelta:
        """For how long something has been lacking about a block."""
        return now - self._lacking.get(block, now)

    def is_waited_out(self, block: BlockRef, now: datetime) -> bool:
        """Whether no second node shows the next block for so long: as none showed those before it, or although it was there."""
        if self._since is not None and now - self._since >= WAITED_FOR:
            return True
        saved = next((since for number, since in self._saved if number >= block.number), now)
        return now - saved >= WAITED_FOR and self.lasts(block, now) >= _ASKED_FOR

    def is_trace_waited_out(self, block: BlockRef, untraced: Iterable[Deposit], now: datetime) -> bool:
        """Whether no second node traced these deposits of a block although they have been in it for so long. It is asked twice."""
        waits_since = max((each.updated_at for each in untraced), default=now)
        return now - waits_since >= WAITED_FOR and self.lasts(block, now) > timedelta(0)
