"""What a unit reads for those who check the books or show them: page by page, so that any number of rows fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.deposit import Deposit
from custody_core.domain.ledger import Account, PostingGroup, Reason
from custody_core.domain.policy import Policy
from custody_core.domain.suspense import SuspenseMovement
from custody_core.ports.units.records import IdempotencyRecord


@attrs.frozen
class RowCounts:
    """How much there is to check."""

    wallets: int
    accounts: int
    posting_groups: int
    transactions: int
    deposits: int


@attrs.frozen
class AccountSum:
    """An account's stored balance beside the sum of its postings. `position` orders accounts."""

    position: int
    account: Account
    balance: int
    postings_sum: int


@attrs.frozen
class SuspenseLine:
    """A suspense account that is not at zero, with all that was ever posted to it, in order. `position` orders accounts."""

    position: int
    account: Account
    balance: int
    movements: tuple[SuspenseMovement, ...]


@attrs.frozen(kw_only=True)
class EntryFilter:
    """What the wanted posting groups touch. None leaves a question open; `owner_id` has to be said, so that nobody shows
    everybody's by forgetting it.
    """

    owner_id: str | None
    wallet_id: str | None = None
    chain_id: int | None = None
    asset: str | None = None
    """`Asset.key`."""
    since: datetime | None = None
    """Posted at this time or later."""
    until: datetime | None = None
    """Posted before this time."""


class ReviewUnit(Protocol):
    """Pages for checking and showing; see `Unit`."""

    def row_counts(self) -> RowCounts: ...

    def accounts_with_sums(self, *, after: int, limit: int) -> Sequence[AccountSum]:
        """By position, those above a position."""
        ...

    def causes(self, references: Iterable[str]) -> Mapping[str, Mapping[Reason, int | None]]:
        """Reference → the reasons for which groups of it were posted, each with its height; one without any is left out."""
        ...

    def deposits_by_id(self, deposit_ids: Iterable[str]) -> Mapping[str, Deposit]: ...

    def canonical_hashes(self, chain_id: int, numbers: Iterable[int]) -> Mapping[int, Hash]:
        """Block number → the hash that our chain has there; one that it does not have is left out."""
        ...

    def used_nonces(self, chain_id: int, *, after: tuple[Address, int], limit: int) -> Sequence[tuple[Address, int]]:
        """The (sender, nonce) of every transaction that has one and of every settled foreign use, each once, ascending, those above
        one.
        """
        ...

    def idempotency_after(self, scope: str, key: str, *, limit: int) -> Sequence[IdempotencyRecord]:
        """By (scope, key), those above one."""
        ...

    def policies_by_id(self, policy_ids: Iterable[str]) -> Mapping[str, Policy]:
        """Published policies, active or not."""
        ...

    def suspense(self, *, after: int, limit: int) -> Sequence[SuspenseLine]:
        """By position, those above a position."""
        ...

    def booked_from_suspense(self, account: Account) -> int:
        """What operators gave away of this suspense account, less what they filled it with again; at least 0."""
        ...

    def taken_from_suspense(self, account: Account) -> int:
        """The same, and what left the wallet unasked beyond what its owner had, which was taken from this account; at least 0."""
        ...

    def first_height(self, account: Account) -> int | None:
        """The lowest height of a movement on the chain that was posted to this account's wallet in its asset."""
        ...

    def entries(self, wanted: EntryFilter, *, limit: int, before: int | None = None) -> Sequence[tuple[int, PostingGroup]]:
        """(position, group), newest first, of the groups that touch what is wanted; each is whole."""
        ...

    def sums(self, wallet_id: str, *, before: int | None = None, until: datetime | None = None) -> Mapping[Account, int]:
        """The wallet's accounts, each with the sum of its postings: of those before a position, of those posted before a time."""
        ...
