"""One real node that goes back, stands still, leaves out, says twice or refuses: nothing is lost, nothing counts twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from custody_app.bootstrap import open_node
from custody_app.config import ConfigurationError, load_settings
from custody_core import ChainHalted, DepositState, FeeUnavailable, Limits, TransactionState, Wallet, ether
from custody_core.services.following import Round
from custody_http.health import Readiness
from tests.support.contracts import deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Before, Edit, Error, Null, Route, Stale, doubled_logs
from tests.support.service import CHAIN_ID, Service, running_service

DEALER, OUTSIDER = DEV_ACCOUNTS[0].address, DEV_ACCOUNTS[1].address
SLOT_S = 12
CONFIRMING, ORPHANED, COMPLETED = "transaction.confirming", "transaction.orphaned", "transaction.completed"


@pytest.fixture
def service(tmp_path: Path, node: DevNode, proxy: FaultProxy) -> Iterator[Service]:
    """Behind `proxy`. Nothing here is about the database."""
    with running_service(tmp_path, node, rpc_url=proxy.url) as service:
        yield service


@pytest.fixture
def elsewhere(anvil: Path) -> Iterator[DevNode]:
    """A chain with the same id and other blocks."""
    with DevNode(program=anvil, arguments=["--timestamp", "1700000000"]) as node:
        yield node


def pay(service: Service, wallet: Wallet, kind: str) -> str:
    """A deposit of ether or of a listed token, in a block; its hash."""
    node = service.node
    if kind == "ether":
        hash_ = node.send_from_dev_account(wallet.address, 7)
    else:
        token = deploy(node, "Good")
        service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
        hash_ = transact(node, "Good", token, "mint", wallet.address, 7)
    node.mined(hash_)
    return hash_


def cursor(service: Service) -> int:
    (status,) = service.custody.chains.list()
    return status.state.cursor.number


def unready(service: Service) -> str:
    """What `/readyz` would complain about."""
    return "; ".join(each.detail for each in Readiness(service.custody, lambda: None).look().findings if not each.ok)


def asks_for(tag: str) -> Callable[[list[Any]], bool]:
    return lambda params: bool(params[0] == tag)


def test_r_04_a_halted_chain_credits_and_sends_nothing_until_an_operator_lets_it_go_on(
    service: Service, proxy: FaultProxy, elsewhere: DevNode
) -> None:
    """The node shows a chain of its own for a while, all of which is final there."""
    wallet, node = service.wallet(funded_wei=ether("2")), service.node
    node.mine(3)
    service.custody.tick()
    elsewhere.mine(node.head() + 1)
    to_another_chain = proxy.on("*", Route(elsewhere.rpc_url))
    assert service.custody.follow(CHAIN_ID) is Round.HALTED, "at the first look"
    elsewhere.mined(elsewhere.send_from_dev_account(wallet.address, ether("1")))
    elsewhere.finalize()
    service.custody.tick()
    assert "halted" in unready(service)
    assert service.available(wallet) == ether("2"), "nothing is credited, and nothing reversed"
    with pytest.raises(ChainHalted):
        service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1, idempotency_key="while-halted")

    service.custody.chains.resume(CHAIN_ID)
    assert service.custody.follow(CHAIN_ID) is Round.HALTED, "while the node contradicts our final block"
    to_another_chain.times_left = 0
    service.custody.chains.resume(CHAIN_ID)
    node.mined(node.send_from_dev_account(wallet.address, ether("3")))
    service.finalize()
    assert "halted" not in unready(service)
    assert service.available(wallet) == ether("5")
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1, idempotency_key="after")
    service.custody.tick()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    service.assert_reconciled()


@pytest.mark.parametrize("kind", ["ether", "token"])
@pytest.mark.parametrize("comes_back", [True, False], ids=["mined again", "gone"])
def test_r_05_a_reorganisation_between_a_block_and_what_belongs_to_it_mixes_no_forks(
    tmp_path: Path, node: DevNode, proxy: FaultProxy, kind: str, comes_back: bool
) -> None:
    """The process ends there; the next one reads the block that is there then."""
    with running_service(tmp_path, node, rpc_url=proxy.url) as service:
        wallet = service.wallet()
        hash_ = pay(service, wallet, kind)
        raw, orphan = node.raw_transaction(hash_), node.block()
        node.mine(2)
        again = [(raw, 0)] if comes_back else []
        proxy.on(
            {"ether": "eth_getTransactionReceipt", "token": "eth_getLogs"}[kind], Before(lambda: node.reorg(3, again)), times=1
        )
        service.custody.follow(CHAIN_ID)
        with service.store.reading() as unit:
            stored = unit.headers(CHAIN_ID, first=0, last=10**9)
        assert orphan["hash"] not in {each.hash for each in stored}
    with running_service(tmp_path, node, rpc_url=proxy.url) as service:
        service.clock.advance(Limits().lease.total_seconds() + 1)  # nobody gave the first one's lease up
        service.finalize()
        deposits = service.deposits()
        assert [(each.key.transaction_hash, each.state) for each in deposits] == [(hash_, DepositState.COMPLETED)] * comes_back
        for deposit in deposits:
            block = node.block(deposit.block.number)
            assert (deposit.block.hash, block["hash"] != orphan["hash"]) == (block["hash"], True)
            assert service.event_types(deposit.id) == [CONFIRMING, COMPLETED]
        service.assert_reconciled()


@pytest.mark.parametrize("method", ["eth_getLogs", "eth_getBlockByNumber"])
def test_r_07_a_node_behind_the_same_name_that_lacks_the_newest_blocks_is_waited_for(
    service: Service, proxy: FaultProxy, elsewhere: DevNode, method: str
) -> None:
    """A balancer whose one node shows the head, while another, which does not have that block, is asked for what is in it."""
    wallet, node = service.wallet(), service.node
    service.custody.follow(CHAIN_ID)
    before = cursor(service)
    lagging = proxy.on(method, Route(elsewhere.rpc_url), when=lambda params: params[0] not in ("latest", "finalized"))
    pay(service, wallet, "token")
    node.mine(20)
    for _ in range(3):
        assert service.custody.follow(CHAIN_ID) is Round.WAITING
        assert service.deposits() == []
    assert cursor(service) - before <= 1, "the block with the deposit is not passed"
    lagging.times_left = 0
    service.finalize()
    assert [(each.state, each.key.amount) for each in service.deposits()] == [(DepositState.COMPLETED, 7)]
    service.assert_reconciled()


def test_r_08_a_receipt_that_is_not_there_five_times_is_asked_for_and_its_height_not_passed(
    service: Service, proxy: FaultProxy
) -> None:
    wallet, node = service.wallet(), service.node
    service.custody.follow(CHAIN_ID)
    before = cursor(service)
    proxy.on("eth_getTransactionReceipt", Null(), times=5)
    pay(service, wallet, "ether")
    node.mine(2)
    for _ in range(5):
        assert service.custody.follow(CHAIN_ID) is Round.WAITING
        assert (cursor(service), service.deposits()) == (before, [])
    service.custody.follow(CHAIN_ID)
    assert cursor(service) == node.head()
    service.finalize()
    assert [each.state for each in service.deposits()] == [DepositState.COMPLETED]
    service.assert_reconciled()


def test_r_09_a_head_that_goes_back_by_three_and_returns_takes_nothing_back(service: Service, proxy: FaultProxy) -> None:
    wallet, node = service.wallet(), service.node
    pay(service, wallet, "ether")
    node.mine(2)
    service.custody.follow(CHAIN_ID)
    reached = cursor(service)
    back = proxy.on(
        "eth_getBlockByNumber", Edit(lambda block: node.block(int(block["number"], 16) - 3)), when=asks_for("latest"), times=0
    )
    asked = len(proxy.arrivals("eth_getBlockByNumber"))
    for turn in range(10):
        back.times_left = None if turn % 2 == 0 else 0
        assert service.custody.follow(CHAIN_ID) is Round.IDLE
        assert cursor(service) == reached
    assert len(proxy.arrivals("eth_getBlockByNumber")) - asked <= 3 * 10, "no block is read anew"
    (deposit,) = service.deposits()
    assert service.event_types(deposit.id) == [CONFIRMING]
    back.times_left = 0
    service.finalize()
    assert service.event_types(deposit.id) == [CONFIRMING, COMPLETED]
    service.assert_reconciled()


def test_r_10_logs_that_come_twice_and_out_of_order_are_the_same_deposits(service: Service, proxy: FaultProxy) -> None:
    wallet, node = service.wallet(), service.node
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    proxy.on("eth_getLogs", Edit(doubled_logs))
    node.mined(transact(node, "Good", token, "mint", DEALER, 100))
    node.set_automine(on=False)
    for amount in (9, 4):
        transact(node, "Good", token, "many", wallet.address, amount, gas=hex(200_000))
    node.set_automine(on=True)
    node.mine()
    service.finalize()
    assert sorted(each.key.amount for each in service.deposits()) == [4, 4, 9, 9]
    assert len(proxy.calls("eth_getLogs")) > 0
    (balance,) = [each for each in service.custody.wallets.balances(wallet.id) if each.asset.alias == "good"]
    assert balance.available == 26
    service.assert_reconciled()


def test_r_14_a_final_block_that_stands_still_for_a_thousand_blocks_credits_nothing_and_is_told_once(
    service: Service, proxy: FaultProxy
) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    stands = proxy.on("eth_getBlockByNumber", Stale(), when=asks_for("finalized"))
    service.custody.follow(CHAIN_ID)
    node.mined(node.send_from_dev_account(wallet.address, ether("2")))
    for _ in range(2):
        node.raw("anvil_mine", hex(500), hex(SLOT_S))
        service.custody.follow(CHAIN_ID)
    assert service.available(wallet) == ether("1")
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.5"), idempotency_key="from-what-is-final")
    service.custody.tick()
    assert service.outgoing(sent.id).state is TransactionState.BROADCASTING
    assert service.event_types(f"eip155:{CHAIN_ID}") == ["alarm.raised"]
    (alarm,) = [each for each in service.custody.events.list(limit=1000) if each.type == "alarm.raised"]
    assert alarm.data["code"] == "finality-stalled"

    stands.times_left = 0
    service.finalize()
    assert service.event_types(f"eip155:{CHAIN_ID}") == ["alarm.raised", "alarm.cleared"]
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    assert service.available(wallet) == node.balance(wallet.address)
    service.assert_reconciled()


def syncs(service: Service, proxy: FaultProxy) -> Callable[[], None]:
    """The node says that it is catching up; what ends that."""
    rule = proxy.on("eth_syncing", Edit(lambda _: {"startingBlock": "0x0", "currentBlock": "0x1", "highestBlock": "0xff"}))

    def end() -> None:
        rule.times_left = 0
        service.clock.advance(2)

    return end


def stands_still(service: Service, _proxy: FaultProxy) -> Callable[[], None]:
    """The node's newest block is more than two hours old; what ends that."""
    service.clock.advance(2 * 3600 + 60)
    return lambda: service.node.raw("anvil_mine", "0x2", hex(2 * 3600))


