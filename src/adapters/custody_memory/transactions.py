"""Outgoing transactions with their attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.transaction import State, Transaction
from custody_core.errors import BrokenInvariant
from custody_core.ports import MovementFilter
from custody_memory.movements import newest_first
from custody_memory.tables import Tables


class TransactionRows:
    """The part of a unit that keeps outgoing transactions."""

    _tables: Tables

    def add_transactions(self, transactions: Sequence[Transaction]) -> None:
        for transaction in transactions:
            self._tables.transactions.add(transaction.id, transaction)
            if transaction.external_id is not None:
                self._tables.transaction_by_external_id.add((transaction.owner_id, transaction.external_id), transaction.id)
            self._index_transaction(None, transaction)

    def save_transactions(self, transactions: Sequence[Transaction]) -> None:
        for transaction in transactions:
            before = self._tables.transactions.save(transaction.id, transaction)
            _require_kept(before, transaction)
            self._index_transaction(before, transaction)

    def transaction(self, transaction_id: str) -> Transaction | None:
        return self._tables.transactions.get(transaction_id)

    def transactions_by_id(self, transaction_ids: Sequence[str]) -> Mapping[str, Transaction]:
        return self._tables.transactions.some(transaction_ids)

    def versions_of(self, transaction_ids: Sequence[str]) -> Mapping[str, int]:
        return {id_: transaction.version for id_, transaction in self._tables.transactions.some(transaction_ids).items()}

    def transactions_by_external_id(self, ids: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Transaction]:
        known = self._tables.transaction_by_external_id.some(ids)
        return {pair: self._tables.transactions.rows[transaction_id] for pair, transaction_id in known.items()}

    def transactions(self, wanted: MovementFilter, *, limit: int, before_id: str | None = None) -> Sequence[Transaction]:
        among: Iterable[Transaction] = self._tables.transactions
        if wanted.external_id is not None:
            among = [transaction for transaction in among if transaction.external_id == wanted.external_id]
        return newest_first(among, wanted, owner_of=lambda transaction: transaction.owner_id, limit=limit, before_id=before_id)

    def has_due(self, chain_id: int, *, now: datetime) -> bool:
        return any(each.chain_id == chain_id and each.due_at is not None and each.due_at <= now for each in self._tables.unsettled)

    def claim_due(self, *, chain_id: int, now: datetime, until: datetime, limit: int) -> Sequence[Transaction]:
        due = sorted(
            (transaction.due_at, transaction.id)
            for transaction in self._tables.unsettled
            if transaction.chain_id == chain_id and transaction.due_at is not None and transaction.due_at <= now
        )
        found = [self._tables.transactions.rows[transaction_id] for _, transaction_id in due[:limit]]
        claimed = [attrs.evolve(transaction, due_at=until, version=transaction.version + 1) for transaction in found]
        self._tables.mode.require_writable()
        self.save_transactions(claimed)
        return claimed

    def transactions_by_hash(self, chain_id: int, hashes: Sequence[Hash]) -> Mapping[Hash, Transaction]:
        found = self._tables.transaction_by_hash.some([(chain_id, hash_) for hash_ in hashes])
        return {hash_: self._tables.transactions.rows[transaction_id] for (_, hash_), transaction_id in found.items()}

    def confirming_transactions(
        self, chain_id: int, *, above: int | None = None, up_to: int | None = None
    ) -> Sequence[Transaction]:
        found = [
            (transaction.inclusion.block.number, transaction.id, transaction)
            for transaction in self._tables.unsettled
            if transaction.state is State.CONFIRMING and transaction.chain_id == chain_id and transaction.inclusion is not None
        ]
        return [
            transaction
            for height, _, transaction in sorted(found, key=lambda row: row[:2])
            if (above is None or height > above) and (up_to is None or height <= up_to)
        ]

    def in_flight_of(self, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        unsettled = self._unsettled_of(chain_id, wallet_ids)
        return Counter(each.wallet_id for each in unsettled if each.nonce is not None and each.inclusion is None)

    def transactions_by_nonce(
        self, chain_id: int, nonces: Iterable[tuple[Address, int]]
    ) -> Mapping[tuple[Address, int], Transaction]:
        found = self._tables.transaction_by_nonce.some((chain_id, address, nonce) for address, nonce in nonces)
        return {(address, nonce): self._tables.transactions.rows[id_] for (_, address, nonce), id_ in found.items()}

    def queued_of(self, chain_id: int, wallet_ids: Iterable[str], *, first: int, besides: Collection[str] = ()) -> Sequence[str]:
        places: Counter[str] = Counter()
        found: list[str] = []
        for each in self._queued(chain_id, wallet_ids):
            if each.parked_reason in besides:
                continue
            places[each.wallet_id] += 1
            found += [each.id] if places[each.wallet_id] <= first else []
        return found

    def wake_queued(self, chain_id: int, wallet_ids: Iterable[str], *, parked_for: Collection[str], now: datetime) -> None:
        oldest: dict[str, Transaction] = {}
        for each in self._queued(chain_id, wallet_ids):
            if each.parked_reason in parked_for:
                oldest.setdefault(each.wallet_id, each)
        self.save_transactions([attrs.evolve(each, due_at=now, version=each.version + 1) for each in oldest.values()])

    def next_unmined(self, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        lowest: dict[str, int] = {}
        for each in self._unsettled_of(chain_id, wallet_ids):
            if each.nonce is not None and each.inclusion is None:
                lowest[each.wallet_id] = min(each.nonce, lowest.get(each.wallet_id, each.nonce))
        return lowest

    def _queued(self, chain_id: int, wallet_ids: Iterable[str]) -> list[Transaction]:
        queued = [each for each in self._unsettled_of(chain_id, wallet_ids) if each.state is State.QUEUED]
        return sorted(queued, key=lambda transaction: transaction.id)

    def _unsettled_of(self, chain_id: int, wallet_ids: Iterable[str]) -> list[Transaction]:
        wanted = set(wallet_ids)
        return [each for each in self._tables.unsettled if each.chain_id == chain_id and each.wallet_id in wanted]

    def _index_transaction(self, before: Transaction | None, transaction: Transaction) -> None:
        tables = self._tables
        if transaction.nonce is not None and (before is None or before.nonce is None):
            tables.transaction_by_nonce.add((transaction.chain_id, transaction.sender, transaction.nonce), transaction.id)
        known = {attempt.hash for attempt in before.attempts} if before else set()
        for attempt in transaction.attempts:
            if attempt.hash is not None and attempt.hash not in known:
                tables.transaction_by_hash.add((transaction.chain_id, attempt.hash), transaction.id)
        if not transaction.is_final:
            tables.unsettled.put(transaction.id, transaction)
        elif before is not None:
            tables.unsettled.discard(transaction.id)


def _require_kept(before: Transaction, after: Transaction) -> None:
    """What was set once stays: the nonce, and each attempt with its bytes."""
    if before.nonce is not None and after.nonce != before.nonce:
        raise BrokenInvariant("a transaction keeps its nonce")
    for old, new in zip(before.attempts, after.attempts, strict=False):
        if old.id != new.id or (old.raw is not None and (old.raw, old.hash) != (new.raw, new.hash)):
            raise BrokenInvariant("a signed attempt keeps its bytes")
    if len(after.attempts) < len(before.attempts):
        raise BrokenInvariant("an attempt is never taken away")
