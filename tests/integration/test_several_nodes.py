"""A service on several nodes: bad ones neither stop it nor make it pay twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from custody_core import DepositState, Limits, TransactionState, WalletState, ether
from tests.support.contracts import deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import (
    Delay,
    DropRequest,
    Edit,
    EditReply,
    Error,
    Fault,
    ForwardThenDropReply,
    Http,
    Null,
    Stale,
    Truncate,
    without_logs,
)
from tests.support.service import CHAIN_ID, Service, running_service
from tests.support.waiting import until

OUTSIDER = DEV_ACCOUNTS[1].address


@attrs.frozen
class Site:
    """A service with a proxy before each of its nodes, all of which are one anvil."""

    service: Service
    proxies: list[FaultProxy]

    def pays_once(self, key: str) -> None:
        service, node = self.service, self.service.node
        wallet = service.wallet(funded_wei=ether("1"))
        before = node.balance(OUTSIDER)
        sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key=key)
        for _ in range(3):
            service.custody.tick()
            service.clock.advance(31)
        service.finalize()
        assert service.outgoing(sent.id).state is TransactionState.COMPLETED
        assert node.balance(OUTSIDER) == before + ether("0.1")
        service.assert_reconciled()

    def told(self, what: str) -> list[str]:
        return [detail for told, detail in self.service.observer.troubles if told == what]


@pytest.fixture
def sites(tmp_path: Path, node: DevNode) -> Iterator[Callable[[int], Site]]:
    with ExitStack() as closing:

        def site(nodes: int) -> Site:
            proxies = [closing.enter_context(FaultProxy(node.rpc_url)) for _ in range(nodes)]
            urls = ",".join(proxy.url for proxy in proxies)
            return Site(closing.enter_context(running_service(tmp_path, node, rpc_url=urls)), proxies)

        yield site


def test_one_dead_node_of_two_stops_nothing(sites: Callable[[int], Site]) -> None:
    """Peers disabled everything that had one bad URL."""
    site = sites(2)
    site.proxies[0].on("*", DropRequest())
    site.pays_once("dead")
    (detail,) = site.told("node-out")
    assert site.proxies[0].url in detail


@pytest.mark.parametrize(
    "fault",
    [
        Http(429, {"Retry-After": "1"}),
        Http(200, {"Content-Type": "text/html"}, b"<h1>so sorry</h1>"),
        Truncate(40),
        EditReply(lambda reply: {"jsonrpc": "2.0", "id": reply["id"]}),
        Edit(lambda block: block | {"number": str(int(block["number"], 16))}),
    ],
    ids=["429", "html", "truncated", "neither result nor error", "decimal number"],
)
def test_r_11_r_12_a_bad_only_node_moves_no_cursor_and_loses_no_deposit(sites: Callable[[int], Site], fault: Fault) -> None:
    site = sites(1)
    service, (proxy,) = site.service, site.proxies
    wallet = service.wallet()
    before = service.custody.chains.list()[0].state.cursor
    proxy.on("eth_getBlockByNumber", fault)
    service.node.mined(service.node.send_from_dev_account(wallet.address, ether("1")))
    service.node.finalize()
    service.custody.follow(CHAIN_ID)
    assert service.custody.chains.list()[0].state.cursor == before
    proxy.clear()
    service.finalize()
    assert [deposit.key.amount for deposit in service.deposits()] == [ether("1")]
    service.assert_reconciled()


def test_r_11_a_bad_node_beside_a_good_one_stops_no_deposit(sites: Callable[[int], Site]) -> None:
    site = sites(2)
    site.proxies[0].on("*", Http(502))
    site.service.wallet(funded_wei=ether("1"))
    assert [deposit.key.amount for deposit in site.service.deposits()] == [ether("1")]
    site.service.assert_reconciled()


def test_a_node_that_dies_while_it_is_asked_delays_no_payment(sites: Callable[[int], Site]) -> None:
    site = sites(2)
    wallet = site.service.wallet(funded_wei=ether("1"))
    site.service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="key")
    site.proxies[0].on("eth_sendRawTransaction", Delay(10))
    started_s = time.monotonic()
    site.service.custody.tick()
    assert time.monotonic() - started_s < 5
    assert len(site.proxies[1].calls("eth_sendRawTransaction")) == 1


@pytest.mark.parametrize(
    "fault",
    [ForwardThenDropReply(), DropRequest(), Http(502), Error(-32603, "nonce is on fire"), Error(-32000, "exceeds block gas limit")],
    ids=["answer lost", "request lost", "502", "internal error", "refusal"],
)
def test_whatever_one_node_says_to_a_broadcast_the_other_one_takes_it_once(sites: Callable[[int], Site], fault: Fault) -> None:
    site = sites(2)
    site.proxies[0].on("eth_sendRawTransaction", fault)
    site.pays_once("once")
    assert len({str(call.params) for proxy in site.proxies for call in proxy.calls("eth_sendRawTransaction")}) == 1


def test_an_error_about_one_transaction_pauses_no_node(sites: Callable[[int], Site]) -> None:
    """A peer paused every provider for a -32603 about a nonce, and stood still."""
    site = sites(2)
    for proxy in site.proxies:
        proxy.on("eth_sendRawTransaction", Error(-32603, "nonce is on fire"), times=2)
    site.pays_once("fire")
    assert site.told("node-out") == []


def test_s_28_a_provider_with_a_fee_cap_of_its_own_raises_an_alarm_and_the_next_one_takes_it(sites: Callable[[int], Site]) -> None:
    site = sites(2)
    site.proxies[0].on("eth_sendRawTransaction", Error(-32000, "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)"))
    site.pays_once("capped")
    assert len(site.proxies[0].calls("eth_sendRawTransaction")) == 1, "no loop"
    assert all("exceeds the configured cap" in detail for detail in site.told("provider-fee-cap"))
    assert site.told("provider-fee-cap")


# A first node that answers, and wrongly


def test_an_impossible_receipt_of_the_first_node_delays_no_payment(sites: Callable[[int], Site]) -> None:
    """One node alone is waited for, for ever; beside an honest one it is passed over, and told."""
    site = sites(2)
    site.service.wallet(funded_wei=ether("1"))
    site.proxies[0].on("eth_getTransactionReceipt", Edit(lambda receipt: receipt and receipt | {"gasUsed": hex(10**9)}))
    site.pays_once("gas")
    assert site.told("node-disagreement")


def test_a_node_that_makes_transactions_up_freezes_no_wallet(sites: Callable[[int], Site]) -> None:
    site = sites(2)
    site.proxies[0].on("eth_getTransactionCount", Edit(lambda count: hex(int(count, 16) + 5)))
    site.pays_once("count")
    assert "alarm.raised" not in [event.type for event in site.service.custody.events.list(limit=1000)]
    assert all("knows 5" in detail for detail in site.told("node-disagreement"))
    assert site.told("node-disagreement")


def test_a_node_that_makes_transactions_up_beside_a_silent_one_is_waited_for(sites: Callable[[int], Site]) -> None:
    site = sites(2)
    service = site.service
    wallet = service.wallet(funded_wei=ether("1"))
    site.proxies[0].on("eth_getTransactionCount", Edit(lambda count: hex(int(count, 16) + 5)))
    silent = site.proxies[1].on("eth_getTransactionCount", Error(-32000, "busy"))
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="count")
    service.custody.tick()
    waiting = service.outgoing(sent.id)
    assert (waiting.state, waiting.nonce, waiting.parked_reason) == (TransactionState.QUEUED, None, "node-unavailable")
    assert service.custody.wallets.get(wallet.id).state is WalletState.OPEN
    silent.times_left = 0
    service.clock.advance(31)
    service.custody.tick()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getTransactionReceipt"])
def test_r_07_r_08_what_the_first_node_does_not_have_is_read_from_the_second(sites: Callable[[int], Site], method: str) -> None:
    site = sites(2)
    wallet = site.service.wallet()
    site.proxies[0].on(method, Null())
    site.service.node.mined(site.service.node.send_from_dev_account(wallet.address, ether("1")))
    site.service.finalize()
    assert [deposit.state for deposit in site.service.deposits()] == [DepositState.COMPLETED]
    site.service.assert_reconciled()


def test_r_07_a_first_node_that_stands_still_stops_no_deposit(sites: Callable[[int], Site]) -> None:
    """Its head, and what it calls final, stay where they were; the second node's blocks link on to its."""
    site = sites(2)
    service = site.service
    wallet, head = service.wallet(), service.node.block()["number"]
    first = site.proxies[0]
    first.on("eth_getBlockByNumber", Stale(), when=lambda params: params[0] in {"latest", "finalized"})
    first.on("eth_getBlockByNumber", Null(), when=lambda params: params[0].startswith("0x") and int(params[0], 16) > int(head, 16))
    service.node.mined(service.node.send_from_dev_account(wallet.address, ether("1")))
    service.custody.tick()
    assert [deposit.state for deposit in service.deposits()] == [DepositState.CONFIRMING]
    service.node.mine(40)
    service.finalize()
    assert [deposit.state for deposit in service.deposits()] == [DepositState.CONFIRMING], "it may be the other one that is wrong"
    service.clock.advance(360)  # now the first one's newest block is too old for one that keeps up
    service.finalize()
    assert [deposit.state for deposit in service.deposits()] == [DepositState.COMPLETED]
    service.assert_reconciled()