@pytest.mark.parametrize("lags", [syncs, stands_still])
def test_r_15_a_node_that_is_behind_its_chain_is_not_ready_and_nothing_is_sent(
    tmp_path: Path, node: DevNode, proxy: FaultProxy, lags: Callable[[Service, FaultProxy], Callable[[], None]]
) -> None:
    limits = Limits(key_pool_size=1, head_age_max={CHAIN_ID: timedelta(hours=2)})
    with running_service(tmp_path, node, rpc_url=proxy.url, limits=limits) as service:
        wallet = service.wallet(funded_wei=ether("1"))
        queued = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1, idempotency_key="before")
        assert unready(service) == ""
        catch_up = lags(service, proxy)
        assert "behind its chain" in unready(service)
        service.clock.advance(2)
        with pytest.raises(FeeUnavailable):
            service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1, idempotency_key="while-behind")
        for _ in range(3):
            service.custody.tick()
            service.clock.advance(11)
        assert (service.outgoing(queued.id).state, node.nonce(wallet.address)) == (TransactionState.QUEUED, 0)
        assert proxy.calls("eth_sendRawTransaction") == []
        catch_up()
        service.custody.tick()
        service.finalize()
        assert service.outgoing(queued.id).state is TransactionState.COMPLETED
        assert "behind its chain" not in unready(service)


