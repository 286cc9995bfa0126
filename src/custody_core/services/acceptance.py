"""Accepting a send, or saying what it would cost.

The order in `accept` is fixed: what was sent before is answered first; the node is asked outside of any unit; then one unit locks
the wallet, asks the policy, compares with what is available, and keeps the row, its hold, its key, its answer, its audit row and
its event. Nothing is signed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from custody_core.domain import lifecycle
from custody_core.domain.addresses import require_recipient
from custody_core.domain.fees import (
    Fees,
    FeeTier,
    first_fees,
    payment_cap,
)
from custody_core.domain.funds import require_funds, shortfall
from custody_core.domain.ids import IdPrefix
from custody_core.domain.policy import Decision, Evaluation, PolicyInput, Verdict, evaluate
from custody_core.domain.resources import chain_text, transaction_resource
from custody_core.domain.tokens import NATIVE_ALIAS, Asset
from custody_core.domain.transaction import State, Transaction
from custody_core.domain.wallet import Wallet, WalletState
from custody_core.errors import (
    ChainHalted,
    ExternalIdExists,
    NodeUnavailable,
    PolicyDenied,
    WalletFrozen,
)
from custody_core.ports import Unit
from custody_core.services import idempotency
from custody_core.services.estimating import Estimate, estimate_send
from custody_core.services.funds import available_for
from custody_core.services.kit import Kit, record_accepted
from custody_core.services.send_requests import SendRequest, asset_of, read_request
from custody_core.services.users import require_enabled
from custody_core.services.wallets import visible_wallet

ROUTE = "POST /transactions"


@attrs.frozen
class Accepted:
    """A transaction as it is now, with its public form as it was when it was accepted. `replayed`: by an earlier request."""

    transaction: Transaction
    answer: Mapping[str, object]
    replayed: bool


@attrs.frozen
class Preview:
    """What a send would cost and whether it would be accepted now. `fee_hold_wei` is the most that gas can cost."""

    asset: Asset
    amount: int
    gas_limit: int
    fees_by_tier: Mapping[FeeTier, Fees]
    fee_per_gas_max_wei: int
    fee_hold_wei: int
    available: int
    available_native_wei: int
    sufficient: bool
    verdict: Verdict
    rules: tuple[str, ...]


class Acceptance:
    """The part of `custody.transactions` that takes requests."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def accept(
        self,
        wallet_id: str,
        *,
        to: str,
        amount: int,
        idempotency_key: str,
        asset: str = NATIVE_ALIAS,
        chain_id: int | None = None,
        tier: FeeTier | str = FeeTier.NORMAL,
        fee_per_gas_max_wei: int | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        owner_id: str | None = None,
        actor: str | None = None,
    ) -> Accepted:
        """Accepts a transfer of `amount` base units; the worker signs and sends it. The same key gets the same answer.

        `actor` is who asks, where that is not the owner. Moves nothing and keeps nothing when it raises, with one exception:
        `PolicyDenied` names the `rejected` transaction it kept. Raises `NotFound`, `InvalidAddress`, `InvalidAmount`,
        `UnsupportedAsset`, `ValidationFailed`, `InsufficientFunds`, `FeeAboveCap`, `FeeUnavailable`, `NodeUnavailable`,
        `SimulationReverted`, `WalletFrozen`, `ChainHalted`, `ExternalIdExists`, `PolicyDenied`, `IdempotencyKeyMissing`,
        `IdempotencyKeyReused`; `InvalidStateTransition` for a disabled owner; `TypeError` for an amount that is not an int.
        """
        key = idempotency.require_key(idempotency_key)
        request = read_request(self._kit, wallet_id, to, amount, asset, chain_id, tier, fee_per_gas_max_wei, external_id, metadata)
        before = self._kit.read(lambda unit: self._before(unit, request, key, owner_id))
        if isinstance(before, Accepted):
            return _answered(before)
        wallet, resolved = before
        estimate = estimate_send(self._kit, request, resolved, wallet.address)

        def work(unit: Unit) -> Accepted:
            return self._accept(unit, request, resolved, estimate, key=key, owner_id=owner_id, actor=actor)

        return _answered(self._kit.write(work, repeatable=True))

    def preview(
        self,
        wallet_id: str,
        *,
        to: str,
        amount: int,
        asset: str = NATIVE_ALIAS,
        chain_id: int | None = None,
        tier: FeeTier | str = FeeTier.NORMAL,
        fee_per_gas_max_wei: int | None = None,
        owner_id: str | None = None,
    ) -> Preview:
        """What `send` would do with the same arguments. Moves nothing. Raises what `send` raises, but for what it tells in its
        answer.
        """
        request = read_request(self._kit, wallet_id, to, amount, asset, chain_id, tier, fee_per_gas_max_wei, None, None)

        def work(unit: Unit) -> tuple[Wallet, Asset, int, int, Evaluation]:
            wallet = visible_wallet(unit, wallet_id, owner_id)
            resolved = asset_of(unit, request)
            require_recipient(request.to, sender=wallet.address, token=resolved.contract)
            available, native = available_for(unit, wallet.id, resolved)
            return wallet, resolved, available, native, evaluate(unit.active_policies(), _inputs(request, wallet, resolved))

        wallet, resolved, available, native, evaluation = self._kit.read(work)
        estimate = estimate_send(self._kit, request, resolved, wallet.address)
        hold = estimate.gas_limit * estimate.fee_per_gas_max_wei
        return Preview(
            asset=resolved,
            amount=request.amount,
            gas_limit=estimate.gas_limit,
            fees_by_tier={
                each: first_fees(estimate.market, each, cap_wei=payment_cap(estimate.fee_per_gas_max_wei)) for each in FeeTier
            },
            fee_per_gas_max_wei=estimate.fee_per_gas_max_wei,
            fee_hold_wei=hold,
            available=available,
            available_native_wei=native,
            sufficient=shortfall(request.amount, hold, resolved, available, native) is None,
            verdict=evaluation.verdict,
            rules=evaluation.rules,
        )

    def _before(self, unit: Unit, request: SendRequest, key: str, owner_id: str | None) -> Accepted | tuple[Wallet, Asset]:
        """What can be said before the node is asked: the earlier answer, or the wallet and asset; cheap refusals first."""
        wallet = visible_wallet(unit, request.wallet_id, owner_id)
        earlier = _earlier(unit, request, wallet, key)
        if earlier is not None:
            return earlier
        asset = asset_of(unit, request)
        require_recipient(request.to, sender=wallet.address, token=asset.contract)
        _require_may_send(unit, wallet, request)
        available, native = available_for(unit, wallet.id, asset)
        require_funds(request.amount, 0, asset, available, native)
        return wallet, asset

    def _accept(
        self,
        unit: Unit,
        request: SendRequest,
        asset: Asset,
        estimate: Estimate,
        *,
        key: str,
        owner_id: str | None,
        actor: str | None,
    ) -> Accepted:
        now = self._kit.clock.now()
        wallet = visible_wallet(unit, request.wallet_id, owner_id, lock=True)
        earlier = _earlier(unit, request, wallet, key)
        if earlier is not None:
            return earlier
        _require_may_send(unit, wallet, request)
        asset_of(unit, request)  # a token may have been disabled while the node was asked
        evaluation = evaluate(unit.active_policies(), _inputs(request, wallet, asset))
        transaction = self._new(request, wallet, asset, estimate, evaluation, now)
        if transaction.state is not State.REJECTED:
            available, native = available_for(unit, wallet.id, asset)
            require_funds(request.amount, transaction.fee_hold_wei, asset, available, native)
        record_accepted(self._kit, unit, lifecycle.accept(transaction, now), now=now, actor=actor or transaction.owner_id)
        unit.add_decisions([self._decision(transaction, evaluation, now)])
        answer = transaction_resource(transaction)
        idempotency.remember(
            unit,
            scope=idempotency.scope_of(transaction.owner_id, ROUTE),
            key=key,
            fingerprint=idempotency.fingerprint_of(request.body),
            object_id=transaction.id,
            answer=answer,
            now=now,
        )
        return Accepted(transaction, answer, replayed=False)

    def _new(
        self, request: SendRequest, wallet: Wallet, asset: Asset, estimate: Estimate, evaluation: Evaluation, now: datetime
    ) -> Transaction:
        allowed = evaluation.verdict is Verdict.ALLOW
        return Transaction(
            id=self._kit.new_id(IdPrefix.TRANSACTION, now),
            wallet_id=wallet.id,
            owner_id=wallet.owner_id or "",
            asset=asset,
            sender=wallet.address,
            to=request.to,
            amount=request.amount,
            gas_limit=estimate.gas_limit,
            fee_tier=request.tier,
            fee_per_gas_max_wei=estimate.fee_per_gas_max_wei,
            state=State.QUEUED if allowed else State.REJECTED,
            created_at=now,
            updated_at=now,
            policy_verdict=str(evaluation.verdict),
            policy_ids=evaluation.policy_ids,
            policy_rules=evaluation.rules,
            due_at=now if allowed else None,
            reason=None if allowed else "the policy does not allow it",
            external_id=request.external_id,
            metadata=request.metadata,
        )

    def _decision(self, transaction: Transaction, evaluation: Evaluation, now: datetime) -> Decision:
        return Decision(
            id=self._kit.new_id(IdPrefix.DECISION, now),
            transaction_id=transaction.id,
            evaluation=evaluation,
            nonce=None,
            fee_per_gas_max_wei=transaction.fee_per_gas_max_wei,
            gas_limit=transaction.gas_limit,
            decided_at=now,
        )


