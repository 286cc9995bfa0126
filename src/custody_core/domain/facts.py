"""What can happen to an outgoing transaction, as values. What each makes of it is `lifecycle.py`."""

from __future__ import annotations

import attrs

from custody_core.domain.chain import Hash
from custody_core.domain.transaction import Attempt, Inclusion, Stuck


@attrs.frozen
class Approved:
    """The quorum is met."""


@attrs.frozen
class Refused:
    """A policy or a person said no."""

    reason: str


@attrs.frozen
class Overtaken:
    """The chain knows sends of its wallet that the books do not: this may be one of them, so it cannot be sent any more."""

    reason: str


@attrs.frozen
class ApprovalExpired:
    """The quorum was not met in time."""


@attrs.frozen
class CancelAsked:
    """The owner wants it back; `fee_per_gas_max_wei` lets the cancellation pay more per gas than the payment may."""

    fee_per_gas_max_wei: int | None = None


@attrs.frozen
class SpeedUpAsked:
    """The owner wants it mined sooner and pays more for it, within its cap."""


@attrs.frozen
class FoundStuck:
    """It has waited long, and there is nothing that this service can do about it."""

    why: Stuck


@attrs.frozen
class FoundMoving:
    """What it was stuck for is over."""


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
class AttemptFound:
    """A block holds an attempt of ours that the books had lost (a restored backup): these are its bytes."""

    attempt: Attempt


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
    | Overtaken
    | ApprovalExpired
    | CancelAsked
    | SpeedUpAsked
    | FoundStuck
    | FoundMoving
    | NonceReserved
    | ReplacementPlanned
    | BytesStored
    | AttemptSent
    | AttemptFound
    | SeenInBlock
    | DroppedByReorg
    | FinalSuccess
    | FinalRevert
    | FinalCancellation
    | NonceTakenForGood
)