def test_r_16_a_node_without_the_finalized_tag_is_refused_unless_a_depth_is_set(
    tmp_path: Path, node: DevNode, proxy: FaultProxy
) -> None:
    database = tmp_path / "custody.db"
    texts = {"RPC_URL": proxy.url, "CHAIN_ID": str(CHAIN_ID), "DATABASE_URL": f"sqlite:///{database}"}
    proxy.on("eth_getBlockByNumber", Error(-32602, "invalid block tag finalized"), when=asks_for("finalized"))

    def start(**more: str) -> None:
        settings = load_settings({f"CUSTODY_{name}": text for name, text in (texts | more).items()})
        with open_node(settings.chains[0], settings):
            pass

    with pytest.raises(ConfigurationError, match="does not know the `finalized` tag; set CUSTODY_CONFIRMATIONS"):
        start()
    assert not database.exists()
    start(CONFIRMATIONS="3")
    limits = Limits(key_pool_size=1, confirmations={CHAIN_ID: 3})
    with running_service(tmp_path, node, rpc_url=proxy.url, limits=limits) as service:
        wallet = service.wallet()
        pay(service, wallet, "ether")
        service.custody.follow(CHAIN_ID)
        assert service.available(wallet) == 0
        node.mine(2)
        service.custody.follow(CHAIN_ID)
        assert service.available(wallet) == 7


