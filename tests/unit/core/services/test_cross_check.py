"""Deposits that two nodes have to agree about: credited when they do, and never on one's word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs
import pytest

from custody_core import DepositState, Limits, ether
from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Logs, Receipt
from custody_core.ports import Absent, Answer, BlockTag, Doubt, Found, Unknown, Witness, no_doubt
from custody_memory.chain import MemoryChain
from custody_memory.execution import Passing
from tests.support import factories
from tests.unit.core.services.bench import FINALITY, Bench, opened

MINIMUM = ether("1")


@attrs.define
class SecondNode:
    """Shows what the first one does, except for what it is told to."""

    chain: TwoNodes
    says: str = "the same"

    def header(self, at: int | BlockTag) -> Answer[Header]:
        if at is BlockTag.LATEST:
            return Unknown("silent") if self.says == "nothing" else Found(self.chain.head)
        (answer,) = self.blocks([int(at)])
        return Found(answer.value.header) if isinstance(answer, Found) else answer

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return [self._block(each.value) if isinstance(each, Found) else each for each in self.chain.blocks(numbers)]

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        return [self._receipt(each.value) if isinstance(each, Found) else each for each in self.chain.receipts(transaction_hashes)]

    def logs(self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes]) -> Sequence[Answer[Logs]]:
        answers = self.chain.honest_logs(block_hashes, topic=topic, emitters=emitters)
        return [self._logs(each.value) if isinstance(each, Found) else each for each in answers]

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        match self.says:
            case "nothing" | "no traces":
                return [Absent() for _ in blocks]
            case "another payment":
                return [Found([]) for _ in blocks]
            case _:
                return self.chain.internal_transfers(blocks)

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        if self.says == "nothing":
            return [Unknown("silent") for _ in holders]
        return self.chain.honest_balances(holders, at)

    def _logs(self, logs: Logs) -> Answer[Logs]:
        match self.says:
            case "nothing" | "no receipt" | "a receipt of another block":
                return Unknown("silent")
            case "failed" | "no logs":
                return Found(Logs(logs.block_hash))
            case "another log":
                return Found(Logs(logs.block_hash, [attrs.evolve(log, data=bytes(31) + b"\x01") for log in logs]))
            case _:
                return Found(logs)

    def _block(self, block: Block) -> Answer[Block]:
        match self.says:
            case "nothing":
                return Unknown("silent")
            case "no such block":
                return Absent()
            case "another block":
                return Found(attrs.evolve(block, header=attrs.evolve(block.header, hash=factories.hash32(7))))
            case "another value":
                return Found(attrs.evolve(block, transactions=[attrs.evolve(each, value=1) for each in block.transactions]))
            case "another recipient":
                return Found(
                    attrs.evolve(block, transactions=[attrs.evolve(each, recipient=bytes(20)) for each in block.transactions])
                )
            case _:
                return Found(block)

    def _receipt(self, receipt: Receipt) -> Answer[Receipt]:
        match self.says:
            case "nothing":
                return Unknown("silent")
            case "no receipt":
                return Absent()
            case "failed":
                return Found(attrs.evolve(receipt, succeeded=False))
            case "no logs":
                return Found(attrs.evolve(receipt, logs=()))
            case "another log":
                changed = [attrs.evolve(log, data=bytes(31) + b"\x01") for log in receipt.logs]
                return Found(attrs.evolve(receipt, logs=tuple(changed)))
            case "a receipt of another block":
                return Found(attrs.evolve(receipt, block_hash=factories.hash32(8)))
            case _:
                return Found(receipt)


class TwoNodes(MemoryChain):
    """A chain that is followed through its first node."""

    second: SecondNode | None = None
    exaggerates_by = 0
    """What the first node adds to every balance."""

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        answers = self.honest_balances(holders, at)
        return [Found(each.value + self.exaggerates_by) if isinstance(each, Found) else each for each in answers]

    def honest_balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        return super().balances(holders, at)

    def honest_logs(self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes]) -> Sequence[Answer[Logs]]:
        return super().logs(block_hashes, topic=topic, emitters=emitters)

    @property
    def witnesses(self) -> Sequence[Witness]:
        return [self, self.second] if self.second else [self]


@contextmanager
def checked(says: str) -> Iterator[tuple[Bench, SecondNode]]:
    chain = TwoNodes()
    chain.second = second = SecondNode(chain, says)
    with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)) as bench:
        yield bench, second


def test_r_13_what_two_nodes_agree_about_is_credited_as_ever() -> None:
    with checked("the same") as (bench, _):
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in(wallet, 3 * MINIMUM)
        bench.pay_in_token(wallet, token, 5)
        bench.pay_in_token(wallet, token, 5)
        assert (bench.balance(wallet).available, bench.balance(wallet, token.alias).available) == (3 * MINIMUM, 10)
        assert bench.alarms() == []
        bench.require_sound()


SILENT = ["nothing", "no such block", "no receipt", "a receipt of another block"]
CONTRADICTING = ["another block", "failed"]


@pytest.mark.parametrize("says", [*SILENT, *CONTRADICTING, "another value", "another recipient"])
def test_r_13_ether_that_only_one_node_shows_is_not_credited_until_a_second_one_does(says: str) -> None:
    with checked(says) as (bench, second):
        wallet = bench.wallet()
        bench.pay_in(wallet, MINIMUM)
        bench.blocks(3 * FINALITY)
        (deposit,) = bench.deposits(wallet)
        assert (deposit.state, bench.balance(wallet).available) == (DepositState.CONFIRMING, 0)
        assert bench.custody.chains.states()[0].final.number == deposit.block.number - 1, "final waits below it"
        assert bench.alarms() == ([] if says in SILENT else ["node-disagreement"]), "once, however long it lasts"
        bench.require_sound()
        second.says = "the same"
        bench.rounds(2)
        assert bench.balance(wallet).available == MINIMUM
        bench.require_sound()


@pytest.mark.parametrize("says", [*SILENT, *CONTRADICTING, "no logs", "another log"])
def test_r_13_a_token_deposit_of_any_amount_waits_for_a_second_node(says: str) -> None:
    with checked("the same") as (bench, second):
        wallet, token = bench.wallet(), bench.token()
        second.says = says
        bench.pay_in_token(wallet, token, 5)
        bench.blocks(FINALITY)
        assert bench.balance(wallet, token.alias).available == 0
        second.says = "the same"
        bench.rounds(2)
        assert bench.balance(wallet, token.alias).available == 5


def test_less_than_the_minimum_takes_one_nodes_word_when_no_second_one_is_heard_for_long() -> None:
    with checked("nothing") as (bench, second):
        wallet = bench.wallet()
        bench.pay_in(wallet, MINIMUM - 1)
        assert bench.balance(wallet).available == 0
        bench.clock.advance(600)
        bench.rounds(2)
        bench.blocks(2)
        assert bench.balance(wallet).available == MINIMUM - 1
        bench.pay_in(wallet, 1)
        assert bench.balance(wallet).available == MINIMUM, "nobody waits again while it goes on"
        bench.pay_in(wallet, MINIMUM)
        bench.clock.advance(600)
        bench.rounds(2)
        assert bench.balance(wallet).available == MINIMUM, "what is large waits for as long as it takes"
        second.says = "the same"
        bench.rounds(2)
        assert bench.balance(wallet).available == 2 * MINIMUM
        assert bench.alarms() == []
        bench.require_sound()


def test_what_adds_up_to_the_minimum_in_one_block_waits_for_a_second_node_as_long_as_it_takes() -> None:
    with checked("nothing") as (bench, second):
        wallet = bench.wallet()
        for _ in range(4):
            bench.chain.send_ether(wallet.address, MINIMUM // 4)
        bench.blocks(2)
        bench.clock.advance(6000)
        bench.blocks(2 * FINALITY)
        assert bench.balance(wallet).available == 0
        second.says = "the same"
        bench.rounds(2)
        assert bench.balance(wallet).available == MINIMUM


def test_r_13_a_deposit_that_one_node_made_up_is_taken_back_with_its_block() -> None:
    with checked("another block") as (bench, second):
        wallet = bench.wallet()
        bench.pay_in(wallet, MINIMUM)
        bench.blocks(FINALITY)
        (deposit,) = bench.deposits(wallet)
        bench.chain.reorg(bench.chain.head.number - deposit.block.number + 1, pooled=False)
        bench.chain.mine(2)
        second.says = "the same"
        bench.blocks(FINALITY + 1)
        (deposit,) = bench.deposits(wallet)
        assert (deposit.state, bench.balance(wallet).available) == (DepositState.ORPHANED, 0)
        assert bench.custody.chains.states()[0].halted_reason is None, "nothing of that branch was final"
        bench.pay_in(wallet, 2 * MINIMUM)
        assert bench.balance(wallet).available == 2 * MINIMUM
        bench.require_sound()


def test_a_node_alone_never_agrees_with_itself() -> None:
    with opened(chain=TwoNodes(), limits=Limits(key_pool_size=3, cross_check_min_wei=0)) as bench:
        wallet = bench.wallet()
        bench.pay_in(wallet, 1)
        assert bench.balance(wallet).available == 0


@attrs.define
class StaysBehind(SecondNode):
    """Goes on showing the blocks that it had."""

    kept: Sequence[Answer[Block]] = ()

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return [self.kept[number] for number in numbers]


def test_a_chain_is_not_halted_on_one_nodes_word() -> None:
    chain = TwoNodes()
    with opened(chain=chain) as bench:
        wallet = bench.wallet(wei=MINIMUM)
        bench.blocks(FINALITY)
        chain.second = StaysBehind(chain, kept=chain.blocks(range(chain.head.number + 1)))
        chain.reorg(FINALITY + 2)
        bench.blocks(3)
        assert bench.custody.chains.states()[0].halted_reason is None
        assert bench.alarms() == []
        chain.second = SecondNode(chain)
        bench.rounds()
        assert bench.custody.chains.states()[0].halted_reason is not None
        assert bench.balance(wallet).available == MINIMUM


@pytest.mark.parametrize("says", [*SILENT, *CONTRADICTING, "no traces", "another payment"])
def test_r_13_what_a_contract_pays_waits_for_a_second_nodes_traces(says: str) -> None:
    with checked(says) as (bench, second):
        wallet = bench.wallet()
        bench.chain.send_ether(bench.chain.deploy_passing(wallet.address, Passing.CALL), MINIMUM)
        bench.blocks(2 * FINALITY)
        assert [deposit.state for deposit in bench.deposits(wallet)] == [DepositState.CONFIRMING]
        second.says = "the same"
        bench.rounds(2)
        assert bench.balance(wallet).available == MINIMUM
        bench.require_sound()


def test_a_block_that_another_node_does_not_have_is_not_final() -> None:
    """Whatever is in it, and without a minimum: it could not be taken back, and the truth would halt the chain."""
    chain = TwoNodes()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        before = bench.custody.chains.states()[0].final
        chain.second = SecondNode(chain, "another block")
        bench.pay_in(wallet, 1)
        bench.blocks(3 * FINALITY)
        assert (bench.custody.chains.states()[0].final, bench.balance(wallet).available) == (before, 0)
        told: dict[str, str] = vars(bench.custody._kit.observer)["troubles"]
        assert told["node-disagreement"].startswith("a node shows another block ")
        chain.second = SecondNode(chain, "nothing")
        bench.blocks(1)
        assert bench.balance(wallet).available == 1, "one that is silent is done without"
        bench.require_sound()


class ForgingChain(TwoNodes):
    """Adds a transfer to what it tells of logs, for as long as it is told to: to `paid`, in the transaction of each real one."""

    paid: bytes | None = None

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        answers = super().logs(block_hashes, topic=topic, emitters=emitters, doubt=doubt)
        return [Found(self._forged(each.value)) if isinstance(each, Found) else each for each in answers]

    def _forged(self, logs: Logs) -> Logs:
        if self.paid is None:
            return logs
        topics = [(*log.topics[:2], bytes(12) + self.paid) for log in logs]
        added = [attrs.evolve(log, log_index=log.log_index + 1000, topics=topic) for log, topic in zip(logs, topics, strict=True)]
        return Logs(logs.block_hash, [*logs, *added])


def test_a_deposit_that_was_added_to_a_real_block_is_taken_back_and_holds_up_nothing_for_ever() -> None:
    chain = ForgingChain()
    chain.second = SecondNode(chain)
    with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)) as bench:
        wallet, victim, token = bench.wallet(), bench.wallet("bob"), bench.token()
        chain.paid = address_to_bytes(victim.address)
        bench.pay_in_token(wallet, token, 5)
        bench.blocks(FINALITY)
        assert [each.state for each in bench.deposits(victim)] == [DepositState.CONFIRMING]
        assert bench.alarms() == ["node-disagreement"]
        chain.paid = None
        bench.clock.advance(61)
        bench.blocks(3)
        assert [each.state for each in bench.deposits(victim)] == [DepositState.ORPHANED]
        assert (bench.balance(wallet, token.alias).available, bench.custody.wallets.balances(victim.id)[1:]) == (5, [])
        bench.require_sound()


class ForgingTogether(ForgingChain):
    """Its nodes show the truth when each is asked alone."""

    @property
    def witnesses(self) -> Sequence[Witness]:
        return [SecondNode(self), SecondNode(self)]


def test_nothing_is_taken_back_before_reading_it_again_comes_out_otherwise() -> None:
    chain = ForgingTogether()
    chain.second = SecondNode(chain)
    with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)) as bench:
        wallet, victim, token = bench.wallet(), bench.wallet("bob"), bench.token()
        chain.paid = address_to_bytes(victim.address)
        bench.pay_in_token(wallet, token, 5)
        for _ in range(600):
            chain.mine()
            bench.rounds(seconds=12)
        (deposit,) = bench.deposits(victim)
        assert bench.events(deposit.id) == ["transaction.confirming"]
        assert bench.alarms() == ["node-disagreement", "finality-stalled"]
        chain.paid = None
        bench.rounds(4)
        assert bench.deposits(victim)[0].state is DepositState.ORPHANED, "at once, however long it lasted"
        assert bench.balance(wallet, token.alias).available == 5
        bench.require_sound()


class ForgingByTurns(ForgingTogether):
    """Forges every other time that it is asked."""

    asked = 0

    def _forged(self, logs: Logs) -> Logs:
        self.asked += 1
        return super()._forged(logs) if self.asked % 2 else logs


def test_a_node_that_misleads_by_turns_floods_nobody() -> None:
    chain = ForgingByTurns()
    chain.second = SecondNode(chain)
    with opened(chain=chain, limits=Limits(key_pool_size=3, cross_check_min_wei=MINIMUM)) as bench:
        wallet, victim, token = bench.wallet(), bench.wallet("bob"), bench.token()
        chain.paid = address_to_bytes(victim.address)
        bench.pay_in_token(wallet, token, 5)
        for _ in range(600):
            chain.mine()
            bench.rounds(seconds=12)
        (deposit,) = bench.deposits(victim)
        assert 4 < bench.events(deposit.id).count("transaction.orphaned") < 12, "in two hours"
        assert bench.alarms() == ["node-disagreement", "reorganisation-deep", "finality-stalled"]


def test_a_balance_that_one_node_makes_up_disables_no_token_and_books_nothing() -> None:
    chain = TwoNodes()
    chain.second = SecondNode(chain)
    with opened(chain=chain) as bench:
        wallet, token = bench.wallet(wei=7), bench.token()
        bench.pay_in_token(wallet, token, 5)
        chain.exaggerates_by = 1
        found = bench.custody.reconcile()
        assert not found.ok, "what the nodes do not agree about was not compared"
        bench.blocks(FINALITY)
        chain.exaggerates_by = 0
        bench.pay_in_token(wallet, token, 5)
        assert (bench.balance(wallet, token.alias).available, bench.balance(wallet, token.alias).quarantined) == (10, 0)
        assert bench.alarms() == []
        bench.require_sound()


def test_what_a_node_that_keeps_up_does_not_have_is_not_final_on_anothers_word() -> None:
    """One node goes on alone, calls that final, and pays a wallet there."""
    with checked("no such block") as (bench, _):
        wallet = bench.wallet()
        final = bench.custody.chains.states()[0].final
        bench.chain.send_ether(wallet.address, MINIMUM - 1)
        bench.blocks(8)
        assert bench.custody.chains.states()[0].final == final
        assert bench.balance(wallet).available == 0
