"""The dev chain does what the other tests take for granted."""

import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account

from tests.support.contracts import artefacts, call, deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode, NodeError
from tests.support.waiting import until

ETHER = 10**18
NOBODY = "0x" + "11" * 20
TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def test_dev_accounts_hold_the_keys_they_claim_and_are_rich(node: DevNode) -> None:
    for account in DEV_ACCOUNTS:
        assert Account.from_key(account.private_key).address == account.address
        assert account.private_key not in repr(account)
        assert node.balance(account.address) == 10_000 * ETHER


def test_a_payment_is_mined_at_once_and_final_four_blocks_later(node: DevNode) -> None:
    receipt = node.mined(node.send_from_dev_account(NOBODY, ETHER))

    assert node.balance(NOBODY) == ETHER
    assert node.balance(NOBODY, "finalized") == 0
    node.mine(4)
    assert int(node.block("finalized")["number"], 16) == int(receipt["blockNumber"], 16)
    assert node.balance(NOBODY, "finalized") == ETHER


def test_finalize_mines_until_the_present_head_is_final(node: DevNode) -> None:
    node.mined(node.send_from_dev_account(NOBODY, ETHER))
    node.finalize()
    assert node.balance(NOBODY, "finalized") == ETHER


def test_chain_id_can_be_chosen(anvil: Path) -> None:
    with DevNode(program=anvil, chain_id=4242) as node:
        assert int(node.raw("eth_chainId"), 16) == 4242


def test_without_mining_a_payment_waits_in_the_pool_until_told(anvil: Path) -> None:
    with DevNode(program=anvil, mining=False) as node:
        sent = node.send_from_dev_account(NOBODY, 1)
        assert node.receipt(sent) is None
        assert node.nonce(DEV_ACCOUNTS[0].address, "pending") == 1
        node.mine()
        assert node.mined(sent)["status"] == "0x1"


def test_block_time_mines_by_itself(anvil: Path) -> None:
    with DevNode(program=anvil, block_time_s=1) as node:
        assert until(lambda: node.head() >= 1, what="a block by itself")


def test_automine_can_be_switched_off_and_a_transaction_dropped(node: DevNode) -> None:
    node.set_automine(on=False)
    sent = node.send_from_dev_account(NOBODY, 1)
    node.drop(sent)
    node.mine()
    assert node.transaction(sent) is None


def test_reorg_forgets_transactions_unless_they_are_passed_on(node: DevNode) -> None:
    forgotten = node.send_from_dev_account(NOBODY, 1)
    old_hash = node.mined(forgotten)["blockHash"]
    signed = node.raw_transaction(forgotten)

    node.reorg(1)
    assert node.block(1)["hash"] != old_hash
    assert node.receipt(forgotten) is None
    assert node.balance(NOBODY) == 0

    node.mine()
    node.reorg(2, [(signed, 1)])
    assert int(node.mined(forgotten)["blockNumber"], 16) == 2


def test_ether_can_come_from_nowhere(node: DevNode) -> None:
    node.set_balance(NOBODY, 5 * ETHER)
    assert node.balance(NOBODY) == 5 * ETHER


def test_an_error_of_the_node_is_raised_with_its_code(node: DevNode) -> None:
    with pytest.raises(NodeError) as caught:
        node.raw("eth_nosuch")
    assert caught.value.code == -32601


def test_stop_ends_the_process_and_may_be_repeated(anvil: Path) -> None:
    node = DevNode(program=anvil)
    node.stop()
    node.stop()
    with pytest.raises(OSError, match="refused"):
        node.raw("eth_chainId")


def test_a_node_that_nobody_stops_ends_with_the_interpreter(anvil: Path) -> None:
    program = "from tests.support.devnode import DevNode; print(DevNode()._process.pid)"
    pid = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=30).stdout)
    assert anvil.is_file()
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_that_does_not_listen_is_reported_with_what_it_said() -> None:
    with pytest.raises(RuntimeError, match="ended with code 1"):
        DevNode(program=Path("/bin/false"))


# The contracts


def test_every_contract_can_be_deployed(node: DevNode) -> None:
    arguments = {"Grief": (100_000,)}
    for name in artefacts():
        address = deploy(node, name, *arguments.get(name, ()))
        assert node.raw("eth_getCode", address, "latest") != "0x", name


def test_good_many_logs_two_identical_transfers(node: DevNode) -> None:
    token = deploy(node, "Good")
    node.mined(transact(node, "Good", token, "mint", DEV_ACCOUNTS[0].address, 18))
    logs = node.mined(transact(node, "Good", token, "many", NOBODY, 9))["logs"]
    assert [log["topics"][0] for log in logs] == [TRANSFER_TOPIC] * 2
    assert logs[0]["data"] == logs[1]["data"]
    assert call(node, "Good", token, "balanceOf", NOBODY) == (18,)


def test_tokens_lie_as_they_are_meant_to(node: DevNode) -> None:
    sender = DEV_ACCOUNTS[0].address
    received = {}
    for name in ("RetFalse", "Fee", "NoRet"):
        token = deploy(node, name)
        node.mined(transact(node, name, token, "mint", sender, 100))
        receipt = node.mined(transact(node, name, token, "transfer", NOBODY, 100))
        received[name] = (receipt["status"], len(receipt["logs"]), call(node, name, token, "balanceOf", NOBODY)[0])
    assert received == {"RetFalse": ("0x1", 0, 0), "Fee": ("0x1", 1, 90), "NoRet": ("0x1", 1, 100)}


def test_inner_pays_without_a_log_and_go_undoes_only_the_inner_frame(node: DevNode) -> None:
    inner = deploy(node, "Inner")
    paid = node.mined(transact(node, "Inner", inner, "pay", NOBODY, value_wei=3))
    assert (paid["status"], paid["logs"], node.balance(NOBODY)) == ("0x1", [], 3)
    undone = node.mined(transact(node, "Inner", inner, "go", NOBODY, value_wei=5, gas=hex(200_000)))
    assert (undone["status"], node.balance(NOBODY), node.balance(inner)) == ("0x1", 3, 5)


def test_boom_forces_ether_on_a_contract_that_refuses_it(node: DevNode) -> None:
    refuser = deploy(node, "Revertor")
    refused = node.mined(node.send_from_dev_account(refuser, 7, gas=hex(100_000)))
    assert refused["status"] == "0x0"
    node.mined(transact(node, "Boom", deploy(node, "Boom"), "boom", refuser, value_wei=7))
    assert node.balance(refuser) == 7


def test_switch_accepts_until_it_is_armed(node: DevNode) -> None:
    switch = deploy(node, "Switch")
    assert node.mined(node.send_from_dev_account(switch, 1))["status"] == "0x1"
    node.mined(transact(node, "Switch", switch, "arm"))
    with pytest.raises(NodeError, match="armed"):
        node.raw("eth_estimateGas", {"to": switch, "value": "0x1"})


def test_grief_burns_the_gas_it_was_made_with(node: DevNode) -> None:
    grief = deploy(node, "Grief", 1_000_000)
    assert int(node.raw("eth_estimateGas", {"to": grief, "value": "0x1"}), 16) > 1_000_000
