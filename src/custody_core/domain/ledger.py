"""The books: double entry, in base units, append-only.

Rules of this file

1. Every posting group sums to zero per asset. Nothing is updated or deleted; a correction is a new group.
2. A wallet's `available`, `reserved` and `quarantined` never go below zero. `external`, `fees` and `suspense` may: they are the
   other side.
3. What happens on the chain is posted when it is final, with its height. So at any final block F a wallet's accounts (with its
   suspense), up to F, equal its balance on the chain at F.
4. A group is named by what caused it and why (`reference`, `reason`), and that pair exists once: a deposit cannot be credited
   twice because its second credit has nowhere to be written.

| Fact                                                  | Postings                                                             |
|-------------------------------------------------------|----------------------------------------------------------------------|
| deposit final                                         | external → available (or → quarantined)                              |
| quarantined deposit released                          | quarantined → available                                              |
| send accepted                                         | available → reserved: the amount, and the fee hold in the native asset |
| cancellation that may cost more than the payment      | available → reserved: what the fee hold grows by                     |
| send final, succeeded                                 | reserved → external: amount; reserved → fees: the fee; rest → available |
| send final, reverted; cancellation final              | reserved → fees: the fee; rest → available                           |
| rejected, expired, failed, cancelled before a nonce   | reserved → available                                                 |
| more on the chain than in the books, unexplained      | external → suspense                                                  |
| explained after all (credited as a deposit since)     | suspense → external                                                  |
| less of a token on the chain than in the books        | suspense → external                                                  |
| an operator gives what is in suspense to the owner    | suspense → available                                                 |
| an operator fills a hole in suspense                  | available → suspense                                                 |
| final movement that nothing here asked for            | available → external, and suspense → external where that is too little |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import attrs


class AccountKind(StrEnum):
    """What an account holds."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    QUARANTINED = "quarantined"
    EXTERNAL = "external"
    FEES = "fees"
    SUSPENSE = "suspense"


WALLET_KINDS = frozenset({AccountKind.AVAILABLE, AccountKind.RESERVED, AccountKind.QUARANTINED})
"""Accounts that belong to one wallet's owner and never go below zero."""

HELD_KINDS = WALLET_KINDS | {AccountKind.SUSPENSE}
"""Accounts that together equal what a wallet's address holds on the chain."""


@attrs.frozen
class Account:
    """One account. `asset` is `Asset.key`; `wallet_id` is None for the system's `external` and `fees`."""

    chain_id: int
    asset: str
    kind: AccountKind
    wallet_id: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.kind in HELD_KINDS) != (self.wallet_id is not None):
            raise ValueError(f"an account of kind {self.kind} {'needs' if self.wallet_id is None else 'has no'} wallet")


@attrs.frozen
class Posting:
    """A change of one account by `delta` base units, never zero."""

    account: Account
    delta: int


class Reason(StrEnum):
    """Why a group was posted."""

    DEPOSIT_CREDITED = "deposit-credited"
    DEPOSIT_QUARANTINED = "deposit-quarantined"
    DEPOSIT_RELEASED = "deposit-released"
    SEND_HELD = "send-held"
    CANCELLATION_HELD = "cancellation-held"
    SEND_SETTLED = "send-settled"
    SEND_RELEASED = "send-released"
    SUSPENSE_FOUND = "suspense-found"
    SUSPENSE_EXPLAINED = "suspense-explained"
    SUSPENSE_LACKING = "suspense-lacking"
    SUSPENSE_BOOKED = "suspense-booked"
    SUSPENSE_FILLED = "suspense-filled"
    MOVED_ELSEWHERE = "moved-elsewhere"


@attrs.frozen
class PostingGroup:
    """Postings that belong together. `height` is the block number of a movement on the chain, None for one inside the books."""

    chain_id: int
    reference: str
    reason: Reason
    posted_at: datetime
    height: int | None
    postings: tuple[Posting, ...]

    def __attrs_post_init__(self) -> None:
        sums: dict[str, int] = defaultdict(int)
        for posting in self.postings:
            if posting.delta == 0 or posting.account.chain_id != self.chain_id:
                raise ValueError("a posting changes an account of its group's chain")
            sums[posting.account.asset] += posting.delta
        if not self.postings or any(sums.values()):
            raise ValueError(f"posting group {self.reference}/{self.reason} does not sum to zero")


def moves(*movements: tuple[Account, Account, int]) -> tuple[Posting, ...]:
    """The postings of several (from, to, amount) movements, netted per account, movements of nothing left out."""
    net: dict[Account, int] = defaultdict(int)
    for source, target, amount in movements:
        if amount < 0:
            raise ValueError("a movement goes from its source to its target")
        net[source] -= amount
        net[target] += amount
    return tuple(Posting(account, delta) for account, delta in net.items() if delta)


@attrs.frozen
class WalletAccounts:
    """The accounts that one wallet has in one asset of one chain, and their system counterparts."""

    chain_id: int
    asset: str
    wallet_id: str

    def of(self, kind: AccountKind) -> Account:
        """The account of that kind."""
        return Account(self.chain_id, self.asset, kind, self.wallet_id if kind in HELD_KINDS else None)

    @property
    def available(self) -> Account:
        """What may be spent now."""
        return self.of(AccountKind.AVAILABLE)

    @property
    def reserved(self) -> Account:
        """What accepted sends may still cost."""
        return self.of(AccountKind.RESERVED)

    @property
    def quarantined(self) -> Account:
        """What arrived and is not the owner's to spend yet."""
        return self.of(AccountKind.QUARANTINED)

    @property
    def suspense(self) -> Account:
        """What the address holds, or lacks, and nothing explains yet."""
        return self.of(AccountKind.SUSPENSE)

    @property
    def external(self) -> Account:
        """The rest of the world."""
        return self.of(AccountKind.EXTERNAL)

    @property
    def fees(self) -> Account:
        """What gas has cost."""
        return self.of(AccountKind.FEES)


def net_by_account(groups: Iterable[PostingGroup]) -> dict[Account, int]:
    """The change of each account over `groups`."""
    net: dict[Account, int] = defaultdict(int)
    for group in groups:
        for posting in group.postings:
            net[posting.account] += posting.delta
    return dict(net)
