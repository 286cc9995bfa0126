"""What looks like a deposit and is none, or is hardly one, on a real node with compiled contracts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from custody_core import Deposit, DepositState, Limits, TransactionState, Wallet, ether
from custody_core.domain.addresses import parse_address
from custody_core.domain.resources import chain_text
from tests.support.contracts import call, deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.service import CHAIN_ID, Service, running_service

DEALER, STRANGER = DEV_ACCOUNTS[0].address, DEV_ACCOUNTS[1].address
USDC = ("USD Coin", "USDC")


@pytest.fixture
def service(tmp_path: Path, node: DevNode) -> Iterator[Service]:
    """Nothing here is about the database."""
    with running_service(tmp_path, node) as service:
        yield service


def listed(service: Service, contract: str, alias: str = "token", decimals: int = 6) -> str:
    """The address of a new contract that is listed as a token."""
    address = deploy(service.node, contract)
    service.custody.tokens.add(chain_id=CHAIN_ID, address=address.lower(), alias=alias, decimals=decimals)
    return address


def spendable(service: Service, wallet: Wallet) -> dict[str, int]:
    """What the owner can spend; nothing that is zero."""
    balances = service.custody.wallets.balances(wallet.id)
    return {line.asset.alias: line.available for line in balances if line.available}


def assert_nothing_came(service: Service, wallet: Wallet) -> None:
    """No deposit, no event of one, and no balance of anything."""
    service.finalize()
    assert service.deposits() == []
    assert service.custody.transactions.list(wallet_id=wallet.id) == []
    service.custody.seal()
    assert [event.type for event in service.custody.events.list(limit=1000) if event.type.startswith("transaction.")] == []
    assert all(line.total == 0 for line in service.custody.wallets.balances(wallet.id))
    service.assert_reconciled()
    assert service.custody.suspense.list() == []


def test_d_03_a_token_that_says_no_without_reverting_moved_nothing(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    token = listed(service, "RetFalse")
    node.mined(transact(node, "RetFalse", token, "mint", DEALER, 100))
    receipt = node.mined(transact(node, "RetFalse", token, "transfer", wallet.address, 100))
    assert (receipt["status"], receipt["logs"]) == ("0x1", [])
    assert_nothing_came(service, wallet)


def test_d_04_an_event_of_a_contract_that_nobody_listed_is_nothing(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    listed(service, "Good")
    liar = deploy(node, "Liar")
    receipt = node.mined(transact(node, "Liar", liar, "spoof", STRANGER, wallet.address, 10**30))
    assert len(receipt["logs"]) == 1
    assert_nothing_came(service, wallet)


def test_d_05_a_token_is_its_chain_and_its_address_and_not_what_it_calls_itself(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    real = listed(service, "Good", alias="usdc")
    liar = deploy(node, "Liar")
    node.mined(transact(node, "Liar", liar, "pose", *USDC))
    assert (call(node, "Liar", liar, "name"), call(node, "Liar", liar, "symbol")) == ((USDC[0],), (USDC[1],))
    node.mined(transact(node, "Liar", liar, "spoof", STRANGER, wallet.address, 10**12))
    assert_nothing_came(service, wallet)
    node.mined(transact(node, "Good", real, "mint", wallet.address, 5))
    service.finalize()
    (deposit,) = service.deposits()
    assert deposit.asset.caip19 == f"{chain_text(CHAIN_ID)}/erc20:{parse_address(real)}"
    assert spendable(service, wallet) == {"usdc": 5}


def test_d_07_a_token_that_returns_nothing_comes_in_and_goes_out(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    token = listed(service, "NoRet", alias="usdt")
    node.mined(transact(node, "NoRet", token, "mint", DEALER, 7))
    node.mined(transact(node, "NoRet", token, "transfer", wallet.address, 7))
    service.finalize()
    assert spendable(service, wallet)["usdt"] == 7
    sent = service.custody.transactions.send(wallet.id, to=STRANGER, amount=4, asset="usdt", idempotency_key="out")
    service.custody.tick()
    service.finalize()
    assert service.outgoing(sent.id).state is TransactionState.COMPLETED
    assert call(node, "NoRet", token, "balanceOf", STRANGER) == (4,)
    assert spendable(service, wallet)["usdt"] == 3
    service.assert_reconciled()


def test_d_08_two_equal_transfers_in_one_transaction_are_two_deposits(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    token = listed(service, "Good")
    node.mined(transact(node, "Good", token, "mint", DEALER, 100))
    hash_ = transact(node, "Good", token, "many", wallet.address, 9)
    node.mined(hash_)
    service.finalize()
    assert [(each.key.transaction_hash, each.key.amount, each.state) for each in service.deposits()] == [
        (hash_, 9, DepositState.COMPLETED)
    ] * 2
    assert spendable(service, wallet) == {"token": 18}
    service.assert_reconciled()


def test_d_09_movements_of_nothing_that_name_us_are_not_shown(service: Service) -> None:
    """Poisoning: whoever copies an address from their history finds the thief's there."""
    wallet, node = service.wallet(), service.node
    token = listed(service, "Good")
    for way in ((wallet.address, STRANGER), (STRANGER, wallet.address), (wallet.address, wallet.address)):
        receipt = node.mined(transact(node, "Good", token, "transferFrom", *way, 0))
        assert (receipt["status"], len(receipt["logs"])) == ("0x1", 1)
    node.mined(node.send_from_dev_account(wallet.address, 0))
    assert_nothing_came(service, wallet)


