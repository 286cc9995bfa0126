"""The life of an outgoing transaction.

Rules of this file

1. `TRANSITIONS` is the machine. What it has no edge for cannot happen; services that try are wrong (`IllegalTransition`).
2. The state, with its newest attempt, names the one outward act that is due (`due`). The rows are the to-do list.
3. An attempt's bytes are stored before they are sent, and the same bytes may be sent any number of times. Whichever attempt is
   mined settles the transaction.
4. What nobody answered is not a failure. `failed` needs proof: never signed, or the nonce finally used by somebody else.
5. After the nonce is reserved, only what is final on the chain ends a transaction; before that, a no or a cancellation ends it at
   once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

import attrs

from custody_core.domain.facts import (
    ApprovalExpired,
    Approved,
    AttemptFound,
    AttemptSent,
    BytesStored,
    CancelAsked,
    DroppedByReorg,
    Fact,
    FinalCancellation,
    FinalRevert,
    FinalSuccess,
    FoundMoving,
    FoundStuck,
    NonceReserved,
    NonceTakenForGood,
    Overtaken,
    Refused,
    ReplacementPlanned,
    SeenInBlock,
    SpeedUpAsked,
)
from custody_core.domain.ledger import PostingGroup, Reason, WalletAccounts, moves
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.domain.transaction import FINAL_STATES, Attempt, AttemptKind, AttemptState, State, Transaction
from custody_core.errors import IllegalTransition

RESEND_AFTER = timedelta(seconds=30)
"""How long sent bytes may be on their way before the same bytes are sent again."""

REPLACE_AFTER = timedelta(seconds=90)
"""How long an attempt may wait in the pool before a dearer one is planned."""

PASSED_OVER_AFTER = timedelta(minutes=10)
"""How long a transaction may wait, from its first broadcast, although it offers what the market asks."""

_CANCELLED = "cancelled on request"
"""The reason of what was cancelled; a payment that won the race against its cancellation has none."""


@attrs.frozen
class Edge:
    """Where a fact leads, the event that tells of it (None: nobody is told), and why the edge exists."""

    to: State
    event: str | None
    because: str


TRANSITIONS: Mapping[State, Mapping[type[Fact], Edge]] = {
    State.PENDING_APPROVAL: {
        Approved: Edge(State.QUEUED, "queued", "the quorum is met"),
        Refused: Edge(State.REJECTED, "rejected", "an approver said no; nothing reached the chain"),
        CancelAsked: Edge(State.CANCELLED, "cancelled", "no nonce is reserved yet"),
        ApprovalExpired: Edge(State.EXPIRED, "expired", "the quorum was not met in time"),
    },
    State.QUEUED: {
        NonceReserved: Edge(State.PENDING_SIGNATURE, None, "the policy was asked again and still allows"),
        Refused: Edge(State.REJECTED, "rejected", "the policy in force now says no; nothing reached the chain"),
        Overtaken: Edge(State.FAILED, "failed", "the books are older than the chain: it may have been paid already"),
        CancelAsked: Edge(State.CANCELLED, "cancelled", "no nonce is reserved yet"),
    },
    State.PENDING_SIGNATURE: {
        BytesStored: Edge(State.BROADCASTING, "broadcasting", "the signed bytes are safe; now they may leave"),
        AttemptFound: Edge(State.BROADCASTING, "broadcasting", "the chain holds bytes of it that the books had lost"),
        CancelAsked: Edge(State.PENDING_SIGNATURE, None, "nothing is signed: the planned attempt becomes a cancellation"),
        NonceTakenForGood: Edge(State.FAILED, "failed", "the reserved nonce was used by somebody else, finally"),
    },
    State.BROADCASTING: {
        AttemptSent: Edge(State.BROADCASTING, None, "sent is not known; it is sent again until a block holds it"),
        ReplacementPlanned: Edge(State.BROADCASTING, "replaced", "it waits too long, or is to be cancelled"),
        BytesStored: Edge(State.BROADCASTING, None, "the dearer attempt's bytes are safe"),
        AttemptFound: Edge(State.BROADCASTING, None, "the chain holds an attempt of it that the books had lost"),
        CancelAsked: Edge(State.BROADCASTING, None, "the next attempt is a cancellation; whichever is mined decides"),
        SpeedUpAsked: Edge(State.BROADCASTING, None, "the next attempt is dearer; whichever is mined decides"),
        FoundStuck: Edge(State.BROADCASTING, "stuck", "it waits, and nothing that may be done would help"),
        FoundMoving: Edge(State.BROADCASTING, None, "what it was stuck for is over"),
        SeenInBlock: Edge(State.CONFIRMING, "confirming", "a canonical block holds one of the attempts"),
        NonceTakenForGood: Edge(State.FAILED, "failed", "the nonce was used by somebody else, finally: no attempt can be mined"),
    },
    State.CONFIRMING: {
        DroppedByReorg: Edge(State.BROADCASTING, "reorged", "its block left the chain; the same bytes are sent again"),
        FinalSuccess: Edge(State.COMPLETED, "completed", "the payment is final"),
        FinalRevert: Edge(State.REVERTED, "reverted", "the payment reverted, finally; the gas is spent"),
        FinalCancellation: Edge(State.CANCELLED, "cancelled", "the cancellation took the nonce, finally"),
    },
    State.COMPLETED: {},
    State.REVERTED: {},
    State.REJECTED: {},
    State.CANCELLED: {},
    State.EXPIRED: {},
    State.FAILED: {},
}


class Act(StrEnum):
    """The outward act that is due."""

    RESERVE = "reserve"
    SIGN = "sign"
    SEND = "send"
    REPLACE = "replace"


@attrs.frozen
class Change:
    """What a fact made of a transaction: the new state, the books' share of it, and the event that tells of it."""

    transaction: Transaction
    postings: tuple[PostingGroup, ...]
    event: str | None


