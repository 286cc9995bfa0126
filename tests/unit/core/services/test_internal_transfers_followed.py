"""Ether that contracts pay: credited from traces as any deposit is, never twice, never from what was taken back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs
import pytest

from custody_core import DepositState, Limits, Traces, Wallet, ether
from custody_core.domain.chain import Hash, Receipt
from custody_core.domain.deposit import DepositKind
from custody_core.ports import Answer, Found
from custody_core.services.following import Round
from custody_memory.chain import MemoryChain
from custody_memory.execution import Passing
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
