"""Blocks that are read again: what was missing is taken in once, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core import (
    ChainHalted,
    DepositState,
    InvalidStateTransition,
    Limits,
    NodeUnavailable,
    NotFound,
    ValidationFailed,
    Wallet,
    ether,
)
from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import Hash
from custody_core.domain.deposit import BOOKED_BEFORE, DepositKind
from custody_core.domain.encoding import erc20_transfer_calldata
from custody_core.domain.tokens import TokenState
from custody_core.domain.wallet import WalletState
from custody_core.ports import Unknown
from custody_core.services.rescanning import Missing
from custody_core.services.unfinished import Range, joined, without
from custody_memory.chain import MemoryChain
from custody_memory.execution import Passing
from tests.unit.core.services.bench import FINALITY, FRIEND, Bench, opened
from tests.unit.core.services.test_cross_check import SecondNode, TwoNodes
from tests.unit.core.services.test_lost_attempts import fields, sign_elsewhere


def list_token(bench: Bench, contract: Address, **options: Any) -> None:
    bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract, alias="usdc", decimals=6, **options)


def cursor(bench: Bench) -> int:
    return bench.custody.chains.list()[0].state.cursor.number


def everything(bench: Bench) -> Missing:
    """What is missing of all blocks that were followed."""
    return bench.custody.scans.rescan(1, cursor(bench)).missing


def pay_unlisted(bench: Bench, wallet: Wallet, *amounts: int) -> tuple[Address, Hash]:
    """Deposits of a token that nobody has listed yet; they wait for a block."""
    contract = bench.chain.deploy_token()
    return contract, [bench.chain.send_token(contract, wallet.address, amount) for amount in amounts][-1]


@pytest.fixture
def late_traces() -> Iterator[Bench]:
    """A service whose node offers no traces yet."""
    with opened(chain=MemoryChain(offers_traces=False)) as bench:
        yield bench


class TestATokenListedLater:
    def test_is_credited_where_its_block_is_final_and_once(self, bench: Bench) -> None:
        wallet = bench.wallet()
        contract, _ = pay_unlisted(bench, wallet, 5, 5)
        bench.blocks(FINALITY + 1)
        list_token(bench, contract)
        found = everything(bench)
        assert [each.state for each in found.deposits] == [DepositState.COMPLETED] * 2
        assert bench.balance(wallet, "usdc").available == 10
        assert bench.events(found.deposits[0].id) == ["transaction.confirming", "transaction.completed"]
        before = len(bench.all_events())
        assert everything(bench) == Missing()
        assert len(bench.all_events()) == before
        assert bench.balance(wallet, "usdc").available == 10
        bench.require_sound()

    def test_is_confirming_above_the_final_block(self, bench: Bench) -> None:
        wallet = bench.wallet()
        contract, _ = pay_unlisted(bench, wallet, 5)
        bench.blocks(1)
        list_token(bench, contract)
        (deposit,) = everything(bench).deposits
        assert (deposit.state, bench.balance(wallet, "usdc").available) == (DepositState.CONFIRMING, 0)
        bench.chain.reorg(1)
        bench.blocks(FINALITY + 2)
        assert [(each.id, each.state) for each in bench.deposits(wallet)] == [(deposit.id, DepositState.COMPLETED)]
        assert bench.balance(wallet, "usdc").available == 5
        bench.require_sound()

    def test_is_quarantined_below_its_own_dust_threshold(self, bench: Bench) -> None:
        wallet = bench.wallet()
        contract, _ = pay_unlisted(bench, wallet, 5)
        bench.blocks(FINALITY + 1)
        list_token(bench, contract, dust=6)
        (deposit,) = everything(bench).deposits
        assert (deposit.state, deposit.reason) == (DepositState.QUARANTINED, "below the dust threshold")
        bench.require_sound()

    def test_what_left_of_it_is_booked_once(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        contract, _ = pay_unlisted(bench, wallet, 9)
        bench.blocks(FINALITY + 1)
        data = erc20_transfer_calldata(address_to_bytes(FRIEND), 4)
        sign_elsewhere(bench, wallet, fields(bench, to=address_to_bytes(contract), value=0, data=data, gas_limit=100_000))
        bench.blocks(FINALITY + 1)
        spent = bench.balance(wallet).available
        list_token(bench, contract)
        assert everything(bench).outflows == 1
        assert (bench.balance(wallet, "usdc").available, bench.balance(wallet).available) == (5, spent)
        assert everything(bench) == Missing()
        bench.require_sound()


class TestComparisonsMeanwhile:
    """After some of the blocks the books hold less of a token than the address. That is no finding."""

    def test_wait_until_the_last_block_is_taken_in(self) -> None:
        with opened(limits=Limits(blocks_per_commit_max=1, key_pool_size=3)) as bench:
            wallet = bench.wallet()
            contract, _ = pay_unlisted(bench, wallet, 5)
            bench.blocks(1)
            bench.chain.send_token(contract, wallet.address, 6)
            bench.blocks(FINALITY + 1)
            list_token(bench, contract)
            blocks, verdicts = bench.chain.blocks, list[bool]()

            def blocks_and_a_comparison(numbers: Any) -> Any:
                verdicts.append(bench.custody.reconcile().ok)
                return blocks(numbers)

            bench.chain.blocks = blocks_and_a_comparison  # type: ignore[method-assign]
            assert len(everything(bench).deposits) == 2
            assert verdicts[:3] == [False, False, True], "before both deposits are taken in it says that the books are not whole"
            assert bench.custody.tokens.list()[0].state is TokenState.LISTED
            assert (bench.balance(wallet, "usdc").available, bench.alarms()) == (11, [])
            bench.require_sound()

    def test_nobody_else_reads_blocks_again_then(self, bench: Bench) -> None:
        bench.blocks(2)
        blocks = bench.chain.blocks

        def blocks_and_another_scan(numbers: Any) -> Any:
            with pytest.raises(InvalidStateTransition, match="already"):
                bench.custody.scans.rescan(1)
            return blocks(numbers)

        bench.chain.blocks = blocks_and_another_scan  # type: ignore[method-assign]
        bench.custody.scans.rescan(1, 2)
        bench.chain.blocks = blocks  # type: ignore[method-assign]
        bench.custody.scans.rescan(1, 2)


class TestAScanThatEndsEarly:
    """It has taken in what came, and not come to what left. A comparison that judged by that would disable an honest token."""

    @contextmanager
    def half_read(self) -> Iterator[tuple[Bench, Wallet, int]]:
        """9 came and 4 left before the token was listed; the block in which it left cannot be read."""
        with opened(limits=Limits(blocks_per_commit_max=1, key_pool_size=3)) as bench:
            wallet = bench.wallet(wei=ether("1"))
            contract, _ = pay_unlisted(bench, wallet, 9)
            bench.blocks(2)
            data = erc20_transfer_calldata(address_to_bytes(FRIEND), 4)
            sign_elsewhere(bench, wallet, fields(bench, to=address_to_bytes(contract), value=0, data=data, gas_limit=100_000))
            bench.blocks(1)
            left_at = bench.chain.head.number
            bench.blocks(FINALITY + 1)
            list_token(bench, contract)
            blocks = bench.chain.blocks
            bench.chain.blocks = lambda numbers: (  # type: ignore[method-assign]
                [Unknown("gone") for _ in numbers] if left_at in numbers else blocks(numbers)
            )
            with pytest.raises(NodeUnavailable):
                everything(bench)
            bench.chain.blocks = blocks  # type: ignore[method-assign]
            yield bench, wallet, left_at

    def test_keeps_comparisons_waiting_and_the_token_listed(self) -> None:
        with self.half_read() as (bench, wallet, left_at):
            bench.rounds(5, seconds=120)
            (violation,) = next(check.violations for check in bench.custody.reconcile().checks if check.id == "INV-1")
            assert "holds 5" in violation
            assert f"{left_at} to" in violation
            assert (bench.custody.tokens.list()[0].state, bench.custody.suspense.list()) == (TokenState.LISTED, [])
            assert bench.balance(wallet, "usdc").available == 9

    def test_says_what_is_left_and_is_over_when_that_is_read(self) -> None:
        with self.half_read() as (bench, wallet, left_at):
            (left,) = bench.custody.scans.unfinished()
            assert (left.first, left.chain_id) == (left_at, bench.chain.chain_id)
            assert bench.custody.scans.rescan(left.first, left.last).missing.outflows == 1
            assert bench.custody.scans.unfinished() == []
            bench.require_sound()
            assert bench.balance(wallet, "usdc").available == 5
            assert bench.custody.tokens.list()[0].state is TokenState.LISTED

    def test_that_is_finished_in_parts_leaves_the_other_parts(self) -> None:
        with self.half_read() as (bench, _, left_at):
            (left,) = bench.custody.scans.unfinished()
            bench.custody.scans.rescan(left_at + 2)
            found = [(each.first, each.last) for each in bench.custody.scans.unfinished()]
            assert found == [(left_at, left_at + 1), (left_at + 3, left.last)]

    def test_can_be_given_up(self) -> None:
        with self.half_read() as (bench, wallet, _):
            assert len(bench.custody.scans.abandon(actor="usr_1")) == 1
            assert (bench.custody.scans.unfinished(), bench.custody.scans.abandon()) == ([], [])
            assert bench.custody.reconcile().ok
            assert [(line.wallet.id, line.amount) for line in bench.custody.suspense.list()] == [(wallet.id, -4)]
            bench.custody.seal()
            (row,) = [each for each in bench.custody.audit.list(limit=1000) if each.action == "chain.rescan-abandoned"]
            assert row.actor == "usr_1"

    def test_and_took_nothing_in_leaves_nothing_undone(self, bench: Bench) -> None:
        bench.blocks(5)
        bench.chain.fail_next("blocks")
        with pytest.raises(NodeUnavailable):
            everything(bench)
        assert bench.custody.scans.unfinished() == []


RANGES = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda ends: (min(ends), max(ends)))


def numbers_in(ranges: Iterable[Range]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(st.lists(RANGES, max_size=5), RANGES)
def test_ranges_are_joined_and_taken_from_as_sets_of_blocks_are(ranges: list[Range], done: Range) -> None:
    whole = joined(ranges)
    assert numbers_in(whole) == numbers_in(ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(whole))
    assert numbers_in(without(whole, done)) == numbers_in(whole) - numbers_in([done])
    assert joined(without(whole, done)) == without(whole, done)


class TestTracesOfferedLater:
    def test_what_was_in_suspense_is_credited_and_taken_out_of_it(self, late_traces: Bench) -> None:
        bench = late_traces
        wallet = bench.wallet()
        sent = bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, Passing.CALL), ether("1"))
        bench.blocks(FINALITY + 1)
        bench.custody.reconcile()
        assert [line.amount for line in bench.custody.suspense.list()] == [ether("1")]
        bench.chain._offers_traces = True
        (deposit,) = bench.custody.scans.rescan_hash(sent.upper().replace("X", "x")).missing.deposits
        assert (deposit.key.kind, deposit.state) == (DepositKind.INTERNAL, DepositState.COMPLETED)
        bench.require_sound()
        assert bench.balance(wallet).total == ether("1")
        assert bench.events(wallet.id)[-1] == "alarm.cleared"

    def test_what_was_booked_from_suspense_is_not_credited_a_second_time(self, late_traces: Bench) -> None:
        bench, wei = late_traces, ether("1")
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, Passing.CALL), wei)
        bench.blocks(FINALITY + 1)
        bench.custody.reconcile()
        bench.custody.suspense.book(wallet.id, asset="eth", amount=wei, note="it is theirs", actor="usr_1")
        bench.chain._offers_traces = True
        (deposit,) = everything(bench).deposits
        assert (deposit.state, deposit.reason) == (DepositState.QUARANTINED, BOOKED_BEFORE)
        assert bench.balance(wallet).available == wei
        assert bench.custody.reconcile().ok, "what is in the books twice is a hole in suspense"
        assert [line.amount for line in bench.custody.suspense.list()] == [-wei]
        bench.custody.transactions.release(deposit.id, note="it is what was booked")
        assert bench.custody.suspense.fill(wallet.id, asset="eth", amount=wei, note="it was booked before", actor="usr_1") == 0
        assert bench.balance(wallet).available == wei
        bench.require_sound()

    def test_what_was_found_late_after_somebody_else_had_spent_it_leaves_a_hole(self, late_traces: Bench) -> None:
        bench, wei = late_traces, ether("1")
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, Passing.CALL), wei)
        bench.blocks(FINALITY + 1)
        bench.custody.reconcile()
        spent = ether("0.25")
        sign_elsewhere(bench, wallet, fields(bench, value=spent))
        bench.blocks(FINALITY + 1)
        bench.custody.reconcile()
        (left,) = [line.amount for line in bench.custody.suspense.list()]
        assert 0 < left < wei - spent, "its owner had nothing available that could have been taken"
        bench.chain._offers_traces = True
        (deposit,) = everything(bench).deposits
        assert deposit.state is DepositState.COMPLETED
        assert bench.custody.reconcile().ok, "what left out of suspense is a hole in it now"
        assert [line.amount for line in bench.custody.suspense.list()] == [left - wei]
        assert bench.custody.suspense.fill(wallet.id, asset="eth", amount=wei - left, note="its key was stolen", actor="usr_1") == 0
        bench.require_sound()

    def test_while_nobody_tells_what_contracts_paid_it_is_said_of_how_many_blocks(self, late_traces: Bench) -> None:
        bench = late_traces
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, Passing.CALL), ether("1"))
        bench.blocks(FINALITY + 1)
        assert bench.custody.scans.rescan(1, cursor(bench)).untraced_blocks == 1, "of the only one with transactions"
        bench.chain._offers_traces = True
        assert bench.custody.scans.rescan(1, cursor(bench)).untraced_blocks == 0

    def test_a_block_is_found_by_its_hash(self, late_traces: Bench) -> None:
        bench = late_traces
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, Passing.CALL), ether("1"))
        bench.blocks(1)
        block = bench.chain.head
        bench.blocks(FINALITY)
        bench.chain._offers_traces = True
        scan = bench.custody.scans.rescan_hash(block.hash)
        assert (scan.first, scan.last, len(scan.missing.deposits)) == (block.number, block.number, 1)


class TestWhatIsInTheBooks:
    def test_is_left_as_it_is(self, bench: Bench) -> None:
        payer, payee = bench.wallet(wei=ether("3")), bench.wallet("bob")
        made = bench.send(payer, ether("1"), to=payee.address)
        bench.settle()
        before = (bench.transaction(made.id), bench.deposits(payee), len(bench.all_events()))
        assert everything(bench) == Missing()
        assert (bench.transaction(made.id), bench.deposits(payee), len(bench.all_events())) == before
        bench.require_sound()

    def test_a_deposit_whose_block_left_the_chain_stays_where_it_is(self, bench: Bench) -> None:
        wallet = bench.wallet()
        bench.chain.send_ether(wallet.address, ether("1"))
        bench.blocks(2)
        bench.chain.reorg(2, pooled=False)
        bench.blocks(FINALITY + 2)
        assert everything(bench) == Missing()
        assert [each.state for each in bench.deposits(wallet)] == [DepositState.ORPHANED]

    def test_a_wallet_that_was_let_go_on_is_not_stopped_again(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        sign_elsewhere(bench, wallet, fields(bench))
        bench.blocks(FINALITY + 1)
        bench.custody.chains.adopt(bench.chain.chain_id)
        left = bench.balance(wallet).available
        assert everything(bench) == Missing()
        assert (bench.custody.wallets.get(wallet.id).state, bench.balance(wallet).available) == (WalletState.OPEN, left)
        bench.require_sound()


class TestWhatIsRefused:
    def test_blocks_that_were_not_followed(self, bench: Bench) -> None:
        bench.blocks(3)
        for first, last, pointer in ((0, 2, "/from"), (1, cursor(bench) + 1, "/to")):
            with pytest.raises(NotFound, match="was followed from block 1 to block") as refused:
                bench.custody.scans.rescan(first, last)
            assert refused.value.pointer == pointer
        with pytest.raises(NotFound, match="follows no chain"):
            bench.custody.scans.rescan(1, chain_id=5)

    @pytest.mark.parametrize(("first", "last"), [(3, 2), (-1, 2)])
    def test_ranges_that_are_none(self, bench: Bench, first: int, last: int) -> None:
        with pytest.raises(ValidationFailed, match="goes up"):
            bench.custody.scans.rescan(first, last)

    def test_hashes_of_nothing(self, bench: Bench) -> None:
        with pytest.raises(ValidationFailed, match="64 hex"):
            bench.custody.scans.rescan_hash("0x12")
        with pytest.raises(NotFound, match="no mined transaction"):
            bench.custody.scans.rescan_hash("0x" + "ab" * 32)
        bench.chain.fail_next("receipts")
        with pytest.raises(NodeUnavailable):
            bench.custody.scans.rescan_hash("0x" + "ab" * 32)

    def test_a_block_that_the_node_shows_otherwise_than_it_was_followed(self, bench: Bench) -> None:
        wallet = bench.wallet()
        contract, _ = pay_unlisted(bench, wallet, 5)
        bench.blocks(2)
        list_token(bench, contract)
        bench.chain.reorg(1)
        newest = cursor(bench)
        with pytest.raises(InvalidStateTransition, match=f"another block {newest}"):
            bench.custody.scans.rescan(1, newest)
        assert bench.deposits(wallet) == []

    def test_a_chain_that_is_halted(self, bench: Bench) -> None:
        bench.blocks(FINALITY + 2)
        bench.chain.stall_finality()
        bench.chain.reorg(FINALITY + 2)
        bench.rounds()
        with pytest.raises(ChainHalted):
            bench.custody.scans.rescan(1)

    @pytest.mark.parametrize("method", ["blocks", "receipts", "logs", "internal_transfers"])
    def test_a_block_that_cannot_be_read_whole(self, bench: Bench, method: str) -> None:
        wallet = bench.wallet()
        contract, _ = pay_unlisted(bench, wallet, 5)
        bench.chain.send_ether(wallet.address, 7)
        bench.blocks(1)
        number = cursor(bench)
        bench.blocks(FINALITY)
        list_token(bench, contract)
        bench.chain.fail_next(method)
        with pytest.raises(NodeUnavailable, match=str(number)):
            bench.custody.scans.rescan(number)
        assert len(bench.deposits(wallet)) == 1
        assert len(bench.custody.scans.rescan(number).missing.deposits) == 1

    def test_what_two_nodes_do_not_agree_about(self) -> None:
        chain = TwoNodes()
        chain.second = SecondNode(chain)
        with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=ether("1"))) as bench:
            wallet = bench.wallet()
            contract, _ = pay_unlisted(bench, wallet, 5)
            bench.blocks(FINALITY + 2)
            list_token(bench, contract)
            chain.second.says = "no logs"
            with pytest.raises(NodeUnavailable, match="two nodes"):
                everything(bench)
            assert (bench.deposits(wallet), bench.alarms()) == ([], [])
            chain.second.says = "the same"
            assert [each.state for each in everything(bench).deposits] == [DepositState.COMPLETED]

    def test_what_is_small_takes_one_nodes_word(self) -> None:
        """As it does where the follower finds it."""
        chain = TwoNodes(offers_traces=False)
        chain.second = SecondNode(chain)
        with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=ether("1"))) as bench:
            wallet = bench.wallet()
            bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, Passing.CALL), ether("0.1"))
            bench.blocks(FINALITY + 2)
            chain._offers_traces = True
            chain.second.says = "nothing"
            assert [each.state for each in everything(bench).deposits] == [DepositState.COMPLETED]


def test_many_blocks_are_read_some_at_a_time_and_who_asked_is_kept(bench: Bench) -> None:
    wallet = bench.wallet()
    contract, _ = pay_unlisted(bench, wallet, 5)
    bench.chain.mine(2 * Limits().blocks_per_commit_max)
    bench.chain.send_token(contract, wallet.address, 6)
    bench.blocks(FINALITY + 1)
    list_token(bench, contract)
    last = cursor(bench)
    found = bench.custody.scans.rescan(1, last, actor="usr_operator").missing
    assert [each.key.amount for each in found.deposits] == [5, 6]
    bench.custody.seal()
    asked = [each for each in bench.custody.audit.list(limit=1000) if each.action == "chain.rescanned"]
    assert [(each.actor, dict(each.detail)) for each in asked] == [("usr_operator", {"from": "1", "to": str(last)})]


def test_an_address_that_is_born_while_its_block_is_read_again_is_compared_with_it(bench: Bench) -> None:
    contract, _ = pay_unlisted(bench, bench.wallet(), 5)
    bench.blocks(FINALITY + 1)
    list_token(bench, contract)
    logs, born = bench.chain.logs, list[Wallet]()

    def logs_and_births(*asked: Any, **how: Any) -> Any:
        if not born:
            born.extend(bench.wallet("late") for _ in range(5))
            bench.custody.make_ready()
        return logs(*asked, **how)

    bench.chain.logs = logs_and_births  # type: ignore[method-assign]
    assert len(everything(bench).deposits) == 1
    assert born
    bench.require_sound()
