"""Looking at the sends that are not final: which of them are stuck, unknown or in others' way, and the way out of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from custody_app.findings import Finding
from custody_core import Custody, Transaction, TransactionState, Wallet
from custody_core.domain.transaction import AttemptState, Stuck

UNTOUCHED_MAX = timedelta(minutes=1)
"""How long a transaction may wait for the scanner."""

UNMINED_MAX = timedelta(minutes=10)
"""How long a transaction may wait for a block."""

_PAGE = 200

_WAYS_OUT: Mapping[str, str] = {
    "key-integrity": "its sealed key does not open; restore the wallet's row from a backup, nothing is signed before that",
    "not-authorised": "its key or its decision is missing; restore them from a backup, nothing is signed before that",
    "wallet-frozen": "`custody wallet unfreeze` lets it go on, `custody tx cancel` takes it back",
    "fee-above-cap": "the market is above its cap; it goes on when the market falls, `custody tx cancel` takes it back",
    "fee-unavailable": "the node gives no fees; see what is wrong with the node, then it goes on by itself",
    "node-unavailable": "the node does not answer; see what is wrong with it, then it goes on by itself",
    "provider-fee-cap": "no node passes on a fee as high; raise a node's own limit or add a node without one",
    "sealed": "the master key is not loaded; start the scanner with the right CUSTODY_KEY_FILE",
    "signer-unavailable": "the signer does not answer; start it, then this goes on by itself",
}

_STUCK: Mapping[Stuck, str] = {
    Stuck.FEE_AT_CAP: "it pays as much as it may, and the market asks more; `custody tx cancel --fee-per-gas-max-wei` may pay more",
    Stuck.PASSED_OVER: "it offers what the market asks and no block takes it; see that nodes pass it on, or cancel it",
}

_NOT_WRONG = frozenset({"in-flight-limit"})
"""Reasons to wait that are as it should be."""


def waiting(custody: Custody, now: datetime) -> Iterator[Finding]:
    """A finding for each send that needs somebody, or one that says that none does."""
    unfinished = list(_unfinished(custody))
    findings = [*_wrong(unfinished, now), *_gaps(unfinished)]
    yield from findings or [Finding("transactions", True, "none is parked, stuck, unknown or in others' way")]


def stopped(wallets: Sequence[Wallet]) -> Iterator[Finding]:
    """A finding for each wallet that was stopped because somebody else used its key."""
    for wallet in wallets:
        yield Finding(wallet.id, False, f"frozen: {wallet.state_reason}")


def _unfinished(custody: Custody) -> Iterator[Transaction]:
    for state in (TransactionState.QUEUED, TransactionState.PENDING_SIGNATURE, TransactionState.BROADCASTING):
        before = None
        while page := custody.transactions.list(direction="outgoing", state=str(state), limit=_PAGE, before_id=before):
            yield from (each for each in page if isinstance(each, Transaction))
            before = page[-1].id


def _wrong(unfinished: Sequence[Transaction], now: datetime) -> Iterator[Finding]:
    for transaction in unfinished:
        way_out = _way_out(transaction, now)
        if way_out is not None:
            yield Finding(transaction.id, False, f"{transaction.state}, {way_out}")


def _gaps(unfinished: Sequence[Transaction]) -> Iterator[Finding]:
    """Nonces that are reserved and not signed while later ones of the same wallet are on their way: those wait for them."""
    by_wallet: dict[tuple[int, str], list[Transaction]] = defaultdict(list)
    for transaction in unfinished:
        if transaction.nonce is not None:
            by_wallet[transaction.chain_id, transaction.wallet_id].append(transaction)
    for of_wallet in by_wallet.values():
        sent = [each.nonce for each in of_wallet if each.state is TransactionState.BROADCASTING and each.nonce is not None]
        for each in of_wallet:
            behind = sum(nonce > (each.nonce or 0) for nonce in sent)
            if each.state is TransactionState.PENDING_SIGNATURE and behind:
                detail = f"nonce {each.nonce} of {each.wallet_id} is not signed, and {behind} later ones wait for it"
                yield Finding(each.id, False, f"{detail}; `custody tx cancel {each.id}` fills it with a transfer of nothing")


def _way_out(transaction: Transaction, now: datetime) -> str | None:
    """What is wrong with a transaction that is not final, and what to do; None where it is on its way."""
    parked, age, take_back = transaction.parked_reason, now - transaction.created_at, f"`custody tx cancel {transaction.id}`"
    if parked in _NOT_WRONG:
        return None
    if parked is not None:
        return f"parked ({parked}): {_WAYS_OUT.get(parked, f'it is tried again; {take_back} takes it back')}"
    if transaction.stuck is not None:
        return f"stuck ({transaction.stuck}): {_STUCK[transaction.stuck]}"
    if transaction.state is not TransactionState.BROADCASTING:
        return "waits for the scanner; see that `custody scanner` runs" if age > UNTOUCHED_MAX else None
    if age <= UNMINED_MAX:
        return None
    minutes, newest = age // timedelta(minutes=1), transaction.newest_attempt
    if newest is not None and newest.state is not AttemptState.SENT:
        return f"signed and not sent for {minutes} minutes; see that `custody scanner` runs, nothing is lost"
    return f"sent, and no block holds it after {minutes} minutes: nobody can say whether one will; {take_back} takes it back"
