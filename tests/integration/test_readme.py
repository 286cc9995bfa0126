"""Examples of the README and the guides run as they are printed, against a real node."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from custody_app import open_custody
from custody_core import ether
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.support.postgres import Server
from tests.support.postgres import _free_port as free_port
from tests.support.program import CUSTODY
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SEARCH_PATH = os.pathsep.join(str(ROOT / source) for source in ("src", "src/adapters", "src/entrypoints"))
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTED_NODE = "http://127.0.0.1:8545"
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\b")
WALLET_ID = re.compile(r"\bwal_[0-9a-z]{26}\b")
AVAILABLE = re.compile(r'"available": ?"(\d+)"')
SERVICE_WALK = re.compile(r"^```sh service\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTED_DATABASE = "postgresql+psycopg://custody:secret@127.0.0.1/custody"
PRINTED_SERVICE = "http://127.0.0.1:8000"
COPIED = {
    "ck_…": re.compile(r"\bck_[A-Za-z0-9_-]{43}"),
    "wal_…": WALLET_ID,
    "0x…": ADDRESS,
    "txn_…": re.compile(r"\btxn_[0-9a-z]{26}\b"),
}
"""What a reader copies from an answer into a later line."""
WALK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def example() -> str:
    blocks = EXAMPLE.findall((ROOT / "README.md").read_text("utf-8"))
    assert len(blocks) == 1, "the README has one Python example"
    code: str = blocks[0]
    return code


def start(folder: Path, node: DevNode) -> subprocess.Popen[str]:
    """The example, on `node` instead of the printed one, its files in `folder`."""
    code = example()
    assert PRINTED_NODE in code
    command = [sys.executable, "-c", code.replace(PRINTED_NODE, node.rpc_url)]
    environment = {**os.environ, "PYTHONPATH": SEARCH_PATH}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fund(running: subprocess.Popen[str], node: DevNode) -> str:
    """Waits for the example to ask for ether and sends it, finally. Gives the address."""
    assert running.stdout is not None
    asked = running.stdout.readline()
    found = ADDRESS.search(asked)
    assert found, (asked, running.communicate(timeout=30))
    node.mined(node.send_from_dev_account(found.group(), ether("1")))
    node.finalize()
    return found.group()


def ended(running: subprocess.Popen[str]) -> str:
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    return output.strip()


@pytest.mark.slow
def test_the_example_of_the_readme_receives_and_sends_once(node: DevNode, tmp_path: Path) -> None:
    recipient = DEV_ACCOUNTS[1].address
    assert recipient in example()
    before = node.balance(recipient)

    running = start(tmp_path, node)
    wallet_address = fund(running, node)
    state, transaction_hash = ended(running).split()

    assert state == "confirming"
    assert until(lambda: node.balance(recipient) - before, what="the recipient has it", timeout_s=10) == ether("0.05")
    sent = node.transaction(transaction_hash)
    assert sent is not None
    assert sent["from"] == wallet_address.lower()
    assert (tmp_path / "custody.key").stat().st_mode & 0o777 == 0o600

    # Again, as the README says: same keys, same wallet, same payment. Enough is left for the example to go on.
    node.finalize()
    asked, told = ended(start(tmp_path, node)).splitlines()
    assert wallet_address in asked
    assert told.split()[1] == transaction_hash
    assert node.balance(recipient) - before == ether("0.05")


@pytest.mark.slow
def test_the_walk_on_the_command_line_works_line_by_line(node: DevNode, tmp_path: Path) -> None:
    found = WALK.search((ROOT / "README.md").read_text("utf-8"))
    assert found
    exported, *lines = [line.partition("#")[0].strip() for line in found[1].splitlines()]
    settings = dict(each.split("=", 1) for each in exported.removeprefix("export ").split())
    assert settings["CUSTODY_RPC_URL"] == PRINTED_NODE
    environment = {**os.environ, **settings, "CUSTODY_RPC_URL": node.rpc_url, "PYTHONPATH": SEARCH_PATH}
    wallet_id, output, scanner = "", "", None

    def custody(line: str) -> subprocess.Popen[str]:
        words = line.removesuffix("&").replace("wal_…", wallet_id).split()
        assert words[0] == "custody"
        command = [sys.executable, "-m", "custody_app.cli", *words[1:]]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    try:
        for line in lines:
            if line.endswith("&"):
                scanner = custody(line)
                continue
            output = ended(custody(line))
            if " create " in line:
                wallet_id = WALLET_ID.findall(output)[0]
                node.mined(node.send_from_dev_account(ADDRESS.findall(output)[0], ether("1")))
                node.finalize()
                until(
                    lambda: "1000000000000000000" in AVAILABLE.findall(ended(custody("custody wallet show wal_… --json"))),
                    what="it is credited",
                    timeout_s=30,
                )
            if " tx send " in line:
                until(lambda: node.balance(DEV_ACCOUNTS[1].address) > ether("10000"), what="it has arrived", timeout_s=30)
    finally:
        if scanner is not None:
            scanner.terminate()
            scanner.communicate(timeout=30)
    assert "INV-1" in output


class Shell:
    """A shell in which lines are typed one after the other, as by a reader."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        # A session of its own, so that whatever a failed test leaves in the background is ended too.
        self._process = subprocess.Popen(
            ["/bin/bash"],  # for its `kill %1`, as in a terminal
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, line: str) -> str:
        """What the line printed. It has to succeed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\nprintf '\\nended with %s\\n' $?\n")
        self._process.stdin.flush()
        printed: list[str] = []
        for each in self._process.stdout:
            if each.startswith("ended with "):
                assert each == "ended with 0\n", (line, printed)
                break
            printed.append(each)
        return "".join(printed)

    def close(self) -> None:
        """Ends it, and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.mark.slow
