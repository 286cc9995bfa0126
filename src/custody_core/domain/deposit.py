"""Incoming transactions.

Rules of this file

1. A deposit is one movement of value to a managed address in a canonical block, with a successful receipt. Its identity
   (`DepositKey`) names the movement, not its place: it survives a reorganisation that mines it again elsewhere.
2. Two equal transfers in one transaction are two deposits; `ordinal` tells them apart.
3. Nothing is credited before its block is final. `confirming` shows that it is coming and moves no balance.
4. A token deposit of which less came than its event says is doubted, and quarantined when it is final.
5. A deposit whose block left the chain is `orphaned`, and comes back as the same deposit when it is mined again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import assert_never

import attrs

from custody_core.domain.access import User
from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef, Hash
from custody_core.domain.ledger import PostingGroup, Reason, WalletAccounts, moves
from custody_core.domain.tokens import Asset
from custody_core.domain.wallet import Wallet, WalletState
from custody_core.errors import IllegalTransition

NOT_COVERED = "the address got less of the token than its event says"
"""The doubt about a token deposit, and why it is quarantined."""

BOOKED_BEFORE = "an operator may have given it to the owner from suspense already"
"""The doubt about a deposit that only a second reading of its block found, in a wallet whose suspense was booked."""


class DepositState(StrEnum):
    """Where an incoming transaction stands."""

    CONFIRMING = "confirming"
    COMPLETED = "completed"
    ORPHANED = "orphaned"
    QUARANTINED = "quarantined"


class DepositKind(StrEnum):
    """How the value came: in the transaction itself, told by a token's `Transfer` event, or moved by a contract's call within the
    transaction.
    """

    NATIVE = "native"
    TOKEN = "token"  # noqa: S105 - a kind of deposit, not a secret
    INTERNAL = "internal"


@attrs.frozen
class DepositKey:
    """What makes a deposit the same deposit. `asset` is `Asset.key`; `ordinal` counts equal movements within the transaction
    from 0.
    """

    chain_id: int
    transaction_hash: Hash
    kind: DepositKind
    asset: str
    sender: Address
    to: Address
    amount: int
    ordinal: int


@attrs.frozen
class Deposit:
    """One incoming transaction. `block` is the canonical block that holds it, or held it last; `reason` says why it is quarantined,
    or will be.
    """

    id: str
    key: DepositKey
    asset: Asset
    wallet_id: str
    state: DepositState
    block: BlockRef
    created_at: datetime
    updated_at: datetime
    reason: str | None = None
    version: int = 1


@attrs.frozen
class SeenAgain:
    """A canonical block holds it again. `doubt` says why it will be quarantined, None where it is believed, whatever was doubted in
    another reading: that may have been a lie.
    """

    block: BlockRef
    doubt: str | None = None


@attrs.frozen
class Orphaned:
    """Its block is no longer canonical."""


@attrs.frozen
class Finalised:
    """Its block is final. `quarantine_reason` says why it is not the owner's yet, None when it is."""

    quarantine_reason: str | None = None


@attrs.frozen
class Released:
    """An operator gave it to the owner."""


DepositFact = SeenAgain | Orphaned | Finalised | Released

TRANSITIONS: Mapping[DepositState, Mapping[type[DepositFact], tuple[DepositState, ...]]] = {
    DepositState.CONFIRMING: {
        Orphaned: (DepositState.ORPHANED,),
        Finalised: (DepositState.COMPLETED, DepositState.QUARANTINED),
    },
    DepositState.ORPHANED: {SeenAgain: (DepositState.CONFIRMING,)},
    DepositState.QUARANTINED: {Released: (DepositState.COMPLETED,)},
    DepositState.COMPLETED: {},
}


@attrs.frozen
class DepositChange:
    """What a fact made of a deposit: the new state, the books' share of it, and the event that tells of it."""

    deposit: Deposit
    postings: tuple[PostingGroup, ...]
    event: str


NOT_CORROBORATED = "only one node could trace it"


def quarantine_reason(
    deposit: Deposit, *, wallet: Wallet | None, owner: User | None, is_listed: bool, dust: int, is_corroborated: bool
) -> str | None:
    """Why a final deposit is not its owner's to spend yet, None when it is. Nothing is ever lost by it: an operator releases it.

    `owner` is None for a wallet that still waits in the pool, and a wallet of the pool may be paid. `dust` is the asset's own
    threshold, in base units. `is_corroborated`: whether as many nodes show it as have to.
    """
    if not is_corroborated:
        return NOT_CORROBORATED
    if wallet is None or wallet.state is WalletState.CLOSED:
        return "the wallet is closed"
    if owner is not None and owner.disabled_at is not None:
        return "the owner is disabled"
    if not is_listed:
        return "the token is not listed any more"
    if deposit.reason is not None:
        return deposit.reason
    if deposit.key.amount < dust:
        return "below the dust threshold"
    return None


def decide(deposit: Deposit, fact: DepositFact, now: datetime) -> DepositChange:
    """The change that `fact` makes. Raises `IllegalTransition` where the table has no edge."""
    if type(fact) not in TRANSITIONS[deposit.state]:
        raise IllegalTransition(f"{deposit.id} is {deposit.state}: {type(fact).__name__} has no edge there")
    match fact:
        case SeenAgain(block=block, doubt=doubt):
            return _changed(attrs.evolve(deposit, block=block, reason=doubt), DepositState.CONFIRMING, now)
        case Orphaned():
            return _changed(deposit, DepositState.ORPHANED, now)
        case Finalised(quarantine_reason=None):
            return _changed(deposit, DepositState.COMPLETED, now, Reason.DEPOSIT_CREDITED)
        case Finalised(quarantine_reason=reason):
            return _changed(attrs.evolve(deposit, reason=reason), DepositState.QUARANTINED, now, Reason.DEPOSIT_QUARANTINED)
        case Released():
            return _changed(deposit, DepositState.COMPLETED, now, Reason.DEPOSIT_RELEASED)
        case _:
            assert_never(fact)


def _changed(deposit: Deposit, state: DepositState, now: datetime, reason: Reason | None = None) -> DepositChange:
    changed = attrs.evolve(deposit, state=state, updated_at=now, version=deposit.version + 1)
    postings = (_posted(changed, reason, now),) if reason else ()
    return DepositChange(changed, postings, str(state))


def _posted(deposit: Deposit, reason: Reason, now: datetime) -> PostingGroup:
    accounts = WalletAccounts(deposit.key.chain_id, deposit.asset.key, deposit.wallet_id)
    source, target = {
        Reason.DEPOSIT_CREDITED: (accounts.external, accounts.available),
        Reason.DEPOSIT_QUARANTINED: (accounts.external, accounts.quarantined),
        Reason.DEPOSIT_RELEASED: (accounts.quarantined, accounts.available),
    }[reason]
    height = None if reason is Reason.DEPOSIT_RELEASED else deposit.block.number
    return PostingGroup(deposit.key.chain_id, deposit.id, reason, now, height, moves((source, target, deposit.key.amount)))
