"""The same idempotency key gets the same answer, word for word: later, after changes, and when many ask at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from custody_core import Custody, IdempotencyKeyReused, Limits, PolicyDenied, TransactionState, ether
from custody_core.domain.resources import transaction_resource, wallet_resource
from custody_core.ports import Store
from custody_memory.chain import MemoryChain
from custody_memory.clock import ManualClock, SeededEntropy
from custody_memory.keys import MemoryKeys
from custody_memory.observer import RecordingObserver
from custody_memory.store import MemoryStore
from custody_sql.store import SqlStore
from tests.unit.contracts.store.given import at_once
from tests.unit.core.services.bench import FRIEND, Bench

DENY_ALL = {"version": 1, "rules": [{"id": "stop", "when": {}, "then": {"deny": True}}]}
ALLOW_ALL = {"version": 1, "rules": [{"id": "go", "when": {}, "then": {"allow": True}}]}
CALLERS = 25
PARALLEL = "payout-1"


def text_of(answer: Mapping[str, object]) -> str:
    return json.dumps(answer)


def test_a_send_is_answered_as_it_was_however_far_it_has_got(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))

    def accept(amount: int = ether("0.1")) -> tuple[str, bool, TransactionState]:
        accepted = bench.custody.transactions.accept(
            wallet.id, to=FRIEND, amount=amount, idempotency_key="k", metadata={"z": "1", "a": "2"}
        )
        return text_of(accepted.answer), accepted.replayed, accepted.transaction.state

    first = accept()
    (sent,) = bench.outgoing(wallet)
    assert first == (text_of(transaction_resource(sent)), False, TransactionState.QUEUED)
    bench.settle()
    assert accept() == (first[0], True, TransactionState.COMPLETED)
    with pytest.raises(IdempotencyKeyReused):
        accept(ether("0.2"))
    assert len(bench.outgoing(wallet)) == 1


def test_a_wallet_is_answered_as_it_was_when_it_was_handed_out(bench: Bench) -> None:
    first = bench.custody.wallets.accept_create(owner="alice", idempotency_key="k", label="savings", metadata={"z": "1", "a": "2"})
    assert (first.answer, first.replayed) == (wallet_resource(first.wallet), False)
    bench.custody.wallets.freeze(first.wallet.id, reason="asked")
    again = bench.custody.wallets.accept_create(owner="alice", idempotency_key="k", label="savings", metadata={"a": "2", "z": "1"})
    assert (text_of(again.answer), again.replayed) == (text_of(first.answer), True)
    assert again.wallet.state_reason == "asked"
    assert again.answer["state"] == "open"


def test_a_denial_is_answered_again_even_when_the_policy_has_changed(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.custody.policies.publish(DENY_ALL)
    with pytest.raises(PolicyDenied) as first:
        bench.send(wallet, idempotency_key="k")
    bench.custody.policies.publish(ALLOW_ALL)
    with pytest.raises(PolicyDenied) as again:
        bench.send(wallet, idempotency_key="k")
    assert (first.value.replayed, again.value.replayed) == (False, True)
    assert (again.value.detail, again.value.extra) == (first.value.detail, first.value.extra)
    assert bench.send(wallet, idempotency_key="another").state is TransactionState.QUEUED


def test_a_key_is_its_owners_alone(bench: Bench) -> None:
    mine, theirs = bench.wallet("alice", wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    first, second = bench.send(mine, idempotency_key="k"), bench.send(theirs, idempotency_key="k", amount=ether("0.2"))
    assert first.id != second.id


def test_who_asked_is_audited_where_it_is_not_the_owner(bench: Bench) -> None:
    wallet = bench.custody.wallets.accept_create(owner="alice", idempotency_key="w", actor="usr_operator").wallet
    bench.pay_in(wallet, ether("1"))
    sent = bench.custody.transactions.accept(wallet.id, to=FRIEND, amount=1, idempotency_key="t", actor="usr_operator").transaction
    bench.custody.seal()
    with bench.custody._kit.store.reading() as unit:
        rows = unit.audit(after_sequence=0, limit=1_000)
    told = {(row.action, row.actor) for row in rows if row.object_id in {wallet.id, sent.id}}
    assert {("wallet.created", "usr_operator"), ("transaction.created", "usr_operator")} <= told


def test_a_record_from_before_answers_were_kept_is_answered_with_what_is_there_now(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    sent = bench.send(wallet, idempotency_key="k")
    scope = f"{wallet.owner_id} POST /transactions"
    with bench.custody._kit.store.reading() as unit:
        record = unit.idempotency(scope, "k")
    assert record is not None
    with bench.custody._kit.store.transaction() as unit:
        unit.add_idempotency([attrs.evolve(record, key="old", answer={})])
    again = bench.custody.transactions.accept(wallet.id, to=FRIEND, amount=ether("0.1"), idempotency_key="old")
    assert (again.answer, again.replayed) == (transaction_resource(sent), True)


@pytest.fixture(params=["memory", "sqlite"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A service that many threads ask at once."""
    store: Store = MemoryStore()
    if request.param == "sqlite":
        store = sql = SqlStore(f"sqlite:///{tmp_path / 'custody.db'}")
        sql.upgrade()
    chain, clock, entropy = MemoryChain(), ManualClock(), SeededEntropy(1)
    custody = Custody(
        store=store,
        chains={chain.chain_id: chain},
        keys=MemoryKeys(entropy),
        clock=clock,
        entropy=entropy,
        observer=RecordingObserver(),
        limits=Limits(key_pool_size=CALLERS + 1),
    )
    with custody:
        custody.policies.ensure_starter()
        bench = Bench(custody, chain, clock)
        bench.rounds()
        yield bench


def test_many_sends_with_one_key_at_once_are_one_send_with_one_answer(shared: Bench) -> None:
    wallet = shared.wallet(wei=ether("1"))

    def ask() -> tuple[str, bool]:
        accepted = shared.custody.transactions.accept(wallet.id, to=FRIEND, amount=ether("0.3"), idempotency_key=PARALLEL)
        return text_of(accepted.answer), accepted.replayed

    answers = at_once(*[ask] * CALLERS)
    assert len({answer for answer, _ in answers}) == 1
    assert sorted(replayed for _, replayed in answers) == [False] + [True] * (CALLERS - 1)
    assert len(shared.outgoing(wallet)) == 1
    shared.require_sound()


def test_many_wallets_with_one_key_at_once_are_one_wallet_of_one_owner(shared: Bench) -> None:
    def ask() -> tuple[str, bool]:
        accepted = shared.custody.wallets.accept_create(owner="newcomer", idempotency_key=PARALLEL)
        return text_of(accepted.answer), accepted.replayed

    answers = at_once(*[ask] * CALLERS)
    assert len({answer for answer, _ in answers}) == 1
    assert sorted(replayed for _, replayed in answers) == [False] + [True] * (CALLERS - 1)
    assert len(shared.custody.wallets.list()) == 1
    assert [user.subject for user in shared.custody.users.list()] == ["newcomer"]


def test_many_denied_sends_with_one_key_at_once_keep_one_rejected_transaction(shared: Bench) -> None:
    wallet = shared.wallet(wei=ether("1"))
    shared.custody.policies.publish(DENY_ALL)

    def ask() -> object:
        with pytest.raises(PolicyDenied) as denied:
            shared.send(wallet, idempotency_key=PARALLEL)
        return denied.value.extra["transaction_id"]

    told = set(at_once(*[ask] * CALLERS))
    assert told == {each.id for each in shared.outgoing(wallet)}
    assert len(told) == 1