@pytest.mark.parametrize(
    ("method", "refusal"),
    [
        ("eth_getLogs", Error(-32005, "query returned more than 10000 results")),
        ("eth_getBlockByNumber", Error(-32600, "batch too large")),
    ],
    ids=["logs", "blocks"],
)
def test_r_17_what_is_too_much_for_a_node_is_asked_for_in_smaller_parts(
    service: Service, proxy: FaultProxy, method: str, refusal: Error
) -> None:
    wallet, node = service.wallet(), service.node
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    service.custody.follow(CHAIN_ID)
    for _ in range(8):
        node.mined(transact(node, "Good", token, "mint", wallet.address, 7))
    # As often as it takes until the first two are asked for one by one: all eight, their first half, its first half.
    proxy.on(method, refusal, times=8 + 4 + 2, when=lambda params: params[0] not in ("latest", "finalized"))
    assert service.custody.follow(CHAIN_ID) is Round.IDLE, "at once"
    assert cursor(service) == node.head()
    service.finalize()
    assert [each.state for each in service.deposits()] == [DepositState.COMPLETED] * 8
    assert service.custody.wallets.balances(wallet.id)[1].available == 56
    service.assert_reconciled()


def test_r_17_a_single_block_with_more_logs_than_a_node_tells_is_read_by_its_receipts(service: Service, proxy: FaultProxy) -> None:
    wallet, node = service.wallet(), service.node
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    service.custody.follow(CHAIN_ID)
    too_many = Error(-32005, "query returned more than 10000 results")
    proxy.on("eth_getLogs", too_many)
    proxy.on("eth_getBlockReceipts", Error(-32601, "method not found"))
    node.mined(transact(node, "Good", token, "mint", wallet.address, 7))
    service.custody.follow(CHAIN_ID)
    assert cursor(service) < node.head(), "what nobody tells is waited for"
    proxy.clear()
    proxy.on("eth_getLogs", too_many)
    service.finalize()
    assert [each.state for each in service.deposits()] == [DepositState.COMPLETED]
    service.assert_reconciled()