def test_d_10_a_collectible_has_the_same_event_and_is_no_token_deposit(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    token, collectible = listed(service, "Good"), listed(service, "Collectible", alias="ape")
    node.mined(transact(node, "Collectible", collectible, "mint", wallet.address, 4))
    node.mined(transact(node, "Good", token, "mint", wallet.address, 5))
    service.finalize()
    assert spendable(service, wallet) == {"token": 5}, "and what came with it is not held up"
    assert len(service.deposits()) == 1


def test_d_16_a_thousand_deposits_of_one_wei_are_each_recorded_once_and_hold_nobody_up(tmp_path: Path, node: DevNode) -> None:
    with running_service(tmp_path, node, limits=Limits(key_pool_size=1, dust_wei=2)) as service:
        wallet = service.wallet()
        node.set_automine(on=False)
        hashes = {node.send_from_dev_account(wallet.address, 1, gas=hex(21_000)) for _ in range(1000)}
        node.set_automine(on=True)
        node.mine()
        node.mined(node.send_from_dev_account(wallet.address, 2))
        service.custody.tick()
        (status,) = service.custody.chains.list()
        assert node.head() - status.state.cursor.number < 2, "after one turn of the scanner"
        service.finalize()
        with service.store.reading() as unit:
            assert unit.row_counts().deposits == 1001
        (line,) = service.custody.wallets.balances(wallet.id)
        assert (line.available, line.quarantined) == (2, 1000)
        quarantined = list(service.custody.transactions.list(direction="incoming", state="quarantined", limit=200))
        while page := service.custody.transactions.list(
            direction="incoming", state="quarantined", limit=200, before_id=quarantined[-1].id
        ):
            quarantined += page
        assert sorted(each.key.transaction_hash for each in quarantined if isinstance(each, Deposit)) == sorted(hashes)
        service.assert_reconciled()


def test_d_19_ether_for_an_address_that_is_not_ours_has_no_effect(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    token, inner = listed(service, "Good"), deploy(node, "Inner")
    last = "0" if wallet.address[-1] != "0" else "1"
    near_miss = wallet.address[:-1].lower() + last
    for to in (token, inner, "0x" + "00" * 20, near_miss):
        node.mined(node.send_from_dev_account(to, ether("1"), gas=hex(100_000)))
    node.mined(transact(node, "Good", token, "mint", near_miss, 5))
    assert_nothing_came(service, wallet)


def test_d_22_a_payment_that_was_only_announced_moves_nothing(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    node.set_automine(on=False)
    nonce = hex(node.nonce(STRANGER))
    announced = node.send_from_dev_account(wallet.address, ether("1"), sender=STRANGER, nonce=nonce)
    service.custody.tick()
    node.send_from_dev_account(
        STRANGER, 0, sender=STRANGER, nonce=nonce, maxFeePerGas=hex(10**12), maxPriorityFeePerGas=hex(10**11)
    )
    node.set_automine(on=True)
    node.mine()
    assert node.receipt(announced) is None
    assert node.nonce(STRANGER) == int(nonce, 16) + 1
    assert_nothing_came(service, wallet)
