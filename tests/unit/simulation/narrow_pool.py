"""A pool with geth's limits on what it keeps of one account."""

from __future__ import annotations

from typing import Final

from custody_core.ports import BroadcastAnswer, BroadcastOutcome
from custody_memory.mempool import Mempool, Pooled

ACCOUNT_SLOTS: Final = 16
"""How many transactions of one account may be next (geth's default `txpool.accountslots`)."""
ACCOUNT_QUEUE: Final = 64
"""How many of one account may wait behind a gap (geth's default `txpool.accountqueue`)."""


class NarrowPool(Mempool):
    """A full pool: no account has more than its share. `slots` is what it is now."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = ACCOUNT_SLOTS

    def offer(self, new: Pooled, *, nonce: int, balance_wei: int) -> BroadcastAnswer:
        """As ever, within the limits."""
        is_there = self.of(new.sender, new.transaction.nonce) is not None
        if not is_there and self._is_too_much(new, nonce):
            return BroadcastAnswer(BroadcastOutcome.NOT_NOW, "txpool is full")
        return super().offer(new, nonce=nonce, balance_wei=balance_wei)

    def forget(self) -> None:
        """The node starts again without what it had."""
        for pooled in list(self):
            self.drop(pooled)

    def _is_too_much(self, new: Pooled, nonce: int) -> bool:
        following = nonce
        while self.of(new.sender, following) is not None:
            following += 1
        if new.transaction.nonce <= following:
            return following - nonce >= self.slots
        waiting = sum(pooled.sender == new.sender and pooled.transaction.nonce > following for pooled in self)
        return waiting >= ACCOUNT_QUEUE