def next_act(transaction: Transaction, now: datetime) -> Act | None:
    """What is to be done next of a transaction that is due, from the state and the newest attempt alone; None where nothing is."""
    match transaction.state, transaction.newest_attempt:
        case State.QUEUED, _:
            return Act.RESERVE
        case State.PENDING_SIGNATURE, _:
            return Act.SIGN
        case State.BROADCASTING, Attempt(state=AttemptState.PLANNED):
            return Act.SIGN
        case State.BROADCASTING, Attempt() as attempt if _wants_replacement(transaction, attempt, now):
            return Act.REPLACE
        case State.BROADCASTING, Attempt():
            return Act.SEND
        case _:
            return None


def decide(transaction: Transaction, fact: Fact, now: datetime) -> Change:
    """The change that `fact` makes. Raises `IllegalTransition` where the table has no edge."""
    edge = TRANSITIONS[transaction.state].get(type(fact))
    if edge is None:
        raise IllegalTransition(f"{transaction.id} is {transaction.state}: {type(fact).__name__} has no edge there")
    changed = attrs.evolve(
        _apply(transaction, fact, now), state=edge.to, updated_at=now, version=transaction.version + 1, parked_reason=None
    )
    if edge.to in FINAL_STATES:
        changed = attrs.evolve(changed, due_at=None)
        return Change(changed, (_settled(changed, now),), edge.event)
    return Change(changed, _held_more(transaction, changed, now), edge.event)


def accept(transaction: Transaction, now: datetime) -> Change:
    """The first change: the hold. A transaction that the policy refused is born `rejected` and holds nothing."""
    if transaction.state is State.REJECTED:
        return Change(transaction, (), "rejected")
    accounts, native = _accounts(transaction), _native_accounts(transaction)
    held = moves(
        (accounts.available, accounts.reserved, transaction.amount),
        (native.available, native.reserved, transaction.fee_hold_wei),
    )
    group = PostingGroup(transaction.chain_id, transaction.id, Reason.SEND_HELD, now, None, held)
    return Change(transaction, (group,), "created")


def park(transaction: Transaction, *, reason: str, until: datetime, now: datetime) -> Transaction:
    """`transaction`, left where it is until `until` because something that it needs is missing; `reason` is a problem code."""
    return attrs.evolve(transaction, parked_reason=reason, due_at=until, updated_at=now, version=transaction.version + 1)


