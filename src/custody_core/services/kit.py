"""What every service holds: the ports, the limits, and the one way to run a unit.

A unit is run again, whole and with fresh reads, when the database says `Conflict`. Units therefore do nothing but read, decide
and write: a call that leaves the process is made before or after, never within.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

import attrs

from custody_core.domain import deposit as deposits
from custody_core.domain import lifecycle
from custody_core.domain.audit import AuditEvent, Event
from custody_core.domain.chain import BlockRef
from custody_core.domain.fees import ETHER, GAS_LIMIT_MAX, GWEI
from custody_core.domain.ids import ENTROPY_BYTES, IdPrefix, make_id
from custody_core.domain.nonce import IN_FLIGHT_MAX
from custody_core.domain.resources import Resource, deposit_resource, transaction_resource, wallet_resource
from custody_core.domain.wallet import Wallet
from custody_core.errors import Conflict, InvalidStateTransition, NotFound, OutcomeUnknown
from custody_core.ports import Chain, Clock, Entropy, Keys, Observer, Store, Unit

T = TypeVar("T")


class Traces(StrEnum):
    """What is made of a node's traces, which tell of internal transfers."""

    AUTO = "auto"
    """Read where a node offers them."""
    OFF = "off"
    """Not asked for."""
    REQUIRED = "required"
    """A block without them waits."""


UNIT_ATTEMPTS_MAX = 8
"""How often a unit is run before its `Conflict` reaches the caller."""

SYSTEM_ACTOR = "system"
"""Who acts when nobody asked: the workers."""


@attrs.frozen
class Limits:
    """What an operator may set about the core's own behaviour."""

    fee_per_gas_max_wei: int = 500 * GWEI
    """No transaction's cap is above this."""

    fee_max_wei: int = ETHER
    """No transaction's gas may cost more than this in all. Nodes commonly refuse to pass on more than one ether."""

    gas_limit_max: int = GAS_LIMIT_MAX
    """No transaction may use more gas: what a call needs above this is refused before anything is signed."""

    confirmations: Mapping[int, int | None] = attrs.field(factory=dict)
    """Chain id → the depth that counts as final; None or no entry: the node's `finalized` tag."""

    traces: Mapping[int, Traces] = attrs.field(factory=dict)
    """Chain id → what is made of its node's traces; no entry: `AUTO`."""

    head_age_max: Mapping[int, timedelta] = attrs.field(factory=dict)
    """Chain id → how old the newest block may be while sends are made; no entry: any age, as where blocks are made on demand."""

    dust_wei: int = 0
    """Native deposits below this are quarantined."""

    cross_check_min_wei: int | None = None
    """Two nodes have to agree about a native deposit of this much or more, and about every token deposit, before its block is
    final to us. None: one node's word is taken.
    """

    in_flight_max: int = IN_FLIGHT_MAX
    """Transactions of one wallet that may hold a nonce and be in no block yet."""

    key_pool_size: int = 10
    """Wallets made ahead."""

    blocks_per_commit_max: int = 50
    """Blocks that one scan commits together."""

    reconcile_requests_per_minute: int = 10
    """How often a node is asked for balances, to compare them with the books all the time; of up to 100 balances each."""

    lease: timedelta = timedelta(seconds=20)
    """How long a follower leads, and a worker holds its rows, without another sign of life."""


