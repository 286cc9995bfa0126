"""Wallets and their sealed keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from custody_core.domain.addresses import Address
from custody_core.domain.wallet import SealedKey, Wallet, WalletState
from custody_core.errors import BrokenInvariant
from custody_memory.tables import Tables


class WalletRows:
    """The part of a unit that keeps wallets."""

    _tables: Tables

    def lock_pool(self) -> None:
        self._tables.mode.require_writable()
        self._tables.mode.pool_is_locked = True

    def next_wallet_sequence(self) -> int:
        if not self._tables.mode.pool_is_locked:
            raise BrokenInvariant("a wallet's sequence is given under the pool lock only")
        return max(self._tables.wallet_by_sequence.rows, default=0) + 1

    def add_wallets(self, wallets: Sequence[Wallet], keys: Sequence[SealedKey]) -> None:
        tables = self._tables
        for wallet in wallets:
            tables.wallets.add(wallet.id, wallet)
            tables.wallet_by_address.add(wallet.address, wallet.id)
            tables.wallet_by_sequence.add(wallet.sequence, wallet.id)
            self._name_wallet(wallet)
        for key in keys:
            if key.wallet_id not in tables.wallets:
                raise BrokenInvariant("a sealed key belongs to a wallet")
            tables.sealed_keys.add(key.wallet_id, key)

    def pool_size(self) -> int:
        return sum(_is_pooled(wallet) for wallet in self._tables.wallets)

    def pooled_wallet(self) -> Wallet | None:
        self._tables.mode.require_writable()
        pooled = (wallet for wallet in self._tables.wallets if _is_pooled(wallet))
        return min(pooled, key=lambda wallet: wallet.sequence, default=None)

    def wallet(self, wallet_id: str, *, lock: bool = False) -> Wallet | None:
        if lock:
            self._tables.mode.require_writable()
        return self._tables.wallets.get(wallet_id)

    def wallets_by_id(self, wallet_ids: Iterable[str], *, lock: bool = False, wait: bool = True) -> Mapping[str, Wallet]:  # noqa: ARG002  # nobody holds any: units take turns
        if lock:
            self._tables.mode.require_writable()
        return self._tables.wallets.some(list(wallet_ids))

    def wallet_by_external_id(self, owner_id: str, external_id: str) -> Wallet | None:
        wallet_id = self._tables.wallet_by_external_id.get((owner_id, external_id))
        return None if wallet_id is None else self._tables.wallets.get(wallet_id)

    def wallets_by_address(self, addresses: Iterable[Address]) -> Mapping[Address, Wallet]:
        found = self._tables.wallet_by_address.some(list(addresses))
        return {address: self._tables.wallets.rows[wallet_id] for address, wallet_id in found.items()}

    def save_wallet(self, wallet: Wallet) -> None:
        before = self._tables.wallets.save(wallet.id, wallet)
        if before.external_id is None or before.owner_id is None:
            self._name_wallet(wallet)

    def wallets(
        self, *, owner_id: str | None, limit: int, before_id: str | None = None, external_id: str | None = None
    ) -> Sequence[Wallet]:
        before = None if before_id is None else self._tables.wallets.get(before_id)
        if before_id is not None and before is None:
            return []
        wanted = [
            wallet
            for wallet in self._tables.wallets
            if wallet.owner_id is not None
            and (owner_id is None or wallet.owner_id == owner_id)
            and external_id in {None, wallet.external_id}
            and (before is None or _age(wallet) < _age(before))
        ]
        return sorted(wanted, key=_age, reverse=True)[:limit]

    def frozen_wallets(self) -> Sequence[Wallet]:
        frozen = [wallet for wallet in self._tables.wallets if wallet.state is WalletState.FROZEN]
        return sorted(frozen, key=lambda wallet: wallet.id)

    def addresses_after(self, sequence: int, limit: int) -> Sequence[tuple[int, Address]]:
        above = sorted((wallet.sequence, wallet.address) for wallet in self._tables.wallets if wallet.sequence > sequence)
        return above[:limit]

    def sealed_keys(self, wallet_ids: Sequence[str]) -> Mapping[str, SealedKey]:
        return self._tables.sealed_keys.some(wallet_ids)

    def _name_wallet(self, wallet: Wallet) -> None:
        if wallet.owner_id is not None and wallet.external_id is not None:
            self._tables.wallet_by_external_id.add((wallet.owner_id, wallet.external_id), wallet.id)


def _age(wallet: Wallet) -> tuple[datetime, str]:
    return wallet.created_at, wallet.id


def _is_pooled(wallet: Wallet) -> bool:
    return wallet.owner_id is None and wallet.state is WalletState.OPEN
