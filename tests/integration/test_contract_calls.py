"""Contract calls on a real node: what was asked for is what the contract gets, and a revert costs its gas alone."""

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hexbytes import HexBytes

from custody_core import FeeAboveCap, InvalidAddress, Limits, PolicyDenied, SimulationReverted, Transaction, TransactionState, ether
from custody_core.domain.addresses import parse_address
from tests.integration.test_sending import mined_from
from tests.support import factories
from tests.support.contracts import call, calldata, deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.service import CHAIN_ID, Service, running_service

OUTSIDER = DEV_ACCOUNTS[1].address
SPENDER = DEV_ACCOUNTS[2].address
UNLIMITED = 2**256 - 1


def publish(service: Service, *calls: dict[str, Any]) -> None:
    """Transfers, and these calls."""
    rules = [{"id": f"call-{index}", "when": {"call": named}, "then": {"allow": True}} for index, named in enumerate(calls)]
    transfers = {"id": "transfers", "when": {"type": "transfer"}, "then": {"allow": True}}
    service.custody.policies.publish({"version": 1, "rules": [transfers, *rules]})


def ask(service: Service, wallet_id: str, to: str, data: str, **changes: Any) -> Transaction:
    key = f"call-{factories.number()}"
    return service.custody.transactions.send(wallet_id, **({"to": to.lower(), "data": data, "idempotency_key": key} | changes))