def test_the_walk_as_a_service_on_postgresql_works_line_by_line(node: DevNode, postgres: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl: the system package curl is missing")
    page = (ROOT / "README.md").read_text("utf-8")
    found = SERVICE_WALK.search(page)
    assert found
    port = free_port()
    walk = found[1].replace("\\\n", "")
    for printed, ours in (
        (PRINTED_DATABASE, postgres.database_url(postgres.create_database())),
        (PRINTED_NODE, node.rpc_url),
        (PRINTED_SERVICE, f"http://127.0.0.1:{port}"),
    ):
        assert walk.count(printed) == 1
        walk = walk.replace(printed, ours)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CUSTODY_")}
    environment |= {"CUSTODY_PORT": str(port), "PATH": f"{CUSTODY.parent}{os.pathsep}{environment['PATH']}"}
    copied: dict[str, str] = {}
    shell = Shell(tmp_path, environment)

    def shows(line: str, text: str) -> bool:
        node.finalize()
        return text in shell.type(line)

    try:
        for line in typed_lines(walk):
            typed = with_copied(line, copied)
            told = shell.type(typed)
            for placeholder, pattern in COPIED.items():
                if placeholder not in copied and (shown := pattern.search(told)):
                    copied[placeholder] = shown.group()
            if "/balances" in line:
                until(partial(shows, typed, f'"available":"{ether("1")}"'), what="it is credited", timeout_s=30)
            if "/txn_" in line:
                until(partial(shows, typed, '"state":"completed"'), what="it is final", timeout_s=30)
            assert "INV-1" in told or "reconcile" not in line
    finally:
        shell.close()
    assert node.balance(DEV_ACCOUNTS[1].address) == ether("10000.05")
    assert set(copied) == set(COPIED), "each of them is printed before it is needed"


def with_copied(line: str, copied: Mapping[str, str]) -> str:
    """What the reader types: the line with what was copied from earlier answers."""
    for placeholder, value in copied.items():
        line = line.replace(placeholder, value)
    assert "…" not in line
    return line


def typed_lines(walk: str) -> Iterator[str]:
    """The walk's lines without their comments; one that goes on in the next, because a quotation is open, together with it."""
    line = ""
    for each in walk.splitlines():
        line = f"{line}{each.partition('     # ')[0]}"
        if line.count("'") % 2 == 0:
            yield line
            line = ""


def test_the_guides_example_commits_an_order_and_its_payout_together(node: DevNode, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "embed-the-library.md").read_text("utf-8")
    found = re.search(r"^```python joined\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert found
    url, key_file = f"sqlite:///{tmp_path / 'shop.db'}", tmp_path / "custody.key"
    engine = create_engine(url)
    with open_custody(database_url=url, rpc_url=node.rpc_url, key_file=key_file) as custody:
        wallet = custody.wallets.create(owner="shop", idempotency_key="wallet")
        node.mined(node.send_from_dev_account(wallet.address, ether("1")))
        node.finalize()
        custody.tick()
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE orders (id TEXT PRIMARY KEY, state TEXT NOT NULL, payout TEXT)"))
            connection.execute(text("INSERT INTO orders VALUES ('1001', 'open', NULL)"))
        names = {"custody": custody, "engine": engine, "wallet": wallet, "recipient": DEV_ACCOUNTS[1].address}

        # The same block, undone by its caller: neither the order nor the payout is left, and the key is free.
        undone = f"{found[1]}    raise InterruptedError"
        with pytest.raises(InterruptedError):
            exec(undone, dict(names))  # noqa: S102 - the page is ours
        assert custody.transactions.list(direction="outgoing") == []

        exec(found[1], names)  # noqa: S102 - the page is ours
        (payout,) = custody.transactions.list(direction="outgoing")
        with engine.begin() as connection:
            assert connection.execute(text("SELECT state, payout FROM orders")).one() == ("paid", payout.id)
    engine.dispose()