def _wants_replacement(transaction: Transaction, attempt: Attempt, now: datetime) -> bool:
    if attempt.first_sent_at is None:
        return False
    if transaction.cancel_requested_at is not None and attempt.kind is AttemptKind.PAYMENT:
        return True
    if transaction.speed_up_requested_at is not None and transaction.speed_up_requested_at > attempt.planned_at:
        return True
    return now >= attempt.first_sent_at + REPLACE_AFTER


def _apply(transaction: Transaction, fact: Fact, now: datetime) -> Transaction:
    match fact:
        case Approved() | Refused() | Overtaken() | ApprovalExpired() | CancelAsked() | SpeedUpAsked():
            return _asked(transaction, fact, now)
        case NonceReserved() | ReplacementPlanned() | BytesStored() | AttemptSent() | FoundStuck() | FoundMoving():
            return _worked(transaction, fact, now)
        case AttemptFound():
            return _found(transaction, fact.attempt, now)
        case SeenInBlock() | DroppedByReorg() | FinalSuccess() | FinalRevert() | FinalCancellation() | NonceTakenForGood():
            return _told_by_the_chain(transaction, fact, now)
        case _:
            assert_never(fact)


def _asked(
    transaction: Transaction, fact: Approved | Refused | Overtaken | ApprovalExpired | CancelAsked | SpeedUpAsked, now: datetime
) -> Transaction:
    """What people and policies say."""
    match fact:
        case Approved():
            return attrs.evolve(transaction, due_at=now)
        case Refused(reason=reason) | Overtaken(reason=reason):
            return attrs.evolve(transaction, reason=reason)
        case ApprovalExpired():
            return transaction
        case CancelAsked():
            return _cancel(transaction, fact.fee_per_gas_max_wei, now)
        case SpeedUpAsked():
            return attrs.evolve(transaction, speed_up_requested_at=now, due_at=now)
        case _:
            assert_never(fact)


def _worked(
    transaction: Transaction,
    fact: NonceReserved | ReplacementPlanned | BytesStored | AttemptSent | FoundStuck | FoundMoving,
    now: datetime,
) -> Transaction:
    """What our own workers did."""
    match fact:
        case NonceReserved():
            return attrs.evolve(transaction, nonce=fact.nonce, decision_id=fact.decision_id, attempts=(fact.attempt,), due_at=now)
        case ReplacementPlanned():
            return attrs.evolve(transaction, attempts=(*transaction.attempts, fact.attempt), due_at=now)
        case BytesStored():
            return _signed(transaction, fact, now)
        case AttemptSent():
            return _sent(transaction, fact, now)
        case FoundStuck():
            return attrs.evolve(transaction, stuck=fact.why)
        case FoundMoving():
            return attrs.evolve(transaction, stuck=None)
        case _:
            assert_never(fact)


def _told_by_the_chain(
    transaction: Transaction,
    fact: SeenInBlock | DroppedByReorg | FinalSuccess | FinalRevert | FinalCancellation | NonceTakenForGood,
    now: datetime,
) -> Transaction:
    match fact:
        case SeenInBlock():
            return attrs.evolve(transaction, inclusion=fact.inclusion, due_at=None, stuck=None)
        case DroppedByReorg():
            return attrs.evolve(transaction, inclusion=None, due_at=now)
        case FinalSuccess():
            return transaction
        case FinalRevert():
            return attrs.evolve(transaction, reason=transaction.inclusion.problem if transaction.inclusion else None)
        case FinalCancellation():
            return attrs.evolve(transaction, reason=_CANCELLED)
        case NonceTakenForGood():
            used = f"nonce {transaction.nonce} was used by {fact.hash}, which these books do not know"
            reason = f"{used}; see what it paid before you ask again"
            return attrs.evolve(transaction, reason=reason)
        case _:
            assert_never(fact)


def _signed(transaction: Transaction, fact: BytesStored, now: datetime) -> Transaction:
    newest = _newest(transaction, fact.attempt_id)
    if newest.raw is not None:
        raise IllegalTransition(f"{transaction.id}: {newest.id} has its bytes, and they never change")
    signed = attrs.evolve(newest, state=AttemptState.SIGNED, raw=fact.raw, hash=fact.hash)
    return _with_newest(transaction, signed, due_at=now)


