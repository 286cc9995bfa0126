"""Wallets.

Rules of this file

1. One wallet is one key, one address, one owner, for ever. It is the same address on every chain.
2. A wallet is made ahead, without an owner, and its address is watched from that moment; an owner is given once.
3. `frozen` stops sending, never receiving. `closed` takes it out of view; the address stays watched.
4. An owner lifts only what that owner froze. What others froze, or the service itself, is for those who see every owner.
5. `sequence` numbers wallets in the order in which their addresses became watched, without gaps that could fill later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, StrEnum

import attrs

from custody_core.domain.addresses import Address
from custody_core.errors import InvalidStateTransition, WalletFrozen


class WalletState(StrEnum):
    """Whether a wallet may send."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSED = "closed"


class Unset(Enum):
    """What was not said, where None says something: `UNSET` leaves a field as it is."""

    UNSET = "unset"


@attrs.frozen
class Wallet:
    """A key that we hold for somebody. `owner_id` is None while it waits in the pool, `frozen_by` while it is not frozen."""

    id: str
    address: Address
    sequence: int
    created_at: datetime
    updated_at: datetime
    state: WalletState = WalletState.OPEN
    state_reason: str | None = None
    frozen_by: str | None = None
    owner_id: str | None = None
    label: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    version: int = 1


def give_owner(
    wallet: Wallet, *, owner_id: str, label: str | None, external_id: str | None, metadata: Mapping[str, str], now: datetime
) -> Wallet:
    """`wallet`, taken from the pool for `owner_id`."""
    if wallet.owner_id is not None:
        raise InvalidStateTransition("this wallet has an owner already")
    return attrs.evolve(
        wallet,
        owner_id=owner_id,
        label=label,
        external_id=external_id,
        metadata=dict(metadata),
        created_at=now,
        updated_at=now,
        version=wallet.version + 1,
    )


def describe(wallet: Wallet, *, label: str | Unset | None, metadata: Mapping[str, str] | Unset, now: datetime) -> Wallet:
    """`wallet` under another label, with other metadata; what is `UNSET` stays as it is."""
    return attrs.evolve(
        wallet,
        label=wallet.label if isinstance(label, Unset) else label,
        metadata=wallet.metadata if isinstance(metadata, Unset) else dict(metadata),
        updated_at=now,
        version=wallet.version + 1,
    )


def freeze(wallet: Wallet, *, reason: str, by: str, now: datetime) -> Wallet:
    """`wallet`, sending nothing more; `by` is a user's id, or who acts for the service.

    Freezing a frozen wallet changes its reason and who froze it. What somebody else froze, its owner leaves as it is.
    """
    if wallet.state is WalletState.CLOSED:
        raise InvalidStateTransition("a closed wallet cannot be frozen")
    if wallet.state is WalletState.FROZEN and by == wallet.owner_id != wallet.frozen_by:
        return wallet
    return attrs.evolve(
        wallet, state=WalletState.FROZEN, state_reason=reason, frozen_by=by, updated_at=now, version=wallet.version + 1
    )


def unfreeze(wallet: Wallet, *, now: datetime, by_owner: bool = False) -> Wallet:
    """`wallet`, sending again. `by_owner`: on the word of the owner alone. Raises `InvalidStateTransition`, `WalletFrozen`."""
    if wallet.state is not WalletState.FROZEN:
        raise InvalidStateTransition(f"the wallet is {wallet.state}, not frozen")
    if by_owner and wallet.frozen_by != wallet.owner_id:
        raise WalletFrozen("this wallet was frozen by those who run this service; only they can open it again")
    return attrs.evolve(
        wallet, state=WalletState.OPEN, state_reason=None, frozen_by=None, updated_at=now, version=wallet.version + 1
    )


@attrs.frozen
class SealedKey:
    """A private key under the master key. Opens only for its own wallet, address and key version (the associated data of the
    seal).
    """

    wallet_id: str
    address: Address
    key_version: int
    sealed: bytes
