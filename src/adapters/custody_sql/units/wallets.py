"""Wallets and their sealed keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import func, select, text, tuple_

from custody_core.domain.addresses import Address
from custody_core.domain.wallet import SealedKey, Wallet, WalletState
from custody_core.errors import BrokenInvariant
from custody_sql.rows.wallets import sealed_key_row, to_sealed_key, to_wallet, wallet_row
from custody_sql.session import Session
from custody_sql.sets import versioned, versioned_update
from custody_sql.tables import IS_FROZEN, sealed_keys, wallets

_POOL_LOCK = 0x706F6F6C
"""The key of PostgreSQL's advisory lock on the pool: "pool" in ASCII."""

_CHANGING = (
    "created_at",
    "updated_at",
    "state",
    "state_reason",
    "frozen_by",
    "owner_id",
    "label",
    "external_id",
    "metadata",
    "version",
)
_SAVE_WALLET = versioned_update(wallets, _CHANGING)

_IS_POOLED = (wallets.c.owner_id.is_(None), wallets.c.state == WalletState.OPEN.value)
"""A wallet whose key was used elsewhere before it had an owner is frozen, and is given to nobody."""


class WalletRows:
    """The part of a unit that keeps wallets."""

    _session: Session

    def lock_pool(self) -> None:
        self._session.require_writable()
        if not self._session.is_sqlite:  # there BEGIN IMMEDIATE has locked everything already
            self._session.rows(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POOL_LOCK})
        self._session.pool_is_locked = True

    def next_wallet_sequence(self) -> int:
        if not self._session.pool_is_locked:
            raise BrokenInvariant("a wallet's sequence is given under the pool lock only")
        row = self._session.row(select(func.max(wallets.c.sequence)))
        return (row[0] if row and row[0] else 0) + 1

    def add_wallets(self, wallets_: Sequence[Wallet], keys: Sequence[SealedKey]) -> None:
        self._session.add(wallets, [wallet_row(wallet) for wallet in wallets_])
        self._session.add(sealed_keys, [sealed_key_row(key) for key in keys])

    def pool_size(self) -> int:
        row = self._session.row(select(func.count()).select_from(wallets).where(*_IS_POOLED))
        return int(row[0]) if row else 0

    def pooled_wallet(self) -> Wallet | None:
        self._session.require_writable()
        oldest = select(wallets).where(*_IS_POOLED).order_by(wallets.c.sequence).limit(1)
        row = self._session.row(oldest.with_for_update(skip_locked=True))
        return None if row is None else to_wallet(row)

    def wallet(self, wallet_id: str, *, lock: bool = False) -> Wallet | None:
        query = select(wallets).where(wallets.c.id == wallet_id)
        if lock:
            self._session.require_writable()
            query = query.with_for_update()
        row = self._session.row(query)
        return None if row is None else to_wallet(row)

    def wallets_by_id(self, wallet_ids: Iterable[str], *, lock: bool = False, wait: bool = True) -> Mapping[str, Wallet]:
        query = select(wallets)
        if lock:
            self._session.require_writable()
            query = query.order_by(wallets.c.id).with_for_update(skip_locked=not wait)  # rows are locked as they are sorted
        return {row.id: to_wallet(row) for row in self._session.rows_in(query, wallets.c.id, sorted(set(wallet_ids)))}

    def wallet_by_external_id(self, owner_id: str, external_id: str) -> Wallet | None:
        row = self._session.row(select(wallets).where(wallets.c.owner_id == owner_id, wallets.c.external_id == external_id))
        return None if row is None else to_wallet(row)

    def wallets_by_address(self, addresses: Iterable[Address]) -> Mapping[Address, Wallet]:
        found = self._session.rows_in(select(wallets), wallets.c.address, addresses)
        return {Address(row.address): to_wallet(row) for row in found}

    def save_wallet(self, wallet: Wallet) -> None:
        row = wallet_row(wallet)
        for fixed in ("id", "address", "sequence"):
            del row[fixed]
        self._session.write_set(_SAVE_WALLET, [versioned(wallet.id, row)])

    def wallets(
        self, *, owner_id: str | None, limit: int, before_id: str | None = None, external_id: str | None = None
    ) -> Sequence[Wallet]:
        query = select(wallets).order_by(wallets.c.created_at.desc(), wallets.c.id.desc()).limit(limit)
        query = query.where(wallets.c.owner_id.is_not(None) if owner_id is None else wallets.c.owner_id == owner_id)
        if external_id is not None:
            query = query.where(wallets.c.external_id == external_id)
        if before_id is not None:
            handed_out_at = select(wallets.c.created_at).where(wallets.c.id == before_id).scalar_subquery()
            query = query.where(tuple_(wallets.c.created_at, wallets.c.id) < tuple_(handed_out_at, before_id))
        return [to_wallet(row) for row in self._session.rows(query)]

    def frozen_wallets(self) -> Sequence[Wallet]:
        return [to_wallet(row) for row in self._session.rows(select(wallets).where(IS_FROZEN).order_by(wallets.c.id))]

    def addresses_after(self, sequence: int, limit: int) -> Sequence[tuple[int, Address]]:
        query = select(wallets.c.sequence, wallets.c.address).where(wallets.c.sequence > sequence)
        return [(row.sequence, Address(row.address)) for row in self._session.rows(query.order_by(wallets.c.sequence).limit(limit))]

    def sealed_keys(self, wallet_ids: Sequence[str]) -> Mapping[str, SealedKey]:
        found = self._session.rows_in(select(sealed_keys), sealed_keys.c.wallet_id, wallet_ids)
        return {row.wallet_id: to_sealed_key(row) for row in found}