def _inputs(request: SendRequest, wallet: Wallet, asset: Asset) -> PolicyInput:
    return PolicyInput(
        chain_id=request.chain_id,
        type="transfer",
        wallet_id=wallet.id,
        owner_id=wallet.owner_id or "",
        sender=wallet.address,
        to=request.to,
        asset=asset.alias,
        contract=asset.contract,
        amount=request.amount,
    )


def _answered(accepted: Accepted) -> Accepted:
    """What the caller is told. A transaction that was born rejected is told as `PolicyDenied`, every time."""
    transaction = accepted.transaction
    if transaction.state is State.REJECTED and transaction.policy_verdict == Verdict.DENY:
        denied = PolicyDenied(
            "the policy does not allow this transfer", transaction_id=transaction.id, rules=transaction.policy_rules
        )
        denied.replayed = accepted.replayed
        raise denied
    return accepted


def _earlier(unit: Unit, request: SendRequest, wallet: Wallet, key: str) -> Accepted | None:
    """What this key was answered, or None. Raises `ExternalIdExists` when the external id is taken by another request."""
    owner_id = wallet.owner_id or ""
    scope, fingerprint = idempotency.scope_of(owner_id, ROUTE), idempotency.fingerprint_of(request.body)
    made = idempotency.made_before(unit, scope=scope, key=key, fingerprint=fingerprint)
    transaction = None if made is None else unit.transaction(made.object_id)
    if made is not None and transaction is not None:
        return Accepted(transaction, made.answer or transaction_resource(transaction), replayed=True)
    if request.external_id is not None and unit.transaction_by_external_id(owner_id, request.external_id):
        raise ExternalIdExists("this owner has a transaction with this external id", pointer="/external_id")
    return None


def _require_may_send(unit: Unit, wallet: Wallet, request: SendRequest) -> None:
    require_enabled(unit.user(wallet.owner_id or ""))
    if wallet.state is not WalletState.OPEN:
        raise WalletFrozen(f"the wallet is {wallet.state}: {wallet.state_reason or 'no reason given'}")
    state = unit.chain(request.chain_id)
    if state is None:
        raise NodeUnavailable("this chain is not followed yet: its node has not answered")
    if state.halted_reason is not None:
        raise ChainHalted(f"{chain_text(request.chain_id)} is halted: {state.halted_reason}; see `custody chain status`")
