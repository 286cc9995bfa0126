"""A chain that goes on and does not become final: nothing is credited, a person is told once, and told when it is over."""

from __future__ import annotations

import attrs
import pytest

from custody_core import Limits, TransactionState, ether
from custody_core.services.following import Follower
from custody_memory.chain import MemoryChain
from custody_memory.world import SECONDS_PER_BLOCK
from tests.unit.core.services.bench import FINALITY, Bench, opened

AN_HOUR = 3600 // SECONDS_PER_BLOCK
CHAIN = "eip155:31337"


def follow(bench: Bench, blocks: int) -> None:
    bench.chain.mine(blocks)
    bench.custody.follow(bench.chain.chain_id)


def told(bench: Bench) -> list[str]:
    """What was told about the chain, in order."""
    return bench.events(CHAIN)


def test_r_14_a_thousand_blocks_without_finality_credit_nothing_and_raise_one_alarm(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.chain.stall_finality()
    bench.chain.send_ether(wallet.address, ether("2"))
    for _ in range(10):
        follow(bench, 100)
    balance = bench.balance(wallet)
    assert (balance.available, balance.pending_in) == (ether("1"), ether("2"))
    assert bench.alarms() == ["finality-stalled"]
    assert told(bench) == ["alarm.raised"]

    bench.chain.stall_finality(stalled=False)
    follow(bench, 1)
    assert bench.balance(wallet).available == ether("3")
    assert told(bench) == ["alarm.raised", "alarm.cleared"]
    bench.require_sound()


def test_r_14_what_is_final_already_can_be_sent_meanwhile(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.chain.stall_finality()
    follow(bench, 2 * AN_HOUR)
    sent = bench.send(wallet, ether("0.5"))
    bench.rounds(2)
    bench.blocks(2)
    assert bench.transaction(sent.id).state is TransactionState.CONFIRMING


def test_the_alarm_is_over_when_a_depth_is_set_because_of_it(bench: Bench) -> None:
    bench.chain.stall_finality()
    follow(bench, 2 * AN_HOUR)
    assert told(bench) == ["alarm.raised"]
    kit = bench.custody._kit
    deep = attrs.evolve(kit, limits=attrs.evolve(kit.limits, confirmations={bench.chain.chain_id: 4}))
    bench.clock.advance(60)
    bench.chain.mine()
    Follower(deep, bench.chain.chain_id, holder="with a depth").follow()
    assert told(bench) == ["alarm.raised", "alarm.cleared"]


@pytest.mark.parametrize(
    ("blocks", "is_told"), [(AN_HOUR - FINALITY, False), (AN_HOUR + 1, True)], ids=["within the hour", "after it"]
)
def test_the_alarm_is_raised_after_an_hour_of_the_chains_time(bench: Bench, blocks: int, is_told: bool) -> None:
    bench.blocks(FINALITY + 1)
    bench.chain.stall_finality()
    follow(bench, blocks)
    assert bench.alarms() == ["finality-stalled"] * is_told


def test_whoever_was_away_for_long_is_not_taken_for_a_stalled_chain(bench: Bench) -> None:
    follow(bench, 3 * AN_HOUR)
    assert told(bench) == []


def test_where_a_depth_is_set_the_tag_says_nothing() -> None:
    chain = MemoryChain()
    with opened(chain=chain, limits=Limits(confirmations={chain.chain_id: 2 * AN_HOUR}, key_pool_size=1)) as bench:
        chain.stall_finality()
        follow(bench, 3 * AN_HOUR)
        assert told(bench) == []


def test_another_process_knows_what_was_told(bench: Bench) -> None:
    bench.chain.stall_finality()
    follow(bench, 2 * AN_HOUR)
    successor = bench.custody.__class__(
        store=bench.custody._kit.store,
        chains={bench.chain.chain_id: bench.chain},
        keys=None,
        clock=bench.clock,
        entropy=bench.custody._kit.entropy,
        observer=bench.custody._kit.observer,
    )
    bench.custody.step_down()
    bench.chain.mine()
    successor.follow(bench.chain.chain_id)
    assert told(bench) == ["alarm.raised"]
    bench.chain.stall_finality(stalled=False)
    bench.chain.mine()
    successor.follow(bench.chain.chain_id)
    assert told(bench) == ["alarm.raised", "alarm.cleared"]
