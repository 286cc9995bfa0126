"""The pool of transactions that wait for a block, by geth's rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from custody_core.domain.chain import Hash
from custody_core.domain.encoding import FeeMarketTransaction
from custody_core.ports import BroadcastAnswer, BroadcastOutcome

PRICE_BUMP_PERCENT = 10
"""A replacement raises both fee fields by at least this much (geth's default)."""


@attrs.frozen
class Pooled:
    """A transaction with the account that signed it."""

    hash: Hash
    sender: bytes
    transaction: FeeMarketTransaction

    @property
    def cost_max_wei(self) -> int:
        """The most that it can take from its sender."""
        return self.transaction.value + self.transaction.gas_limit * self.transaction.max_fee_per_gas


class Mempool:
    """At most one transaction per sender and nonce; nonces may have gaps."""

    def __init__(self) -> None:
        self._by_sender: dict[bytes, dict[int, Pooled]] = {}

    def __iter__(self) -> Iterator[Pooled]:
        return (pooled for by_nonce in self._by_sender.values() for pooled in by_nonce.values())

    def senders(self) -> Sequence[bytes]:
        """Everybody who waits, in the order of their arrival."""
        return list(self._by_sender)

    def of(self, sender: bytes, nonce: int) -> Pooled | None:
        """The transaction of that sender and nonce."""
        return self._by_sender.get(sender, {}).get(nonce)

    def offer(self, new: Pooled, *, nonce: int, balance_wei: int) -> BroadcastAnswer:
        """Takes `new` or says why not, given its sender's account."""
        waiting = self._by_sender.get(new.sender, {})
        old = waiting.get(new.transaction.nonce)
        if old is not None and old.hash == new.hash:
            return BroadcastAnswer(BroadcastOutcome.KNOWN, "already known")
        if new.transaction.nonce < nonce:
            return BroadcastAnswer(BroadcastOutcome.NONCE_TOO_LOW, f"nonce too low: next nonce {nonce}")
        promised_wei = sum(pooled.cost_max_wei for pooled in waiting.values() if pooled is not old)
        if promised_wei + new.cost_max_wei > balance_wei:
            return BroadcastAnswer(BroadcastOutcome.INSUFFICIENT_FUNDS, "insufficient funds for gas * price + value")
        if new.transaction.max_priority_fee_per_gas < 1:
            return BroadcastAnswer(BroadcastOutcome.UNDERPRICED, "transaction underpriced")
        if old is not None and not _outbids(new.transaction, old.transaction):
            return BroadcastAnswer(BroadcastOutcome.UNDERPRICED, "replacement transaction underpriced")
        self.put(new)
        return BroadcastAnswer(BroadcastOutcome.ACCEPTED)

    def put(self, pooled: Pooled) -> None:
        """Takes it without asking, in place of one with the same nonce."""
        self._by_sender.setdefault(pooled.sender, {})[pooled.transaction.nonce] = pooled

    def drop(self, pooled: Pooled) -> None:
        """Forgets it."""
        waiting = self._by_sender.get(pooled.sender, {})
        if waiting.get(pooled.transaction.nonce) == pooled:
            del waiting[pooled.transaction.nonce]
        if not waiting:
            self._by_sender.pop(pooled.sender, None)

    def drop_below(self, sender: bytes, nonce: int) -> None:
        """Forgets what can no longer be mined because its nonce is used."""
        for pooled in [pooled for used, pooled in self._by_sender.get(sender, {}).items() if used < nonce]:
            self.drop(pooled)


def _outbids(new: FeeMarketTransaction, old: FeeMarketTransaction) -> bool:
    pairs = (
        (new.max_fee_per_gas, old.max_fee_per_gas),
        (new.max_priority_fee_per_gas, old.max_priority_fee_per_gas),
    )
    return all(bid > held and bid >= held * (100 + PRICE_BUMP_PERCENT) // 100 for bid, held in pairs)