def test_a_call_with_ether_and_an_access_list_does_what_it_says(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    inner = deploy(node, "Inner")
    publish(service, {"to": inner.lower(), "method": "pay(address)", "args": {"0": {"eq": OUTSIDER}}})
    before = node.balance(OUTSIDER)
    access_list = [{"address": inner.lower(), "storageKeys": ["0x" + "00" * 32]}, {"address": OUTSIDER, "storageKeys": []}]
    sent = ask(service, wallet.id, inner, calldata("Inner", "pay", OUTSIDER), value=ether("0.25"), access_list=access_list)
    service.custody.tick()
    (mined,) = mined_from(node, wallet.address)
    assert mined["input"] == calldata("Inner", "pay", OUTSIDER)
    assert (mined["type"], int(str(mined["value"]), 16)) == ("0x2", ether("0.25"))
    listed: Any = mined["accessList"]
    assert [(each["address"].lower(), each["storageKeys"]) for each in listed] == [
        (inner.lower(), ["0x" + "00" * 32]),
        (OUTSIDER.lower(), []),
    ]
    assert Account.recover_transaction(HexBytes(node.raw_transaction(str(mined["hash"])))) == wallet.address
    service.finalize()
    final = service.outgoing(sent.id)
    assert final.state is TransactionState.COMPLETED
    assert final.inclusion is not None
    assert node.balance(OUTSIDER) == before + ether("0.25")
    assert service.available(wallet) == ether("0.75") - final.inclusion.fee_wei == node.balance(wallet.address)
    service.assert_reconciled()


def test_a_call_that_reverts_on_chain_costs_its_gas_and_says_why(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    good = deploy(node, "Good")
    node.mined(transact(node, "Good", good, "mint", OUTSIDER, 10))
    node.mined(transact(node, "Good", good, "approve", wallet.address, 20, sender=OUTSIDER))
    publish(service, {"to": good.lower(), "method": "transferFrom(address,address,uint256)"})
    collect = calldata("Good", "transferFrom", OUTSIDER, SPENDER, 10)
    sent = ask(service, wallet.id, good, collect)
    # It was possible when it was accepted. Then the tokens go elsewhere.
    node.mined(transact(node, "Good", good, "transfer", SPENDER, 10, sender=OUTSIDER))
    service.custody.tick()
    service.finalize()
    final = service.outgoing(sent.id)
    assert final.state is TransactionState.REVERTED
    assert final.reason == "it reverted: balance too low"
    assert final.inclusion is not None
    assert service.available(wallet) == ether("1") - final.inclusion.fee_wei == node.balance(wallet.address)
    service.assert_reconciled()
    with pytest.raises(SimulationReverted, match="balance too low"):
        ask(service, wallet.id, good, collect)


def test_s_27_an_approval_is_issued_only_as_far_as_a_rule_bounds_it(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    good = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=good.lower(), alias="good", decimals=6)
    for amount in (1, UNLIMITED):
        with pytest.raises(PolicyDenied):
            ask(service, wallet.id, good, calldata("Good", "approve", SPENDER, amount))
    publish(service, {"token": "good", "method": "approve(address,uint256)", "args": {"0": {"eq": SPENDER}, "1": {"lte": "100"}}})
    for spender, amount in ((SPENDER, UNLIMITED), (SPENDER, 101), (OUTSIDER, 5)):
        with pytest.raises(PolicyDenied):
            ask(service, wallet.id, good, calldata("Good", "approve", spender, amount), external_id=f"no-{spender}-{amount}")
    approved = ask(service, wallet.id, good, calldata("Good", "approve", SPENDER, 100))
    service.custody.tick()
    service.finalize()
    assert service.outgoing(approved.id).state is TransactionState.COMPLETED
    assert call(node, "Good", good, "allowance", wallet.address, SPENDER) == (100,)
    assert len(mined_from(node, wallet.address)) == 1
    service.assert_reconciled()


def test_tokens_that_leave_by_a_call_or_an_allowance_leave_the_books_too(service: Service) -> None:
    """No payment asks for them: a step within a contract call, and what somebody collects whom the wallet has allowed to."""
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    good = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=good.lower(), alias="good", decimals=6)
    node.mined(transact(node, "Good", good, "mint", wallet.address, 100))
    publish(service, {"token": "good", "method": "approve(address,uint256)", "args": {"0": {"eq": SPENDER}, "1": {"lte": "100"}}})
    service.finalize()
    ask(service, wallet.id, good, calldata("Good", "approve", SPENDER, 50))
    service.custody.tick()
    publish(service, {"token": "good", "method": "many(address,uint256)", "args": {"0": {"eq": OUTSIDER}, "1": {"lte": "100"}}})
    ask(service, wallet.id, good, calldata("Good", "many", OUTSIDER, 7), external_id="twice-seven")
    service.custody.tick()
    service.finalize()
    receipt = node.mined(transact(node, "Good", good, "transferFrom", wallet.address, OUTSIDER, 30, sender=SPENDER))
    assert receipt["status"] == "0x1"
    service.custody.tick()
    balances = {each.asset.alias: each.available for each in service.custody.wallets.balances(wallet.id)}
    assert balances["good"] == 86, "what was collected is not final yet"
    service.finalize()
    balances = {each.asset.alias: each.available for each in service.custody.wallets.balances(wallet.id)}
    assert balances["good"] == 56
    service.assert_reconciled()


def test_no_wallet_of_ours_is_called(service: Service) -> None:
    ours, theirs = service.wallet(funded_wei=ether("1")), service.wallet("bob")
    publish(service, {"to": theirs.address, "method": "anything()"})
    with pytest.raises(InvalidAddress) as refused:
        ask(service, ours.id, theirs.address, "0xabcdef01")
    assert refused.value.extra["rule"] == "recipient-managed-address"


def test_s_09_a_recipient_that_burns_gas_is_refused_before_anything_is_signed(
    tmp_path: Path, node: DevNode, database_url: str
) -> None:
    limits = Limits(key_pool_size=3, gas_limit_max=200_000)
    with running_service(tmp_path, node, database_url=database_url, limits=limits) as service:
        wallet = service.wallet(funded_wei=ether("1"))
        harmless, grief, worse = (parse_address(deploy(node, "Grief", gas).lower()) for gas in (20_000, 250_000, 17_500_000))
        for contract in (grief, worse):
            with pytest.raises(FeeAboveCap):
                service.custody.transactions.send(wallet.id, to=contract, amount=1, idempotency_key=contract)
        assert service.custody.transactions.list(direction="outgoing") == []
        assert service.available(wallet) == ether("1")
        sent = service.custody.transactions.send(wallet.id, to=harmless, amount=1, idempotency_key=harmless)
        assert sent.gas_limit <= limits.gas_limit_max
        service.custody.tick()
        service.finalize()
        assert service.outgoing(sent.id).state is TransactionState.COMPLETED
        service.assert_reconciled()


def test_s_09_without_a_lower_limit_that_of_eip_7825_holds(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))
    grief = deploy(service.node, "Grief", 17_500_000).lower()
    with pytest.raises(FeeAboveCap) as refused:
        service.custody.transactions.send(wallet.id, to=grief, amount=1, idempotency_key="grief")
    assert refused.value.extra["gas_limit_max"] == 2**24
    assert service.custody.transactions.list(direction="outgoing") == []
