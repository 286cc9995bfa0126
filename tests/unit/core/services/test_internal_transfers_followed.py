"""Ether that contracts pay: credited from traces as any deposit is, never twice, never from what was taken back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import attrs
import pytest

from custody_core import DepositState, Limits, Traces, Wallet, ether
from custody_core.domain.chain import Block, Hash, InternalTransfer, Receipt
from custody_core.domain.deposit import DepositKind
from custody_core.errors import NodeUnavailable
from custody_core.ports import Answer, Doubt, Found, Unknown, no_doubt
from custody_core.services.following import Follower, Round
from custody_memory.chain import MemoryChain
from custody_memory.execution import Passing
from custody_memory.world import SECONDS_PER_BLOCK
from tests.unit.core.services.bench import FINALITY, Bench, opened

ONE = ether("1")


def pay(bench: Bench, wallet: Wallet, how: Passing = Passing.CALL, *, wei: int = ONE, parts: int = 1) -> None:
    """A contract passes `wei` on to the wallet; it waits for a block."""
    bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, how, parts=parts), wei)


def with_traces(traces: Traces, *, offered: bool = True) -> AbstractContextManager[Bench]:
    chain = MemoryChain(offers_traces=offered)
    return opened(chain=chain, limits=Limits(traces={chain.chain_id: traces}, key_pool_size=3))


def told(bench: Bench) -> str | None:
    """The trouble with traces that the observer was told of last."""
    troubles: dict[str, str] = vars(bench.custody._kit.observer)["troubles"]
    return troubles.pop("traces-missing", None)


def on_chain(bench: Bench, wallet: Wallet) -> int:
    return bench.chain._held.at((None, bytes.fromhex(wallet.address[2:])), bench.chain.head.number)


def test_d12_what_a_contract_pays_shows_at_once_and_counts_when_final(bench: Bench) -> None:
    wallet = bench.wallet()
    pay(bench, wallet)
    bench.blocks(1)
    (deposit,) = bench.deposits(wallet)
    assert (deposit.state, deposit.key.kind, deposit.asset.alias) == (DepositState.CONFIRMING, DepositKind.INTERNAL, "eth")
    assert (bench.balance(wallet).available, bench.balance(wallet).pending_in) == (0, ONE)
    bench.blocks(FINALITY)
    (deposit,) = bench.deposits(wallet)
    assert deposit.state is DepositState.COMPLETED
    assert bench.balance(wallet).available == ONE
    assert bench.events(deposit.id) == ["transaction.confirming", "transaction.completed"]
    bench.require_sound()


def test_two_equal_internal_transfers_are_two_deposits(bench: Bench) -> None:
    wallet = bench.wallet()
    pay(bench, wallet, parts=2)
    bench.blocks(FINALITY + 1)
    assert [(each.key.amount, each.state) for each in bench.deposits(wallet)] == [(ONE // 2, DepositState.COMPLETED)] * 2
    assert {each.key.ordinal for each in bench.deposits(wallet)} == {0, 1}
    bench.require_sound()


def test_d12_with_both_paths_on_each_payment_is_found_once(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, ether("2"))
    pay(bench, wallet)
    bench.blocks(FINALITY + 1)
    assert {each.key.kind: each.key.amount for each in bench.deposits(wallet)} == {
        DepositKind.NATIVE: ether("2"),
        DepositKind.INTERNAL: ONE,
    }
    assert len(bench.deposits(wallet)) == 2
    assert bench.balance(wallet).available == on_chain(bench, wallet) == ether("3")
    bench.require_sound()


def test_d13_what_was_taken_back_is_not_credited(bench: Bench) -> None:
    wallet = bench.wallet()
    pay(bench, wallet, Passing.REVERTED)
    bench.blocks(FINALITY + 1)
    assert (bench.deposits(wallet), on_chain(bench, wallet)) == ([], 0)
    bench.require_sound()


class FailedOnChain(MemoryChain):
    """A node whose receipts say that nothing succeeded, whatever its traces tell."""

    def receipts(self, transaction_hashes: Sequence[Hash], **_doubt: Any) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes)
        return [Found(attrs.evolve(each.value, succeeded=False)) if isinstance(each, Found) else each for each in answers]


def test_d02_what_a_transaction_paid_whose_receipt_says_that_it_failed_is_not_credited() -> None:
    with opened(chain=FailedOnChain()) as bench:
        wallet = bench.wallet()
        pay(bench, wallet)
        bench.blocks(FINALITY + 1)
        assert bench.deposits(wallet) == []


def test_d14_what_is_forced_on_an_address_is_nobodys_deposit(bench: Bench) -> None:
    wallet = bench.wallet()
    pay(bench, wallet, Passing.SELF_DESTRUCT)
    bench.blocks(FINALITY + 1)
    assert on_chain(bench, wallet) == ONE
    assert (bench.deposits(wallet), bench.balance(wallet).total) == ([], 0)


def test_r01_and_r02_an_internal_deposit_goes_and_comes_back_with_its_block(bench: Bench) -> None:
    wallet = bench.wallet()
    pay(bench, wallet)
    bench.blocks(2)
    (first,) = bench.deposits(wallet)
    bench.chain.reorg(2)
    bench.rounds()
    (gone,) = bench.deposits(wallet)
    assert (gone.id, gone.state, bench.balance(wallet).pending_in) == (first.id, DepositState.ORPHANED, 0)
    bench.blocks(FINALITY + 3)
    (back,) = bench.deposits(wallet)
    assert (back.id, back.state) == (first.id, DepositState.COMPLETED)
    assert back.block != first.block
    assert bench.balance(wallet).available == ONE
    bench.require_sound()


def test_a_wallet_pays_another_through_a_contract(bench: Bench) -> None:
    payer, payee = bench.wallet(wei=ether("2")), bench.wallet("bob")
    bench.send(payer, ONE, to=bench.chain.deploy_passing(payee.address))
    bench.settle()
    (deposit,) = bench.deposits(payee)
    assert (deposit.key.kind, deposit.state) == (DepositKind.INTERNAL, DepositState.COMPLETED)
    assert deposit.key.sender != payer.address
    bench.require_sound()


@pytest.mark.parametrize("traces", [Traces.AUTO, Traces.REQUIRED])
def test_a_block_whose_traces_the_node_keeps_to_itself_is_read_later(traces: Traces) -> None:
    with with_traces(traces) as bench:
        wallet = bench.wallet()
        pay(bench, wallet)
        bench.chain.mine()
        cursor = bench.custody.chains.list()[0].state.cursor
        bench.chain.fail_next("internal_transfers")
        assert bench.custody.follow(bench.chain.chain_id) is Round.WAITING
        assert bench.custody.chains.list()[0].state.cursor == cursor
        bench.blocks(FINALITY)
        assert bench.balance(wallet).available == ONE


def test_blocks_below_the_one_that_cannot_be_read_are_saved(bench: Bench) -> None:
    bench.chain.mine(2)
    bench.chain.send_ether(bench.wallet().address, ONE)
    bench.chain.mine()
    bench.chain.fail_next("internal_transfers", times=2)
    assert bench.custody.follow(bench.chain.chain_id) is Round.WAITING
    assert bench.custody.chains.list()[0].state.cursor.number == bench.chain.head.number - 1


def test_of_empty_blocks_nobody_is_asked(bench: Bench) -> None:
    bench.chain.fail_next("internal_transfers")
    bench.blocks(3)
    assert bench.custody.chains.list()[0].state.cursor.number == bench.chain.head.number


def test_d12_without_traces_blocks_are_followed_and_it_is_told_once() -> None:
    with with_traces(Traces.AUTO, offered=False) as bench:
        wallet = bench.wallet()
        pay(bench, wallet)
        bench.blocks(1)
        assert "end in suspense" in str(told(bench))
        pay(bench, wallet)
        bench.chain.send_ether(wallet.address, ONE)
        bench.blocks(FINALITY + 1)
        assert told(bench) is None
        assert [each.key.kind for each in bench.deposits(wallet)] == [DepositKind.NATIVE]
        assert on_chain(bench, wallet) == 3 * ONE


def test_where_traces_are_required_a_block_without_them_waits() -> None:
    with with_traces(Traces.REQUIRED, offered=False) as bench:
        wallet = bench.wallet()
        bench.chain.send_ether(wallet.address, ONE)
        bench.chain.mine()
        assert bench.custody.follow(bench.chain.chain_id) is Round.WAITING
        assert bench.deposits(wallet) == []


def test_where_traces_are_off_nobody_is_asked() -> None:
    with with_traces(Traces.OFF) as bench:
        wallet = bench.wallet()
        pay(bench, wallet)
        bench.chain.fail_next("internal_transfers")
        bench.blocks(FINALITY + 1)
        assert (bench.deposits(wallet), told(bench)) == ([], None)
        assert bench.custody.chains.list()[0].state.cursor.number == bench.chain.head.number


# Blocks of which no trace comes


class Heavy(MemoryChain):
    """A node that never finishes the traces of some blocks. Of what is asked together, it tells nothing after such a one."""

    heavy: frozenset[int] = frozenset()
    asked: list[list[int]]

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        self.asked = [*getattr(self, "asked", []), [block.header.number for block in blocks]]
        answers = list(super().internal_transfers(blocks))
        first = next((at for at, block in enumerate(blocks) if block.header.number in self.heavy), len(answers))
        return answers[:first] + [Unknown("was silent for 15 s")] * (len(answers) - first)


def paying_blocks(bench: Bench, wallet: Wallet, count: int) -> None:
    """In each block a contract pays once."""
    for _ in range(count):
        pay(bench, wallet)
        bench.chain.mine()


def follow_for(bench: Bench, minutes: int) -> None:
    for _ in range(6 * minutes):
        bench.custody.follow(bench.chain.chain_id)
        bench.clock.advance(10)


def internal_blocks(bench: Bench, wallet: Wallet) -> list[int]:
    return sorted(each.block.number for each in bench.deposits(wallet) if each.key.kind is DepositKind.INTERNAL)


def alarms(bench: Bench, code: str = "traces-missing") -> list[tuple[str, str]]:
    return [(each.type, str(each.data["detail"])) for each in bench.all_events() if each.data.get("code") == code]


def test_d12_a_block_whose_traces_never_come_is_read_without_them_and_no_other_one_is() -> None:
    chain = Heavy()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        paying_blocks(bench, wallet, 8)
        chain.heavy = frozenset({4})
        chain.mine(FINALITY)
        follow_for(bench, 9)
        assert internal_blocks(bench, wallet) == [1, 2, 3]
        assert alarms(bench) == []
        follow_for(bench, 3)
        assert internal_blocks(bench, wallet) == [1, 2, 3, 5, 6, 7, 8]
        follow_for(bench, 59)
        paying_blocks(bench, wallet, 1)
        follow_for(bench, 1)
        (raised, cleared) = alarms(bench)
        assert raised[0] == "alarm.raised"
        assert "in block 4 is not known (was silent for 15 s)" in raised[1]
        assert cleared[0] == "alarm.cleared"
        assert "all blocks from 5 on are told of" in cleared[1]
        assert [each for each, _ in alarms(bench, "chain-stalled")] == ["alarm.raised", "alarm.cleared"]
        chain.heavy = frozenset()
        found = bench.custody.scans.rescan(4)
        assert [each.block.number for each in found.missing.deposits] == [4]
        assert bench.balance(wallet).available == 8 * ONE


def test_a_block_below_the_one_that_was_named_is_named_too() -> None:
    """Else who reads again from the named one on never finds what a reorganisation put below it."""
    chain = Heavy()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        paying_blocks(bench, wallet, 4)
        chain.heavy = frozenset(range(4, 1000))
        follow_for(bench, 12)
        assert internal_blocks(bench, wallet) == [1, 2, 3]
        chain.heavy = frozenset(range(3, 1000))
        chain.reorg(2, keep=[each.key.transaction_hash for each in bench.deposits(wallet)])
        chain.mine(FINALITY)
        follow_for(bench, 1)
        first, second = [detail for _, detail in alarms(bench)]
        assert "in block 4 is not known" in first
        assert "in block 3 is not known" in second
        chain.heavy = frozenset()
        bench.custody.scans.rescan(3, chain.head.number)
        assert 3 in internal_blocks(bench, wallet)


class OfAnotherBlock(Heavy):
    """A node whose receipts are of another block while `is_wrong`."""

    is_wrong = False

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        if not self.is_wrong:
            return super().receipts(transaction_hashes, doubt=doubt)
        answers = super().receipts(transaction_hashes)
        wrong = [attrs.evolve(each.value, block_hash=Hash("0x" + "ab" * 32)) for each in answers if isinstance(each, Found)]
        return [Found(each) if (why := doubt(each)) is None else Unknown(why) for each in wrong]


def test_a_block_that_is_given_up_on_again_and_again_is_one_block() -> None:
    """Nothing comes of reading it before its receipts are right; the blocks above it are asked about all the same."""
    chain = OfAnotherBlock()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        paying_blocks(bench, wallet, 3)
        chain.send_ether(wallet.address, ONE)  # its receipt is needed
        paying_blocks(bench, wallet, 5)
        chain.heavy = frozenset({4})
        chain.mine(FINALITY)
        follow_for(bench, 1)
        chain.is_wrong = True
        follow_for(bench, 14)
        assert internal_blocks(bench, wallet) == [1, 2, 3]
        chain.is_wrong = False
        follow_for(bench, 1)
        assert internal_blocks(bench, wallet) == [1, 2, 3, 5, 6, 7, 8]


def test_d12_a_node_that_traces_nothing_any_more_holds_up_no_deposit_for_long() -> None:
    chain = Heavy()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        paying_blocks(bench, wallet, 2)
        follow_for(bench, 1)
        chain.heavy = frozenset(range(3, 1000))
        chain.mine()
        for _ in range(30):
            chain.send_ether(wallet.address, ONE)
            chain.mine()
        follow_for(bench, 13)
        assert bench.custody.chains.list()[0].lag_blocks == 0
        assert len(bench.deposits(wallet)) == 32
        assert [each for each, _ in alarms(bench)] == ["alarm.raised"]
        assert [len(each) for each in chain.asked[-2:]] == [1, 1], "one is asked about, to see whether it tells again"
        chain.heavy = frozenset()
        paying_blocks(bench, wallet, 3)
        follow_for(bench, 1)
        assert internal_blocks(bench, wallet) == [1, 2, 34, 35, 36]
        bench.clock.advance(3600)
        paying_blocks(bench, wallet, 1)
        follow_for(bench, 1)
        assert [each for each, _ in alarms(bench)] == ["alarm.raised", "alarm.cleared"]


@pytest.mark.parametrize("every", [2, 10, 50])
def test_r_08_blocks_whose_traces_never_come_among_others_hold_the_cursor_up_for_ten_minutes_once(every: int) -> None:
    """Four hours of blocks, one a round. The cursor is at most sixty blocks behind, finality goes on, and a person is told once."""
    chain = Heavy()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        behind = []
        for number in range(1, 4 * 3600 // SECONDS_PER_BLOCK + 1):
            chain.heavy = frozenset(range(every, number + 1, every))
            chain.send_ether(wallet.address, 1)
            chain.mine()
            bench.custody.follow(chain.chain_id)
            bench.clock.advance(SECONDS_PER_BLOCK)
            behind.append(bench.custody.chains.list()[0].lag_blocks or 0)
        assert max(behind) <= 60
        assert behind[-1] <= 3
        assert [each for each, _ in alarms(bench)] == ["alarm.raised"]
        assert len([each for each, _ in alarms(bench, "chain-stalled")]) == 2
        state = bench.custody.chains.list()[0].state
        assert state.cursor.number - state.final.number == FINALITY


class Slow(Heavy):
    """A node that takes longer than a lease to fail. Meanwhile another process looks whether it may lead."""

    others: list[Follower]
    bench: Bench

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        if self.heavy & {block.header.number for block in blocks}:
            self.bench.clock.advance(1)
            assert [other.round() for other in self.others] == [Round.NOT_LEADING] * len(self.others)
            self.bench.clock.advance(24)
        return super().internal_transfers(blocks)


def test_r_08_processes_that_take_turns_at_leading_give_up_on_a_block_all_the_same() -> None:
    chain = Slow()
    with opened(chain=chain) as bench:
        wallet, (one, two) = bench.wallet(), [Follower(bench.custody._kit, chain.chain_id, holder=each) for each in "ab"]
        paying_blocks(bench, wallet, 2)
        bench.clock.advance(60)
        chain.bench, chain.heavy = bench, frozenset({1})
        outcomes = []
        for leader, other in 15 * [(one, two), (two, one)]:
            chain.others = [other]
            outcomes.append(leader.round())
            if outcomes[-1] is not Round.WAITING:
                break
        assert len(outcomes) * timedelta(seconds=25) <= timedelta(minutes=12)
        assert outcomes[-1] is Round.ADVANCED
        assert [each for each, _ in alarms(bench)] == ["alarm.raised"]


def test_the_alarm_is_over_when_traces_are_switched_off_because_of_it() -> None:
    chain = Heavy()
    with opened(chain=chain) as bench:
        chain.heavy = frozenset({1})
        paying_blocks(bench, bench.wallet(), 1)
        follow_for(bench, 12)
        assert [each for each, _ in alarms(bench)] == ["alarm.raised"]
        kit = bench.custody._kit
        without = attrs.evolve(kit, limits=attrs.evolve(kit.limits, traces={chain.chain_id: Traces.OFF}))
        bench.clock.advance(60)
        chain.mine()
        Follower(without, chain.chain_id, holder="without").follow()
        assert [each for each, _ in alarms(bench)] == ["alarm.raised", "alarm.cleared"]


def test_where_traces_are_required_a_block_whose_traces_never_come_is_waited_for_and_told() -> None:
    chain = Heavy()
    with opened(chain=chain, limits=Limits(traces={chain.chain_id: Traces.REQUIRED}, key_pool_size=3)) as bench:
        wallet = bench.wallet()
        chain.heavy = frozenset({1})
        paying_blocks(bench, wallet, 2)
        follow_for(bench, 60)
        assert (bench.deposits(wallet), alarms(bench)) == ([], [])
        ((kind, detail),) = alarms(bench, "chain-stalled")
        assert kind == "alarm.raised"
        assert "block 1 is there" in detail
        assert "was silent for 15 s" in detail


def test_while_a_node_does_not_answer_at_all_no_time_runs_out() -> None:
    chain = Heavy()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        chain.heavy = frozenset({1})
        paying_blocks(bench, wallet, 1)
        bench.rounds(1)
        bench.clock.advance(3600)
        bench.rounds(1)
        chain.heavy = frozenset()
        bench.blocks(FINALITY + 1)
        assert bench.balance(wallet).available == ONE
        assert alarms(bench) == []


def test_whoever_reads_blocks_again_never_gives_up_on_their_traces() -> None:
    chain = Heavy()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        paying_blocks(bench, wallet, 1)
        bench.blocks(1)
        chain.heavy = frozenset({1})
        for _ in range(20):
            with pytest.raises(NodeUnavailable):
                bench.custody.scans.rescan(1)
            bench.clock.advance(60)
        assert alarms(bench) == []


def test_that_a_node_which_told_has_no_traces_any_more_raises_an_alarm() -> None:
    chain = MemoryChain()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        paying_blocks(bench, wallet, 1)
        bench.blocks(1)
        chain._offers_traces = False
        paying_blocks(bench, wallet, 2)
        bench.blocks(1)
        ((kind, detail),) = alarms(bench)
        assert (kind, "in block 3" in detail) == ("alarm.raised", True)
