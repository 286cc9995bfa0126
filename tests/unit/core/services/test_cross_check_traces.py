"""A large payment by a contract that no second node can trace: its owner waits for an operator, and nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from custody_core import DepositState, Limits
from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.chain import Block, InternalTransfer
from custody_core.ports import Absent, Answer, Found, Unknown
from tests.unit.core.services.bench import FINALITY, FRIEND, Bench, opened
from tests.unit.core.services.test_cross_check import MINIMUM, SecondNode, TwoNodes

NOT_TRACED: list[Answer[Sequence[InternalTransfer]]] = [Absent(), Unknown("it takes too long")]


class Untraced(SecondNode):
    """Shows everything, except that it says the same to whoever asks what contracts paid."""

    word: Answer[Sequence[InternalTransfer]] | None = None

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        return self.chain.internal_transfers(blocks) if self.word is None else [self.word for _ in blocks]


@contextmanager
def untraced(word: Answer[Sequence[InternalTransfer]]) -> Iterator[tuple[Bench, Untraced]]:
    chain = TwoNodes()
    chain.second = second = Untraced(chain)
    second.word = word
    with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)) as bench:
        yield bench, second


@pytest.mark.parametrize("word", NOT_TRACED, ids=["no traces", "never answered"])
def test_a_large_payment_by_a_contract_that_no_second_node_can_trace_holds_up_finality_for_minutes_only(
    word: Answer[Sequence[InternalTransfer]],
) -> None:
    with untraced(word) as (bench, _):
        first, other = bench.wallet("mallory"), bench.wallet("bob")
        bench.chain.send_ether(bench.chain.deploy_passing(first.address), MINIMUM)
        bench.blocks(2)
        bench.chain.send_ether(other.address, 5)
        bench.blocks(2 * FINALITY)
        assert (bench.balance(first).available, bench.balance(other).available) == (0, 0)
        bench.clock.advance(600)
        bench.rounds(2)
        assert bench.balance(other).available == 5, "everybody else's deposits go on"
        (deposit,) = bench.deposits(first)
        assert (deposit.state, deposit.reason) == (DepositState.QUARANTINED, "only one node could trace it")
        assert (bench.balance(first).available, bench.balance(first).quarantined) == (0, MINIMUM)
        assert bench.events(deposit.id) == ["transaction.confirming", "transaction.quarantined", "alarm.raised"]
        bench.require_sound()
        bench.custody.transactions.release(deposit.id, note="seen in an explorer")
        assert bench.balance(first).available == MINIMUM
        assert bench.events(deposit.id)[3:] == ["transaction.completed", "alarm.cleared"]
        bench.require_sound()


def test_a_trace_that_comes_in_time_makes_the_deposit_its_owners() -> None:
    with untraced(Unknown("later")) as (bench, second):
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address), MINIMUM)
        bench.blocks(2 * FINALITY)
        bench.clock.advance(500)
        bench.rounds(2)
        second.word = None
        bench.rounds(2)
        assert bench.balance(wallet).available == MINIMUM
        assert bench.alarms() == []


def test_a_trace_that_comes_before_the_block_is_final_counts_although_it_was_late() -> None:
    with untraced(Absent()) as (bench, second):
        bench.chain.stall_finality()
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address), MINIMUM)
        bench.blocks(2)
        bench.clock.advance(600)
        bench.rounds(2)
        bench.chain.reorg(2, keep=[deposit.key.transaction_hash for deposit in bench.deposits(wallet)])
        second.word = None
        bench.chain.stall_finality(False)
        bench.blocks(FINALITY + 2)
        assert bench.balance(wallet).available == MINIMUM
        assert bench.alarms() == []
        bench.require_sound()


@pytest.mark.parametrize("says", ["failed", "no receipt", "another block", "nothing"])
def test_without_a_second_nodes_receipt_nothing_is_put_aside(says: str) -> None:
    """The transaction itself is one node's word then."""
    with untraced(Absent()) as (bench, second):
        wallet = bench.wallet()
        second.says = says
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address), MINIMUM)
        bench.blocks(2 * FINALITY)
        for _ in range(3):
            bench.clock.advance(600)
            bench.rounds(2)
        assert [each.state for each in bench.deposits(wallet)] == [DepositState.CONFIRMING]


def test_a_node_that_traces_the_block_otherwise_is_not_waited_out() -> None:
    with untraced(Absent()) as (bench, second):
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address), MINIMUM)
        bench.blocks(1)
        second.word = Found([])
        bench.blocks(2 * FINALITY)
        bench.clock.advance(6000)
        bench.rounds(2)
        assert [each.state for each in bench.deposits(wallet)] == [DepositState.CONFIRMING]
        assert bench.alarms() == ["node-disagreement"]


class InventingChain(TwoNodes):
    """Its first node traces a real transaction, and in it payments that nobody made."""

    invented: Sequence[tuple[bytes, int]] = ()

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        honest = self.honest_transfers(blocks)
        return [self._added(block) or answer for block, answer in zip(blocks, honest, strict=True)]

    def honest_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        return super().internal_transfers(blocks)

    def _added(self, block: Block) -> Answer[Sequence[InternalTransfer]] | None:
        if not self.invented or not block.transactions:
            return None
        hash_, contract = block.transactions[0].hash, bytes(19) + b"\7"
        return Found([InternalTransfer(hash_, contract, recipient, amount) for recipient, amount in self.invented])


class HonestTracer(SecondNode):
    """Traces what is in the chain, whatever the first node makes of it."""

    chain: InventingChain

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        return self.chain.honest_transfers(blocks)


def test_many_small_payments_that_one_node_invents_in_a_block_are_compared_as_one_large_one_is() -> None:
    chain = InventingChain()
    chain.second = HonestTracer(chain)
    with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)) as bench:
        mallory, bob = bench.wallet("mallory"), bench.wallet("bob")
        chain.invented = [(address_to_bytes(wallet.address), MINIMUM // 4) for wallet in (mallory, bob)] * 3
        chain.send_ether(FRIEND, 1)
        bench.blocks(3 * FINALITY)
        assert {each.state for wallet in (mallory, bob) for each in bench.deposits(wallet)} == {DepositState.CONFIRMING}
        assert bench.alarms() == ["node-disagreement"]
        chain.invented = ()
        bench.blocks(FINALITY)
        assert {each.state for wallet in (mallory, bob) for each in bench.deposits(wallet)} == {DepositState.ORPHANED}
        bench.require_sound()


def test_many_small_payments_by_contracts_are_quarantined_with_one_another_where_nobody_else_can_trace_them() -> None:
    with untraced(Absent()) as (bench, _):
        wallet, other = bench.wallet(), bench.wallet("bob")
        contract = bench.chain.deploy_passing(wallet.address)
        for _ in range(3):
            bench.chain.send_ether(contract, MINIMUM // 3 + 1)
        bench.chain.send_ether(other.address, 5)
        bench.blocks(2)
        bench.clock.advance(600)
        bench.blocks(2 * FINALITY)
        assert {each.state for each in bench.deposits(wallet)} == {DepositState.QUARANTINED}
        assert bench.balance(other).available == 5
        bench.require_sound()
