"""Transactions as their owners see them: accepted (`acceptance.py`), looked at, waited for, cancelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from custody_core.domain.deposit import Deposit, DepositState
from custody_core.domain.facts import CancelAsked, SpeedUpAsked
from custody_core.domain.fees import FeeTier
from custody_core.domain.ids import IdPrefix, is_id
from custody_core.domain.lifecycle import TRANSITIONS, decide
from custody_core.domain.money import require_amount
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.domain.transaction import AttemptKind, State, Transaction
from custody_core.domain.wallet import Wallet
from custody_core.errors import InvalidStateTransition, NotFound, ValidationFailed, WaitTimedOut
from custody_core.ports import MovementFilter, Unit
from custody_core.services.acceptance import Acceptance
from custody_core.services.checks import require_limit, require_moment
from custody_core.services.estimating import require_below_ceiling, require_fee_below
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_changes
from custody_core.services.previewing import Preview, preview_send
from custody_core.services.releasing import release_deposit
from custody_core.services.replacing import require_dearer
from custody_core.services.send_requests import read_request

WAITABLE = ("broadcasting", "confirming", "completed")
"""States that can be waited for, in the order in which they come; `completed` waits for any final state."""

STATES = tuple(dict.fromkeys((*map(str, State), *map(str, DepositState))))
"""States that can be filtered by, of either direction."""

_POLL_S = 0.2


class Transactions(Acceptance):
    """`custody.transactions`. `step` does a round of the background work while somebody waits, where nobody else does it."""

    def __init__(self, kit: Kit, *, step: Callable[[], None]) -> None:
        super().__init__(kit)
        self._step = step

    def send(
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
    ) -> Transaction:
        """As `accept`, and raising what it raises: the transaction that the same key gets every time, as it is now."""
        accepted = self.accept(
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
        )
        return accepted.transaction

    def preview(
        self,
        wallet_id: str,
        *,
        to: str,
        amount: int | None = None,
        asset: str = NATIVE_ALIAS,
        chain_id: int | None = None,
        tier: FeeTier | str = FeeTier.NORMAL,
        fee_per_gas_max_wei: int | None = None,
        data: bytes | str | None = None,
        value: int | None = None,
        access_list: Sequence[Mapping[str, object]] = (),
        owner_id: str | None = None,
    ) -> Preview:
        """What `send` would do with the same arguments. Moves nothing. Raises what `send` raises, but for what it tells in its
        answer.
        """
        request = read_request(
            self._kit,
            wallet_id,
            to,
            amount,
            asset,
            chain_id,
            tier,
            fee_per_gas_max_wei,
            None,
            None,
            data=data,
            value=value,
            access_list=access_list,
        )
        return preview_send(self._kit, self._markets, request, owner_id)

    def get(self, transaction_id: str, *, owner_id: str | None = None) -> Transaction | Deposit:
        """The transaction, outgoing or incoming. A foreign one is not found. Raises `NotFound`."""
        return self._kit.read(lambda unit: visible_transaction(unit, transaction_id, owner_id))

    def list(
        self,
        *,
        owner_id: str | None = None,
        wallet_id: str | None = None,
        direction: str | None = None,
        state: str | None = None,
        asset: str | None = None,
        external_id: str | None = None,
        created_since: datetime | None = None,
        limit: int = 50,
        before_id: str | None = None,
    ) -> Sequence[Transaction | Deposit]:
        """Transactions of both directions (or of `outgoing` or `incoming` alone), newest first.

        `asset` is an alias, `external_id` a sender's own (incoming ones have none), `created_since` aware. Filters are met all
        together. For the next page give the last one's id as `before_id`. Raises `InvalidRequest`, `ValidationFailed`.
        """
        require_limit(limit)
        if state is not None and state not in STATES:
            raise ValidationFailed(f"a state is one of {', '.join(STATES)}", pointer="/state")
        if direction not in {None, "outgoing", "incoming"}:
            raise ValidationFailed("a direction is outgoing or incoming", pointer="/direction")
        wanted = MovementFilter(
            owner_id=owner_id,
            wallet_id=wallet_id,
            state=state,
            asset=asset,
            external_id=external_id,
            created_since=None if created_since is None else require_moment(created_since, "/created_at[gte]"),
        )

        def work(unit: Unit) -> list[Transaction | Deposit]:
            found: list[Transaction | Deposit] = []
            if direction != "incoming":
                found += unit.transactions(wanted, limit=limit, before_id=before_id)
            if direction != "outgoing":
                found += unit.deposits(wanted, limit=limit, before_id=before_id)
            return sorted(found, key=lambda each: each.id, reverse=True)[:limit]

        return self._kit.read(work)

    def cancel(
        self,
        transaction_id: str,
        *,
        fee_per_gas_max_wei: int | None = None,
        owner_id: str | None = None,
        actor: str | None = None,
    ) -> Transaction:
        """Takes the transaction back: at once before it has a nonce, else by a cancellation that races it on the chain.

        The cancellation pays no more per gas than the payment may, unless `fee_per_gas_max_wei` allows it: the difference is held
        as well. Asking twice for the same is asking once.

        Raises `NotFound`; `InvalidStateTransition` once a block holds it or it is final; `FeeAboveCap` above the service's own cap;
        `InsufficientFunds`.
        """
        if fee_per_gas_max_wei is not None:
            require_amount(fee_per_gas_max_wei, pointer="/fee/fee_per_gas_max_wei")
            require_below_ceiling(self._kit, fee_per_gas_max_wei)

        def work(unit: Unit) -> Transaction:
            now = self._kit.clock.now()
            transaction = visible_outgoing(unit, transaction_id, owner_id)
            is_raised = (fee_per_gas_max_wei or 0) > transaction.fee_cap_wei(AttemptKind.CANCELLATION)
            if transaction.cancel_requested_at is not None and (transaction.is_final or not is_raised):
                return transaction
            if CancelAsked not in TRANSITIONS[transaction.state]:
                raise InvalidStateTransition(f"the transaction is {transaction.state}; it cannot be cancelled any more")
            if is_raised:
                require_fee_below(self._kit.limits, transaction.gas_limit * (fee_per_gas_max_wei or 0))
            change = decide(transaction, CancelAsked(fee_per_gas_max_wei), now)
            record_changes(self._kit, unit, [change], now=now, actor=actor or transaction.owner_id)
            return change.transaction

        return self._kit.write(work)

    def speed_up(self, transaction_id: str, *, owner_id: str | None = None, actor: str | None = None) -> Transaction:
        """Has the next attempt made at once and dearer, as far as the transaction's own cap allows; whichever is mined decides.

        Raises `NotFound`; `InvalidStateTransition` unless it is on its way to a block; `FeeAboveCap` when nothing dearer fits.
        """

        def work(unit: Unit) -> Transaction:
            now = self._kit.clock.now()
            transaction = visible_outgoing(unit, transaction_id, owner_id)
            if SpeedUpAsked not in TRANSITIONS[transaction.state]:
                raise InvalidStateTransition(f"the transaction is {transaction.state}; only one that waits for a block is sped up")
            require_dearer(transaction)
            change = decide(transaction, SpeedUpAsked(), now)
            record_changes(self._kit, unit, [change], now=now, actor=actor or transaction.owner_id)
            return change.transaction

        return self._kit.write(work)

    def release(self, transaction_id: str, *, note: str, owner_id: str | None = None, actor: str = SYSTEM_ACTOR) -> Deposit:
        """Gives a quarantined deposit to its wallet's owner, who can spend it from then on, on the word of an operator who has
        looked. `note` says why, for the audit trail.

        Raises `NotFound`, `ValidationFailed`; `InvalidStateTransition` unless it is quarantined; `ChainHalted`.
        """
        return release_deposit(self._kit, lambda unit: visible_transaction(unit, transaction_id, owner_id), note=note, actor=actor)

    def wait(self, transaction_id: str, *, until: str = "completed", timeout_s: float) -> Transaction:
        """The transaction once it has got as far as `until` (`broadcasting`, `confirming`, or `completed` for any final state).

        Where nobody else does the background work, waiting does it. Raises `NotFound`, `WaitTimedOut`.
        """
        if until not in WAITABLE:
            raise ValidationFailed(f"wait for one of {', '.join(WAITABLE)}", pointer="/until")
        deadline = self._kit.clock.monotonic_s() + timeout_s
        while True:
            transaction = self._kit.read(lambda unit: visible_outgoing(unit, transaction_id, None))
            if _has_reached(transaction, until):
                return transaction
            if self._kit.clock.monotonic_s() >= deadline:
                raise WaitTimedOut(f"the transaction is {transaction.state} after {timeout_s:g} s; it goes on, look again later")
            self._step()
            self._kit.clock.sleep(_POLL_S)


def visible_transaction(unit: Unit, transaction_id: str, owner_id: str | None) -> Transaction | Deposit:
    """The transaction of either direction, when the caller may see it. Absent and foreign answer the same `NotFound`."""
    if is_id(transaction_id, IdPrefix.TRANSACTION):
        transaction = unit.transaction(transaction_id)
        if transaction is not None and owner_id in {None, transaction.owner_id}:
            return transaction
        deposit = unit.deposit(transaction_id)
        if deposit is not None and transaction is None and _is_seen(unit.wallet(deposit.wallet_id), owner_id):
            return deposit
    raise NotFound("no such transaction")


def visible_outgoing(unit: Unit, transaction_id: str, owner_id: str | None) -> Transaction:
    """As `visible_transaction`, for an outgoing one. Raises `NotFound`; `InvalidStateTransition` for an incoming one."""
    found = visible_transaction(unit, transaction_id, owner_id)
    if isinstance(found, Deposit):
        raise InvalidStateTransition("this transaction is incoming")
    return found


def _is_seen(wallet: Wallet | None, owner_id: str | None) -> bool:
    return wallet is not None and wallet.owner_id is not None and owner_id in {None, wallet.owner_id}


def _has_reached(transaction: Transaction, until: str) -> bool:
    if transaction.is_final:
        return True
    reached = WAITABLE.index(transaction.state) if transaction.state in WAITABLE else -1
    return reached >= WAITABLE.index(until)
