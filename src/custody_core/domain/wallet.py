"""Wallets.

Rules of this file

1. One wallet is one key, one address, one owner, for ever. It is the same address on every chain.
2. A wallet is made ahead, without an owner, and its address is watched from that moment; an owner is given once.
3. `frozen` stops sending, never receiving. `closed` takes it out of view; the address stays watched.
4. `sequence` numbers wallets in the order in which their addresses became watched, without gaps that could fill later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from custody_core.domain.addresses import Address
from custody_core.errors import InvalidStateTransition


class WalletState(StrEnum):
    """Whether a wallet may send."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSED = "closed"


@attrs.frozen
class Wallet:
    """A key that we hold for somebody. `owner_id` is None while it waits in the pool."""

    id: str
    address: Address
    sequence: int
    created_at: datetime
    updated_at: datetime
    state: WalletState = WalletState.OPEN
    state_reason: str | None = None
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


def describe(wallet: Wallet, *, label: str | None, metadata: Mapping[str, str], now: datetime) -> Wallet:
    """`wallet` under another label, with other metadata."""
    return attrs.evolve(wallet, label=label, metadata=dict(metadata), updated_at=now, version=wallet.version + 1)


def freeze(wallet: Wallet, *, reason: str, now: datetime) -> Wallet:
    """`wallet`, sending nothing more. Freezing a frozen wallet changes its reason only."""
    if wallet.state is WalletState.CLOSED:
        raise InvalidStateTransition("a closed wallet cannot be frozen")
    return attrs.evolve(wallet, state=WalletState.FROZEN, state_reason=reason, updated_at=now, version=wallet.version + 1)


def unfreeze(wallet: Wallet, *, now: datetime) -> Wallet:
    """`wallet`, sending again."""
    if wallet.state is not WalletState.FROZEN:
        raise InvalidStateTransition(f"the wallet is {wallet.state}, not frozen")
    return attrs.evolve(wallet, state=WalletState.OPEN, state_reason=None, updated_at=now, version=wallet.version + 1)


@attrs.frozen
class SealedKey:
    """A private key under the master key. Opens only for its own wallet, address and key version (the associated data of the
    seal).
    """

    wallet_id: str
    address: Address
    key_version: int
    sealed: bytes
