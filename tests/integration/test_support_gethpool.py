"""In front of anvil stands a pool with geth's manners: what it takes, what it keeps, what it loses."""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import requests
from eth_account import Account

from custody_core import TransactionState, ether
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.gethpool import ACCOUNT_QUEUE, ACCOUNT_SLOTS, GethPool
from tests.support.service import Service, running_service

GWEI = 10**9
NOBODY = "0x1111111111111111111111111111111111111111"
SENDER = DEV_ACCOUNTS[0].address


def signed(**fields: object) -> str:
    raw = Account.sign_transaction({"to": NOBODY, "value": 1, "gas": 21_000, **fields}, DEV_ACCOUNTS[0].private_key).raw_transaction
    return "0x" + bytes(raw).hex()


def signed_payment(nonce: int = 0, fee_max_wei: int = 20 * GWEI, tip_max_wei: int = 2 * GWEI) -> str:
    return signed(type=2, chainId=31337, nonce=nonce, maxFeePerGas=fee_max_wei, maxPriorityFeePerGas=tip_max_wei)


@attrs.frozen
class Geth:
    """What a caller sees of the pool, and the anvil behind it."""

    proxy: FaultProxy
    pool: GethPool
    node: DevNode

    def ask(self, method: str, *params: object) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        reply: dict[str, Any] = requests.post(self.proxy.url, json=body, timeout=10).json()
        return reply

    def send(self, raw: str) -> dict[str, Any]:
        return self.ask("eth_sendRawTransaction", raw)

    def found(self, transaction_hash: str) -> dict[str, Any] | None:
        result: dict[str, Any] | None = self.ask("eth_getTransactionByHash", transaction_hash)["result"]
        return result

    def is_pending(self, transaction_hash: str) -> bool:
        found = self.found(transaction_hash)
        return found is not None and found["blockNumber"] is None

    def nonce(self, tag: str) -> int:
        return int(self.ask("eth_getTransactionCount", SENDER, tag)["result"], 16)


@pytest.fixture(params=[False])
def geth(request: pytest.FixtureRequest, node: DevNode) -> Iterator[Geth]:
    node.set_automine(on=False)
    pool = GethPool(crowded=request.param)
    with FaultProxy(node.rpc_url, geth_rules=pool) as proxy:
        yield Geth(proxy, pool, node)


