"""What the first of two nodes leaves out of a real block, or turns over: it is not final before a second one shows the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs
import pytest

from custody_core import Deposit, DepositState, Limits, TransactionState, ether
from custody_core.domain.chain import Block, BlockTransaction, Hash, Logs, Receipt
from custody_core.ports import Answer, Doubt, Found, Unknown, no_doubt
from tests.unit.core.services.bench import FINALITY, Bench, contract_of, opened
from tests.unit.core.services.test_cross_check import SecondNode, TwoNodes

MINIMUM = ether("1")
LIMITS = Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)


class HonestNode(SecondNode):
    """Shows what is in the chain, whatever the first node makes of it."""

    chain: OmittingChain

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return self.chain.honest_blocks(numbers)

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        return self.chain.honest_receipts(transaction_hashes)


class OmittingChain(TwoNodes):
    """Its first node leaves out the last log, or transaction, of each block, or says of each transaction that it failed."""

    omits: str = "nothing"

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        answers = self.honest_blocks(numbers)
        if self.omits != "a transaction":
            return answers
        return [Found(_shortened(each.value)) if isinstance(each, Found) else each for each in answers]

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        answers = super().logs(block_hashes, topic=topic, emitters=emitters, doubt=doubt)
        if self.omits != "a log":
            return answers
        return [Found(Logs(each.value.block_hash, list(each.value)[:-1])) if isinstance(each, Found) else each for each in answers]

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes, doubt=doubt)
        if self.omits != "a success":
            return answers
        return [Found(attrs.evolve(each.value, succeeded=False)) if isinstance(each, Found) else each for each in answers]

    def honest_blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return super().blocks(numbers)

    def honest_receipts(self, hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        return super().receipts(hashes)


def _shortened(block: Block) -> Block:
    return attrs.evolve(block, transactions=list[BlockTransaction](block.transactions)[:-1])


OMISSIONS = ["a log", "a transaction", "a success"]


@contextmanager
def omitting() -> Iterator[tuple[Bench, OmittingChain]]:
    chain = OmittingChain()
    chain.second = HonestNode(chain)
    with opened(chain=chain, limits=LIMITS) as bench:
        yield bench, chain


def pay_twice(bench: Bench, omits: str) -> tuple[str, list[int]]:
    """Two deposits in one block, of which the first node shows one or none; to whom, and how many each would be."""
    wallet = bench.wallet()
    if omits == "a log":
        token = bench.token()
        for amount in (5, 6):
            bench.chain.send_token(contract_of(token), wallet.address, amount)
    else:
        for amount in (5, 6):
            bench.chain.send_ether(wallet.address, amount)
    return wallet.id, [5, 6]


def credited(bench: Bench, wallet_id: str) -> list[int]:
    found = bench.custody.transactions.list(wallet_id=wallet_id, direction="incoming")
    return sorted(each.key.amount for each in found if isinstance(each, Deposit) and each.state is DepositState.COMPLETED)


@pytest.mark.parametrize("omits", OMISSIONS)
def test_what_the_first_node_leaves_out_for_a_moment_is_read_again_and_credited(omits: str) -> None:
    with omitting() as (bench, chain):
        wallet_id, amounts = pay_twice(bench, omits)
        chain.omits = omits
        bench.blocks(1)
        assert credited(bench, wallet_id) == []
        chain.omits = "nothing"
        bench.blocks(FINALITY + 2)
        assert credited(bench, wallet_id) == amounts
        assert bench.alarms() == []
        bench.require_sound()


@pytest.mark.parametrize("omits", OMISSIONS)
def test_what_the_first_node_goes_on_leaving_out_stops_finality_until_the_nodes_agree(omits: str) -> None:
    with omitting() as (bench, chain):
        wallet_id, amounts = pay_twice(bench, omits)
        final = bench.custody.chains.states()[0].final.number
        chain.omits = omits
        bench.blocks(3 * FINALITY)
        assert credited(bench, wallet_id) == []
        assert bench.custody.chains.states()[0].final.number == final
        assert bench.alarms() == ["node-disagreement"]
        chain.omits = "nothing"
        bench.blocks(FINALITY + 2)
        assert credited(bench, wallet_id) == amounts
        bench.require_sound()


def test_an_own_send_that_the_first_node_calls_failed_is_not_failed_before_a_second_one_says_so() -> None:
    """Who believed it would pay again."""
    with omitting() as (bench, chain):
        wallet = bench.wallet(wei=ether("0.5"))
        sent = bench.send(wallet, ether("0.1"))
        bench.rounds(2, seconds=30)
        chain.omits = "a success"
        bench.blocks(3 * FINALITY)
        assert bench.transaction(sent.id).state is TransactionState.CONFIRMING
        assert bench.alarms() == ["node-disagreement"]
        chain.omits = "nothing"
        bench.blocks(FINALITY + 2)
        assert bench.transaction(sent.id).state is TransactionState.COMPLETED
        bench.require_sound()


def test_the_alarm_that_nodes_disagree_is_cleared_when_they_agree_again() -> None:
    with omitting() as (bench, chain):
        pay_twice(bench, "a transaction")
        chain.omits = "a transaction"
        bench.blocks(2 * FINALITY)
        events = [each.type for each in bench.all_events() if each.data.get("code") == "node-disagreement"]
        assert events == ["alarm.raised"]
        chain.omits = "nothing"
        bench.blocks(2)
        events = [each.type for each in bench.all_events() if each.data.get("code") == "node-disagreement"]
        assert events == ["alarm.raised", "alarm.cleared"]
        pay_twice(bench, "a transaction")
        chain.omits = "a transaction"
        bench.blocks(2 * FINALITY)
        events = [each.type for each in bench.all_events() if each.data.get("code") == "node-disagreement"]
        assert events == ["alarm.raised", "alarm.cleared", "alarm.raised"], "another time is told again"


class Counting(HonestNode):
    """Counts what it is asked."""

    calls: list[str]

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        self.calls.append("blocks")
        return super().blocks(numbers)

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        self.calls.append(f"receipts of {len(transaction_hashes)}")
        return super().receipts(transaction_hashes)

    def logs(self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes]) -> Sequence[Answer[Logs]]:
        self.calls.append("logs")
        return super().logs(block_hashes, topic=topic, emitters=emitters)


def test_many_small_token_deposits_in_one_block_cost_a_second_node_no_more_questions_than_one() -> None:
    chain = OmittingChain()
    chain.second = counting = Counting(chain)
    counting.calls = []
    with opened(chain=chain, limits=LIMITS) as bench:
        wallet, token = bench.wallet(), bench.token()
        for _ in range(200):
            bench.chain.send_token(contract_of(token), wallet.address, 1)
        bench.blocks(1)
        counting.calls.clear()
        bench.rounds(1)
        assert counting.calls == ["blocks", "logs"]
        bench.blocks(FINALITY + 1)
        assert bench.balance(wallet, token.alias).available == 200
        bench.require_sound()


@attrs.define
class Silent(SecondNode):
    """Notes how many blocks it is asked for, and shows none."""

    asked: list[int] = attrs.field(factory=list)

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        self.asked.append(len(numbers))
        return [Unknown("silent") for _ in numbers]


def test_a_node_that_stays_silent_is_asked_about_one_block_at_a_time() -> None:
    chain = TwoNodes()
    chain.second = silent = Silent(chain)
    with opened(chain=chain, limits=LIMITS) as bench:
        bench.chain.mine(30)
        bench.rounds(2)
        silent.asked.clear()
        bench.rounds(20)
        assert silent.asked == [1] * 20