@attrs.frozen
class Kit:
    """The ports and limits that services work with. `keys` is None in a process that holds no key material."""

    store: Store
    chains: Mapping[int, Chain]
    keys: Keys | None
    clock: Clock
    entropy: Entropy
    observer: Observer
    limits: Limits
    chain_names: Mapping[int, str] = attrs.field(factory=dict)
    """Chain id → what the operator calls it."""
    is_joined: Callable[[], bool] = lambda: False
    """Whether the store is now within a transaction of the caller's (`Custody.joined`), which may still be rolled back."""

    def new_id(self, prefix: IdPrefix, now: datetime) -> str:
        """A fresh identifier."""
        return make_id(prefix, now, self.entropy.random_bytes(ENTROPY_BYTES))

    def require_own_transactions(self) -> None:
        """For work whose commits must come before what leaves the process. Raises `InvalidStateTransition` inside `joined`."""
        if self.is_joined():
            raise InvalidStateTransition("this needs commits of its own; do it after your transaction, outside of `joined`")

    def write(self, work: Callable[[Unit], T], *, repeatable: bool = False) -> T:
        """Runs `work` in a transaction, again while the database says `Conflict`.

        `repeatable`: the unit finds out by itself whether it has happened already, so it is also run again when the answer to
        COMMIT was lost.
        """
        for _ in range(UNIT_ATTEMPTS_MAX - 1):
            try:
                with self.store.transaction() as unit:
                    return work(unit)
            except Conflict:
                continue
            except OutcomeUnknown:
                if not repeatable:
                    raise
        with self.store.transaction() as unit:
            return work(unit)

    def read(self, work: Callable[[Unit], T]) -> T:
        """Runs `work` on one moment of the store."""
        with self.store.reading() as unit:
            return work(unit)

    def chain(self, chain_id: int) -> Chain:
        """The port of a configured chain. Raises `NotFound`."""
        try:
            return self.chains[chain_id]
        except KeyError:
            raise NotFound(f"this service follows no chain eip155:{chain_id}", pointer="/chain") from None


def lease_of(chain_id: int) -> str:
    """The name of the lease that whoever follows a chain holds."""
    return f"follow:{chain_id}"


def rescan_lease_of(chain_id: int) -> str:
    """The name of the lease that whoever reads a chain's blocks again holds, until the last of them is taken in."""
    return f"rescan:{chain_id}"


def record_audit(
    kit: Kit, unit: Unit, *, now: datetime, actor: str, action: str, object_id: str, detail: Mapping[str, str] | None = None
) -> None:
    """One audit row, in the unit of the change that it tells of."""
    unit.add_audit([AuditEvent(kit.new_id(IdPrefix.AUDIT, now), now, actor, action, object_id, detail or {})])


def record_event(kit: Kit, unit: Unit, *, now: datetime, type_: str, object_id: str, owner_id: str | None, data: Resource) -> None:
    """One event, in the unit of the change that it tells of."""
    unit.add_events([Event(kit.new_id(IdPrefix.EVENT, now), type_, now, object_id, owner_id, data)])


def raise_alarm(kit: Kit, unit: Unit, *, now: datetime, code: str, object_id: str, detail: str) -> None:
    """An `alarm.raised` event with its audit row; the observer is told as well."""
    record_event(
        kit,
        unit,
        now=now,
        type_="alarm.raised",
        object_id=object_id,
        owner_id=None,
        data={"code": code, "object_id": object_id, "detail": detail},
    )
    record_audit(kit, unit, now=now, actor=SYSTEM_ACTOR, action="alarm.raised", object_id=object_id, detail={"code": code})
    kit.observer.trouble(code, detail)


def clear_alarm(kit: Kit, unit: Unit, *, now: datetime, code: str, object_id: str, detail: str) -> None:
    """An `alarm.cleared` event with its audit row: what an alarm was raised for is over."""
    data: Resource = {"code": code, "object_id": object_id, "detail": detail}
    record_event(kit, unit, now=now, type_="alarm.cleared", object_id=object_id, owner_id=None, data=data)
    record_audit(kit, unit, now=now, actor=SYSTEM_ACTOR, action="alarm.cleared", object_id=object_id, detail={"code": code})


def record_wallet(kit: Kit, unit: Unit, wallet: Wallet, event: str, *, actor: str, now: datetime) -> None:
    """Saves a wallet's change with its audit row and its event."""
    unit.save_wallet(wallet)
    detail = {"reason": wallet.state_reason} if wallet.state_reason else {}
    record_audit(kit, unit, now=now, actor=actor, action=event, object_id=wallet.id, detail=detail)
    data = wallet_resource(wallet)
    record_event(kit, unit, now=now, type_=event, object_id=wallet.id, owner_id=wallet.owner_id, data=data)


