"""`custody tx preview|send --data`: a contract called from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_cli import funded_wallet, scan_until
from tests.support.contracts import calldata, deploy
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.program import Program, ProgramWithin

OUTSIDE = DEV_ACCOUNTS[1].address


@pytest.fixture
def custody(tmp_path: Path, node: DevNode) -> Program:
    """After `custody init`."""
    program = ProgramWithin(tmp_path, {"RPC_URL": node.rpc_url, "CHAIN_ID": str(node.chain_id)})
    assert program.run("init").code == 0
    return program


def publish(custody: Program, *rules: dict[str, Any]) -> None:
    document = {"version": 1, "rules": list(rules)}
    assert custody.run("policy", "publish", "-", stdin=json.dumps(document)).code == 0


def test_a_call_is_previewed_sent_shown_and_followed(custody: Program, node: DevNode, tmp_path: Path) -> None:
    wallet, inner = funded_wallet(custody, node), deploy(node, "Inner").lower()
    data, listed = calldata("Inner", "pay", OUTSIDE), tmp_path / "access-list.json"
    listed.write_text(json.dumps([{"address": inner, "storageKeys": []}]))
    asked = (wallet, "--to", inner, "--data", data, "--value", "0.25eth", "--access-list", str(listed))
    denied = custody.run("tx", "send", *asked, "--idempotency-key", "denied")
    assert denied.code == 3
    publish(custody, {"id": "pay", "when": {"call": {"to": inner, "method": "pay(address)"}}, "then": {"allow": True}})
    preview = custody.json("tx", "preview", *asked)
    assert (preview["type"], preview["formatted"], preview["policy"]["decision"]) == ("contract_call", "0.25", "allow")
    before = node.balance(OUTSIDE)
    sent = custody.json("tx", "send", *asked, "--idempotency-key", "call-1")
    assert (sent["type"], sent["amount"], sent["data"]) == ("contract_call", "250000000000000000", data)
    assert [each["address"].lower() for each in sent["access_list"]] == [inner]
    scan_until(custody, sent["id"], "confirming")
    node.finalize()
    scan_until(custody, sent["id"], "completed")
    assert node.balance(OUTSIDE) - before == 25 * 10**16
    assert data in custody.run("tx", "show", sent["id"]).out
    assert custody.run("reconcile").code == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), "--amount"),
        (("--amount", "1", "--data", "0xabcdef01"), "--amount"),
        (("--amount", "1", "--value", "1"), "--value"),
        (("--data", "0x12"), "selector"),
        (("--data", "0xabcdef01", "--value", "1usdc"), "ether"),
        (("--data", "0xabcdef01", "--access-list", "no-such-file"), "no-such-file"),
        (("--data", "0xabcdef01", "--access-list", "-"), "JSON"),
    ],
    ids=["nothing", "both", "a value of a transfer", "no selector", "a value in tokens", "no file", "no JSON"],
)
def test_what_cannot_be_understood_is_told_and_sends_nothing(custody: Program, more: tuple[str, ...], says: str) -> None:
    asked = ("tx", "send", "wal_01m81h0z12wexcvf68314ary9w", "--to", OUTSIDE, "--idempotency-key", "k", *more)
    done = custody.run(*asked, stdin="{")
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert custody.json("tx", "list")["data"] == []
