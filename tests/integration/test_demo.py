"""`custody demo`: the job is done, the facts are told, and nothing stays behind."""

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
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
    assert connection["database_url"] == f"sqlite:///{folder / 'custody.db'}"
    with pytest.raises(requests.ConnectionError):
        requests.get(connection["rpc_url"], timeout=5)
    assert list(processes_in(demo.folder)) == []
    assert [path.name for path in demo.folder.iterdir()] == [".custody-demo"], "somebody's own settings are left alone"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_all_that_it_started_when_it_is_interrupted(demo: Program, number: signal.Signals) -> None:
    with subprocess.Popen(
        [CUSTODY, "demo"], cwd=demo.folder, env=demo.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "$ custody wallet create" in line:
                break
        until(lambda: len(list(processes_in(demo.folder))) >= 3, what="the demo, its chain and its scanner run")
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 1
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
