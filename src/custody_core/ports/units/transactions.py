"""What a unit can do with outgoing transactions, with their attempts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.transaction import Transaction
from custody_core.ports.units.movements import MovementFilter


class TransactionUnit(Protocol):
    """Outgoing transactions, with their attempts; see `Unit`."""

    def add_transactions(self, transactions: Sequence[Transaction]) -> None: ...
    def save_transactions(self, transactions: Sequence[Transaction]) -> None: ...
    def transaction(self, transaction_id: str) -> Transaction | None: ...
    def transactions_by_id(self, transaction_ids: Sequence[str]) -> Mapping[str, Transaction]: ...
    def versions_of(self, transaction_ids: Sequence[str]) -> Mapping[str, int]:
        """Transaction id → the version that is stored."""
        ...

    def transactions_by_external_id(self, ids: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Transaction]:
        """By (owner id, external id)."""
        ...

    def transactions(self, wanted: MovementFilter, *, limit: int, before_id: str | None = None) -> Sequence[Transaction]:
        """Newest id first."""
        ...

    def has_due(self, chain_id: int, *, now: datetime) -> bool:
        """Whether `claim_due` could find anything."""
        ...

    def claim_due(self, *, chain_id: int, now: datetime, until: datetime, limit: int) -> Sequence[Transaction]:
        """Up to `limit` transactions whose `due_at` is at or before `now`, oldest due first (then by id), each put off to `until`.

        The claim saves them (version + 1) and skips rows that another unit holds; if the worker dies, they are due at `until`.
        """
        ...

    def transactions_by_hash(self, chain_id: int, hashes: Sequence[Hash]) -> Mapping[Hash, Transaction]:
        """The transactions that have an attempt with one of these hashes."""
        ...

    def confirming_transactions(
        self, chain_id: int, *, above: int | None = None, up_to: int | None = None
    ) -> Sequence[Transaction]:
        """Those in `confirming` whose block is above / at or below a height, by height and id."""
        ...

    def in_flight_of(self, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        """Wallet id → how many of its transactions hold a nonce and are in no block; a wallet without any is left out."""
        ...

    def transactions_by_nonce(
        self, chain_id: int, nonces: Iterable[tuple[Address, int]]
    ) -> Mapping[tuple[Address, int], Transaction]:
        """The transactions that reserved these (sender, nonce)."""
        ...

    def queued_of(self, chain_id: int, wallet_ids: Iterable[str], *, first: int, besides: Collection[str] = ()) -> Sequence[str]:
        """The ids of the `first` transactions in `queued` of each of these wallets, in the order in which they were accepted.

        Those that are parked for one of the reasons `besides` are left out.
        """
        ...

    def wake_queued(self, chain_id: int, wallet_ids: Iterable[str], *, parked_for: Collection[str], now: datetime) -> None:
        """Makes due, of each of these wallets, the oldest in `queued` that is parked for one of these reasons (version + 1)."""
        ...

    def next_unmined(self, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        """Wallet id → the lowest nonce of its transactions that no block holds; a wallet without any is left out."""
        ...
