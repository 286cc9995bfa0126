"""Accepting sends.

The order in `accept_all` is fixed: what was sent before is answered first; the node is asked outside of any unit; then one unit
locks the wallets, asks the policy, compares with what is available, and keeps rows, holds, keys, answers, audit rows and events.
Nothing is signed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custody_core.domain.fees import FeeTier
from custody_core.domain.policy import Verdict
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.domain.transaction import State
from custody_core.errors import CustodyError, PolicyDenied
from custody_core.ports import Unit
from custody_core.services import idempotency
from custody_core.services.accepting import Accepted, Asked, Desk
from custody_core.services.batching import Batch, ask_batch
from custody_core.services.estimating import Estimate, Wanted, estimate_sends
from custody_core.services.kit import Kit
from custody_core.services.market import RecentMarkets
from custody_core.services.outcomes import value_of
from custody_core.services.send_requests import read_request


class Acceptance:
    """The part of `custody.transactions` that takes requests."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._markets = RecentMarkets(kit)

    def accept(
        self,
        wallet_id: str,
        *,
        to: str,
        idempotency_key: str,
        amount: int | None = None,
        asset: str = NATIVE_ALIAS,
        chain_id: int | None = None,
        tier: FeeTier | str = FeeTier.NORMAL,
        fee_per_gas_max_wei: int | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        data: bytes | str | None = None,
        value: int | None = None,
        access_list: Sequence[Mapping[str, object]] = (),
        owner_id: str | None = None,
        actor: str | None = None,
    ) -> Accepted:
        """Accepts a transfer of `amount` base units; the worker signs and sends it. The same key gets the same answer.

        With `data` it is a contract call in place of a transfer: of the contract at `to`, carrying `value` wei; it has no `amount`.
        `access_list` is in the JSON form of EIP-2930.

        `actor` is who asks, where that is not the owner. Moves nothing and keeps nothing when it raises, with one exception:
        `PolicyDenied` names the `rejected` transaction it kept. Raises `NotFound`, `InvalidAddress`, `InvalidAmount`,
        `UnsupportedAsset`, `ValidationFailed`, `InsufficientFunds`, `FeeAboveCap`, `FeeUnavailable`, `NodeUnavailable`,
        `SimulationReverted`, `WalletFrozen`, `ChainHalted`, `ExternalIdExists`, `PolicyDenied`, `IdempotencyKeyMissing`,
        `IdempotencyKeyReused`; `InvalidStateTransition` for a disabled owner; `TypeError` for an amount that is not an int.
        """
        asked = self.ask(
            wallet_id,
            to=to,
            amount=amount,
            idempotency_key=idempotency_key,
            asset=asset,
            chain_id=chain_id,
            tier=tier,
            fee_per_gas_max_wei=fee_per_gas_max_wei,
            external_id=external_id,
            metadata=metadata,
            data=data,
            value=value,
            access_list=access_list,
            owner_id=owner_id,
            actor=actor,
        )
        (outcome,) = self.accept_all([asked])
        return value_of(outcome)

    def ask(
        self,
        wallet_id: str,
        *,
        to: str,
        idempotency_key: str,
        amount: int | None = None,
        asset: str = NATIVE_ALIAS,
        chain_id: int | None = None,
        tier: FeeTier | str = FeeTier.NORMAL,
        fee_per_gas_max_wei: int | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        data: bytes | str | None = None,
        value: int | None = None,
        access_list: Sequence[Mapping[str, object]] = (),
        owner_id: str | None = None,
        actor: str | None = None,
    ) -> Asked:
        """The request that `accept` takes, for `accept_all`. Raises what `accept` raises for what can be read off it alone."""
        key = idempotency.require_key(idempotency_key)
        request = read_request(
            self._kit,
            wallet_id,
            to,
            amount,
            asset,
            chain_id,
            tier,
            fee_per_gas_max_wei,
            external_id,
            metadata,
            data=data,
            value=value,
            access_list=access_list,
        )
        return Asked(request, key, owner_id, actor)

    def accept_batch(
        self, batch: Batch, *, idempotency_key: str, owner_id: str | None = None, actor: str | None = None
    ) -> Sequence[Accepted | CustodyError]:
        """Accepts the payouts of a batch; an outcome for each, in that order, as `accept` would have had for it alone.

        The same key and batch get the same outcomes for what was accepted; what was refused is weighed again. Raises `NotFound`,
        `ValidationFailed`, `IdempotencyKeyMissing`, `IdempotencyKeyReused` for the whole batch.
        """
        asked = ask_batch(self._kit, batch, idempotency_key=idempotency_key, owner_id=owner_id, actor=actor)
        outcomes = iter(self.accept_all([each for each in asked if isinstance(each, Asked)]))
        return [each if isinstance(each, CustodyError) else next(outcomes) for each in asked]

    def accept_all(self, asked: Sequence[Asked], *, wait: bool = True) -> Sequence[Accepted | CustodyError]:
        """Accepts a set of requests as if each came alone, in that order, with the node asked once and one commit for all.

        An outcome for each, in that order; what `accept` would raise for one is its outcome, and the others' are not touched by
        it. Without `wait`, `Conflict` for one whose wallet somebody else holds now. Raises only what concerns all of them, such as
        `DatabaseUnavailable`; each may then be asked again with its own key.
        """
        before = self._kit.read(lambda unit: _looked(Desk(self._kit, unit, asked), asked))
        estimates = iter(estimate_sends(self._kit, self._markets, [each for each in before if isinstance(each, Wanted)]))
        known = [next(estimates) if isinstance(each, Wanted) else each for each in before]
        estimated = [(each, found) for each, found in zip(asked, known, strict=True) if isinstance(found, Estimate)]
        accepted = iter(self._keep(estimated, wait=wait))
        return [_told(next(accepted) if isinstance(found, Estimate) else found) for found in known]

    def _keep(self, estimated: Sequence[tuple[Asked, Estimate]], *, wait: bool) -> list[Accepted | CustodyError]:
        if not estimated:
            return []
        return self._kit.write(lambda unit: self._accept(unit, estimated, wait=wait), repeatable=True)

    def _accept(self, unit: Unit, estimated: Sequence[tuple[Asked, Estimate]], *, wait: bool) -> list[Accepted | CustodyError]:
        now = self._kit.clock.now()
        desk = Desk(self._kit, unit, [asked for asked, _ in estimated], lock=True, wait=wait)
        policies = unit.active_policies()
        outcomes = [desk.accept(asked, estimate, policies, now) for asked, estimate in estimated]
        desk.write(now)
        return outcomes


def _looked(desk: Desk, asked: Sequence[Asked]) -> list[Accepted | Wanted | CustodyError]:
    return [desk.look(each) for each in asked]


def _told(outcome: Accepted | CustodyError) -> Accepted | CustodyError:
    """What the caller is told. A transaction that was born rejected is told as `PolicyDenied`, every time."""
    if isinstance(outcome, CustodyError):
        return outcome
    transaction = outcome.transaction
    if transaction.state is State.REJECTED and transaction.policy_verdict == Verdict.DENY:
        denied = PolicyDenied("the policy does not allow this", transaction_id=transaction.id, rules=transaction.policy_rules)
        denied.replayed = outcome.replayed
        return denied
    return outcome