def _sent(transaction: Transaction, fact: AttemptSent, now: datetime) -> Transaction:
    newest = _newest(transaction, fact.attempt_id)
    if newest.raw is None:
        raise IllegalTransition(f"{transaction.id}: {newest.id} has no bytes that could have been sent")
    state = AttemptState.FOUND if newest.state is AttemptState.FOUND else AttemptState.SENT
    sent = attrs.evolve(newest, state=state, first_sent_at=newest.first_sent_at or now)
    return _with_newest(transaction, sent, due_at=now + RESEND_AFTER)


def _found(transaction: Transaction, found: Attempt, now: datetime) -> Transaction:
    if found.kind is AttemptKind.CANCELLATION:  # the request was lost with it
        transaction = attrs.evolve(transaction, cancel_requested_at=transaction.cancel_requested_at or now)
    newest = transaction.newest_attempt
    if newest is not None and newest.raw is None:
        # It was planned again and never signed: what was found is what became of the plan.
        return _with_newest(transaction, attrs.evolve(found, id=newest.id, planned_at=newest.planned_at), due_at=now)
    return attrs.evolve(transaction, attempts=(*transaction.attempts, found), due_at=now)


def _cancel(transaction: Transaction, fee_per_gas_max_wei: int | None, now: datetime) -> Transaction:
    asked = attrs.evolve(transaction, cancel_requested_at=transaction.cancel_requested_at or now)
    if TRANSITIONS[transaction.state][CancelAsked].to is State.CANCELLED:
        return attrs.evolve(asked, reason=_CANCELLED)
    if fee_per_gas_max_wei is not None and fee_per_gas_max_wei > transaction.fee_cap_wei(AttemptKind.CANCELLATION):
        asked = attrs.evolve(asked, cancel_fee_per_gas_max_wei=fee_per_gas_max_wei)
    newest = transaction.newest_attempt
    if newest is not None and newest.raw is None:
        return _with_newest(asked, attrs.evolve(newest, kind=AttemptKind.CANCELLATION), due_at=now)
    return attrs.evolve(asked, due_at=now)


def _newest(transaction: Transaction, attempt_id: str) -> Attempt:
    newest = transaction.newest_attempt
    if newest is None or newest.id != attempt_id:
        raise IllegalTransition(f"{transaction.id}: {attempt_id} is not its newest attempt")
    return newest


def _with_newest(transaction: Transaction, attempt: Attempt, *, due_at: datetime) -> Transaction:
    return attrs.evolve(transaction, attempts=(*transaction.attempts[:-1], attempt), due_at=due_at)


def _accounts(transaction: Transaction) -> WalletAccounts:
    return WalletAccounts(transaction.chain_id, transaction.asset.key, transaction.wallet_id)


def _native_accounts(transaction: Transaction) -> WalletAccounts:
    return WalletAccounts(transaction.chain_id, NATIVE_ALIAS, transaction.wallet_id)


def _held_more(before: Transaction, after: Transaction, now: datetime) -> tuple[PostingGroup, ...]:
    """The group that makes the hold larger, where it has to be."""
    more_wei = after.fee_hold_wei - before.fee_hold_wei
    if not more_wei:
        return ()
    native = _native_accounts(after)
    held = moves((native.available, native.reserved, more_wei))
    reference = f"{after.id}/{after.version}"  # it may grow more than once
    return (PostingGroup(after.chain_id, reference, Reason.CANCELLATION_HELD, now, None, held),)


def _settled(transaction: Transaction, now: datetime) -> PostingGroup:
    """The group that empties the hold of a transaction that has just become final."""
    accounts, native = _accounts(transaction), _native_accounts(transaction)
    inclusion = transaction.inclusion
    fee = inclusion.fee_wei if inclusion else 0
    paid = transaction.amount if transaction.state is State.COMPLETED else 0
    postings = moves(
        (accounts.reserved, accounts.external, paid),
        (accounts.reserved, accounts.available, transaction.amount - paid),
        (native.reserved, native.fees, fee),
        (native.reserved, native.available, transaction.fee_hold_wei - fee),
    )
    return PostingGroup(
        chain_id=transaction.chain_id,
        reference=transaction.id,
        reason=Reason.SEND_SETTLED if inclusion else Reason.SEND_RELEASED,
        posted_at=now,
        height=inclusion.block.number if inclusion else None,
        postings=postings,
    )
