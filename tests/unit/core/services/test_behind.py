"""A node that lives in the past: nothing new is sent by what it says, and all of it goes on when it has caught up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from custody_core import FeeUnavailable, Limits, TransactionState, ether
from custody_core.domain.fees import GWEI
from custody_memory.chain import MemoryChain
from tests.unit.core.services.bench import Bench, opened

TWO_HOURS = timedelta(hours=2)


@pytest.fixture
def bench() -> Iterator[Bench]:
    chain = MemoryChain()
    with opened(chain=chain, limits=Limits(key_pool_size=3, head_age_max={chain.chain_id: TWO_HOURS})) as bench:
        yield bench


def syncs(bench: Bench) -> Callable[[], None]:
    """The node says that it is syncing; what ends that."""
    bench.chain.sync()
    return lambda: bench.chain.sync(syncing=False)


def stands_still(bench: Bench) -> Callable[[], None]:
    """The node's newest block is more than two hours old; what ends that."""
    head = bench.chain.head.timestamp
    bench.clock.advance((head - bench.clock.now() + TWO_HOURS).total_seconds() + 1)
    return lambda: bench.chain.mine(20)


Lags = Callable[[Bench], Callable[[], None]]
each_way = pytest.mark.parametrize("lags", [syncs, stands_still])


def behind(bench: Bench) -> str | None:
    (status,) = bench.custody.chains.list()
    return status.behind


@each_way
def test_r_15_nothing_new_is_accepted_through_a_node_that_is_behind(bench: Bench, lags: Lags) -> None:
    wallet = bench.wallet(wei=ether("1"))
    assert behind(bench) is None
    catch_up = lags(bench)
    assert behind(bench) is not None
    with pytest.raises(FeeUnavailable):
        bench.send(wallet)
    catch_up()
    assert behind(bench) is None
    bench.send(wallet)


@each_way
def test_r_15_what_was_accepted_waits_without_a_nonce_until_the_node_has_caught_up(bench: Bench, lags: Lags) -> None:
    wallet = bench.wallet(wei=ether("1"))
    sent = bench.send(wallet)
    catch_up = lags(bench)
    bench.rounds(3, seconds=11)
    waiting = bench.transaction(sent.id)
    assert (waiting.state, waiting.nonce, waiting.parked_reason) == (TransactionState.QUEUED, None, "fee-unavailable")
    assert bench.chain.pool == []
    catch_up()
    bench.settle()
    assert bench.transaction(sent.id).state is TransactionState.COMPLETED
    bench.require_sound()


@each_way
def test_r_15_what_was_signed_is_kept_on_its_way_and_made_no_dearer(bench: Bench, lags: Lags) -> None:
    wallet = bench.wallet(wei=ether("1"))
    sent = bench.send(wallet)
    bench.rounds()
    bench.chain.set_base_fee(5 * GWEI)
    lags(bench)
    (hash_,) = bench.chain.pool
    bench.chain.drop(hash_)
    bench.rounds(6, seconds=31)
    assert bench.chain.pool == [hash_], "the same bytes, and no dearer ones by what the market was"
    assert len(bench.transaction(sent.id).attempts) == 1


def test_what_the_node_has_is_followed_while_it_syncs(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.sync()
    bench.pay_in(wallet, ether("1"))
    assert bench.balance(wallet).available == ether("1")


def test_where_no_age_is_set_the_newest_block_may_be_of_any() -> None:
    with opened() as without:
        stands_still(without)
        assert behind(without) is None


def test_it_is_told_how_old_the_newest_block_is(bench: Bench) -> None:
    stands_still(bench)
    assert behind(bench) == f"its newest block, {bench.chain.head.number}, is of {bench.chain.head.timestamp:%Y-%m-%d %H:%M:%S} UTC"