@pytest.mark.parametrize(
    ("fee_max_wei", "tip_max_wei", "is_accepted"),
    [
        (22 * GWEI, 2 * GWEI * 11 // 10, True),
        (22 * GWEI - 1, 2 * GWEI * 11 // 10, False),
        (22 * GWEI, 2 * GWEI * 11 // 10 - 1, False),
        (40 * GWEI, 2 * GWEI, False),
    ],
)
def test_geth_wants_ten_percent_more_on_both_fees(geth: Geth, fee_max_wei: int, tip_max_wei: int, is_accepted: bool) -> None:
    assert "result" in geth.send(signed_payment())
    reply = geth.send(signed_payment(fee_max_wei=fee_max_wei, tip_max_wei=tip_max_wei))
    assert ("result" in reply) == is_accepted
    if not is_accepted:
        assert reply["error"] == {"code": -32000, "message": "replacement transaction underpriced"}


def test_geth_rounds_the_threshold_down_but_wants_more(geth: Geth) -> None:
    geth.send(signed_payment(tip_max_wei=1))
    assert "error" in geth.send(signed_payment(fee_max_wei=30 * GWEI, tip_max_wei=1))
    assert "result" in geth.send(signed_payment(fee_max_wei=30 * GWEI, tip_max_wei=2))


def test_geth_says_already_known_while_pending_and_nonce_too_low_once_mined(geth: Geth, node: DevNode) -> None:
    geth.send(signed_payment())
    assert geth.send(signed_payment())["error"] == {"code": -32000, "message": "already known"}
    node.mine()
    assert geth.send(signed_payment())["error"] == {"code": -32000, "message": "nonce too low"}
    assert geth.send(signed_payment(fee_max_wei=90 * GWEI, tip_max_wei=9 * GWEI))["error"]["message"] == "nonce too low"


def test_geth_leaves_what_is_no_transaction_to_the_node(geth: Geth) -> None:
    for text in ("0x02", "0x02c0", "0x12ff", "nonsense"):
        assert "error" in geth.send(text)


def test_geth_refuses_a_transaction_that_any_chain_would_take(geth: Geth) -> None:
    raw = signed(nonce=0, gasPrice=20 * GWEI)
    assert geth.send(raw)["error"] == {"code": -32000, "message": "only replay-protected (EIP-155) transactions allowed over RPC"}
    assert "result" in geth.send(signed(nonce=0, gasPrice=20 * GWEI, chainId=31337))


def test_geth_keeps_what_is_below_the_base_fee_until_a_block_is_cheap_enough(geth: Geth) -> None:
    geth.node.set_next_base_fee(30 * GWEI)
    cheap = geth.send(signed_payment(fee_max_wei=20 * GWEI))["result"]
    assert geth.is_pending(cheap)
    assert (geth.nonce("latest"), geth.nonce("pending")) == (0, 1)
    assert geth.send(signed_payment(fee_max_wei=20 * GWEI))["error"]["message"] == "already known"
    too_little = geth.send(signed_payment(fee_max_wei=21 * GWEI, tip_max_wei=3 * GWEI))
    assert too_little["error"]["message"] == "replacement transaction underpriced"
    geth.node.mine()
    assert geth.is_pending(cheap)
    geth.node.set_next_base_fee(10 * GWEI)
    assert geth.is_pending(cheap)
    geth.node.mine()
    assert geth.node.receipt(cheap) is not None
    assert (geth.nonce("latest"), geth.nonce("pending")) == (1, 1)


def test_geth_replaces_what_waits_for_a_lower_base_fee(geth: Geth) -> None:
    geth.node.set_next_base_fee(30 * GWEI)
    cheap = geth.send(signed_payment(fee_max_wei=20 * GWEI))["result"]
    dear = geth.send(signed_payment(fee_max_wei=40 * GWEI, tip_max_wei=3 * GWEI))["result"]
    assert geth.found(cheap) is None
    geth.node.mine()
    assert geth.node.receipt(dear) is not None


def test_geth_loses_nothing_when_the_base_fee_rises(geth: Geth) -> None:
    pooled = geth.send(signed_payment(fee_max_wei=20 * GWEI))["result"]
    geth.node.set_next_base_fee(30 * GWEI)
    geth.node.mine()
    assert geth.is_pending(pooled)
    geth.node.set_next_base_fee(10 * GWEI)
    assert geth.is_pending(pooled)
    geth.node.mine()
    assert geth.node.receipt(pooled) is not None


def test_geth_puts_back_what_a_reorganisation_took_out(geth: Geth) -> None:
    hashes = [geth.send(signed_payment(nonce))["result"] for nonce in range(2)]
    geth.node.mine(2)
    assert not any(geth.is_pending(each) for each in hashes)
    geth.node.reorg(2)
    assert geth.node.transaction(hashes[0]) is None, "anvil has forgotten it"
    assert all(geth.is_pending(each) for each in hashes)
    geth.node.mine()
    assert all(geth.node.receipt(each) for each in hashes)


def test_geth_does_not_bring_back_what_it_lost(geth: Geth) -> None:
    lost = geth.send(signed_payment())["result"]
    geth.pool.drop(lost, geth.node.raw)
    geth.node.mine()
    assert geth.found(lost) is None


def test_geth_queues_a_gap_and_drops_the_highest_nonces_of_a_full_queue_without_a_word(geth: Geth) -> None:
    hashes = [geth.send(signed_payment(nonce))["result"] for nonce in range(1, ACCOUNT_QUEUE + 3)]
    assert geth.pool.dropped == hashes[-2:]
    assert geth.found(hashes[-1]) is None
    assert (geth.nonce("latest"), geth.nonce("pending")) == (0, 0)
    geth.node.mine()
    assert geth.nonce("latest") == 0
    geth.send(signed_payment(0))
    assert geth.nonce("pending") == ACCOUNT_QUEUE + 1
    geth.node.mine()
    assert geth.nonce("latest") == ACCOUNT_QUEUE + 1


@pytest.mark.parametrize(("geth", "kept"), [(False, ACCOUNT_SLOTS + 3), (True, ACCOUNT_SLOTS)], indirect=["geth"])
def test_geth_keeps_sixteen_of_an_account_when_its_pool_is_crowded(geth: Geth, kept: int) -> None:
    for nonce in range(ACCOUNT_SLOTS + 3):
        assert "result" in geth.send(signed_payment(nonce))
    geth.node.mine()
    assert geth.nonce("latest") == kept


# A service behind it


@pytest.fixture
def behind_geth(tmp_path: Any, node: DevNode) -> Iterator[Service]:
    with FaultProxy(node.rpc_url, geth_rules=True) as proxy, running_service(tmp_path, node, rpc_url=proxy.url) as service:
        yield service


def test_a_payment_that_waits_behind_geth_is_replaced_under_its_rules_and_paid_once(behind_geth: Service) -> None:
    service, node = behind_geth, behind_geth.node
    wallet = service.wallet(funded_wei=ether("1"))
    node.set_automine(on=False)
    sent = service.custody.transactions.send(wallet.id, to=NOBODY, amount=ether("0.4"), idempotency_key="slow")
    service.custody.tick()
    for _ in range(3):
        service.clock.advance(95)
        service.custody.tick()
    assert len(service.outgoing(sent.id).attempts) >= 2
    assert not [what for what, _ in service.observer.troubles if "underpriced" in what]
    node.mine()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    assert node.balance(NOBODY) == ether("0.4")
    service.assert_reconciled()