def record_changes(
    kit: Kit,
    unit: Unit,
    changes: Sequence[lifecycle.Change],
    *,
    now: datetime,
    actor: str = SYSTEM_ACTOR,
    head: BlockRef | None = None,
) -> None:
    """Saves what facts made of outgoing transactions: rows, books, audit and events, together."""
    unit.save_transactions([change.transaction for change in changes])
    unit.post([group for change in changes for group in change.postings])
    unit.add_audit([_transaction_audit(kit, change, actor, now) for change in changes])
    unit.add_events([_transaction_event(kit, change, now, head) for change in changes if change.event])


def record_accepted(kit: Kit, unit: Unit, changes: Sequence[tuple[lifecycle.Change, str]], *, now: datetime) -> None:
    """Saves new outgoing transactions, each (change, actor), with their holds, audit rows and events."""
    unit.add_transactions([change.transaction for change, _ in changes])
    unit.post([group for change, _ in changes for group in change.postings])
    unit.add_audit([_transaction_audit(kit, change, actor, now) for change, actor in changes])
    told = [attrs.evolve(change, event=event) for change, _ in changes for event in ("created", str(change.transaction.state))]
    unit.add_events([_transaction_event(kit, each, now, None) for each in told])


def record_deposits(
    kit: Kit,
    unit: Unit,
    changes: Sequence[deposits.DepositChange],
    *,
    now: datetime,
    owners: Mapping[str, str | None],
    head: BlockRef,
) -> None:
    """Saves what facts made of deposits. `owners`: wallet id → owner id."""
    unit.save_deposits([change.deposit for change in changes])
    unit.post([group for change in changes for group in change.postings])
    record_deposit_notices(kit, unit, [(each.deposit, each.event) for each in changes], now=now, owners=owners, head=head)


def record_deposit_notices(
    kit: Kit,
    unit: Unit,
    told: Sequence[tuple[deposits.Deposit, str]],
    *,
    now: datetime,
    owners: Mapping[str, str | None],
    head: BlockRef,
) -> None:
    """The audit row and the event of each deposit's change. `owners`: wallet id → owner id."""
    audits, events = [], []
    for deposit, event in told:
        detail = {"state": str(deposit.state), "hash": deposit.key.transaction_hash, "block": deposit.block.hash}
        audits.append(AuditEvent(kit.new_id(IdPrefix.AUDIT, now), now, SYSTEM_ACTOR, f"deposit.{event}", deposit.id, detail))
        data, owner_id = deposit_resource(deposit, head=head), owners[deposit.wallet_id]
        events.append(Event(kit.new_id(IdPrefix.EVENT, now), f"transaction.{event}", now, deposit.id, owner_id, data))
    unit.add_audit(audits)
    unit.add_events(events)


def _transaction_audit(kit: Kit, change: lifecycle.Change, actor: str, now: datetime) -> AuditEvent:
    transaction = change.transaction
    detail = {"state": str(transaction.state), "version": str(transaction.version)}
    optional = {
        "nonce": transaction.nonce,
        "hash": transaction.hash,
        "decision": transaction.decision_id,
        "reason": transaction.reason,
    }
    detail |= {name: str(value) for name, value in optional.items() if value is not None}
    action = f"transaction.{change.event or transaction.state}"
    return AuditEvent(kit.new_id(IdPrefix.AUDIT, now), now, actor, action, transaction.id, detail)


def _transaction_event(kit: Kit, change: lifecycle.Change, now: datetime, head: BlockRef | None) -> Event:
    transaction = change.transaction
    data = transaction_resource(transaction, head=head)
    event_id = kit.new_id(IdPrefix.EVENT, now)
    return Event(event_id, f"transaction.{change.event}", now, transaction.id, transaction.owner_id, data)
