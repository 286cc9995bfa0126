"""Blocks read again, reorganisations kept, and signs of a coming fork, by the real program on a real node."""

from pathlib import Path
from typing import Any

import pytest

from custody_core import InvalidAddress
from custody_core.domain.addresses import SYSTEM_ADDRESS
from custody_core.ports import BlockTag, Found
from custody_core.services.unfinished import Range, read_again
from custody_rpc import RpcChain
from custody_sql import SqlStore
from tests.support.contracts import deploy, transact
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.program import Program, ProgramWithin
from tests.support.service import Service, running_service

ONE_ETHER = 10**18


@pytest.fixture
def custody(tmp_path: Path, node: DevNode) -> Program:
    program = ProgramWithin(tmp_path, {"RPC_URL": node.rpc_url, "CHAIN_ID": str(node.chain_id), "DUST_WEI": "100"})
    assert program.run("init").code == 0
    return program


def wallet_of(custody: Program, name: str) -> Any:
    return custody.json("wallet", "create", "--owner", name, "--idempotency-key", name)


def balances(custody: Program, wallet: Any) -> dict[str, str]:
    return {each["asset"]: each["available"] for each in custody.json("wallet", "show", wallet["id"])["balances"]}


def follow(custody: Program) -> None:
    assert custody.run("scanner", "--once").code == 0


def test_a_token_that_is_listed_later_is_found_by_reading_its_blocks_again(custody: Program, node: DevNode) -> None:
    wallet, good = wallet_of(custody, "alice"), deploy(node, "Good")
    node.mined(transact(node, "Good", good, "mint", DEV_ACCOUNTS[0].address, 100))
    first = node.mined(transact(node, "Good", good, "many", wallet["address"], 9))
    node.finalize()
    follow(custody)
    listed = custody.json("token", "add", good.lower(), "--alias", "good", "--decimals", "6", "--dust", "2")
    assert listed["next"] == f"custody scan rescan 1-{node.head()}"
    assert "next" not in custody.json("token", "add", good.lower(), "--alias", "good", "--decimals", "6")
    later = node.mined(transact(node, "Good", good, "mint", wallet["address"], 1))
    node.finalize()
    follow(custody)
    scan = custody.json("scan", "rescan", f"1-{node.head() - 5}")
    assert [(each["wallet_id"], each["state"]) for each in scan["deposits"]] == [(wallet["id"], "completed")] * 2
    assert balances(custody, wallet)["good"] == "18"
    again = custody.run("scan", "rescan", first["transactionHash"])
    assert (again.code, "nothing was missing" in again.out) == (0, True)

    (dust,) = custody.json("tx", "list", "--state", "quarantined")["data"]
    assert (dust["hash"], dust["amount"]) == (later["transactionHash"], "1")
    assert custody.json("tx", "release", dust["id"], "--note", "they asked for it")["state"] == "completed"
    assert balances(custody, wallet)["good"] == "19"
    assert custody.run("tx", "release", dust["id"], "--note", "twice").code == 1
    assert custody.json("reconcile")["ok"]


def test_what_was_not_followed_is_not_read_again(custody: Program, node: DevNode) -> None:
    node.mine(3)
    follow(custody)
    assert custody.run("scan", "rescan", "1-9999").code == 1
    assert custody.run("scan", "rescan", "3-x").code == 2
    assert custody.json("scan", "status")["data"][0]["last_reorganisation"] is None


def test_what_a_rescan_has_left_out_is_shown_with_its_command(custody: Program, node: DevNode, tmp_path: Path) -> None:
    node.mine(9)
    follow(custody)
    assert custody.json("scan", "status")["data"][0]["unfinished_rescans"] == []
    leave_out(tmp_path, (4, 7))
    (left,) = custody.json("scan", "status")["data"][0]["unfinished_rescans"]
    assert (left["from"], left["to"], left["command"]) == (4, 7, "custody scan rescan 4-7")
    assert "`custody scan rescan 4-7`" in custody.run("scan", "status").out
    doctor = custody.run("doctor", "--json").data["checks"]
    assert ["block 4" in each["detail"] for each in doctor if each["name"].startswith("books against")] == [True]
    assert custody.run("scan", "rescan", "4-7").code == 0
    assert custody.json("scan", "status")["data"][0]["unfinished_rescans"] == []
    leave_out(tmp_path, (4, 7))
    assert custody.json("scan", "abandon")["given_up"] == [{"from": 4, "to": 7}]
    assert "nothing" in custody.run("scan", "abandon").out


def leave_out(folder: Path, blocks: Range) -> None:
    store = SqlStore(f"sqlite:///{folder}/custody.db")
    with store.transaction() as unit:
        read_again(unit, 31337, (1, 1), blocks)
    store.close()


def test_a_reorganisation_is_shown(custody: Program, node: DevNode) -> None:
    wallet = wallet_of(custody, "alice")
    node.mined(node.send_from_dev_account(wallet["address"], ONE_ETHER))
    node.mine()
    follow(custody)
    node.reorg(2)
    follow(custody)
    follow(custody)
    (chain,) = custody.json("scan", "status")["data"]
    last = chain["last_reorganisation"]
    assert (last["depth"], last["deposits"], last["transactions"], last["events"]) == (2, 1, 0, 1)
    assert (chain["head"], chain["lag_blocks"], chain["halted"]) == (node.head(), 0, False)
    assert custody.json("chain", "status")["data"][0]["last_reorganisation"] == last
    shown = custody.run("scan", "status").out
    assert f"2 above {last['to']['number']}" in shown


def test_ether_that_is_logged_like_a_token_is_credited_once(tmp_path: Path, node: DevNode) -> None:
    """EIP-7708 logs each movement of ether from one address, in the form of a token's event."""
    code = node.raw("eth_getCode", deploy(node, "Good"), "latest")
    node.raw("anvil_setCode", SYSTEM_ADDRESS, code)
    with running_service(tmp_path, node) as service:
        with pytest.raises(InvalidAddress, match="EIP-7708"):
            list_token(service, SYSTEM_ADDRESS)
        list_token(service, deploy(node, "Good"))
        wallet = service.custody.wallets.create(owner="alice", idempotency_key="alice")
        logged = node.mined(transact(node, "Good", SYSTEM_ADDRESS, "mint", wallet.address, ONE_ETHER))
        assert [each["address"] for each in logged["logs"]] == [SYSTEM_ADDRESS.lower()]
        node.mined(node.send_from_dev_account(wallet.address, ONE_ETHER))
        node.finalize()
        service.custody.tick()
        assert service.available(wallet) == ONE_ETHER
        assert [each.asset.alias for each in service.deposits()] == ["eth"]
        service.assert_reconciled()


def list_token(service: Service, address: str) -> None:
    service.custody.tokens.add(chain_id=31337, address=address.lower(), alias="good", decimals=6)


def test_a_node_of_today_shows_no_field_that_is_not_known(node: DevNode) -> None:
    chain = RpcChain(node.chain_id, [node.rpc_url])
    assert isinstance(chain.header(BlockTag.LATEST), Found)
    assert chain.unknown_header_fields == []
    chain.close()
