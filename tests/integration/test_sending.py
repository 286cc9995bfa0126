"""Sends on a real node: one mined payment per request, whatever is lost on the way."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from eth_account import Account
from hexbytes import HexBytes

from custody_core import InsufficientFunds, InvalidAddress, SimulationReverted, TransactionState, ether
from custody_core.domain.encoding import LOW_S_MAX
from custody_core.services.previewing import Simulation
from tests.support.contracts import deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import DropRequest, Edit, ForwardThenDropReply, Null
from tests.support.service import CHAIN_ID, Service

OUTSIDER = DEV_ACCOUNTS[1].address


def mined_from(node: DevNode, address: str) -> list[dict[str, object]]:
    """Every mined transaction from `address`, oldest first."""
    blocks = [node.block(number, full=True) for number in range(node.head() + 1)]
    return [each for block in blocks for each in block["transactions"] if each["from"] == address.lower()]


def test_s_01_a_send_is_mined_once_as_a_type_2_transaction_bound_to_its_chain(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    before = node.balance(OUTSIDER)
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-01")
    assert sent.state is TransactionState.QUEUED
    service.custody.tick()
    node.mined(str(service.outgoing(sent.id).hash))  # the block may come a moment after the node's answer
    (mined,) = mined_from(node, wallet.address)
    assert mined["type"] == "0x2"
    assert int(str(mined["chainId"]), 16) == CHAIN_ID
    raw = HexBytes(node.raw_transaction(str(mined["hash"])))
    assert int(str(mined["s"]), 16) <= LOW_S_MAX
    assert Account.recover_transaction(raw) == wallet.address

    service.custody.tick()
    assert service.outgoing(sent.id).state is TransactionState.CONFIRMING
    service.finalize()
    final = service.outgoing(sent.id)
    assert final.state is TransactionState.COMPLETED
    assert final.hash == mined["hash"]
    assert node.balance(OUTSIDER) == before + ether("0.4")
    assert final.inclusion is not None
    assert service.available(wallet) == ether("0.6") - final.inclusion.fee_wei == node.balance(wallet.address)
    assert service.event_types(sent.id) == [
        "transaction.created",
        "transaction.queued",
        "transaction.broadcasting",
        "transaction.confirming",
        "transaction.completed",
    ]
    service.assert_reconciled()


def test_s_02_an_answer_lost_after_the_node_took_it_pays_once(proxied: Service, proxy: FaultProxy) -> None:
    wallet, node = proxied.wallet(funded_wei=ether("1")), proxied.node
    proxy.on("eth_sendRawTransaction", ForwardThenDropReply(), times=2)
    sent = proxied.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-02")
    for _ in range(3):
        proxied.custody.advance(CHAIN_ID)
        proxied.clock.advance(31)
    calls = [json.dumps(call.params) for call in proxy.calls("eth_sendRawTransaction")]
    assert len(calls) == 3
    assert len(set(calls)) == 1, "the same bytes every time"
    proxied.finalize()
    assert proxied.outgoing(sent.id).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    assert proxied.available(wallet) == node.balance(wallet.address)
    proxied.assert_reconciled()


def test_s_04_a_node_that_hears_nothing_for_a_while_gets_the_same_bytes_until_it_does(proxied: Service, proxy: FaultProxy) -> None:
    wallet, node = proxied.wallet(funded_wei=ether("1")), proxied.node
    proxy.on("eth_sendRawTransaction", DropRequest())
    sent = proxied.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-04")
    for _ in range(20):
        proxied.custody.advance(CHAIN_ID)
        proxied.clock.advance(31)
    assert mined_from(node, wallet.address) == []
    assert proxied.outgoing(sent.id).state is TransactionState.BROADCASTING
    proxy.clear()
    proxied.clock.advance(31)
    proxied.custody.advance(CHAIN_ID)
    proxied.finalize()
    assert proxied.outgoing(sent.id).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    proxied.assert_reconciled()


def test_s_10_a_recipient_that_reverts_on_chain_costs_the_gas_and_gives_the_amount_back(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    switch = deploy(node, "Switch")
    sent = service.custody.transactions.send(wallet.id, to=switch.lower(), amount=ether("0.4"), idempotency_key="s-10")
    node.mined(transact(node, "Switch", switch, "arm"))
    service.custody.tick()
    service.finalize()
    final = service.outgoing(sent.id)
    assert final.state is TransactionState.REVERTED
    assert final.inclusion is not None
    assert service.available(wallet) == ether("1") - final.inclusion.fee_wei == node.balance(wallet.address)
    service.clock.advance(3600)
    service.custody.tick()
    service.finalize()
    assert len(mined_from(node, wallet.address)) == 1, "not tried again by itself"
    service.assert_reconciled()


def test_a_recipient_that_reverts_already_is_refused_with_its_reason(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))
    revertor = deploy(service.node, "Revertor")
    with pytest.raises(SimulationReverted, match="no ether here"):
        service.custody.transactions.send(wallet.id, to=revertor.lower(), amount=1, idempotency_key="key")
    assert service.custody.transactions.list(direction="outgoing") == []


def test_s_14_two_sends_that_fit_singly_but_not_with_their_gas(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))
    half = ether("0.5")
    service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=half, idempotency_key="first")
    with pytest.raises(InsufficientFunds) as refused:
        service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=half, idempotency_key="second")
    assert int(str(refused.value.extra["available"])) < int(str(refused.value.extra["required"]))
    assert len(service.custody.transactions.list(direction="outgoing")) == 1
    # The refusal consumed nothing: the same key works once there is enough.
    service.node.mined(service.node.send_from_dev_account(wallet.address, ether("1")))
    service.finalize()
    service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=half, idempotency_key="second")


def test_parallel_sends_never_spend_the_same_ether_twice(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))

    def send(number: int) -> bool:
        try:
            service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.8"), idempotency_key=f"payout-{number}")
        except InsufficientFunds:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(16))) == 1
    service.custody.tick()
    service.finalize()
    service.assert_reconciled()


def test_one_key_sent_in_parallel_makes_one_transaction(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))

    def send(_: int) -> str:
        return service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="payout").id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(send, range(16)))) == 1


def test_between_two_managed_wallets_each_side_is_booked_once(service: Service) -> None:
    alice, bob = service.wallet("alice", funded_wei=ether("1")), service.wallet("bob")
    sent = service.custody.transactions.send(alice.id, to=bob.address, amount=ether("0.4"), idempotency_key="key")
    service.custody.tick()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    assert service.available(bob) == ether("0.4")
    service.assert_reconciled()


def test_a_token_goes_out_and_its_gas_is_paid_in_ether(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    node.mined(transact(node, "Good", token, "mint", wallet.address, 100))
    service.finalize()
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=40, asset="good", idempotency_key="key")
    with pytest.raises(InvalidAddress):
        service.custody.transactions.send(wallet.id, to=token.lower(), amount=1, asset="good", idempotency_key="to-the-token")
    service.custody.tick()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    balances = {balance.asset.alias: balance.available for balance in service.custody.wallets.balances(wallet.id)}
    assert balances["good"] == 60
    assert balances["eth"] == node.balance(wallet.address)
    service.assert_reconciled()


def test_an_empty_answer_about_logs_makes_no_paid_token_send_reverted(proxied: Service, proxy: FaultProxy) -> None:
    """Neither where the block's receipts tell better, nor where the node does not give those: then it is asked again."""
    wallet, friend, node = proxied.wallet(funded_wei=ether("1")), proxied.wallet("bob"), proxied.node
    token = deploy(node, "Good")
    proxied.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    node.mined(transact(node, "Good", token, "mint", wallet.address, 100))
    proxied.finalize()
    sent = proxied.custody.transactions.send(wallet.id, to=friend.address, amount=40, asset="good", idempotency_key="key")
    proxy.on("eth_getLogs", Edit(lambda _: []))
    silent = proxy.on("eth_getBlockReceipts", Null())
    proxied.custody.tick()
    node.mined(str(proxied.outgoing(sent.id).hash))
    for _ in range(3):
        proxied.custody.tick()
        assert proxied.outgoing(sent.id).state is TransactionState.BROADCASTING
    silent.times_left = 0
    proxied.finalize()
    assert proxied.outgoing(sent.id).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    for owned, amount in ((wallet, 60), (friend, 40)):
        assert {each.asset.alias: each.available for each in proxied.custody.wallets.balances(owned.id)}["good"] == amount
    proxied.assert_reconciled()


