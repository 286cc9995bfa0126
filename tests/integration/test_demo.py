"""`custody demo`: the job is done, the facts are told, and nothing stays behind."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.program import CUSTODY, Program
from tests.support.waiting import until

JOB_TIMEOUT_S = 200.0


@pytest.fixture
def demo(tmp_path: Path, anvil: Path) -> Program:
    return Program(tmp_path, {"ANVIL": str(anvil), "DATABASE_URL": "sqlite:///of-somebody-else.db"})


def processes_in(folder: Path) -> Iterator[str]:
    """The command lines of all processes that work in `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has just ended, or is not ours to look at


@pytest.mark.timeout(240)
def test_the_demo_does_the_job_once_and_leaves_nothing_running(demo: Program) -> None:
    done = subprocess.run(
        [CUSTODY, "demo", "--once"],
        cwd=demo.folder,
        env=demo.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=JOB_TIMEOUT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    story = done.stdout
    for fact in (
        "credited once, and spendable: alice has 2 ether",
        "bob      0.5 ether",
        "outside  0.25 ether",
        "INV-1   the books equal the chain at the final block",
        "checks hold at block",
        "the books agree with the chain",
    ):
        assert fact in story
    for name in ("deposit", "to bob    ", "to outside"):
        assert f"{name}  completed" in story
    assert "\x1b" not in story, "no colour and no moving lines without a terminal"

    folder = demo.folder / ".custody-demo"
    assert folder.stat().st_mode & 0o777 == 0o700
    connection = json.loads((folder / "connection.json").read_text())
    assert set(connection) == {"url", "api_key", "rpc_url", "database_url"}
    assert connection["database_url"] == f"sqlite:///{folder / 'custody.db'}"
    assert (folder / "connection.json").stat().st_mode & 0o777 == 0o600
    assert all(connection[name] in story for name in ("url", "api_key"))
    assert connection["api_key"] not in "".join(log.read_text() for log in folder.glob("*.log"))
    for url in (connection["url"], connection["rpc_url"]):
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
    assert list(processes_in(demo.folder)) == []
    assert [path.name for path in demo.folder.iterdir()] == [".custody-demo"], "somebody's own settings are left alone"


def shown_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """The lines of the story up to one with `text` in it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if text in line:
            return lines
    raise AssertionError(lines)


@contextmanager
def running(demo: Program) -> Iterator[subprocess.Popen[str]]:
    """`custody demo` as it is started from a terminal; ended at the latest at the end of the block."""
    with subprocess.Popen(
        [CUSTODY, "demo"], cwd=demo.folder, env=demo.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_the_demo_ends_all_that_it_started_when_it_is_interrupted(demo: Program) -> None:
    with running(demo) as process:
        shown_until(process, "$ curl -X POST …/v1/wallets")
        until(lambda: len(list(processes_in(demo.folder))) >= 4, what="the demo, its chain, its scanner and its web facade run")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 1
    assert list(processes_in(demo.folder)) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_serves_until_ctrl_c_and_its_commands_work_when_pasted(demo: Program) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl: the system package curl is missing")
    with running(demo) as process:
        story = shown_until(process, "Ctrl-C ends it.")
        shell = "set -e\n" + "\n".join(line for line in story if line.startswith(("export ", "curl ")) and "CUSTODY_" not in line)
        pasted = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True, timeout=60)
        # Three JSON answers behind each other, without line ends.
        answers, rest = [], pasted.stdout
        while rest:
            answer, end = json.JSONDecoder().raw_decode(rest)
            answers.append(answer)
            rest = rest[end:].lstrip()
        wallets, sent, listed = answers
        assert {each["label"] for each in wallets["data"]} == {"alice", "bob"}
        assert [each["id"] for each in listed["data"]] == [sent["id"]]

        connection = json.loads((demo.folder / ".custody-demo" / "connection.json").read_text())
        headers = {"Authorization": f"Bearer {connection['api_key']}"}

        def state() -> str:
            found: str = requests.get(f"{connection['url']}/v1/transactions/{sent['id']}", headers=headers, timeout=5).json()[
                "state"
            ]
            return found

        until(lambda: state() == "completed", what="what was sent by hand is final", timeout_s=30)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert list(processes_in(demo.folder)) == []


def test_a_second_demo_in_the_same_folder_is_refused(demo: Program) -> None:
    folder = demo.folder / ".custody-demo"
    folder.mkdir()
    (folder / "connection.json").write_text("of the demo that runs")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused = demo.run("demo", "--once")
    finally:
        os.close(descriptor)
    assert (refused.code, "a demo is running" in refused.err) == (1, True)
    assert (folder / "connection.json").read_text() == "of the demo that runs"


def test_without_a_dev_chain_the_demo_names_the_next_step(tmp_path: Path) -> None:
    refused = Program(tmp_path, {"ANVIL": str(tmp_path / "none")}).run("demo", "--once")
    assert refused.code == 1
    assert "make node" in refused.err
