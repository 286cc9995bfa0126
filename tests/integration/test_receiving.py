"""Deposits on a real node: seen, credited once and only when final, taken back with their block, never made up."""

from custody_core import DepositState, ether
from tests.support.contracts import deploy, transact
from tests.support.devnode import DEV_ACCOUNTS
from tests.support.service import Service


def test_d_01_a_deposit_confirms_at_once_and_is_credited_once_exactly_at_finality(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    node.mined(node.send_from_dev_account(wallet.address, ether("1")))
    service.custody.tick()
    (deposit,) = service.deposits()
    assert deposit.state is DepositState.CONFIRMING
    (balance,) = service.custody.wallets.balances(wallet.id)
    assert (balance.available, balance.pending_in) == (0, ether("1"))

    block = deposit.block.number
    while int(node.block("finalized")["number"], 16) < block:
        assert service.available(wallet) == 0, "credited before it was final"
        node.mine()
        service.custody.tick()
    for _ in range(3):
        node.mine()
        service.custody.tick()

    (deposit,) = service.deposits()
    assert deposit.state is DepositState.COMPLETED
    assert str(service.available(wallet)) == "1000000000000000000"
    assert service.event_types(deposit.id) == ["transaction.confirming", "transaction.completed"]
    service.assert_reconciled()


def test_d_02_what_reverts_is_no_deposit(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    revertor = deploy(node, "Revertor")
    names_us = "0x" + wallet.address[2:].rjust(64, "0")
    for data in ("0x", names_us):
        receipt = node.mined(node.send_from_dev_account(revertor, ether("1"), data, gas=hex(100_000)))
        assert receipt["status"] == "0x0"
    service.finalize()
    assert service.deposits() == []
    assert service.available(wallet) == 0
    service.assert_reconciled()


def test_d_02_value_sent_to_us_in_a_transaction_that_fails_is_no_deposit(service: Service) -> None:
    """Ether for a wallet's own address that fails: only the receipt tells it from a deposit."""
    wallet, node = service.wallet(), service.node
    # Code at a managed address (EIP-7702 makes that possible on a live chain) that always reverts.
    node.raw("anvil_setCode", wallet.address, "0x60006000fd")
    receipt = node.mined(node.send_from_dev_account(wallet.address, ether("1"), gas=hex(100_000)))
    assert receipt["status"] == "0x0"
    service.finalize()
    assert service.deposits() == []
    service.assert_reconciled()


def test_d_20_deposits_in_the_block_of_the_handing_out_and_in_the_one_before_are_both_credited(service: Service) -> None:
    service.custody.tick()
    with service.store.reading() as unit:
        (_, address), *_ = unit.addresses_after(0, 10)
    node = service.node
    node.mined(node.send_from_dev_account(address, ether("1")))
    node.set_automine(on=False)
    node.send_from_dev_account(address, ether("2"))
    wallet = service.custody.wallets.create(owner="alice", idempotency_key="oldest")
    assert wallet.address == address
    node.set_automine(on=True)
    node.mine()
    service.finalize()
    assert service.available(wallet) == ether("3")
    assert len(service.deposits()) == 2
    service.assert_reconciled()


def test_r_01_a_deposit_whose_block_leaves_the_chain_is_orphaned_and_never_credited(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    node.mined(node.send_from_dev_account(wallet.address, ether("1")))
    node.mine(2)
    service.custody.tick()
    (deposit,) = service.deposits()
    assert deposit.state is DepositState.CONFIRMING

    node.reorg(3)
    service.custody.tick()
    (deposit,) = service.deposits()
    assert deposit.state is DepositState.ORPHANED
    (balance,) = service.custody.wallets.balances(wallet.id)
    assert (balance.available, balance.pending_in) == (0, 0)

    service.finalize()
    assert service.available(wallet) == 0
    assert service.event_types(deposit.id) == ["transaction.confirming", "transaction.orphaned"]
    service.assert_reconciled()


def test_r_02_a_deposit_mined_again_elsewhere_is_the_same_deposit_credited_once(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    hash_ = node.send_from_dev_account(wallet.address, ether("1"))
    node.mined(hash_)
    raw = node.raw_transaction(hash_)
    node.mine(2)
    service.custody.tick()
    (first,) = service.deposits()

    node.reorg(3, [(raw, 1)])
    service.custody.tick()
    (again,) = service.deposits()
    assert (again.id, again.state) == (first.id, DepositState.CONFIRMING)
    assert again.block.number == first.block.number + 1
    assert again.block.hash == node.block(again.block.number)["hash"]

    service.finalize()
    assert service.available(wallet) == ether("1")
    assert service.event_types(first.id) == [
        "transaction.confirming",
        "transaction.orphaned",
        "transaction.confirming",
        "transaction.completed",
    ]
    service.assert_reconciled()


def test_r_03_a_deposit_replaced_by_a_payment_to_somebody_else_is_not_credited(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    snapshot_nonce = node.nonce(DEV_ACCOUNTS[1].address)
    node.mined(node.send_from_dev_account(wallet.address, ether("1"), sender=DEV_ACCOUNTS[1].address))
    service.custody.tick()
    node.reorg(1)
    node.mined(
        node.send_from_dev_account(DEV_ACCOUNTS[2].address, ether("1"), sender=DEV_ACCOUNTS[1].address, nonce=hex(snapshot_nonce))
    )
    service.finalize()
    assert [deposit.state for deposit in service.deposits()] == [DepositState.ORPHANED]
    assert service.available(wallet) == 0
    service.assert_reconciled()


def test_a_listed_token_is_credited_and_an_unlisted_one_never(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    good, liar = deploy(node, "Good"), deploy(node, "Good")
    service.custody.tokens.add(chain_id=31337, address=good.lower(), alias="good", decimals=6)
    for token in (good, liar):
        node.mined(transact(node, "Good", token, "mint", DEV_ACCOUNTS[0].address, 100))
        node.mined(transact(node, "Good", token, "many", wallet.address, 9))
    service.finalize()
    balances = {balance.asset.alias: balance.available for balance in service.custody.wallets.balances(wallet.id)}
    assert balances == {"eth": 0, "good": 18}, "two equal transfers in one transaction are two deposits"
    assert len(service.deposits()) == 2
    service.assert_reconciled()


def test_a_service_that_was_away_catches_up_without_losing_a_deposit(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    for _ in range(5):
        node.mined(node.send_from_dev_account(wallet.address, ether("0.1")))
        node.mine(40)
    service.finalize()
    assert service.available(wallet) == ether("0.5")
    service.assert_reconciled()


def test_r_04_a_final_block_that_changes_stops_crediting_and_sending(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    node.mine(3)
    service.custody.tick()
    node.reorg(int(node.block()["number"], 16) - service.custody.chains.list()[0].state.final.number + 2)
    node.mine()
    service.custody.tick()
    (status,) = service.custody.chains.list()
    assert status.state.halted_reason is not None
    assert service.available(wallet) == ether("1"), "nothing is reversed by itself"
    assert service.event_types("eip155:31337") == ["alarm.raised"]


def test_a_token_that_is_disabled_when_its_deposit_becomes_final_is_quarantined(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    good = deploy(node, "Good")
    token = service.custody.tokens.add(chain_id=31337, address=good.lower(), alias="good", decimals=6)
    service.custody.tokens.disable(token.id)
    node.mined(transact(node, "Good", good, "mint", wallet.address, 100))
    service.finalize()
    balances = {balance.asset.alias: balance for balance in service.custody.wallets.balances(wallet.id)}
    assert (balances["good"].available, balances["good"].quarantined) == (0, 100)
    assert [deposit.state for deposit in service.deposits()] == [DepositState.QUARANTINED]
    service.assert_reconciled()


def test_d_18_a_deposit_for_a_disabled_owner_is_quarantined_not_lost(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    assert wallet.owner_id is not None
    service.custody.users.disable(wallet.owner_id)
    node.mined(node.send_from_dev_account(wallet.address, ether("1")))
    service.finalize()
    (balance,) = service.custody.wallets.balances(wallet.id)
    assert (balance.available, balance.quarantined) == (0, ether("1"))
    (deposit,) = service.deposits()
    assert service.custody.transactions.release(deposit.id, note="the owner may have it").state is DepositState.COMPLETED
    assert service.available(wallet) == ether("1")
    service.assert_reconciled()
