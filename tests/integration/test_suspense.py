"""What a real node's addresses hold and nothing explains: found, kept apart, told once, and a token that lies is disabled."""

from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from custody_core import Wallet, ether
from custody_core.domain.tokens import TokenState
from tests.support.contracts import deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.program import Program, ProgramWithin
from tests.support.service import CHAIN_ID, Service

MISMATCH = "reconciliation-mismatch"

_BALANCES_SLOT = 1
"""Where `Good` keeps its balances: after the total supply."""


def in_suspense(service: Service) -> dict[str, int]:
    return {line.asset.alias: line.amount for line in service.custody.suspense.list()}


def broken(service: Service) -> dict[str, tuple[str, ...]]:
    return {check.id: check.violations for check in service.custody.reconcile().checks if not check.ok}


def alarms(service: Service) -> list[str]:
    service.custody.seal()
    told = [event for event in service.custody.events.list(limit=10_000) if event.data.get("code") == MISMATCH]
    return [event.type for event in told]


def token_deposit(service: Service, contract: str, wallet: Wallet, amount: int) -> str:
    """The address of a new token of which `amount` was sent to the wallet, as its event says."""
    node = service.node
    token = deploy(node, contract)
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="tkn", decimals=6)
    node.mined(transact(node, contract, token, "mint", DEV_ACCOUNTS[0].address, amount))
    node.mined(transact(node, contract, token, "transfer", wallet.address, amount))
    service.finalize()
    return token


def token_line(service: Service, wallet: Wallet) -> tuple[int, int]:
    """What of the token is available, and what is quarantined."""
    (line,) = [each for each in service.custody.wallets.balances(wallet.id) if each.asset.alias == "tkn"]
    return line.available, line.quarantined


def rebase(node: DevNode, token: str, holder: str, balance: int) -> None:
    """Another balance without an event, as tokens have whose balances are shares: the contract's own storage says so."""
    slot = "0x" + keccak(encode(["address", "uint256"], [holder, _BALANCES_SLOT])).hex()
    node.raw("anvil_setStorageAt", token, slot, "0x" + balance.to_bytes(32, "big").hex())
    node.mine()


def test_d_06_of_a_token_that_takes_a_fee_nothing_is_credited_and_the_books_equal_the_chain(service: Service) -> None:
    wallet = service.wallet()
    token = token_deposit(service, "Fee", wallet, 100)
    assert token_line(service, wallet) == (0, 100)
    assert broken(service) == {}
    assert in_suspense(service) == {"tkn": -10}
    assert service.custody.tokens.list()[0].state is TokenState.DISABLED
    assert broken(service) == {}
    assert alarms(service) == ["alarm.raised"]
    service.node.mined(transact(service.node, "Fee", token, "mint", DEV_ACCOUNTS[0].address, 50))
    service.node.mined(transact(service.node, "Fee", token, "transfer", wallet.address, 50))
    service.finalize()
    assert token_line(service, wallet) == (0, 150)
    assert broken(service) == {}
    assert in_suspense(service) == {"tkn": -15}


def test_d_14_ether_forced_on_an_address_is_in_suspense_and_not_the_customers(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))
    boom = deploy(service.node, "Boom")
    service.node.mined(transact(service.node, "Boom", boom, "boom", wallet.address, value_wei=ether("0.1")))
    service.finalize()
    service.custody.reconcile()
    assert in_suspense(service) == {"eth": ether("0.1")}
    assert service.available(wallet) == ether("1")
    assert broken(service) == {}


def test_d_15_a_balance_from_nowhere_is_found_by_the_background_work_with_one_alarm(service: Service) -> None:
    wallet = service.wallet(funded_wei=ether("1"))
    service.node.set_balance(wallet.address, ether("5"))
    service.node.mine()
    service.finalize()
    for _ in range(3):  # a pass over so few wallets is one request
        service.clock.advance(6)
        service.custody.tick()
    assert in_suspense(service) == {"eth": ether("4")}
    assert service.available(wallet) == ether("1")
    assert alarms(service) == ["alarm.raised"]
    service.custody.suspense.book(wallet.id, asset="eth", amount=ether("4"), note="it is theirs")
    assert service.available(wallet) == ether("5")
    assert alarms(service) == ["alarm.raised", "alarm.cleared"]
    service.assert_reconciled()


