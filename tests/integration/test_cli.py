"""The real `custody` program on a real node: the whole walk, exit codes, JSON shapes, and bad input that changes nothing."""

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from custody_app.cli import program as cli_program
from tests.support.contracts import deploy
from tests.support.devnode import DevNode
from tests.support.program import CUSTODY, TIMEOUT_S, Program, ProgramWithin
from tests.support.waiting import until

OUTSIDE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
NO_WALLET = "wal_01m81h0z12wexcvf68314ary9w"
ONE_ETHER = 10**18


@pytest.fixture
def real(tmp_path: Path, node: DevNode) -> Program:
    """The installed program, with settings for `node` and an empty folder."""
    folder = tmp_path / "service"
    folder.mkdir()
    return Program(folder, {"RPC_URL": node.rpc_url, "CHAIN_ID": str(node.chain_id)})


@pytest.fixture
def fresh(real: Program) -> Program:
    """The same, quicker."""
    return ProgramWithin(real.folder, real.settings)


@pytest.fixture
def custody(fresh: Program) -> Program:
    """After `custody init`."""
    assert fresh.run("init").code == 0
    return fresh


@pytest.fixture
def nowhere(tmp_path: Path) -> Program:
    """An empty folder, and no settings."""
    return ProgramWithin(tmp_path, {})


def funded_wallet(custody: Program, node: DevNode, wei: int = ONE_ETHER) -> str:
    """A wallet's id, once its deposit is credited."""
    wallet = custody.json("wallet", "create", "--owner", "alice", "--idempotency-key", "alice")
    node.mined(node.send_from_dev_account(wallet["address"], wei))
    node.finalize()
    assert custody.run("scanner", "--once").code == 0
    return str(wallet["id"])


def send(wallet_id: str, *more: str, amount: str = "0.05eth", key: str = "payout-1") -> tuple[str, ...]:
    return ("tx", "send", wallet_id, "--to", OUTSIDE, "--amount", amount, "--idempotency-key", key, *more)


def scan_until(custody: Program, transaction_id: str, state: str) -> Mapping[str, Any]:
    """Rounds of `custody scanner --once` until the transaction has that state."""

    def look() -> Mapping[str, Any] | None:
        assert custody.run("scanner", "--once").code == 0
        found: Mapping[str, Any] = custody.json("tx", "show", transaction_id)
        return found if found["state"] == state else None

    return until(look, what=f"{transaction_id} {state}", timeout_s=30)


# The walk


@pytest.mark.timeout(240)
def test_from_nothing_to_books_that_agree_with_the_chain(real: Program, fresh: Program, node: DevNode) -> None:
    made = real.json("init")
    assert (made["database"], made["key_file"]["made"], made["wallets_ready"]) == ({"made": True}, True, {"made": 10, "count": 10})
    assert (real.folder / "custody.key").stat().st_mode & 0o777 == 0o600

    wallet = real.json("wallet", "create", "--owner", "alice", "--label", "savings", "--idempotency-key", "alice")
    assert [each["id"] for each in fresh.json("wallet", "list")["data"]] == [wallet["id"]]
    node.mined(node.send_from_dev_account(wallet["address"], ONE_ETHER))
    assert real.run("scanner", "--once").code == 0
    (deposit,) = fresh.json("tx", "list", "--direction", "incoming")["data"]
    assert (deposit["state"], deposit["confirmations"], deposit["amount"]) == ("confirming", 1, "1000000000000000000")
    node.finalize()
    assert fresh.run("scanner", "--once").code == 0
    (balance,) = fresh.json("wallet", "show", wallet["id"], "--live")["balances"]
    assert (balance["available"], balance["on_chain"]["amount"]) == ("1000000000000000000", "1000000000000000000")

    preview = fresh.json("tx", "preview", wallet["id"], "--to", OUTSIDE, "--amount", "50000000000000000")
    assert (preview["formatted"], preview["sufficient"], preview["policy"]["decision"]) == ("0.05", True, "allow")
    before = node.balance(OUTSIDE)
    sent = real.json(*send(wallet["id"]))
    assert (sent["state"], sent["amount"], sent["hash"], sent["nonce"]) == ("queued", "50000000000000000", None, None)
    assert fresh.json(*send(wallet["id"]))["id"] == sent["id"], "the same key is the same payment"
    mined = scan_until(fresh, sent["id"], "confirming")
    assert [(each["kind"], each["state"]) for each in mined["attempts"]] == [("payment", "sent")]
    node.finalize()
    final = scan_until(fresh, sent["id"], "completed")
    assert node.balance(OUTSIDE) - before == 5 * 10**16
    assert fresh.run("tx", "wait", sent["id"]).code == 0

    (balance,) = fresh.json("wallet", "show", wallet["id"])["balances"]
    assert int(balance["available"]) == ONE_ETHER - 5 * 10**16 - int(final["fee"]["amount"])
    reconciled = real.json("reconcile")
    assert set(reconciled) == {"ok", "block", "checks"}
    assert set(reconciled["block"]) == {"number", "hash", "timestamp"}
    assert reconciled["checks"][0] == {"id": "INV-1", "ok": True, "violations": []}
    assert all(set(check) == {"id", "ok", "violations"} and check["ok"] for check in reconciled["checks"])
    assert fresh.json("doctor")["ok"] is True
    assert fresh.json("audit", "verify")["ok"] is True


