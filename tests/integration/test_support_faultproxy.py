"""The proxy misbehaves exactly as told, and is otherwise invisible."""

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account import Account

from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import (
    After,
    Before,
    Delay,
    Drip,
    DropRequest,
    Edit,
    EditReply,
    Error,
    Fault,
    ForwardThenDropReply,
    Http,
    Null,
    Route,
    Stale,
    Truncate,
    doubled_logs,
    without_logs,
)

GWEI = 10**9
NOBODY = "0x1111111111111111111111111111111111111111"


def post(proxy: FaultProxy, body: object, timeout_s: float = 10) -> requests.Response:
    return requests.post(proxy.url, json=body, timeout=timeout_s)


def request(method: str, *params: object, id_: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": list(params)}


def ask(proxy: FaultProxy, method: str, *params: object) -> dict[str, Any]:
    reply: dict[str, Any] = post(proxy, request(method, *params)).json()
    return reply


def signed_payment(nonce: int = 0, fee_max_wei: int = 20 * GWEI, tip_max_wei: int = 2 * GWEI) -> str:
    fields = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "to": NOBODY,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": fee_max_wei,
        "maxPriorityFeePerGas": tip_max_wei,
    }
    signed: bytes = Account.sign_transaction(fields, DEV_ACCOUNTS[0].private_key).raw_transaction
    return "0x" + bytes(signed).hex()


def test_without_rules_it_is_invisible_but_remembers(proxy: FaultProxy) -> None:
    assert ask(proxy, "eth_chainId") == {"jsonrpc": "2.0", "id": 1, "result": "0x7a69"}
    assert ask(proxy, "eth_nosuch")["error"]["code"] == -32601
    (call,) = proxy.calls("eth_chainId")
    assert (call.params, call.result, call.faults) == ([], "0x7a69", ())
    assert len(proxy.calls()) == 2


def test_drop_request_keeps_the_call_from_the_node(proxy: FaultProxy, node: DevNode) -> None:
    proxy.on("eth_sendRawTransaction", DropRequest(), times=1)
    with pytest.raises(requests.ConnectionError):
        ask(proxy, "eth_sendRawTransaction", signed_payment())
    assert node.nonce(DEV_ACCOUNTS[0].address, "pending") == 0
    assert proxy.calls("eth_sendRawTransaction")[0].answer is None
    assert "result" in ask(proxy, "eth_sendRawTransaction", signed_payment())


def test_forward_then_drop_reply_lets_the_node_act(proxy: FaultProxy, node: DevNode) -> None:
    proxy.on("eth_sendRawTransaction", ForwardThenDropReply(), times=1)
    with pytest.raises(requests.ConnectionError):
        ask(proxy, "eth_sendRawTransaction", signed_payment())
    assert node.nonce(DEV_ACCOUNTS[0].address, "pending") == 1


def test_something_can_happen_before_or_after_the_node_acts(proxy: FaultProxy, node: DevNode) -> None:
    seen: list[int] = []

    def look() -> None:
        seen.append(node.nonce(DEV_ACCOUNTS[0].address, "pending"))

    proxy.on("eth_sendRawTransaction", Before(look), After(look))
    assert "result" in ask(proxy, "eth_sendRawTransaction", signed_payment())
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Null(), {"result": None}),
        (Error(-32000, "out of order"), {"error": {"code": -32000, "message": "out of order"}}),
        (Error(3, "reverted", "0x08"), {"error": {"code": 3, "message": "reverted", "data": "0x08"}}),
        (Edit(lambda result: hex(int(result, 16) + 1)), {"result": "0x7a6a"}),
        (EditReply(lambda reply: {"jsonrpc": "2.0", "id": reply["id"]}), {}),
    ],
)
def test_answers_can_be_replaced_or_edited(proxy: FaultProxy, fault: Fault, answer: dict[str, Any]) -> None:
    proxy.on("eth_chainId", fault)
    assert ask(proxy, "eth_chainId") == {"jsonrpc": "2.0", "id": 1, **answer}


