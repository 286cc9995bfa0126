"""Comparing all the time: within the budget, every wallet in its turn, by one process, going on where the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from custody_app import open_in_memory
from custody_core import Limits
from custody_core.services import comparing
from custody_core.services.reconciler import Reconciler
from custody_memory.chain import MemoryChain
from tests.unit.core.services.bench import FINALITY, Bench, contract_of, opened

FEW = 2
"""How many balances one request is for in these tests."""


@pytest.fixture(autouse=True)
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "BALANCES_PER_REQUEST", FEW)


@pytest.fixture
def asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many balances each request was for."""
    return count_requests(bench.chain, monkeypatch)


def count_requests(chain: MemoryChain, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    requests: list[int] = []
    real = chain.balances

    def balances(holders: Sequence[Any], at: Any) -> Any:
        requests.append(len(holders))
        return real(holders, at)

    monkeypatch.setattr(chain, "balances", balances)
    return requests


def more_wallets(bench: Bench, count: int) -> None:
    for number in range(count):
        bench.wallet(f"owner-{number}")


def next_final(bench: Bench) -> int:
    """Another final block, after the pass that was under way; how many wallets there are to compare at it."""
    whole_pass(bench)
    bench.chain.mine(FINALITY + 1)
    bench.custody.follow(bench.chain.chain_id)
    with bench.custody._kit.store.reading() as unit:
        return unit.row_counts().wallets


def whole_pass(bench: Bench) -> list[int]:
    """How many wallets were compared at each turn, until all were."""
    compared: list[int] = []
    for _ in range(100):
        compared.append(bench.custody.compare(bench.chain.chain_id))
        bench.clock.advance(6)
        if bench.custody.pace(bench.chain.chain_id)[0].current is None:
            break
    return compared


def test_it_asks_no_more_often_than_the_budget_says(bench: Bench, asked: list[int]) -> None:
    more_wallets(bench, 7)
    next_final(bench)
    asked.clear()
    for _ in range(60):
        bench.custody.compare(bench.chain.chain_id)
        bench.clock.advance(0.5)
    assert len(asked) == 5  # 30 seconds at 10 a minute
    assert all(count <= FEW for count in asked)


def test_every_wallet_comes_in_its_turn(bench: Bench, asked: list[int]) -> None:
    more_wallets(bench, 7)
    for _ in range(2):
        wallets = next_final(bench)
        asked.clear()
        assert sum(whole_pass(bench)) == wallets
        assert sum(asked) == wallets


def test_it_says_how_long_a_pass_takes(bench: Bench) -> None:
    more_wallets(bench, 5)
    wallets = next_final(bench)
    whole_pass(bench)
    pace, period = bench.custody.pace(bench.chain.chain_id)
    assert pace.last is not None
    assert pace.last.wallets == wallets
    assert period == timedelta(seconds=6) * -(-wallets // FEW)


def test_nothing_is_asked_while_nothing_became_final(bench: Bench, asked: list[int]) -> None:
    bench.rounds(10, seconds=6)
    asked.clear()
    bench.rounds(10, seconds=6)
    assert asked == []
    next_final(bench)
    bench.rounds(1, seconds=6)
    assert asked == [FEW]


def test_each_pass_compares_another_token_for_every_wallet(bench: Bench, asked: list[int]) -> None:
    """So that a transfer which was missed is found in a wallet that has none of the token in its books."""
    tokens = [bench.token(alias) for alias in ("one", "two", "three")]
    wallet = bench.wallet()
    next_final(bench)
    for token in tokens:
        bench.chain.mint(contract_of(token), wallet.address, 5)
    found = []
    for _ in tokens:
        wallets = next_final(bench)
        asked.clear()
        whole_pass(bench)
        assert wallets < sum(asked) <= 2 * wallets + 4  # ether and one token; what was found is looked at again
        found.append(len(bench.custody.suspense.list()))
    assert found == [1, 2, 3]
    whole_pass(bench)
    assert {line.amount for line in bench.custody.suspense.list()} == {5}


def test_a_new_process_goes_on_where_the_last_one_ended(bench: Bench) -> None:
    more_wallets(bench, 4)
    next_final(bench)
    bench.rounds(1, seconds=6)
    before = bench.custody.pace(bench.chain.chain_id)[0]
    assert before.current is not None
    bench.custody.step_down()
    another = Reconciler(bench.custody._kit, bench.chain.chain_id, holder="another")
    assert another.run() == FEW
    after = another.pace()
    assert after.current is not None
    assert after.current.wallets == before.current.wallets + FEW
    assert after.after > before.after


def test_one_process_at_a_time_compares(bench: Bench) -> None:
    next_final(bench)
    assert bench.custody.compare(bench.chain.chain_id) == FEW
    another = Reconciler(bench.custody._kit, bench.chain.chain_id, holder="another")
    bench.clock.advance(6)
    assert another.run() == 0
    bench.clock.advance(20)
    assert another.run() > 0


def test_what_the_node_does_not_say_is_asked_again(bench: Bench) -> None:
    next_final(bench)
    violations = []
    bench.chain.fail_next("balances")
    for _ in range(2):
        whole_pass(bench)
        last = bench.custody.pace(bench.chain.chain_id)[0].last
        assert last is not None
        violations.append(last.violations)
        bench.clock.advance(6)
    assert violations == [FEW, 0]  # the same block is asked about again


def test_a_larger_budget_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(limits=Limits(key_pool_size=3, reconcile_requests_per_minute=600)) as bench:
        asked = count_requests(bench.chain, monkeypatch)
        more_wallets(bench, 7)
        wallets = next_final(bench)
        asked.clear()
        for _ in range(wallets):
            bench.custody.compare(bench.chain.chain_id)
            bench.clock.advance(0.1)
        assert sum(asked) == wallets


def test_a_chain_without_a_first_block_is_left_alone() -> None:
    chain = MemoryChain()
    chain.fail_next("header", 100)
    with open_in_memory(chain) as custody:
        assert custody.compare(chain.chain_id) == 0
