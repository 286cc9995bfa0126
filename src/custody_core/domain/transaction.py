"""Outgoing transactions: one intent, many signed attempts, at most one mined.

Rules of this file

1. A transaction reserves one nonce, once, and keeps it. All of its payment attempts are the same payment and differ in fees only; a
   cancellation is a transfer of nothing to oneself at that nonce. So at most one of them can ever be mined.
2. An attempt's bytes never change once they are there.
3. What a transaction puts on the chain (`call_to`, `call_value_wei`, `call_data`) follows from what was asked for, every time anew.

What happens to a transaction, and what is due next, is `lifecycle.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import BlockRef, Hash
from custody_core.domain.encoding import AccessList, erc20_transfer_calldata
from custody_core.domain.fees import Fees, FeeTier
from custody_core.domain.tokens import Asset


class TransactionType(StrEnum):
    """What an outgoing transaction does."""

    TRANSFER = "transfer"
    """Moves an amount of an asset to a recipient."""
    CONTRACT_CALL = "contract_call"
    """Calls a contract with given calldata; the asset is ether, and the amount what the call carries of it, often nothing."""


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


class Stuck(StrEnum):
    """Why a transaction that is on its way does not get any further."""

    FEE_AT_CAP = "fee-at-cap"
    """The market asks more than the transaction may pay. The same bytes are sent again until it asks less."""
    PASSED_OVER = "passed-over"
    """It offers what the market asks and still no block takes it."""


class AttemptKind(StrEnum):
    """What an attempt does when it is mined."""

    PAYMENT = "payment"
    CANCELLATION = "cancellation"


class AttemptState(StrEnum):
    """How far an attempt has got. `sent` says that we tried; what became of it, the chain says. `found` is one that the books had
    lost and that came back from the chain (`recognition.py`).
    """

    PLANNED = "planned"
    SIGNED = "signed"
    SENT = "sent"
    FOUND = "found"


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
    """The block that holds one of our attempts, and what its receipt says. Not final until the block is.

    `succeeded`: it did what was asked for. `problem` is what is known of why not (bounded, printable).
    """

    attempt_id: str
    block: BlockRef
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    problem: str | None = None

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
    type: str = TransactionType.TRANSFER
    data: bytes = b""
    access_list: AccessList = ()
    due_at: datetime | None = None
    nonce: int | None = None
    decision_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    inclusion: Inclusion | None = None
    reason: str | None = None
    parked_reason: str | None = None
    cancel_requested_at: datetime | None = None
    cancel_fee_per_gas_max_wei: int | None = None
    """What a cancellation may pay, where its owner allowed it more than the payment; the difference is held as well."""
    speed_up_requested_at: datetime | None = None
    stuck: Stuck | None = None
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

    def fee_cap_wei(self, kind: AttemptKind) -> int:
        """The most that an attempt of that kind may offer per gas."""
        if kind is AttemptKind.CANCELLATION and self.cancel_fee_per_gas_max_wei is not None:
            return self.cancel_fee_per_gas_max_wei
        return self.fee_per_gas_max_wei

    @property
    def fee_hold_wei(self) -> int:
        """The most that gas can cost: no attempt exceeds this."""
        return self.gas_limit * self.fee_cap_wei(AttemptKind.CANCELLATION)

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
        """The payment's calldata: what was given for a contract call, none for ether, or EIP-20 `transfer`."""
        return self.data if self.asset.is_native else erc20_transfer_calldata(address_to_bytes(self.to), self.amount)

    def attempt_by_hash(self, hash_: Hash) -> Attempt | None:
        """The attempt with that transaction hash."""
        return next((attempt for attempt in self.attempts if attempt.hash == hash_), None)

    @property
    def hash(self) -> Hash | None:
        """The hash to show: of the mined attempt, else of the newest signed one."""
        if self.inclusion:
            return next(attempt.hash for attempt in self.attempts if attempt.id == self.inclusion.attempt_id)
        return next((attempt.hash for attempt in reversed(self.attempts) if attempt.hash), None)
