"""Suspense: what an address holds and nothing explains.

Rules of this file

1. At a final block the chain is compared with the books of a wallet (its suspense included), per asset. More on the chain is a
   surplus: it goes into the wallet's suspense, and never to its owner. Ether comes without a trace in blocks that are read by
   transaction and by log: from inside a contract's call, from a contract that ends itself, from a withdrawal of the beacon chain,
   as a block's reward (EIP-6780, EIP-4895).
2. Less on the chain than in the books is a deficit. Suspense gives back what it holds, down to zero: what was found has been
   explained since, and is in the books twice. Of ether a deficit beyond that is never booked away: all that moves ether is read, so
   the books are wrong. Only up to what an operator booked from suspense, or what left the wallet out of it, is it a hole, as 3.
   says: it was explained after all.
3. A token whose balances move without its `Transfer` event (a fee on transfer, a rebase) breaks EIP-20's only record of who
   holds what. It is disabled, so that nothing more of it is credited, and what is missing of it goes into suspense as a hole: a
   negative amount, which a person fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from custody_core.domain.ledger import PostingGroup, Reason, WalletAccounts, moves


@attrs.frozen
class Difference:
    """What one comparison came to, in base units: `surplus` is to go into suspense, `explained` is to come out of it, `deficit` is
    what nothing covers. All are zero where the books are right.
    """

    surplus: int = 0
    explained: int = 0
    deficit: int = 0


def compare(*, on_chain: int, booked: int, in_suspense: int) -> Difference:
    """The chain against the books. `booked` is the sum of all accounts of the wallet in the asset, `in_suspense` a part of it."""
    if on_chain >= booked:
        return Difference(surplus=on_chain - booked)
    missing = booked - on_chain
    explained = min(missing, max(in_suspense, 0))
    return Difference(explained=explained, deficit=missing - explained)


def found(accounts: WalletAccounts, amount: int, *, reference: str, height: int, now: datetime) -> PostingGroup:
    """A surplus, put into suspense as of the final block at `height`."""
    postings = moves((accounts.external, accounts.suspense, amount))
    return PostingGroup(accounts.chain_id, reference, Reason.SUSPENSE_FOUND, now, height, postings)


def explained(accounts: WalletAccounts, amount: int, *, reference: str, height: int, now: datetime) -> PostingGroup:
    """What was in suspense and has been explained by the final block at `height`, taken out again."""
    postings = moves((accounts.suspense, accounts.external, amount))
    return PostingGroup(accounts.chain_id, reference, Reason.SUSPENSE_EXPLAINED, now, height, postings)


def lacking(accounts: WalletAccounts, amount: int, *, reference: str, height: int, now: datetime) -> PostingGroup:
    """What is missing of a token at the final block at `height`, and nothing covers: suspense goes below zero by it."""
    postings = moves((accounts.suspense, accounts.external, amount))
    return PostingGroup(accounts.chain_id, reference, Reason.SUSPENSE_LACKING, now, height, postings)


def booked(accounts: WalletAccounts, amount: int, *, reference: str, now: datetime) -> PostingGroup:
    """What an operator gives to the wallet's owner. Nothing moves on the chain."""
    postings = moves((accounts.suspense, accounts.available, amount))
    return PostingGroup(accounts.chain_id, reference, Reason.SUSPENSE_BOOKED, now, None, postings)


def filled(accounts: WalletAccounts, amount: int, *, reference: str, now: datetime) -> PostingGroup:
    """What an operator takes from what is available, to fill a hole in suspense. Nothing moves on the chain."""
    postings = moves((accounts.available, accounts.suspense, amount))
    return PostingGroup(accounts.chain_id, reference, Reason.SUSPENSE_FILLED, now, None, postings)


@attrs.frozen
class SuspenseMovement:
    """A posting to a suspense account. `height` is None for one inside the books."""

    delta: int
    posted_at: datetime
    height: int | None


def open_since(movements: Sequence[SuspenseMovement]) -> SuspenseMovement | None:
    """The movement, of all those of one account in order, with which it last left zero; None while it is at zero."""
    balance, first = 0, None
    for movement in movements:
        first = movement if balance == 0 else first
        balance += movement.delta
    return first if balance else None