def test_init_again_changes_nothing_that_is_there(custody: Program) -> None:
    key_file = custody.files()["custody.key"]
    again = custody.json("init")
    assert (again["database"]["made"], again["key_file"]["made"], again["policies"]["made"]) == (False, False, False)
    assert again["wallets_ready"] == {"made": 0, "count": 10}
    assert custody.files()["custody.key"] == key_file


def test_tokens_are_listed_found_by_alias_and_disabled(custody: Program, node: DevNode) -> None:
    contract = deploy(node, "Good")
    nothing = custody.run("token", "add", "0x00000000000000000000000000000000DeaDBeef", "--alias", "usdt", "--decimals", "6")
    assert (nothing.code, "no token at this address" in nothing.err) == (2, True)
    listed = custody.json("token", "add", contract, "--alias", "usdc", "--decimals", "6")
    assert (listed["alias"], listed["decimals"], listed["state"]) == ("usdc", 6, "listed")
    assert custody.json("token", "disable", "usdc")["state"] == "disabled"
    assert [each["id"] for each in custody.json("token", "list")["data"]] == [listed["id"]]


def test_a_frozen_wallet_says_why_and_sends_nothing(custody: Program, node: DevNode) -> None:
    wallet_id = funded_wallet(custody, node)
    assert custody.json("wallet", "freeze", wallet_id, "--reason", "under review")["state"] == "frozen"
    refused = custody.run(*send(wallet_id), "--json")
    assert (refused.code, refused.data["error"]["code"]) == (1, "wallet-frozen")
    assert "under review" in refused.err
    assert custody.json("wallet", "unfreeze", wallet_id)["state"] == "open"
    assert custody.run(*send(wallet_id)).code == 0


# Exit codes


def test_exit_3_when_the_policy_denies_and_the_refusal_is_kept(custody: Program, node: DevNode) -> None:
    wallet_id = funded_wallet(custody, node)
    (custody.folder / "none.toml").write_text(
        'version = 1\n[[rules]]\nid = "nothing"\nwhen = {type = "transfer"}\nthen = {deny = true}\n'
    )
    assert custody.json("policy", "validate", "none.toml") == {"ok": True, "rules": ["nothing"]}
    published = custody.json("policy", "publish", "none.toml")
    assert custody.json("policy", "show")["data"] == [published]
    denied = custody.run(*send(wallet_id), "--json")
    assert (denied.code, denied.data["error"]["code"], denied.data["error"]["rules"]) == (3, "policy-denied", ["nothing"])
    assert custody.json("tx", "show", denied.data["error"]["transaction_id"])["state"] == "rejected"


def test_exit_5_when_nobody_carries_it_in_time(custody: Program, node: DevNode) -> None:
    wallet_id = funded_wallet(custody, node)
    late = custody.run(*send(wallet_id, "--wait", "completed", "--timeout", "0.5"), "--json")
    assert (late.code, late.data["error"]["code"]) == (5, "timed-out")
    assert "custody scanner" in late.err
    (waiting,) = custody.json("tx", "list", "--direction", "outgoing")["data"]
    assert (waiting["id"], waiting["state"]) == (late.data["error"]["transaction_id"], "queued")
    for more, found in (
        (("--asset", "eth", "--since", waiting["created_at"], "--direction", "outgoing"), [waiting]),
        (("--asset", "usdc"), []),
        (("--external-id", "order-1"), []),
        (("--since", "2999-01-01T00:00:00Z"), []),
    ):
        assert custody.json("tx", "list", *more)["data"] == found
    assert custody.run("tx", "list", "--since", "yesterday").code == 2
    assert custody.run("tx", "wait", waiting["id"], "--timeout", "0").code == 5
    assert custody.json("tx", "cancel", waiting["id"])["state"] == "cancelled"
    assert custody.run("tx", "wait", waiting["id"]).code == 1, "it ended other than was wanted"


