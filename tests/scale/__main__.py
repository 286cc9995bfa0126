"""`make reconcile-million`: how long `custody reconcile` takes over a million wallets, and how much memory."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custody_sql import SqlStore
from tests.scale.answering import node
from tests.scale.filling import CHAIN_ID, fill
from tests.support.postgres import PostgresServer

WALLETS = 1_000_000


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    arguments.add_argument("--wallets", type=int, default=WALLETS)
    arguments.add_argument("--tokens", type=int, default=0, help="listed tokens, of which nobody has any")
    arguments.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own instead of SQLite")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, _database(Path(folder), postgres=asked.postgres) as url:
        _fill(url, asked.wallets, asked.tokens)
        return _reconcile(url, asked.wallets)


@contextmanager
def _database(folder: Path, *, postgres: bool) -> Iterator[str]:
    if not postgres:
        yield f"sqlite:///{folder}/custody.db"
        return
    with PostgresServer() as server:
        yield server.database_url(server.create_database())


def _fill(url: str, wallets: int, tokens: int) -> None:
    began = time.monotonic()
    store = SqlStore(url)
    try:
        store.upgrade()
        for done in fill(store, wallets, tokens=tokens):
            _say(f"\rfilled {done} of {wallets} wallets")
    finally:
        store.close()
    _say(f"\rfilled {wallets} wallets in {time.monotonic() - began:.0f} s\n")


def _reconcile(url: str, wallets: int) -> int:
    """Runs the command as an operator does, in a process of its own, and tells what it took."""
    with node() as rpc_url:
        environment = os.environ | {
            "CUSTODY_DATABASE_URL": url,
            "CUSTODY_RPC_URL": rpc_url,
            "CUSTODY_CHAIN_ID": str(CHAIN_ID),
            "CUSTODY_CONFIRMATIONS": "1",
        }
        began = time.monotonic()
        command = [sys.executable, "-m", "custody_app.cli", "reconcile", "--json"]
        with tempfile.TemporaryFile() as told:
            process = subprocess.Popen(command, env=environment, stdout=told)
            _, status, usage = os.wait4(process.pid, 0)
            took_s = time.monotonic() - began
            told.seek(0)
            found = json.load(told)
    peak_mb = usage.ru_maxrss / 1024
    failed = [check["id"] for check in found.get("checks", []) if not check["ok"]]
    verdict = "all checks hold" if found.get("ok") else f"NOT ok: {', '.join(failed) or found}"
    sys.stdout.write(
        f"{wallets} wallets reconciled in {took_s:.1f} s ({wallets / took_s:.0f}/s), peak memory {peak_mb:.0f} MB; {verdict}\n"
    )
    return os.waitstatus_to_exitcode(status)


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
