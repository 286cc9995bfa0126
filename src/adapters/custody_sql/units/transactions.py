"""Outgoing transactions with their attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Row, Select, func, select, update

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.transaction import Attempt, Transaction
from custody_core.ports import MovementFilter
from custody_sql.rows.transactions import CHANGING, attempt_rows, changing_row, to_attempt, to_transaction, transaction_row
from custody_sql.session import LIST_MAX, Session, batches
from custody_sql.sets import putting, versioned, versioned_update
from custody_sql.tables import HOLDS_NONCE, IS_CONFIRMING, IS_QUEUED, attempts, transactions
from custody_sql.units.movements import newest_first

_SAVE = versioned_update(transactions, CHANGING)
_ATTEMPT_KEY = ("transaction_id", "ordinal")
_ATTEMPT_CHANGES = (
    "id",
    "kind",
    "max_fee_per_gas_wei",
    "max_priority_fee_per_gas_wei",
    "state",
    "raw",
    "hash",
    "first_sent_at",
)
"""What may still be said otherwise of an attempt: its bytes, once they are there, say it for good."""


class TransactionRows:
    """The part of a unit that keeps outgoing transactions."""

    _session: Session

    def add_transactions(self, transactions_: Sequence[Transaction]) -> None:
        self._session.add(transactions, [transaction_row(transaction) for transaction in transactions_])
        self._write_attempts(transactions_)

    def save_transactions(self, transactions_: Sequence[Transaction]) -> None:
        rows = [versioned(transaction.id, changing_row(transaction)) for transaction in transactions_]
        self._session.write_set(_SAVE, rows)
        self._write_attempts(transactions_)

    def transaction(self, transaction_id: str) -> Transaction | None:
        return next(iter(self._select(select(transactions).where(transactions.c.id == transaction_id))), None)

    def transactions_by_id(self, transaction_ids: Sequence[str]) -> Mapping[str, Transaction]:
        rows = list(self._session.rows_in(select(transactions), transactions.c.id, transaction_ids))
        return {transaction.id: transaction for transaction in self._with_attempts(rows)}

    def versions_of(self, transaction_ids: Sequence[str]) -> Mapping[str, int]:
        query = select(transactions.c.id, transactions.c.version)
        return {row.id: row.version for row in self._session.rows_in(query, transactions.c.id, transaction_ids)}

    def transactions_by_external_id(self, ids: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Transaction]:
        rows = self._session.rows_with(select(transactions), (transactions.c.owner_id, transactions.c.external_id), ids)
        return {(each.owner_id, each.external_id or ""): each for each in self._with_attempts(list(rows))}

    def transactions(self, wanted: MovementFilter, *, limit: int, before_id: str | None = None) -> Sequence[Transaction]:
        query = newest_first(transactions, wanted, limit=limit, before_id=before_id)
        if wanted.owner_id is not None:
            query = query.where(transactions.c.owner_id == wanted.owner_id)
        if wanted.external_id is not None:
            query = query.where(transactions.c.external_id == wanted.external_id)
        return self._select(query)

    def has_due(self, chain_id: int, *, now: datetime) -> bool:
        query = select(transactions.c.id).where(transactions.c.chain_id == chain_id, transactions.c.due_at <= now).limit(1)
        return self._session.row(query) is not None

    def claim_due(self, *, chain_id: int, now: datetime, until: datetime, limit: int) -> Sequence[Transaction]:
        self._session.require_writable()
        query = (
            select(transactions)
            .where(transactions.c.chain_id == chain_id, transactions.c.due_at <= now)
            .order_by(transactions.c.due_at, transactions.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        due = self._select(query)
        put_off = update(transactions).values(due_at=until, version=transactions.c.version + 1)
        for ids in batches((transaction.id for transaction in due), LIST_MAX):
            self._session.write(put_off.where(transactions.c.id.in_(ids)))
        return [attrs.evolve(transaction, due_at=until, version=transaction.version + 1) for transaction in due]

    def transactions_by_hash(self, chain_id: int, hashes: Sequence[Hash]) -> Mapping[Hash, Transaction]:
        query = select(attempts.c.hash, attempts.c.transaction_id).where(attempts.c.chain_id == chain_id)
        ids = {row.hash: row.transaction_id for row in self._session.rows_in(query, attempts.c.hash, hashes)}
        found = self.transactions_by_id(sorted(set(ids.values())))
        return {Hash(hash_): found[transaction_id] for hash_, transaction_id in ids.items()}

    def confirming_transactions(
        self, chain_id: int, *, above: int | None = None, up_to: int | None = None
    ) -> Sequence[Transaction]:
        height = transactions.c.inclusion_block_number
        query = select(transactions).where(transactions.c.chain_id == chain_id, IS_CONFIRMING).order_by(height, transactions.c.id)
        if above is not None:
            query = query.where(height > above)
        if up_to is not None:
            query = query.where(height <= up_to)
        return self._select(query)

    def in_flight_of(self, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        wallet_id = transactions.c.wallet_id
        counted = select(wallet_id, func.count().label("in_flight")).where(
            transactions.c.chain_id == chain_id, HOLDS_NONCE, transactions.c.inclusion_block_number.is_(None)
        )
        query = counted.where(transactions.c.nonce.is_not(None)).group_by(wallet_id)
        return {row.wallet_id: int(row.in_flight) for row in self._session.rows_in(query, wallet_id, wallet_ids)}

    def transactions_by_nonce(
        self, chain_id: int, nonces: Iterable[tuple[Address, int]]
    ) -> Mapping[tuple[Address, int], Transaction]:
        of_chain = select(transactions).where(transactions.c.chain_id == chain_id)
        rows = list(self._session.rows_with(of_chain, (transactions.c.sender, transactions.c.nonce), nonces))
        return {(each.sender, each.nonce or 0): each for each in self._with_attempts(rows)}

    def queued_of(self, chain_id: int, wallet_ids: Iterable[str], *, first: int, besides: Collection[str] = ()) -> Sequence[str]:
        place = func.row_number().over(partition_by=transactions.c.wallet_id, order_by=transactions.c.id).label("place")
        queued = select(transactions.c.id, place).where(transactions.c.chain_id == chain_id, IS_QUEUED)
        if besides:
            queued = queued.where(transactions.c.parked_reason.is_(None) | transactions.c.parked_reason.not_in(besides))
        places = self._session.rows_in(queued, transactions.c.wallet_id, wallet_ids)
        return sorted(row.id for row in places if row.place <= first)

    def wake_queued(self, chain_id: int, wallet_ids: Iterable[str], *, parked_for: Collection[str], now: datetime) -> None:
        wallet_id = transactions.c.wallet_id
        parked = (transactions.c.chain_id == chain_id, IS_QUEUED, transactions.c.parked_reason.in_(parked_for))
        oldest = select(func.min(transactions.c.id).label("id")).where(*parked).group_by(wallet_id)
        ids = [row.id for row in self._session.rows_in(oldest, wallet_id, wallet_ids)]
        due_now = update(transactions).values(due_at=now, version=transactions.c.version + 1)
        for part in batches(ids, LIST_MAX):
            self._session.write(due_now.where(transactions.c.id.in_(part), IS_QUEUED))

    def next_unmined(self, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        wallet_id = transactions.c.wallet_id
        lowest = select(wallet_id, func.min(transactions.c.nonce).label("nonce")).where(
            transactions.c.chain_id == chain_id, HOLDS_NONCE, transactions.c.inclusion_block_number.is_(None)
        )
        query = lowest.where(transactions.c.nonce.is_not(None)).group_by(wallet_id)
        return {row.wallet_id: int(row.nonce) for row in self._session.rows_in(query, wallet_id, wallet_ids)}

    def _write_attempts(self, of: Iterable[Transaction]) -> None:
        rows = [row for transaction in of for row in attempt_rows(transaction)]
        if rows:
            self._session.write_set(putting(attempts, tuple(rows[0]), _ATTEMPT_KEY, _ATTEMPT_CHANGES), rows)

    def _select(self, query: Select[Any]) -> list[Transaction]:
        return self._with_attempts(self._session.rows(query))

    def _with_attempts(self, rows: Sequence[Row[Any]]) -> list[Transaction]:
        of: dict[str, list[Attempt]] = defaultdict(list)
        in_order = select(attempts).order_by(attempts.c.transaction_id, attempts.c.ordinal)
        for row in self._session.rows_in(in_order, attempts.c.transaction_id, [row.id for row in rows]):
            of[row.transaction_id].append(to_attempt(row))
        return [to_transaction(row, of[row.id]) for row in rows]
