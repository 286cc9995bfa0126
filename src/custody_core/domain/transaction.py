"""Outgoing transactions: one intent, many signed attempts, at most one mined.

Rules of this file

1. `TRANSITIONS` is the machine. What it has no edge for cannot happen; services that try are wrong (`IllegalTransition`).
2. The state, with its newest attempt, names the one outward act that is due (`due`). The rows are the to-do list.
3. A transaction reserves one nonce, once, and keeps it. All of its payment attempts are the same payment and differ in fees only;
   a cancellation is a transfer of nothing to oneself at that nonce. So at most one of them can ever be mined.
4. An attempt's bytes are stored before they are sent, and the same bytes may be sent any number of times. Whichever attempt is
   mined settles it.
5. What nobody answered is not a failure. `failed` needs proof: never signed, or the nonce finally used by somebody else.
6. After the nonce is reserved, only what is final on the chain ends a transaction; before that, a no or a cancellation ends it
   at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import attrs

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import BlockRef, Hash
from custody_core.domain.encoding import erc20_transfer_calldata
from custody_core.domain.fees import PLAIN_TRANSFER_GAS, Fees, FeeTier
from custody_core.domain.ledger import PostingGroup, Reason, WalletAccounts, moves
from custody_core.domain.tokens import NATIVE_ALIAS, Asset
from custody_core.errors import IllegalTransition

RESEND_AFTER = timedelta(seconds=30)
"""How long sent bytes may be on their way before the same bytes are sent again."""

REPLACE_AFTER = timedelta(seconds=90)
"""How long an attempt may wait in the pool before a dearer one is planned."""

CANCELLATION_GAS = PLAIN_TRANSFER_GAS
"""A cancellation sends nothing to its own sender, which runs no code."""


class State(StrEnum):
    """Where an outgoing transaction stands."""

    PENDING_APPROVAL = "pending_approval"
    QUEUED = "queued"
    PENDING_SIGNATURE = "pending_signature"
    BROADCASTING = "broadcasting"
    CONFIRMING = "confirming"
    COMPLETED = "completed"
    REVERTED = "reverted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


FINAL_STATES = frozenset({State.COMPLETED, State.REVERTED, State.REJECTED, State.CANCELLED, State.EXPIRED, State.FAILED})


class AttemptKind(StrEnum):
    """What an attempt does when it is mined."""

    PAYMENT = "payment"
    CANCELLATION = "cancellation"


class AttemptState(StrEnum):
    """How far an attempt has got. `sent` says that we tried; what became of it, the chain says."""

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"


@attrs.frozen
class Attempt:
    """One version of a transaction, to be signed once. `raw` and `hash` are set from `signed` on and never change."""

    id: str
    kind: AttemptKind
    fees: Fees
    planned_at: datetime
    state: AttemptState = AttemptState.PLANNED
    raw: bytes | None = None
    hash: Hash | None = None
    first_sent_at: datetime | None = None


@attrs.frozen
class Inclusion:
    """The block that holds one of our attempts, and what its receipt says. Not final until the block is."""

    attempt_id: str
    block: BlockRef
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int

    @property
    def fee_wei(self) -> int:
        """What the gas cost."""
        return self.gas_used * self.effective_gas_price_wei


@attrs.frozen
class Transaction:
    """One accepted request to move an amount out of a wallet."""

    id: str
    wallet_id: str
    owner_id: str
    asset: Asset
    sender: Address
    to: Address
    amount: int
    gas_limit: int
    fee_tier: FeeTier
    fee_per_gas_max_wei: int
    state: State
    created_at: datetime
    updated_at: datetime
    policy_verdict: str
    policy_ids: tuple[str, ...]
    policy_rules: tuple[str, ...]
    type: str = "transfer"
    due_at: datetime | None = None
    nonce: int | None = None
    decision_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    inclusion: Inclusion | None = None
    reason: str | None = None
    parked_reason: str | None = None
    cancel_requested_at: datetime | None = None
    external_id: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    version: int = 1

    @property
    def chain_id(self) -> int:
        """The chain that the transaction is bound to (EIP-155)."""
        return self.asset.chain_id

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more."""
        return self.state in FINAL_STATES

    @property
    def newest_attempt(self) -> Attempt | None:
        """The attempt that the due act is about."""
        return self.attempts[-1] if self.attempts else None

    @property
    def fee_hold_wei(self) -> int:
        """The most that gas can cost: no attempt exceeds this."""
        return self.gas_limit * self.fee_per_gas_max_wei

    @property
    def call_to(self) -> Address:
        """The account that the payment calls: the recipient, or the token's contract."""
        return self.asset.contract or self.to

    @property
    def call_value_wei(self) -> int:
        """The ether that the payment carries."""
        return self.amount if self.asset.is_native else 0

    @property
    def call_data(self) -> bytes:
        """The payment's calldata: none, or EIP-20 `transfer`."""
        return b"" if self.asset.is_native else erc20_transfer_calldata(address_to_bytes(self.to), self.amount)

    def attempt_by_hash(self, hash_: Hash) -> Attempt | None:
        """The attempt with that transaction hash."""
        return next((attempt for attempt in self.attempts if attempt.hash == hash_), None)

    @property
    def hash(self) -> Hash | None:
        """The hash to show: of the mined attempt, else of the newest signed one."""
        if self.inclusion:
            return next(attempt.hash for attempt in self.attempts if attempt.id == self.inclusion.attempt_id)
        return next((attempt.hash for attempt in reversed(self.attempts) if attempt.hash), None)