@pytest.mark.parametrize("balance", [150, 60])
def test_d_17_a_token_that_rebases_is_noticed_and_disabled(service: Service, balance: int) -> None:
    wallet = service.wallet()
    token = token_deposit(service, "Good", wallet, 100)
    service.assert_reconciled()
    rebase(service.node, token, wallet.address, balance)
    service.finalize()
    for _ in range(3):  # a pass over so few wallets is one request; nobody asks for it
        service.clock.advance(6)
        service.custody.tick()
    assert service.custody.tokens.list()[0].state is TokenState.DISABLED, "by itself, within a pass"
    assert broken(service) == {}
    assert in_suspense(service) == {"tkn": balance - 100}
    assert service.custody.tokens.list()[0].state is TokenState.DISABLED
    assert alarms(service) == ["alarm.raised"]
    service.node.mined(transact(service.node, "Good", token, "mint", wallet.address, 7))
    service.finalize()
    assert token_line(service, wallet) == (100, 7)


def test_the_command_line_fills_what_a_token_lacks(tmp_path: Path, node: DevNode) -> None:
    custody: Program = ProgramWithin(tmp_path, {"RPC_URL": node.rpc_url, "CHAIN_ID": str(node.chain_id)})
    assert custody.run("init").code == 0
    wallet, token = custody.json("wallet", "create", "--owner", "alice"), deploy(node, "Fee")
    custody.json("token", "add", token.lower(), "--alias", "fee", "--decimals", "0")
    node.mined(transact(node, "Fee", token, "mint", DEV_ACCOUNTS[0].address, 100))
    node.mined(transact(node, "Fee", token, "transfer", wallet["address"], 100))
    node.finalize()
    assert custody.run("scanner", "--once").code == 0
    assert custody.json("reconcile")["ok"] is True
    (deposit,) = custody.json("tx", "list", "--state", "quarantined")["data"]
    assert "less" in deposit["reason"]
    custody.json("tx", "release", deposit["id"], "--note", "its issuer takes a tenth")
    filled = custody.json("suspense", "book", wallet["id"], "10fee", "--from", "available", "--note", "the tenth")
    assert (filled["from"], filled["left_in_suspense"]) == ("available", "0")
    (line,) = [each for each in custody.json("wallet", "show", wallet["id"])["balances"] if each["asset"] == "fee"]
    assert (line["available"], line["quarantined"]) == ("90", "0")
    assert custody.json("reconcile")["ok"] is True
    assert custody.json("suspense", "list")["data"] == []


def test_the_command_line_lists_books_and_prints_statements(tmp_path: Path, node: DevNode) -> None:
    custody: Program = ProgramWithin(tmp_path, {"RPC_URL": node.rpc_url, "CHAIN_ID": str(node.chain_id)})
    assert custody.run("init").code == 0
    wallet = custody.json("wallet", "create", "--owner", "alice")
    node.set_balance(wallet["address"], ether("0.5"))
    node.mine(8)
    node.finalize()
    assert custody.run("scanner", "--once").code == 0
    assert custody.json("reconcile")["ok"] is True
    (line,) = custody.json("suspense", "list")["data"]
    assert (line["wallet_id"], line["asset"], line["amount"], line["formatted"]) == (wallet["id"], "eth", str(ether("0.5")), "0.5")
    assert line["height"] == custody.json("reconcile")["block"]["number"]
    assert wallet["id"] in custody.run("suspense", "list").out
    assert custody.run("suspense", "book", wallet["id"], "0.2eth", "--to", "available").code == 2  # without a note
    assert custody.run("suspense", "book", wallet["id"], "9eth", "--to", "available", "--note", "too much").code == 1
    booked = custody.json("suspense", "book", wallet["id"], "0.2eth", "--to", "available", "--note", "theirs")
    for target in (("--from", "available", "--to", "available"), ()):
        assert custody.run("suspense", "book", wallet["id"], "0.1eth", *target, "--note", "where?").code == 2
    refused = custody.run("suspense", "book", wallet["id"], "0.1eth", "--from", "available", "--note", "nothing is missing")
    assert (refused.code, "0 is missing" in refused.err) == (2, True)
    assert booked["left_in_suspense"] == str(ether("0.3"))
    statement = custody.json("statement", wallet["id"])
    (eth,) = statement["assets"]
    assert [entry["reason"] for entry in eth["entries"]] == ["suspense-booked"]
    assert (eth["closing"]["available"], eth["control"]["difference"]) == (str(ether("0.2")), "0")
    assert "closing  0.2 eth" in custody.run("statement", wallet["id"]).out
    assert custody.run("statement", wallet["id"], "--csv").out.splitlines()[0].startswith("row,posted_at,wallet_id")
    assert custody.run("statement", wallet["id"], "--from", "2027-01-01T00:00:00").code == 2
    (finding,) = [each for each in custody.run("doctor", "--json").data["checks"] if each["name"] == "suspense"]
    assert finding["ok"] is False
    assert wallet["id"] in finding["detail"]
