"""What is committed stays, what is not leaves no trace, and processes do not mix."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from custody_core.errors import BrokenInvariant, Conflict, OutcomeUnknown
from custody_core.ports import EVERY_MOVEMENT, Unit
from custody_sql import SqlStore, engine
from custody_sql.errors import translate_commit
from tests.support import factories as make
from tests.unit.contracts.store import given

WRITER = """
import os, signal, sys
from custody_sql import SqlStore
from tests.support import factories as make

store = SqlStore(sys.argv[1])
where = sys.argv[2]
user = make.user("killed")
wallet = make.wallet(user.id)
with store.transaction() as unit:
    unit.add_user(make.user("before"))
with store.transaction() as unit:
    unit.add_user(user)
    unit.lock_pool()
    unit.add_wallets([wallet], [make.sealed_key(wallet)])
    unit.add_transactions([make.broadcasting(wallet)])
    unit.post([make.credit(wallet)])
    if where == "inside":
        os.kill(os.getpid(), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("where", "kept"), [("inside", False), ("after", True)])
def test_a_killed_process_leaves_whole_units(database: str, store: SqlStore, where: str, *, kept: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", WRITER, database, where], env=environment, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with store.reading() as unit:
        assert unit.user_by_subject("local", "before") is not None
        assert (unit.user_by_subject("local", "killed") is not None) == kept
        assert len(unit.wallets(owner_id=None, limit=9)) == kept
        assert len(unit.transactions(EVERY_MOVEMENT, limit=9)) == kept
        assert len(unit.posting_groups(after=0, limit=9)) == kept
    given.user(store)  # its lock died with it


def test_what_is_committed_is_there_after_a_restart(database: str) -> None:
    first = SqlStore(database)
    wallet = given.wallet(first)
    given.write(first, lambda unit: unit.post([make.credit(wallet)]))
    first.close()
    second = SqlStore(database)
    with second.reading() as unit:
        assert unit.wallet(wallet.id) == wallet
        assert len(unit.balances(wallet.id)) == 1
    second.close()


def test_two_stores_on_one_file_take_turns(database: str) -> None:
    stores = [SqlStore(database), SqlStore(database)]

    def increment(unit: Unit) -> None:
        unit.put_setting("counter", str(int(unit.setting("counter") or b"0") + 1).encode())

    def work(store: SqlStore) -> None:
        for _ in range(20):
            given.persistently(store, increment)

    given.at_once(lambda: work(stores[0]), lambda: work(stores[1]))
    assert given.read(stores[0], lambda unit: unit.setting("counter")) == b"40"
    for store in stores:
        store.close()


def test_a_writer_that_waits_too_long_is_told_conflict(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0)
    stores = [SqlStore(database), SqlStore(database)]
    with stores[0].transaction() as unit:
        unit.put_setting("name", b"value")
        with pytest.raises(Conflict), stores[1].transaction():
            pass
        with stores[1].reading() as other:  # readers do not wait for writers
            assert other.setting("name") is None
    for store in stores:
        store.close()


def test_the_connection_is_set_up_for_durability(store: SqlStore) -> None:
    with store.engine.connect() as connection:
        values = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert values == ["wal", 2, 1]


def test_every_unit_that_writes_locks_before_it_reads(database: str) -> None:
    """A unit that has only read so far already keeps other writers out: what it read is what it decides on."""
    stores = [SqlStore(database), SqlStore(database)]
    entered, left = threading.Event(), threading.Event()
    order: list[str] = []

    def read_then_write() -> None:
        with stores[0].transaction() as unit:
            unit.setting("name")
            entered.set()
            assert not left.wait(0.2)
            order.append("first")
            unit.put_setting("name", b"first")

    def write() -> None:
        assert entered.wait(30)
        with stores[1].transaction() as unit:
            order.append("second")
            unit.put_setting("name", b"second")
        left.set()

    given.at_once(read_then_write, write)
    assert order == ["first", "second"]
    for store in stores:
        store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking a process that has threads, which is what is refused here
def test_a_forked_process_is_refused_and_does_no_harm(store: SqlStore) -> None:
    given.user(store)
    child = os.fork()
    if child == 0:
        outcomes = []
        for unit in (store.transaction, store.reading):
            try:
                with unit():
                    outcomes.append("opened")
            except BrokenInvariant as refused:
                outcomes.append("refused" if "fork" in str(refused) else "misunderstood")
        store.close()
        os._exit(0 if outcomes == ["refused", "refused"] else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    given.user(store)


class TestLostCommit:
    """A COMMIT that fails is a no only where the database says no."""

    def test_a_disk_that_fails_at_the_commit_leaves_the_outcome_unknown(self) -> None:
        assert isinstance(translate_commit(_failure("SQLITE_IOERR_FSYNC", 1034)), OutcomeUnknown)

    def test_a_busy_database_at_the_commit_is_a_conflict(self) -> None:
        assert isinstance(translate_commit(_failure("SQLITE_BUSY", sqlite3.SQLITE_BUSY)), Conflict)

    def test_a_server_that_is_gone_leaves_the_outcome_unknown(self) -> None:
        assert isinstance(translate_commit(_server_failure(None)), OutcomeUnknown)

    @pytest.mark.parametrize("sqlstate", ["40001", "40P01", "23505"])
    def test_a_server_that_says_no_is_a_conflict(self, sqlstate: str) -> None:
        assert isinstance(translate_commit(_server_failure(sqlstate)), Conflict)


class ServerError(Exception):
    """Shaped like psycopg's errors."""

    sqlstate: str | None = None


def _failure(name: str, code: int) -> DBAPIError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = code
    return DBAPIError("COMMIT", None, error)


def _server_failure(sqlstate: str | None) -> DBAPIError:
    error = ServerError("gone")
    error.sqlstate = sqlstate
    return DBAPIError("COMMIT", None, error)


def test_a_lost_commit_is_told_and_can_be_read_back(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit_and_lose_the_answer(connection: sqlite3.Connection) -> None:
        connection.commit()
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    with monkeypatch.context() as faulty:
        faulty.setattr(store.engine.dialect, "do_commit", commit_and_lose_the_answer)
        with pytest.raises(OutcomeUnknown), store.transaction() as unit:
            unit.put_setting("name", b"value")
    assert given.read(store, lambda unit: unit.setting("name")) == b"value"


def test_files_are_where_the_url_says(store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given.user(store)
    relative = os.path.relpath(tmp_path / "custody.db")
    again = SqlStore(f"sqlite:///{relative}")
    monkeypatch.chdir("/")
    with again.reading() as unit:
        assert unit.wallets(owner_id=None, limit=1) == []
    again.close()