def test_exit_6_when_the_books_and_the_chain_differ(custody: Program, node: DevNode) -> None:
    wallet = custody.json("wallet", "create", "--owner", "alice")
    node.mined(node.send_from_dev_account(wallet["address"], 5))
    node.finalize()
    assert custody.run("scanner", "--once").code == 0
    node.set_balance(wallet["address"], 4)
    node.mine(8)
    node.finalize()
    assert custody.run("scanner", "--once").code == 0
    found = custody.run("reconcile", "--json")
    assert (found.code, found.data["ok"]) == (6, False)
    broken = [check for check in found.data["checks"] if not check["ok"]]
    assert [check["id"] for check in broken] == ["INV-1"]
    assert wallet["address"] in broken[0]["violations"][0]
    assert "✗ INV-1" in custody.run("reconcile").out


def test_exit_6_when_an_audit_row_was_changed(custody: Program) -> None:
    assert custody.run("scanner", "--once").code == 0
    with sqlite3.connect(custody.folder / "custody.db") as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'").fetchall()
        for (name,) in triggers:
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE audit SET actor = 'nobody' WHERE sequence = 3")
    database.close()
    verdict = custody.run("audit", "verify", "--json")
    assert (verdict.code, verdict.data) == (6, {"ok": False, "rows": 2, "first_broken": 3})
    ill = custody.run("doctor", "--json")
    assert (ill.code, [each["name"] for each in ill.data["checks"] if not each["ok"]]) == (1, ["audit trail"])


# Bad input: a clear error, the next step, and nothing written


def test_an_empty_idempotency_key_is_refused_and_no_other_made_up(custody: Program, node: DevNode) -> None:
    wallet_id = funded_wallet(custody, node)
    for command in (send(wallet_id, key=""), ("wallet", "create", "--owner", "bob", "--idempotency-key", "")):
        refused = custody.run(*command, "--json")
        assert (refused.code, refused.data["error"]["code"]) == (2, "idempotency-key-missing")
        assert "cli-" not in refused.err
    assert custody.json("tx", "list", "--direction", "outgoing")["data"] == []
    assert len(custody.json("wallet", "list")["data"]) == 1


def test_a_made_up_key_is_told_only_where_it_may_have_been_used(custody: Program, nowhere: Program) -> None:
    assert "idempotency key cli-" in custody.run("wallet", "create", "--owner", "bob").err
    assert "cli-" not in nowhere.run("wallet", "create", "--owner", "bob").err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("tx", "send", NO_WALLET, "--to", "0x123", "--amount", "1eth"), "invalid-address", "40 hexadecimal digits"),
        (("tx", "send", NO_WALLET, "--to", OUTSIDE[:-1] + "9", "--amount", "1eth"), "invalid-address", "checksum"),
        (("tx", "send", NO_WALLET, "--to", "alice.eth", "--amount", "1eth"), "invalid-address", "40 hexadecimal digits"),
        (("tx", "send", NO_WALLET, "--to", OUTSIDE, "--amount", "0.5"), "invalid-amount", "write 0.05eth"),
        (("tx", "send", NO_WALLET, "--to", OUTSIDE, "--amount", "-1eth"), "invalid-amount", "write 0.05eth"),
        (("tx", "send", NO_WALLET, "--to", OUTSIDE, "--amount", "1e18"), "invalid-amount", "write 0.05eth"),
        (("tx", "send", NO_WALLET, "--to", OUTSIDE, "--amount", "1eth"), "idempotency-key-missing", "--idempotency-key"),
        (("tx", "preview", NO_WALLET, "--to", OUTSIDE, "--amount", "1eth", "--chain", "mainnet"), "validation-failed", "eip155:"),
        (("tx", "send", NO_WALLET), "usage", "Missing option"),
        (("wallet", "make"), "usage", "No such command"),
        (("policy", "validate", "missing.json"), "usage", "missing.json"),
    ],
)
def test_exit_2_for_what_cannot_be_understood(nowhere: Program, arguments: tuple[str, ...], code: str, says: str) -> None:
    refused = nowhere.run(*arguments, "--json")
    assert (refused.code, refused.data["error"]["code"]) == (2, code)
    assert says in refused.data["error"]["detail"]
    assert says in refused.err
    assert nowhere.files() == {}


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ('{"version": 1, "rules": [], "rules": []}', None),
        ('{"version": 1, "rules": [{"id": "a", "when": {"colour": "red"}, "then": {"allow": true}}]}', "/rules/0/when/colour"),
        ("version = 2", "/version"),
        ("{", None),
        ("rules: [yaml]", None),
    ],
)
def test_a_policy_that_cannot_be_read_is_refused(nowhere: Program, document: str, pointer: str | None) -> None:
    refused = nowhere.run("policy", "validate", "-", "--json", stdin=document)
    assert (refused.code, refused.data["error"]["code"]) == (2, "validation-failed")
    assert refused.data["error"]["pointer"] == pointer


