"""However many blocks a second node says too little about: together they hold up finality no longer than one."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from custody_core import DepositState, Limits
from custody_core.domain.chain import Block
from custody_core.ports import Answer, Unknown
from custody_core.services.following import Follower
from tests.unit.core.services.bench import FINALITY, Bench, opened
from tests.unit.core.services.test_cross_check import MINIMUM, SecondNode, TwoNodes

LIMITS = Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)
BLOCK_S = 12
WAITED_BLOCKS = 10 * 60 // BLOCK_S
THREE_HOURS = range(3 * 60 * 60 // BLOCK_S)
SLACK_BLOCKS = 4
"""A block is asked about a round after it came, and counts a round after that."""


def lag_blocks(bench: Bench) -> int:
    (state,) = bench.custody.chains.states()
    return bench.chain.head.number - state.final.number


@pytest.mark.parametrize("period", [1, 10])
def test_any_number_of_payments_without_a_trace_delays_finality_by_ten_minutes_at_most(period: int) -> None:
    chain = TwoNodes()
    chain.second = SecondNode(chain, "no traces")
    with opened(chain=chain, limits=LIMITS) as bench:
        mallory, bob = bench.wallet("mallory"), bench.wallet("bob")
        contract = chain.deploy_passing(mallory.address)
        paid, lags = 0, []
        for number in THREE_HOURS:
            if number % period == 0:
                chain.send_ether(contract, MINIMUM)
            else:
                chain.send_ether(bob.address, 1)
                paid += 1
            chain.mine()
            bench.rounds(seconds=BLOCK_S)
            lags.append(lag_blocks(bench))
        assert max(lags) <= WAITED_BLOCKS + FINALITY + SLACK_BLOCKS
        chain.mine(WAITED_BLOCKS)
        bench.rounds(WAITED_BLOCKS, seconds=BLOCK_S)
        payments = [each for each in bench.alarms() if each == "deposit-uncorroborated"]
        assert len(payments) == len(THREE_HOURS[::period]), "each of them, once"
        assert bench.balance(mallory).quarantined == len(payments) * MINIMUM
        if paid:
            assert bench.balance(bob).available == paid
        assert set(bench.alarms()) == {"deposit-uncorroborated"}
        bench.require_sound()


@attrs.define
class ShowsNotAll(SecondNode):
    """Never shows every tenth block."""

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        answers = super().blocks(numbers)
        return [Unknown("too slow") if n % 10 == 0 else each for n, each in zip(numbers, answers, strict=True)]


def test_blocks_that_a_second_node_never_shows_delay_finality_by_ten_minutes_at_most() -> None:
    chain = TwoNodes()
    chain.second = ShowsNotAll(chain)
    with opened(chain=chain, limits=LIMITS) as bench:
        bob = bench.wallet("bob")
        lags = []
        for _ in THREE_HOURS:
            chain.send_ether(bob.address, 1)
            chain.mine()
            bench.rounds(seconds=BLOCK_S)
            lags.append(lag_blocks(bench))
        assert max(lags) <= WAITED_BLOCKS + FINALITY + 60 // BLOCK_S + SLACK_BLOCKS
        assert bench.alarms() == []


def test_whoever_takes_over_does_not_wait_for_a_trace_from_the_beginning() -> None:
    chain = TwoNodes()
    chain.second = SecondNode(chain, "no traces")
    with opened(chain=chain, limits=LIMITS) as bench:
        wallet = bench.wallet()
        chain.send_ether(chain.deploy_passing(wallet.address), MINIMUM)
        bench.blocks(2 * FINALITY)
        bench.clock.advance(600)
        follower = Follower(bench.custody._kit, chain.chain_id, holder="successor")
        follower.follow()
        assert [each.state for each in bench.deposits(wallet)] == [DepositState.CONFIRMING], "it asks for itself, and twice"
        for _ in range(2):
            bench.clock.advance(1)
            chain.mine()
            follower.follow()
        assert [each.state for each in bench.deposits(wallet)] == [DepositState.QUARANTINED]


def test_the_alarm_that_nodes_disagree_ends_when_they_are_not_compared_any_more() -> None:
    chain = TwoNodes()
    chain.second = SecondNode(chain, "failed")
    with opened(chain=chain, limits=LIMITS) as bench:
        chain.send_ether(bench.wallet().address, MINIMUM)
        bench.blocks(2 * FINALITY)
        assert bench.alarms() == ["node-disagreement"]
        chain.second = None
        bench.clock.advance(60)
        kit = bench.custody._kit
        alone = attrs.evolve(kit, limits=attrs.evolve(kit.limits, cross_check_min_wei=None))
        follower = Follower(alone, chain.chain_id, holder="successor")
        for _ in range(2):
            follower.follow()
        told = [each.type for each in bench.all_events() if each.data.get("code") == "node-disagreement"]
        assert told == ["alarm.raised", "alarm.cleared"]


def test_nothing_is_kept_in_memory_of_what_is_final() -> None:
    chain = TwoNodes()
    chain.second = SecondNode(chain, "no traces")
    with opened(chain=chain, limits=LIMITS) as bench:
        contract = chain.deploy_passing(bench.wallet().address)
        kit = bench.custody._kit
        follower = Follower(kit, chain.chain_id, holder="watched")
        bench.clock.advance(60)
        for number in range(3 * WAITED_BLOCKS):
            if number < WAITED_BLOCKS:
                chain.send_ether(contract, MINIMUM)
            chain.mine()
            follower.follow()
            bench.clock.advance(BLOCK_S)
        check = follower._cross_check
        assert lag_blocks(bench) <= FINALITY + SLACK_BLOCKS
        assert (dict(check._silence._lacking), list(check.put_aside), check._read_again) == ({}, [], {})
        assert len(check._silence._saved) <= FINALITY + SLACK_BLOCKS
