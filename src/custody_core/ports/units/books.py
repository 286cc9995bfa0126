"""What a unit can do with the books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from custody_core.domain.ledger import Account, PostingGroup
from custody_core.domain.wallet import Wallet


class BookUnit(Protocol):
    """The books; see `Unit`."""

    def post(self, groups: Sequence[PostingGroup]) -> None:
        """Appends the groups and moves the balances. `Conflict` when a (reference, reason) exists; `InsufficientFunds` when an
        account that must not go below zero would."""
        ...

    def balance(self, account: Account) -> int:
        """The account's balance, 0 where nothing was ever posted."""
        ...

    def balances_of(self, accounts: Iterable[Account]) -> Mapping[Account, int]:
        """The balance of each of `accounts`, 0 where nothing was ever posted."""
        ...

    def balances(self, wallet_id: str) -> Mapping[Account, int]:
        """All accounts of a wallet that were ever posted to."""
        ...

    def wallet_totals(self, chain_id: int, *, after_wallet_id: str, limit: int) -> Sequence[tuple[Wallet, Mapping[str, int]]]:
        """By wallet id: every wallet (pooled and closed ones too), each with asset key → the sum of all of its accounts on that
        chain (its suspense included); an asset never posted to is left out."""
        ...

    def posting_groups(self, *, after: int, limit: int) -> Sequence[tuple[int, PostingGroup]]:
        """(position, group) of every group above a position, ascending."""
        ...