@pytest.mark.parametrize(
    ("settings", "arguments", "says"),
    [
        ({}, ("init",), "CUSTODY_RPC_URL=http://127.0.0.1:8545"),
        ({"RPC_URL": ""}, ("init",), "no node is set: give CUSTODY_RPC_URL, for example"),
        ({"RPC_URL": "http://[::1"}, ("init",), "CUSTODY_RPC_URL is an http or https address"),
        ({"RPC_URL": "http://127.0.0.1:9", "CHAIN_ID": "9" * 5000}, ("init",), "CUSTODY_CHAIN_ID is a number of at most 78 digits"),
        ({"RPC_URL": "http://127.0.0.1:9", "CONFIRMATION": "12"}, ("init",), "no setting CUSTODY_CONFIRMATION;"),
        ({"RPC_URL": "http://node.example:8545"}, ("init",), "CUSTODY_ALLOW_HTTP_RPC=true"),
        ({"RPC_URL": "http://127.0.0.1:9"}, ("init",), "check CUSTODY_RPC_URL"),
        ({"RPC_URL": "http://127.0.0.1:9", "CHAIN_ID": "sepolia"}, ("init",), "CUSTODY_CHAIN_ID is a whole number"),
        ({"DATABASE_URL": "mysql://localhost/x"}, ("wallet", "list"), "sqlite and postgresql"),
        ({}, ("wallet", "list"), "run `custody init`"),
        ({}, ("wallet", "create", "--owner", "alice"), "run `custody init`"),
        ({}, ("doctor",), None),
        ({}, ("db", "check"), None),
    ],
)
def test_exit_1_for_settings_that_do_not_work(
    nowhere: Program, settings: Mapping[str, str], arguments: tuple[str, ...], says: str | None
) -> None:
    refused = nowhere.with_settings(**settings).run(*arguments)
    assert refused.code == 1
    assert says is None or says in refused.err
    assert nowhere.files() == {}


def test_what_cannot_be_done_is_told_by_the_real_program(tmp_path: Path) -> None:
    nowhere = Program(tmp_path, {})
    typed = nowhere.run("tx", "send", NO_WALLET, "--to", OUTSIDE, "--amount", "a lot", "--json")
    assert (typed.code, typed.data["error"]["pointer"]) == (2, "/amount")
    unset = nowhere.run("init")
    assert (unset.code, unset.out) == (1, "")
    assert unset.err.startswith("custody: no node is set: give CUSTODY_RPC_URL")
    assert unset.err.endswith("(configuration)\n")
    assert nowhere.files() == {}


def test_r_20_a_node_of_another_chain_is_refused_before_the_database_is_touched(real: Program) -> None:
    for command in (("init",), ("scanner", "--once")):
        refused = real.with_settings(CHAIN_ID="11155111").run(*command, "--json")
        assert (refused.code, refused.data["error"]["code"]) == (1, "configuration")
        assert "CUSTODY_CHAIN_ID=31337" in refused.err
    assert real.files() == {}


def test_r_20_a_send_through_a_node_of_another_chain_is_refused(custody: Program) -> None:
    before = custody.files()
    refused = custody.with_settings(CHAIN_ID="1").run(*send(NO_WALLET), "--json")
    assert (refused.code, refused.data["error"]["code"]) == (1, "configuration")
    assert custody.files() == before


