"""`Custody.once`: an act and its idempotency key are one commit, on every store and for any number of callers at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from custody_core import Custody, IdempotencyKeyReused, InvalidStateTransition, Wallet
from custody_core.domain.resources import wallet_resource
from custody_core.errors import Conflict
from custody_core.ports import Store
from custody_memory.chain import MemoryChain
from custody_memory.clock import ManualClock, SeededEntropy
from custody_memory.keys import MemoryKeys
from custody_memory.observer import RecordingObserver
from custody_memory.store import MemoryStore
from custody_sql.store import SqlStore
from tests.unit.contracts.store.given import at_once
from tests.unit.core.services.bench import Bench

CALLERS = 20


@pytest.fixture(params=["memory", "sqlite"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A service that many threads ask at once."""
    store: Store = MemoryStore()
    if request.param == "sqlite":
        store = sql = SqlStore(f"sqlite:///{tmp_path / 'custody.db'}")
        sql.upgrade()
    chain, clock, entropy = MemoryChain(), ManualClock(), SeededEntropy(1)
    with Custody(
        store=store,
        chains={chain.chain_id: chain},
        keys=MemoryKeys(entropy),
        clock=clock,
        entropy=entropy,
        observer=RecordingObserver(),
    ) as custody:
        bench = Bench(custody, chain, clock)
        bench.rounds()
        yield bench


def toggle(bench: Bench, wallet: Wallet) -> Mapping[str, object]:
    """An act that shows how often it was done."""
    wallets = bench.custody.wallets
    described = wallets.describe(wallet.id, label=f"{wallets.get(wallet.id).label or ''}x", metadata={})
    return wallet_resource(described)


def test_of_many_callers_at_once_one_acts_and_all_get_its_answer(shared: Bench) -> None:
    wallet = shared.wallet()

    def ask() -> tuple[object, bool]:
        once = shared.custody.once(
            lambda: toggle(shared, wallet), caller_id="usr_a", route="POST /x", key="k", body={"wallet": wallet.id}
        )
        return once.answer["label"], once.replayed

    assert sorted(at_once(*[ask] * CALLERS)) == [("x", False)] + [("x", True)] * (CALLERS - 1)
    assert shared.custody.wallets.get(wallet.id).label == "x"


def test_what_it_did_before_it_failed_is_undone_and_the_key_is_free(shared: Bench) -> None:
    wallet = shared.wallet()

    def fail() -> Mapping[str, object]:
        toggle(shared, wallet)
        shared.custody.wallets.unfreeze(wallet.id)
        raise AssertionError("it was not frozen")

    for _ in range(2):
        with pytest.raises(InvalidStateTransition):
            shared.custody.once(fail, caller_id="usr_a", route="POST /x", key="k", body={})
    assert shared.custody.wallets.get(wallet.id).label is None
    assert not shared.custody.once(lambda: toggle(shared, wallet), caller_id="usr_a", route="POST /x", key="k", body={}).replayed
    with pytest.raises(IdempotencyKeyReused):
        shared.custody.once(lambda: toggle(shared, wallet), caller_id="usr_a", route="POST /x", key="k", body={"other": 1})


def test_a_failure_that_the_act_does_not_pass_on_is_not_committed_around(shared: Bench) -> None:
    wallet = shared.wallet()

    def careless() -> Mapping[str, object]:
        try:
            shared.custody.wallets.unfreeze(wallet.id)
        except InvalidStateTransition:
            return toggle(shared, wallet)
        raise AssertionError("it was not frozen")

    with pytest.raises(InvalidStateTransition):
        shared.custody.once(careless, caller_id="usr_a", route="POST /x", key="k", body={})
    assert shared.custody.wallets.get(wallet.id).label is None


def test_a_conflict_runs_the_whole_act_again(shared: Bench) -> None:
    wallet, runs = shared.wallet(), 0

    def act() -> Mapping[str, object]:
        nonlocal runs
        runs += 1
        if runs == 1:
            toggle(shared, wallet)
            with shared.custody._kit.store.transaction() as unit:
                unit.save_wallet(wallet)  # a version that is not the next one
        return toggle(shared, wallet)

    assert shared.custody.once(act, caller_id="usr_a", route="POST /x", key="k", body={}).answer["label"] == "x"
    assert runs == 2


def test_a_conflict_that_stays_is_told(shared: Bench) -> None:
    wallet = shared.wallet()

    def act() -> Mapping[str, object]:
        with shared.custody._kit.store.transaction() as unit:
            unit.save_wallet(wallet)
        return {}

    with pytest.raises(Conflict):
        shared.custody.once(act, caller_id="usr_a", route="POST /x", key="k", body={})


def test_background_work_is_refused_within(shared: Bench) -> None:
    with pytest.raises(InvalidStateTransition):
        shared.custody.once(lambda: {"tick": shared.custody.tick()}, caller_id="usr_a", route="POST /x", key="k", body={})
