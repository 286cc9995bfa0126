"""Two nodes have to agree about every block: what the first of them leaves out of real ones, on anvil behind a lying proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from custody_app.bootstrap import open_service
from custody_app.config import load_settings
from custody_app.doctor import examine
from custody_core import DepositState, Limits, Traces, ether
from custody_memory.observer import RecordingObserver
from tests.support.contracts import deploy, transact
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Edit, Error
from tests.support.service import CHAIN_ID, Service, running_service

NO_SUCH_METHOD = Error(-32601, "Method not found")
TRACES = ("trace_block", "debug_traceBlockByHash")
CHAIN = f"eip155:{CHAIN_ID}"


@attrs.frozen
class Checked:
    """A service on two nodes, with a proxy before each, that asks both about every block."""

    service: Service
    first: FaultProxy
    second: FaultProxy

    def finalize(self) -> None:
        """Until all is final that may be: a block is saved before two nodes are asked about it."""
        for _ in range(3):
            self.service.finalize()

    def credited(self) -> list[int]:
        return [each.key.amount for each in self.service.deposits() if each.state is DepositState.COMPLETED]


@contextmanager
def checking(folder: Path, node: DevNode, traces: Traces) -> Iterator[Checked]:
    with FaultProxy(node.rpc_url) as first, FaultProxy(node.rpc_url) as second:
        limits = Limits(key_pool_size=3, cross_check_min_wei=ether("1"), traces={CHAIN_ID: traces})
        with running_service(folder, node, rpc_url=f"{first.url},{second.url}", limits=limits) as service:
            yield Checked(service, first, second)


@pytest.fixture
def checked(tmp_path: Path, node: DevNode) -> Iterator[Checked]:
    with checking(tmp_path, node, Traces.AUTO) as checked:
        yield checked


@pytest.fixture
def checked_untraced(tmp_path: Path, node: DevNode) -> Iterator[Checked]:
    """A trace that tells of more transactions than the block would give an omission away before two nodes are asked."""
    with checking(tmp_path, node, Traces.OFF) as checked:
        yield checked


def one_log_less(logs: Any) -> Any:
    return logs[:-1] if logs else logs


def one_transaction_less(block: Any) -> Any:
    return block | {"transactions": block["transactions"][:-1]} if block else block


def failed(receipt: Any) -> Any:
    return receipt | {"status": "0x0"} if receipt else receipt


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("eth_getLogs", one_log_less),
        ("eth_getBlockByNumber", one_transaction_less),
        ("eth_getTransactionReceipt", failed),
    ],
    ids=["a log", "a transaction", "a success"],
)
def test_what_the_first_node_leaves_out_of_a_real_block_is_not_lost(checked_untraced: Checked, method: str, change: Any) -> None:
    checked = checked_untraced
    service, node = checked.service, checked.service.node
    wallet = service.wallet()
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    checked.finalize()
    checked.first.on(method, Edit(change))
    node.set_automine(False)
    if method == "eth_getLogs":
        for amount in (7, 8):
            transact(node, "Good", token, "mint", wallet.address, amount)
    else:
        for amount in (7, 8):
            node.send_from_dev_account(wallet.address, amount)
    node.mine()
    node.set_automine(True)
    checked.finalize()
    assert checked.credited() == []
    assert service.event_types(CHAIN) == ["alarm.raised"]
    checked.first.clear()
    service.clock.advance(61)
    checked.finalize()
    assert sorted(checked.credited()) == [7, 8]
    assert service.event_types(CHAIN)[-1] == "alarm.cleared"
    service.assert_reconciled()


def test_a_large_payment_by_a_contract_that_only_one_node_traces_waits_for_an_operator_and_holds_up_nobody(
    checked: Checked,
) -> None:
    service, node = checked.service, checked.service.node
    for method in TRACES:
        checked.second.on(method, NO_SUCH_METHOD)
    first, other = service.wallet("mallory"), service.wallet("bob")
    node.mined(transact(node, "Inner", deploy(node, "Inner"), "pay", first.address, value_wei=ether("1")))
    node.mined(node.send_from_dev_account(other.address, 5))
    checked.finalize()
    assert checked.credited() == []
    service.clock.advance(601)
    checked.finalize()
    assert checked.credited() == [5]
    (deposit,) = [each for each in service.deposits() if each.state is DepositState.QUARANTINED]
    assert service.event_types(deposit.id) == ["transaction.confirming", "transaction.quarantined", "alarm.raised"]
    service.custody.transactions.release(deposit.id, note="an explorer shows it")
    assert service.available(first) == ether("1")
    service.assert_reconciled()


def test_a_token_deposit_under_a_bloom_of_zeros_is_found(tmp_path: Path, node: DevNode) -> None:
    with FaultProxy(node.rpc_url) as proxy, running_service(tmp_path, node, rpc_url=proxy.url) as service:
        proxy.on("eth_getBlockByNumber", Edit(lambda block: block and block | {"logsBloom": "0x" + "00" * 256}))
        wallet, token = service.wallet(), deploy(node, "Good")
        service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
        node.mined(transact(node, "Good", token, "mint", wallet.address, 7))
        service.finalize()
        assert [(each.state, each.key.amount) for each in service.deposits()] == [(DepositState.COMPLETED, 7)]
        service.assert_reconciled()


@pytest.mark.parametrize("traces", ["auto", "off"])
@pytest.mark.parametrize("without", [0, 1, 2])
def test_who_sets_a_minimum_without_two_nodes_that_trace_is_warned(
    tmp_path: Path, node: DevNode, traces: str, without: int
) -> None:
    with FaultProxy(node.rpc_url) as first, FaultProxy(node.rpc_url) as second:
        for proxy in (second, first)[:without]:
            for method in TRACES:
                proxy.on(method, NO_SUCH_METHOD)
        texts = {
            "RPC_URL": f"{first.url},{second.url}",
            "CHAIN_ID": str(CHAIN_ID),
            "TRACES": traces,
            "CROSS_CHECK_MIN_WEI": "1",
            "DATABASE_URL": f"sqlite:///{tmp_path / 'custody.db'}",
            "KEY_FILE": str(tmp_path / "custody.key"),
        }
        settings = {f"CUSTODY_{name}": text for name, text in texts.items()}
        observer = RecordingObserver()
        with open_service(load_settings(settings), observer=observer, create=True):
            told = [detail for what, detail in observer.troubles if what == "cross-check-untraced"]
        finding = next(iter(examine(load_settings(settings))))
    is_due = traces == "auto" and without > 0
    assert len(told) == is_due
    assert (finding.ok is None, "CUSTODY_CROSS_CHECK_MIN_WEI" in finding.detail) == (is_due, is_due)
    assert all(f"{2 - without} of its 2 nodes offer traces" in detail for detail in [*told, *([finding.detail] if is_due else [])])
