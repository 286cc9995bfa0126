"""What a node says about our own transactions is checked against their bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pytest

from custody_app import open_in_memory
from custody_core import Deposit, TransactionState, UnsupportedAsset, ether
from custody_core.domain.chain import Block, Hash, Header, Logs, Receipt
from custody_core.ports import Answer, Call, Doubt, Found, Reverted, Unknown, no_doubt
from custody_memory.chain import MemoryChain
from custody_memory.clock import ManualClock
from tests.unit.core.services.bench import Bench


class ExaggeratingChain(MemoryChain):
    """Says, for as long as it is told to, that transactions cost more than they can."""

    exaggerates = ""

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes, doubt=doubt)
        return [Found(self._exaggerated(each.value)) if isinstance(each, Found) else each for each in answers]

    def _exaggerated(self, receipt: Receipt) -> Receipt:
        match self.exaggerates:
            case "gas":
                return attrs.evolve(receipt, gas_used=receipt.gas_used + 10**9)
            case "price":
                return attrs.evolve(receipt, effective_gas_price_wei=receipt.effective_gas_price_wei * 10**6)
            case _:
                return receipt


@pytest.mark.parametrize("field", ["gas", "price"])
def test_a_receipt_above_what_the_bytes_allow_is_waited_for_and_books_nothing(field: str) -> None:
    chain, clock = ExaggeratingChain(), ManualClock()
    with open_in_memory(chain, clock=clock) as custody:
        bench = Bench(custody, chain, clock)
        wallet = bench.wallet(wei=ether("1"))
        sent = bench.send(wallet)
        bench.rounds()
        chain.exaggerates = field
        before = custody.chains.states()[0].cursor
        bench.blocks(3)
        assert custody.chains.states()[0].cursor == before, "the block is not passed"
        assert bench.transaction(sent.id).state is TransactionState.BROADCASTING
        chain.exaggerates = ""
        bench.settle()
        assert bench.transaction(sent.id).state is TransactionState.COMPLETED
        assert custody.reconcile().ok


class WithholdingChain(MemoryChain):
    """Leaves logs out of one of its answers, for as long as it is told to."""

    withholds = ""

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        if self.withholds == "logs":
            return [Found(Logs(each)) for each in block_hashes]
        return super().logs(block_hashes, topic=topic, emitters=emitters, doubt=doubt)

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        answers = super().blocks(numbers)
        if self.withholds != "bloom":
            return answers
        return [Found(_without_bloom(each.value)) if isinstance(each, Found) else each for each in answers]

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes, doubt=doubt)
        if self.withholds != "receipts":
            return answers
        return [Found(attrs.evolve(each.value, logs=())) if isinstance(each, Found) else each for each in answers]


def _without_bloom(block: Block) -> Block:
    return attrs.evolve(block, header=attrs.evolve(block.header, logs_bloom=bytes(255) + b"\x01"))


@pytest.mark.parametrize("answer", ["logs", "bloom", "receipts"])
def test_logs_that_are_left_out_make_no_paid_token_send_reverted_and_lose_no_deposit(answer: str) -> None:
    chain, clock = WithholdingChain(), ManualClock()
    with open_in_memory(chain, clock=clock) as custody:
        bench = Bench(custody, chain, clock)
        wallet, friend, token = bench.wallet(wei=ether("1")), bench.wallet("bob"), bench.token()
        bench.pay_in_token(wallet, token, 100)
        sent = bench.send(wallet, 40, asset=token.alias, to=friend.address)
        bench.rounds()
        before = custody.chains.states()[0].cursor
        chain.withholds = answer
        bench.blocks(3)
        assert custody.chains.states()[0].cursor == before, "the block is not passed"
        assert bench.transaction(sent.id).state is TransactionState.BROADCASTING
        assert bench.deposits(friend) == []
        chain.withholds = ""
        bench.settle()
        assert bench.transaction(sent.id).state is TransactionState.COMPLETED
        assert (bench.balance(wallet, token.alias).available, bench.balance(friend, token.alias).available) == (60, 40)
        assert custody.reconcile().ok


class ForgetfulChain(MemoryChain):
    """Does not answer for some heights when it is asked for many at once."""

    forgotten: frozenset[int] = frozenset()

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        answers = super().headers(numbers)
        return [Unknown("busy") if number in self.forgotten else each for number, each in zip(numbers, answers, strict=True)]


def test_a_header_that_was_not_answered_is_not_taken_for_one_that_left_the_chain() -> None:
    chain, clock = ForgetfulChain(), ManualClock()
    with open_in_memory(chain, clock=clock) as custody:
        bench = Bench(custody, chain, clock)
        wallet = bench.wallet()
        chain.send_ether(wallet.address, 7)
        bench.blocks(3)
        (deposit,) = custody.transactions.list(direction="incoming")
        chain.reorg(1)
        chain.mine()
        before = custody.chains.states()[0].cursor
        chain.forgotten = frozenset(range(deposit.block.number, before.number)) if isinstance(deposit, Deposit) else frozenset()
        bench.rounds()
        assert custody.chains.states()[0].cursor == before, "nothing is taken back on an unknown answer"
        chain.forgotten = frozenset()
        bench.settle()
        assert "transaction.orphaned" not in bench.events(deposit.id)
        assert custody.wallets.balances(wallet.id)[0].available == 7


class TokenDisabledMeanwhile(MemoryChain):
    """An operator disables a token while the node is asked what a send of it needs."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        self.meanwhile()
        return super().estimate_gas(calls)


def test_a_token_disabled_while_the_node_was_asked_is_not_sent() -> None:
    chain, clock = TokenDisabledMeanwhile(), ManualClock()
    with open_in_memory(chain, clock=clock) as custody:
        bench = Bench(custody, chain, clock)
        wallet, token = bench.wallet(wei=ether("1")), bench.token()
        bench.pay_in_token(wallet, token, 100)
        (listed,) = custody.tokens.list()
        chain.meanwhile = lambda: custody.tokens.disable(listed.id)
        with pytest.raises(UnsupportedAsset):
            bench.send(wallet, 40, asset=token.alias)
        assert custody.transactions.list(direction="outgoing") == []