# Facts: what has happened, as values.


@attrs.frozen
class Approved:
    """The quorum is met."""


@attrs.frozen
class Refused:
    """A policy or a person said no."""

    reason: str


@attrs.frozen
class ApprovalExpired:
    """The quorum was not met in time."""


@attrs.frozen
class CancelAsked:
    """The owner wants it back."""


@attrs.frozen
class NonceReserved:
    """A nonce was reserved and the first attempt planned, under the policy decision named."""

    nonce: int
    decision_id: str
    attempt: Attempt


@attrs.frozen
class ReplacementPlanned:
    """A dearer attempt at the same nonce was planned."""

    attempt: Attempt


@attrs.frozen
class BytesStored:
    """The newest attempt was signed; these are its bytes."""

    attempt_id: str
    raw: bytes
    hash: Hash


@attrs.frozen
class AttemptSent:
    """The newest attempt's bytes went out; whether anyone has them is not known."""

    attempt_id: str


@attrs.frozen
class SeenInBlock:
    """A canonical block holds one of the attempts."""

    inclusion: Inclusion


@attrs.frozen
class DroppedByReorg:
    """The block that held the attempt is no longer canonical."""


@attrs.frozen
class FinalSuccess:
    """The payment's block is final and its receipt says success."""


@attrs.frozen
class FinalRevert:
    """The payment's block is final and its receipt says that it reverted."""


@attrs.frozen
class FinalCancellation:
    """The cancellation's block is final."""


@attrs.frozen
class NonceTakenForGood:
    """A final block holds a transaction that is not ours at this nonce."""

    hash: Hash


Fact = (
    Approved
    | Refused
    | ApprovalExpired
    | CancelAsked
    | NonceReserved
    | ReplacementPlanned
    | BytesStored
    | AttemptSent
    | SeenInBlock
    | DroppedByReorg
    | FinalSuccess
    | FinalRevert
    | FinalCancellation
    | NonceTakenForGood
)


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
        CancelAsked: Edge(State.CANCELLED, "cancelled", "no nonce is reserved yet"),
    },
    State.PENDING_SIGNATURE: {
        BytesStored: Edge(State.BROADCASTING, "broadcasting", "the signed bytes are safe; now they may leave"),
        CancelAsked: Edge(State.PENDING_SIGNATURE, None, "nothing is signed: the planned attempt becomes a cancellation"),
        NonceTakenForGood: Edge(State.FAILED, "failed", "the reserved nonce was used by somebody else, finally"),
    },
    State.BROADCASTING: {
        AttemptSent: Edge(State.BROADCASTING, None, "sent is not known; it is sent again until a block holds it"),
        ReplacementPlanned: Edge(State.BROADCASTING, "replaced", "it waits too long, or is to be cancelled"),
        BytesStored: Edge(State.BROADCASTING, None, "the dearer attempt's bytes are safe"),
        CancelAsked: Edge(State.BROADCASTING, None, "the next attempt is a cancellation; whichever is mined decides"),
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


def due(transaction: Transaction, now: datetime) -> Act | None:
    """What should be done next, from the state and the newest attempt alone; None while nothing is due."""
    if transaction.due_at is None or transaction.due_at > now:
        return None
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
    return Change(changed, (), edge.event)


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
    return now >= attempt.first_sent_at + REPLACE_AFTER


def _apply(transaction: Transaction, fact: Fact, now: datetime) -> Transaction:
    match fact:
        case Approved():
            return attrs.evolve(transaction, due_at=now)
        case Refused(reason=reason):
            return attrs.evolve(transaction, reason=reason)
        case CancelAsked():
            return _cancel(transaction, now)
        case NonceReserved():
            return attrs.evolve(transaction, nonce=fact.nonce, decision_id=fact.decision_id, attempts=(fact.attempt,), due_at=now)
        case ReplacementPlanned():
            return attrs.evolve(transaction, attempts=(*transaction.attempts, fact.attempt), due_at=now)
        case BytesStored():
            newest = _newest(transaction, fact.attempt_id)
            signed = attrs.evolve(newest, state=AttemptState.SIGNED, raw=fact.raw, hash=fact.hash)
            return _with_newest(transaction, signed, due_at=now)
        case AttemptSent():
            return _sent(transaction, fact, now)
        case SeenInBlock():
            return attrs.evolve(transaction, inclusion=fact.inclusion, due_at=None)
        case DroppedByReorg():
            return attrs.evolve(transaction, inclusion=None, due_at=now)
        case NonceTakenForGood():
            return attrs.evolve(
                transaction, reason=f"nonce {transaction.nonce} was used by {fact.hash}, which this service did not sign"
            )
        case _:
            return transaction


def _sent(transaction: Transaction, fact: AttemptSent, now: datetime) -> Transaction:
    newest = _newest(transaction, fact.attempt_id)
    sent = attrs.evolve(newest, state=AttemptState.SENT, first_sent_at=newest.first_sent_at or now)
    return _with_newest(transaction, sent, due_at=now + RESEND_AFTER)


def _cancel(transaction: Transaction, now: datetime) -> Transaction:
    asked = attrs.evolve(transaction, cancel_requested_at=now, reason="cancelled on request")
    if transaction.state is State.PENDING_SIGNATURE and transaction.newest_attempt:
        planned = attrs.evolve(transaction.newest_attempt, kind=AttemptKind.CANCELLATION)
        return _with_newest(asked, planned, due_at=now)
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
