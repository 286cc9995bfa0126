"""A send never stands in its wallet's way with a nonce that no fee it may pay can use."""

from __future__ import annotations

import pytest

from custody_core import FeeAboveCap, Limits, NodeUnavailable, TransactionState, ether
from custody_core.domain.encoding import decode_signed
from custody_core.domain.fees import GWEI
from custody_core.domain.transaction import AttemptKind
from custody_core.ports import Found
from tests.unit.core.services.bench import FINALITY, FRIEND, Bench, opened


def test_above_its_cap_a_send_waits_without_a_nonce_and_others_go_first(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    low = bench.send(wallet, ether("0.1"), fee_per_gas_max_wei=10 * GWEI)
    bench.chain.set_base_fee(60 * GWEI)
    bench.rounds()
    waiting = bench.transaction(low.id)
    assert (waiting.state, waiting.nonce, waiting.parked_reason) == (TransactionState.QUEUED, None, "fee-above-cap")
    high = bench.send(wallet, ether("0.1"), fee_per_gas_max_wei=400 * GWEI)
    bench.rounds(2)
    assert bench.transaction(high.id).nonce == 0
    assert bench.custody.transactions.cancel(low.id).state is TransactionState.CANCELLED
    bench.settle()
    assert bench.transaction(high.id).state is TransactionState.COMPLETED
    bench.require_sound()


def test_a_cancellation_that_waits_behind_another_nonce_is_not_made_dearer(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    first = bench.send(wallet, ether("0.1"), fee_per_gas_max_wei=2 * GWEI)
    second = bench.send(wallet, ether("0.1"), fee_per_gas_max_wei=400 * GWEI)
    bench.rounds()
    bench.chain.set_base_fee(3 * GWEI)
    bench.custody.transactions.cancel(second.id)
    bench.rounds(20, seconds=95)
    cancelled = bench.transaction(second.id)
    assert [attempt.kind for attempt in cancelled.attempts] == [AttemptKind.PAYMENT, AttemptKind.CANCELLATION]
    bench.chain.set_base_fee(GWEI)
    bench.settle()
    assert bench.transaction(first.id).state is TransactionState.COMPLETED
    assert bench.transaction(second.id).state is TransactionState.CANCELLED
    bench.require_sound()


def test_a_cancellation_has_the_gas_of_the_payment(bench: Bench) -> None:
    """Some chains ask for more than 21,000 gas for any transaction."""
    token, wallet = bench.token(), bench.wallet(wei=ether("1"))
    bench.pay_in_token(wallet, token, 100)
    sent = bench.send(wallet, 40, asset="usdc")
    bench.rounds()
    bench.custody.transactions.cancel(sent.id)
    bench.rounds(2)
    newest = bench.transaction(sent.id).newest_attempt
    assert newest is not None
    assert newest.raw is not None
    signed, *_ = decode_signed(newest.raw)
    assert (newest.kind, signed.value, signed.gas_limit) == (AttemptKind.CANCELLATION, 0, sent.gas_limit)
    bench.blocks(FINALITY + 1)
    bench.require_sound()


def test_an_estimate_below_what_any_node_takes_is_no_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    token, wallet = bench.token(), bench.wallet(wei=ether("1"))
    bench.pay_in_token(wallet, token, 100)
    monkeypatch.setattr("custody_memory.chain.MemoryChain._estimate", lambda _self, _call: Found(21_000))
    with pytest.raises(NodeUnavailable):
        bench.send(wallet, 40, asset="usdc")
    assert bench.send(wallet, 1, to=FRIEND).gas_limit == 21_000


def test_gas_that_could_cost_more_in_all_than_one_transaction_may_is_refused() -> None:
    limit_wei = 21_000 * 50 * GWEI
    with opened(limits=Limits(key_pool_size=3, fee_max_wei=limit_wei)) as bench:
        wallet = bench.wallet(wei=ether("1"))
        with pytest.raises(FeeAboveCap) as refusal:
            bench.send(wallet, 1, fee_per_gas_max_wei=50 * GWEI + 1)
        assert refusal.value.extra["fee_max_wei"] == str(limit_wei)
        made = bench.send(wallet, 1, fee_per_gas_max_wei=50 * GWEI)
        bench.rounds()
        with pytest.raises(FeeAboveCap):
            bench.custody.transactions.cancel(made.id, fee_per_gas_max_wei=50 * GWEI + 1)


def test_sends_below_the_market_at_the_head_of_a_queue_hold_up_no_others(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("20"))
    for _ in range(8):
        bench.send(wallet, 1, fee_per_gas_max_wei=10 * GWEI)
    bench.chain.set_base_fee(60 * GWEI)
    bench.rounds()
    others = [bench.send(wallet, 1, fee_per_gas_max_wei=400 * GWEI) for _ in range(24)]
    for _ in range(5):
        bench.chain.set_base_fee(60 * GWEI)
        bench.chain.mine()
        bench.rounds(2, seconds=6)
    assert {bench.transaction(each.id).state for each in others} <= {TransactionState.CONFIRMING, TransactionState.COMPLETED}


# Frozen


def test_a_frozen_wallet_signs_nothing_new_and_keeps_what_it_has_signed_on_its_way(bench: Bench) -> None:
    """A dearer payment was planned, and the freeze came before its signature: the first one's bytes are offered on."""
    wallet = bench.wallet(wei=ether("1"))
    bench.chain.drop_broadcasts(2)
    made = bench.send(wallet, ether("0.5"))
    bench.rounds(seconds=91)
    bench.custody.wallets.freeze(wallet.id, reason="lost phone")
    bench.rounds(3, seconds=31)
    waiting = bench.transaction(made.id)
    assert ([each.raw is None for each in waiting.attempts], waiting.parked_reason) == ([False, True], "wallet-frozen")
    assert list(bench.chain.pool) == [waiting.attempts[0].hash]
    bench.blocks(FINALITY + 1)
    assert bench.transaction(made.id).state is TransactionState.COMPLETED
    bench.require_sound()


def test_what_a_freeze_held_up_goes_on_at_once_when_it_is_lifted(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet)
    bench.custody.wallets.freeze(wallet.id, reason="lost phone")
    bench.rounds(3, seconds=31)
    before = bench.transaction(made.id)
    assert (before.state, before.parked_reason) == (TransactionState.QUEUED, "wallet-frozen")
    bench.rounds(5, seconds=31)
    assert bench.transaction(made.id).version == before.version, "nobody looks at it again and again meanwhile"
    bench.custody.wallets.unfreeze(wallet.id)
    bench.rounds()
    assert bench.transaction(made.id).state is TransactionState.BROADCASTING


def test_what_a_freeze_holds_up_is_looked_at_again_after_ten_minutes(bench: Bench) -> None:
    """Whoever lifts the freeze wakes it; should that be lost, it is late by ten minutes and no more."""
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet)
    bench.custody.wallets.freeze(wallet.id, reason="lost phone")
    bench.rounds()
    before = bench.transaction(made.id)
    assert before.parked_reason == "wallet-frozen"
    bench.rounds(seconds=600)
    bench.rounds()
    assert bench.transaction(made.id).version > before.version


def test_where_nobody_says_otherwise_gas_may_cost_as_much_as_nodes_pass_on() -> None:
    """Geth refuses what costs more than one ether (`--rpc.txfeecap`)."""
    assert Limits().fee_max_wei == ether("1")