def test_rules_count_skip_select_and_give_way(proxy: FaultProxy) -> None:
    proxy.on("eth_getBalance", Null(), times=1, skip=1, when=lambda params: params[0] == NOBODY)
    proxy.on("*", Error(-32000, "busy"), times=1, when=lambda params: params == [])

    other = DEV_ACCOUNTS[0].address
    answers = [ask(proxy, "eth_getBalance", who, "latest")["result"] for who in (other, NOBODY, NOBODY, NOBODY)]
    assert answers == [hex(10_000 * 10**18), "0x0", None, "0x0"]
    assert "error" in ask(proxy, "eth_blockNumber")
    assert "result" in ask(proxy, "eth_blockNumber")
    proxy.on("*", Null())
    proxy.clear()
    assert ask(proxy, "eth_chainId")["result"] == "0x7a69"


def test_chance_is_seeded(node: DevNode) -> None:
    def outcomes(seed: int) -> list[bool]:
        with FaultProxy(node.rpc_url, seed=seed) as proxy:
            proxy.on("eth_chainId", Null(), probability=0.5)
            return [ask(proxy, "eth_chainId")["result"] is None for _ in range(20)]

    assert outcomes(1) == outcomes(1)
    assert 0 < sum(outcomes(1)) < 20


def test_http_replaces_the_whole_answer(proxy: FaultProxy) -> None:
    proxy.on("eth_chainId", Http(429, {"Retry-After": "2", "Content-Type": "text/html"}, b"<h1>slow down</h1>"))
    answer = post(proxy, [request("eth_chainId"), request("eth_blockNumber", id_=2)])
    assert (answer.status_code, answer.headers["Retry-After"], answer.text) == (429, "2", "<h1>slow down</h1>")


def test_route_asks_another_node(proxy: FaultProxy, anvil: Path) -> None:
    with DevNode(program=anvil, chain_id=7) as other:
        proxy.on("eth_chainId", Route(other.rpc_url))
        assert ask(proxy, "eth_chainId")["result"] == "0x7"
        assert ask(proxy, "net_version")["result"] == "31337"


def test_stale_repeats_the_last_answer(proxy: FaultProxy, node: DevNode) -> None:
    assert ask(proxy, "eth_blockNumber")["result"] == "0x0"
    proxy.on("eth_blockNumber", Stale(), times=1)
    node.mine(3)
    assert ask(proxy, "eth_blockNumber")["result"] == "0x0"
    assert ask(proxy, "eth_blockNumber")["result"] == "0x3"


def test_delay_and_drip_take_their_time(proxy: FaultProxy) -> None:
    proxy.on("eth_chainId", Delay(0.2))
    proxy.on("net_version", Drip(bytes_per_chunk=8, pause_s=0.05))
    for method in ("eth_chainId", "net_version"):
        start = time.monotonic()
        assert "result" in ask(proxy, method)
        assert time.monotonic() - start >= 0.2, method


def test_stopping_does_not_wait_for_a_delayed_call(node: DevNode) -> None:
    with FaultProxy(node.rpc_url) as proxy:
        proxy.on("eth_chainId", Delay(60))
        with pytest.raises(requests.Timeout):
            post(proxy, request("eth_chainId"), timeout_s=0.1)
        start = time.monotonic()
    assert time.monotonic() - start < 5


def test_truncate_breaks_off(proxy: FaultProxy) -> None:
    proxy.on("eth_chainId", Truncate(10))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        ask(proxy, "eth_chainId")


def test_rules_apply_to_each_call_of_a_batch(proxy: FaultProxy) -> None:
    proxy.on("eth_blockNumber", DropRequest())
    proxy.on("net_version", Null())
    batch = [request(method, id_=n) for n, method in enumerate(["eth_chainId", "eth_blockNumber", "net_version"])]
    assert [(reply["id"], reply["result"]) for reply in post(proxy, batch).json()] == [(0, "0x7a69"), (2, None)]
    with pytest.raises(requests.ConnectionError):
        post(proxy, [request("eth_blockNumber")])


def test_log_helpers() -> None:
    assert without_logs([1]) == []
    assert without_logs({"status": "0x1", "logs": [1]}) == {"status": "0x1", "logs": []}
    assert doubled_logs([1, 2]) == [2, 1, 1, 2]
