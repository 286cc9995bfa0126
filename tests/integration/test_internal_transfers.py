"""Ether that contracts pay, on a real node and in both dialects of traces: credited once, or left for the books to find."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from custody_app.bootstrap import open_node
from custody_app.config import ConfigurationError, load_settings
from custody_app.doctor import examine
from custody_core import DepositState, Limits, Traces, ether
from custody_core.domain.addresses import parse_address
from custody_core.domain.deposit import DepositKind
from tests.support.contracts import deploy, transact
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Error
from tests.support.service import CHAIN_ID, Service, running_service

GAS = hex(300_000)
FLAT, NESTED = "trace_block", "debug_traceBlockByHash"
NO_SUCH_METHOD = Error(-32601, "Method not found")


@attrs.frozen
class Traced:
    """A service whose node knows only some of the ways to ask for traces."""

    service: Service
    proxy: FaultProxy

    def asked(self, method: str) -> int:
        return len(self.proxy.calls(method))


def traced(folder: Path, node: DevNode, *missing: str, traces: Traces = Traces.AUTO) -> Iterator[Traced]:
    with FaultProxy(node.rpc_url) as proxy:
        for method in missing:
            proxy.on(method, NO_SUCH_METHOD)
        limits = Limits(key_pool_size=3, traces={CHAIN_ID: traces})
        with running_service(folder, node, rpc_url=proxy.url, limits=limits) as service:
            yield Traced(service, proxy)


@pytest.fixture(params=[(NESTED,), (FLAT,)], ids=["trace_block", "callTracer"])
def either(request: pytest.FixtureRequest, tmp_path: Path, node: DevNode) -> Iterator[Traced]:
    """In each dialect in turn."""
    yield from traced(tmp_path, node, *request.param)


@pytest.fixture
def untraced(tmp_path: Path, node: DevNode) -> Iterator[Traced]:
    """A node that offers no traces."""
    yield from traced(tmp_path, node, FLAT, NESTED)


def found(service: Service) -> list[tuple[DepositKind, int, DepositState]]:
    return [(each.key.kind, each.key.amount, each.state) for each in service.deposits()]


def test_d_12_what_a_contract_pays_is_credited_from_the_trace_once(either: Traced) -> None:
    service = either.service
    wallet, node = service.wallet(), service.node
    inner = deploy(node, "Inner")
    hash_ = transact(node, "Inner", inner, "pay", wallet.address, value_wei=ether("1"))
    node.mined(hash_)
    service.custody.tick()
    assert found(service) == [(DepositKind.INTERNAL, ether("1"), DepositState.CONFIRMING)]
    assert service.available(wallet) == 0

    service.finalize()
    (deposit,) = service.deposits()
    assert deposit.state is DepositState.COMPLETED
    assert (deposit.key.transaction_hash, deposit.key.sender) == (hash_, parse_address(inner))
    assert service.available(wallet) == node.balance(wallet.address) == ether("1")
    assert service.event_types(deposit.id) == ["transaction.confirming", "transaction.completed"]
    service.assert_reconciled()


def test_d_12_a_payment_and_an_internal_one_in_one_block_are_each_found_once(either: Traced) -> None:
    service = either.service
    wallet, node = service.wallet(), service.node
    inner = deploy(node, "Inner")
    node.set_automine(on=False)
    node.send_from_dev_account(wallet.address, ether("1"))
    for _ in range(2):
        transact(node, "Inner", inner, "pay", wallet.address, value_wei=ether("1"), gas=GAS)
    node.set_automine(on=True)
    node.mine()
    service.finalize()
    one = ether("1")
    assert sorted(found(service)) == sorted(
        [(kind, one, DepositState.COMPLETED) for kind in (DepositKind.NATIVE, DepositKind.INTERNAL, DepositKind.INTERNAL)]
    )
    assert service.available(wallet) == 3 * one
    service.assert_reconciled()


def test_d_13_what_an_inner_call_takes_back_is_not_credited(either: Traced) -> None:
    service = either.service
    wallet, node = service.wallet(), service.node
    inner = deploy(node, "Inner")
    receipt = node.mined(transact(node, "Inner", inner, "go", wallet.address, value_wei=ether("1"), gas=GAS))
    assert receipt["status"] == "0x1"
    assert node.balance(inner) == ether("1"), "the inner call was reached, and taken back"
    service.finalize()
    assert found(service) == []
    service.assert_reconciled()


def test_d_14_what_a_contract_forces_on_an_address_is_not_credited(either: Traced) -> None:
    service = either.service
    wallet, node = service.wallet(), service.node
    boom = deploy(node, "Boom")
    node.mined(transact(node, "Boom", boom, "boom", wallet.address, value_wei=ether("0.1")))
    service.finalize()
    assert node.balance(wallet.address) == ether("0.1")
    assert (found(service), service.available(wallet)) == ([], 0)
    service.assert_reconciled(in_suspense_wei=ether("0.1"))
    assert (found(service), service.available(wallet)) == ([], 0)
    service.assert_reconciled(in_suspense_wei=ether("0.1"))


def test_d_12_an_internal_deposit_whose_block_leaves_the_chain_is_orphaned_and_comes_back(either: Traced) -> None:
    service = either.service
    wallet, node = service.wallet(), service.node
    hash_ = transact(node, "Inner", deploy(node, "Inner"), "pay", wallet.address, value_wei=ether("1"))
    node.mined(hash_)
    raw = node.raw_transaction(hash_)
    service.custody.tick()
    (first,) = service.deposits()
    node.reorg(1)
    node.mine()
    service.custody.tick()
    assert found(service) == [(DepositKind.INTERNAL, ether("1"), DepositState.ORPHANED)]
    node.mined(node.raw("eth_sendRawTransaction", raw))
    service.finalize()
    (again,) = service.deposits()
    assert (again.id, again.state) == (first.id, DepositState.COMPLETED)
    assert service.available(wallet) == ether("1")
    service.assert_reconciled()


def test_d_12_on_a_node_without_traces_it_is_told_and_nothing_is_credited_or_held_up(untraced: Traced) -> None:
    service = untraced.service
    wallet, node = service.wallet(funded_wei=ether("2")), service.node
    node.mined(transact(node, "Inner", deploy(node, "Inner"), "pay", wallet.address, value_wei=ether("1")))
    service.finalize()
    assert found(service) == [(DepositKind.NATIVE, ether("2"), DepositState.COMPLETED)]
    assert node.balance(wallet.address) == ether("3")
    service.assert_reconciled(in_suspense_wei=ether("1"))
    assert service.available(wallet) == ether("2")
    assert len([what for what, _ in service.observer.troubles if what == "traces-missing"]) == 1
    assert untraced.asked(FLAT) == untraced.asked(NESTED) == 2, "about the block, and whether it is the method"


def test_a_trace_that_does_not_come_holds_its_block_up(either: Traced) -> None:
    service, proxy = either.service, either.proxy
    wallet, node = service.wallet(), service.node
    inner = deploy(node, "Inner")
    service.custody.tick()
    rules = [proxy.on(method, Error(-32000, "internal error")) for method in (FLAT, NESTED)]
    node.mined(transact(node, "Inner", inner, "pay", wallet.address, value_wei=ether("1")))
    service.finalize()
    (status,) = service.custody.chains.list()
    assert (found(service), status.lag_blocks) != ([], 0)
    for rule in rules:
        rule.times_left = 0
    service.finalize()
    assert service.available(wallet) == ether("1")
    service.assert_reconciled()


def test_only_blocks_with_transactions_are_asked_about(tmp_path: Path, node: DevNode) -> None:
    for each in traced(tmp_path, node):
        node.mine(5)
        each.service.custody.tick()
        assert each.asked(FLAT) == 0
        node.mined(node.send_from_dev_account(each.service.wallet().address, 1))
        each.service.custody.tick()
        assert (each.asked(FLAT), each.asked(NESTED)) == (1, 0)


# The setting


@pytest.mark.parametrize("missing", [(), (FLAT,), (FLAT, NESTED)])
@pytest.mark.parametrize("traces", Traces)
def test_who_requires_traces_is_not_started_without_them(
    tmp_path: Path, node: DevNode, proxy: FaultProxy, missing: tuple[str, ...], traces: Traces
) -> None:
    node.mined(node.send_from_dev_account("0x" + "12" * 20, 1))
    for method in missing:
        proxy.on(method, NO_SUCH_METHOD)
    texts = {
        "RPC_URL": proxy.url,
        "CHAIN_ID": str(CHAIN_ID),
        "TRACES": str(traces),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}",
    }
    settings = load_settings({f"CUSTODY_{name}": text for name, text in texts.items()})
    finding = next(iter(examine(settings)))
    if traces is Traces.REQUIRED and len(missing) == 2:
        with (
            pytest.raises(ConfigurationError, match="offers no traces, and CUSTODY_TRACES=required asks for them"),
            open_node(settings.chains[0], settings),
        ):
            pass
        assert (finding.ok, "offers no traces" in finding.detail) == (False, True)
        return
    with open_node(settings.chains[0], settings):
        pass
    assert finding.ok
    assert ("no traces" in finding.detail) == (traces is Traces.AUTO and len(missing) == 2)