def test_k_12_another_key_file_is_refused_and_the_database_left_alone(custody: Program, real: Program, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    assert custody.with_settings(KEY_FILE=str(other), DATABASE_URL=f"sqlite:///{tmp_path / 'other.db'}").run("init").code == 0
    before = custody.files()
    wrong = real.with_settings(KEY_FILE=str(other))
    for command in (("init",), ("scanner",)):
        refused = wrong.run(*command)
        assert (refused.code, refused.out) == (1, "")
        assert "set CUSTODY_KEY_FILE to the right one (key-integrity)" in refused.err
    assert custody.files() == before


def test_a_lost_key_file_is_never_replaced_by_a_new_one(custody: Program) -> None:
    (custody.folder / "custody.key").unlink()
    before = custody.files()
    refused = custody.run("init")
    assert refused.code == 1
    assert "there is no key file" in refused.err
    assert custody.files() == before


def test_a_key_file_that_others_may_read_is_refused(custody: Program) -> None:
    (custody.folder / "custody.key").chmod(0o644)
    before = custody.files()
    refused = custody.run("scanner", "--once")
    assert refused.code == 1
    assert "chmod 600" in refused.err
    assert custody.files() == before


def test_a_database_that_is_none_is_refused_and_left_alone(fresh: Program) -> None:
    (fresh.folder / "custody.db").write_bytes(b"this is a letter to my aunt, not a database\n" * 50)
    before = fresh.files()
    for command in (("init",), ("wallet", "list"), ("doctor",)):
        refused = fresh.run(*command)
        assert refused.code == 1
        assert "Traceback" not in refused.err
    assert fresh.files() == before


def test_a_database_of_a_newer_version_is_refused_and_left_alone(custody: Program) -> None:
    with contextlib.closing(sqlite3.connect(custody.folder / "custody.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    before = custody.files()
    for command in (("init",), ("db", "upgrade"), ("scanner", "--once"), ("wallet", "list")):
        refused = custody.run(*command)
        assert refused.code == 1
        assert "newer version; update this one (database-unavailable)" in refused.err
    assert custody.files() == before


def test_a_key_file_that_is_a_dangling_link_is_refused_before_anything_is_made(fresh: Program) -> None:
    (fresh.folder / "custody.key").symlink_to(fresh.folder / "elsewhere")
    refused = fresh.run("init")
    assert (refused.code, fresh.files()) == (1, {})
    assert "symbolic link" in refused.err


def test_what_nobody_foresaw_shows_no_more_than_its_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(cli_program.program, "main", fail)
    assert cli_program.run(["wallet", "list", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["error"]["code"] == "internal"
    assert "RuntimeError" in told.err
    assert "hunter2" not in told.out + told.err


# Processes and terminals


def test_the_scanner_process_works_until_it_is_told_to_stop(custody: Program, node: DevNode) -> None:
    wallet = custody.json("wallet", "create", "--owner", "alice")
    quick = custody.with_settings(SCAN_INTERVAL_S="0.1")
    command = [str(CUSTODY), "scanner"]
    with subprocess.Popen(command, cwd=quick.folder, env=quick.environment, stderr=subprocess.PIPE, text=True) as scanner:
        try:
            node.mined(node.send_from_dev_account(wallet["address"], ONE_ETHER))
            node.finalize()
            until(lambda: _available(custody, wallet["id"]) == ONE_ETHER, what="the deposit is credited", timeout_s=30)
        finally:
            scanner.send_signal(signal.SIGTERM)
            _, log = scanner.communicate(timeout=TIMEOUT_S)
    assert scanner.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert (events[0], events[-1]) == ("scanner-started", "scanner-stopped")
    after = custody.run("scanner", "--once")
    assert (after.code, after.err) == (0, ""), "its leases are given up, so the next one need not wait"


def _available(custody: Program, wallet_id: str) -> int:
    return sum(int(balance["available"]) for balance in custody.json("wallet", "show", wallet_id)["balances"])


@pytest.mark.parametrize(("answer", "sent"), [("n\n", 0), ("y\n", 1)])
def test_a_send_on_a_terminal_shows_the_preview_and_asks(custody: Program, node: DevNode, answer: str, sent: int) -> None:
    wallet_id = funded_wallet(custody, node)
    leader, follower = pty.openpty()
    command = [str(CUSTODY), "tx", "send", wallet_id, "--to", OUTSIDE, "--amount", "0.05eth"]
    process = subprocess.Popen(
        command, cwd=custody.folder, env=custody.environment, stdin=follower, stderr=follower, stdout=subprocess.PIPE
    )
    os.close(follower)
    os.write(leader, answer.encode())
    process.communicate(timeout=TIMEOUT_S)
    screen = _read_all(leader)
    assert "0.05 eth (50000000000000000 base units)" in screen
    assert "Send it? [y/N]" in screen
    assert ("idempotency key cli-" in screen) == bool(sent)
    assert process.returncode == 1 - sent
    assert len(custody.json("tx", "list", "--direction", "outgoing")["data"]) == sent


def _read_all(leader: int) -> str:
    read = b""
    try:
        while chunk := os.read(leader, 65536):
            read += chunk
    except OSError:  # Linux says EIO when the other side is closed
        pass
    finally:
        os.close(leader)
    return read.decode()
