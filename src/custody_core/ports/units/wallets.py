"""What a unit can do with wallets and their sealed keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from custody_core.domain.addresses import Address
from custody_core.domain.wallet import SealedKey, Wallet


class WalletUnit(Protocol):
    """Wallets and their sealed keys; see `Unit`."""

    # Wallets. `lock_pool` is held until the commit: it orders the births of addresses against the blocks that are scanned for them.
    def lock_pool(self) -> None: ...
    def next_wallet_sequence(self) -> int:
        """One above the highest sequence used (1 at first). Only under `lock_pool`."""
        ...

    def add_wallets(self, wallets: Sequence[Wallet], keys: Sequence[SealedKey]) -> None: ...
    def pool_size(self) -> int: ...
    def pooled_wallet(self) -> Wallet | None:
        """The oldest wallet without an owner, locked; one that another unit holds is passed over where the database can."""
        ...

    # A locked wallet stays so until the commit, which serialises everything that spends from it. Several are locked in id order.
    def wallet(self, wallet_id: str, *, lock: bool = False) -> Wallet | None: ...
    def wallets_by_id(self, wallet_ids: Iterable[str], *, lock: bool = False, wait: bool = True) -> Mapping[str, Wallet]:
        """With `lock` and without `wait`, those that another unit holds are left out where the database can."""
        ...

    def wallet_by_external_id(self, owner_id: str, external_id: str) -> Wallet | None: ...
    def wallets_by_address(self, addresses: Iterable[Address]) -> Mapping[Address, Wallet]: ...
    def save_wallet(self, wallet: Wallet) -> None: ...
    def wallets(
        self, *, owner_id: str | None, limit: int, before_id: str | None = None, external_id: str | None = None
    ) -> Sequence[Wallet]:
        """Owned wallets, the one handed out last first; of one owner, or of all with None. `external_id`: only those called so."""
        ...

    def frozen_wallets(self) -> Sequence[Wallet]:
        """By id."""
        ...

    def addresses_after(self, sequence: int, limit: int) -> Sequence[tuple[int, Address]]:
        """(sequence, address) of every managed address, pooled and closed ones included, above `sequence`, ascending."""
        ...

    def sealed_keys(self, wallet_ids: Sequence[str]) -> Mapping[str, SealedKey]: ...