@pytest.mark.parametrize("nodes", [1, 2])
def test_r_07_a_token_deposit_is_not_lost_by_empty_answers_about_logs(sites: Callable[[int], Site], nodes: int) -> None:
    """An out-of-date geth says that there are no logs, and no word more (its issue 24078)."""
    site = sites(nodes)
    service = site.service
    wallet, token = service.wallet(), deploy(service.node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    for proxy in site.proxies:
        proxy.on("eth_getLogs", Edit(without_logs))
    service.node.mined(transact(service.node, "Good", token, "mint", wallet.address, 7))
    service.finalize()
    assert [(deposit.state, deposit.key.amount) for deposit in service.deposits()] == [(DepositState.COMPLETED, 7)]
    assert site.told("node-disagreement")
    service.assert_reconciled()


# Deposits that two nodes have to agree about


def test_r_13_a_deposit_that_only_one_node_shows_is_not_credited(tmp_path: Path, node: DevNode) -> None:
    """The first node shows another value than was sent; the second one tells the truth."""

    def made_up(block: Any) -> Any:
        paid = [each | {"value": hex(ether("1000"))} if isinstance(each, dict) else each for each in block["transactions"]]
        return block | {"transactions": paid}

    with FaultProxy(node.rpc_url) as first, FaultProxy(node.rpc_url) as second:
        limits = Limits(key_pool_size=3, cross_check_min_wei=ether("1"))
        with running_service(tmp_path, node, rpc_url=f"{first.url},{second.url}", limits=limits) as service:
            wallet = service.wallet(funded_wei=ether("2"))
            service.finalize()
            assert service.available(wallet) == ether("2"), "two nodes show it"
            first.on("eth_getBlockByNumber", Edit(made_up))
            service.node.mined(service.node.send_from_dev_account(wallet.address, 1))
            for _ in range(3):
                service.finalize()
            *_, made_up_deposit = service.deposits()
            assert (made_up_deposit.state, made_up_deposit.key.amount) == (DepositState.CONFIRMING, ether("1000"))
            assert service.available(wallet) == ether("2")
            assert service.event_types(made_up_deposit.id) == ["transaction.confirming"]
            assert service.event_types(f"eip155:{CHAIN_ID}") == ["alarm.raised"]


def test_all_nodes_gone_for_a_while_and_back(sites: Callable[[int], Site]) -> None:
    site = sites(2)
    service = site.service
    wallet = service.wallet(funded_wei=ether("1"))
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key="gone")
    for proxy in site.proxies:
        proxy.on("*", Http(503))

    def is_out() -> bool:
        service.custody.tick()
        return len(site.told("node-out")) == 2

    until(is_out, what="both are out", timeout_s=60)
    for proxy in site.proxies:
        proxy.clear()

    def is_over() -> bool:
        service.clock.advance(31)
        service.custody.tick()
        service.node.finalize()
        return service.outgoing(sent.id).state is TransactionState.COMPLETED and len(site.told("node-back")) == 2

    until(is_over, what="the payment is final and both nodes are back", timeout_s=60)
    service.assert_reconciled()