def test_s_29_a_reorg_takes_a_payment_back_and_the_same_bytes_bring_it_back(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-29")
    service.custody.tick()
    service.custody.tick()
    assert service.outgoing(sent.id).state is TransactionState.CONFIRMING
    node.reorg(1)
    service.custody.tick()
    reorged = service.outgoing(sent.id)
    assert len(reorged.attempts) == 1
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    assert "transaction.reorged" in service.event_types(sent.id)
    service.assert_reconciled()


def test_s_05_a_transaction_that_the_pool_lost_is_sent_again(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-05")
    service.custody.tick()
    hash_ = service.outgoing(sent.id).hash
    assert hash_ is not None
    node.drop(hash_)
    service.clock.advance(31)
    service.custody.tick()
    node.set_automine(on=True)
    node.mine()
    service.finalize()
    final = service.outgoing(sent.id)
    assert (final.state, final.hash) == (TransactionState.COMPLETED, hash_)
    service.assert_reconciled()


def test_a_payment_that_waits_is_replaced_by_a_dearer_one_and_paid_once(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="slow")
    service.custody.tick()
    service.clock.advance(95)
    service.custody.tick()
    first, second = service.outgoing(sent.id).attempts
    assert second.fees.max_fee_per_gas_wei * 8 >= first.fees.max_fee_per_gas_wei * 9
    node.mine()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    service.assert_reconciled()


def test_s_23_cancelling_a_sent_payment_ends_in_exactly_one_of_the_two(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.set_automine(on=False)
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-23")
    service.custody.tick()
    service.custody.transactions.cancel(sent.id)
    service.custody.tick()
    node.mine()
    service.finalize()
    final = service.outgoing(sent.id)
    assert final.state is TransactionState.CANCELLED
    assert final.inclusion is not None
    assert service.available(wallet) == ether("1") - final.inclusion.fee_wei
    assert len(mined_from(node, wallet.address)) == 1
    service.assert_reconciled()


def test_a_wallet_frozen_between_acceptance_and_signing_signs_nothing_until_it_is_unfrozen(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="frozen")
    service.custody.wallets.freeze(wallet.id, reason="the owner called")
    service.custody.tick()
    waiting = service.outgoing(sent.id)
    assert (waiting.state, waiting.parked_reason, waiting.nonce) == (TransactionState.QUEUED, "wallet-frozen", None)
    assert mined_from(node, wallet.address) == []
    service.custody.wallets.unfreeze(wallet.id)
    service.clock.advance(11)
    service.custody.tick()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    service.assert_reconciled()


def test_a_preview_tells_that_a_token_would_say_no_without_reverting(service: Service) -> None:
    """Estimating its gas does not show it: the call succeeds, returns false and moves nothing."""
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    node.mined(transact(node, "Good", token, "mint", wallet.address, 100))
    service.finalize()
    assert service.custody.transactions.preview(wallet.id, to=OUTSIDER, amount=5, asset="good").simulation == Simulation(ok=True)
    refusing = deploy(node, "RetFalse")
    node.raw("anvil_setCode", token, node.raw("eth_getCode", refusing, "latest"))
    node.mine()
    service.custody.tick()
    seen = service.custody.transactions.preview(wallet.id, to=OUTSIDER, amount=5, asset="good")
    assert seen.simulation == Simulation(ok=False, reason="the token's contract says no to this transfer")
