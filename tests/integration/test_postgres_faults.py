"""PostgreSQL at its worst: answers that are lost, connections that are cut, servers that are killed, locks that are held."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url, text

from custody_core.domain.ledger import WalletAccounts
from custody_core.errors import BrokenInvariant, Conflict, DatabaseUnavailable, InsufficientFunds, OutcomeUnknown
from custody_core.ports import Unit
from custody_sql import SqlStore, engine
from custody_sql.copying import ROWS_MIN
from tests.support import factories as make
from tests.support.pgproxy import Fault, PgProxy
from tests.support.postgres import PostgresServer, Server
from tests.unit.contracts.store import given


@pytest.fixture
def pgproxy(postgres: Server) -> Iterator[PgProxy]:
    """A proxy before the server, without faults yet."""
    upstream = make_url(postgres.url)
    with PgProxy(upstream.host or "127.0.0.1", upstream.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def store(postgres_url: str, pgproxy: PgProxy) -> Iterator[SqlStore]:
    """A store behind the proxy, connected already."""
    opened = SqlStore(make_url(postgres_url).set(host="127.0.0.1", port=pgproxy.port))
    opened.require_current()
    yield opened
    opened.close()


@pytest.fixture
def direct(postgres_url: str) -> Iterator[SqlStore]:
    """The same database, past the proxy."""
    opened = SqlStore(postgres_url)
    yield opened
    opened.close()


def put(unit: Unit) -> None:
    unit.put_setting("name", b"value")


class TestLostAnswers:
    """What is not known is not called a failure, and what is known not to have happened is not called unknown."""

    def test_a_commit_whose_answer_is_lost_may_have_happened(self, store: SqlStore, direct: SqlStore, pgproxy: PgProxy) -> None:
        pgproxy.at_commit(Fault.LOSE_ANSWER, times=1)
        with pytest.raises(OutcomeUnknown):
            given.write(store, put)
        assert given.read(direct, lambda unit: unit.setting("name")) == b"value"
        given.write(store, put)  # and the store goes on

    def test_a_commit_that_never_arrived_is_unknown_too(self, store: SqlStore, direct: SqlStore, pgproxy: PgProxy) -> None:
        pgproxy.at_commit(Fault.LOSE_REQUEST, times=1)
        with pytest.raises(OutcomeUnknown):
            given.write(store, put)
        assert given.read(direct, lambda unit: unit.setting("name")) is None

    @pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO settings", "SELECT settings"])
    def test_a_connection_lost_before_the_commit_keeps_nothing_and_says_try_again(
        self, store: SqlStore, direct: SqlStore, pgproxy: PgProxy, statement: str
    ) -> None:
        def work(unit: Unit) -> None:
            unit.add_user(make.user("lost"))
            unit.setting("name")
            put(unit)

        rule = pgproxy.cut_at(statement)
        with pytest.raises(DatabaseUnavailable, match="nothing of this was kept; try again"):
            given.write(store, work)
        assert rule.struck == 1
        with direct.reading() as unit:
            assert (unit.setting("name"), unit.user_by_subject("local", "lost")) == (None, None)
        given.write(store, work)

    def test_a_connection_lost_while_many_rows_are_copied_keeps_nothing(
        self, store: SqlStore, direct: SqlStore, pgproxy: PgProxy
    ) -> None:
        wallet = given.wallet(direct)
        many = [make.deposit(wallet) for _ in range(ROWS_MIN)]
        rule = pgproxy.cut_at('COPY "deposits"')
        with pytest.raises(DatabaseUnavailable, match="nothing of this was kept; try again"):
            given.write(store, lambda unit: unit.add_deposits(many))
        assert rule.struck == 1
        with direct.reading() as unit:
            assert not unit.deposits_by_key([each.key for each in many])
        given.write(store, lambda unit: unit.add_deposits(many))
        with direct.reading() as unit:
            assert len(unit.deposits_by_key([each.key for each in many])) == ROWS_MIN

    @pytest.mark.parametrize("fault", [Fault.SERIALISATION_FAILURE, Fault.DEADLOCK])
    def test_a_commit_that_the_server_refuses_is_a_conflict(self, store: SqlStore, pgproxy: PgProxy, fault: Fault) -> None:
        pgproxy.at_commit(fault, times=1)
        with pytest.raises(Conflict):
            given.write(store, put)
        assert given.read(store, lambda unit: unit.setting("name")) is None
        given.write(store, put)

    def test_connections_that_died_in_the_pool_are_replaced_unnoticed(self, store: SqlStore, pgproxy: PgProxy) -> None:
        given.write(store, put)
        pgproxy.cut_all()
        assert given.read(store, lambda unit: unit.setting("name")) == b"value"

    def test_a_server_that_is_not_there_is_named_as_such(self, postgres_url: str) -> None:
        nowhere = SqlStore(make_url(postgres_url).set(host="127.0.0.1", port=1, password="hunter2"))
        for use in (nowhere.require_current, nowhere.require_safe, lambda: given.write(nowhere, put)):
            with pytest.raises(DatabaseUnavailable, match="check DATABASE_URL") as refused:
                use()
            assert "hunter2" not in str(refused.value)


class TestLocks:
    """Nothing hangs for ever, and no default of a database or role weakens a lock."""

    def test_a_deadlock_is_a_conflict_for_one_of_the_two(self, direct: SqlStore) -> None:
        first, second = given.wallet(direct), given.wallet(direct)
        both_hold_one = threading.Barrier(2, timeout=30)

        def work(ids: tuple[str, str]) -> str:
            try:
                with direct.transaction() as unit:
                    unit.wallet(ids[0], lock=True)
                    both_hold_one.wait()
                    unit.wallet(ids[1], lock=True)
            except Conflict:
                return "conflict"
            return "done"

        outcomes = given.at_once(lambda: work((first.id, second.id)), lambda: work((second.id, first.id)))
        assert sorted(outcomes) == ["conflict", "done"]

    def test_whoever_waits_too_long_for_a_lock_is_told_to_try_again(
        self, direct: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 1)
        impatient = SqlStore(direct.engine.url)
        wallet = given.wallet(direct)
        with direct.transaction() as unit:
            unit.wallet(wallet.id, lock=True)
            with pytest.raises(DatabaseUnavailable, match="try again"):
                given.write(impatient, lambda unit: unit.wallet(wallet.id, lock=True))
            assert given.read(impatient, lambda unit: unit.wallet(wallet.id)) == wallet  # readers do not wait for writers
        impatient.close()

    def test_a_statement_without_end_is_ended(self, direct: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "STATEMENT_TIMEOUT_S", 1)
        impatient = SqlStore(direct.engine.url)
        with pytest.raises(DatabaseUnavailable, match="took too long"), impatient.transaction() as unit:
            unit._session.rows(text("SELECT pg_sleep(30)"))
        impatient.close()

    def test_a_unit_that_lies_still_loses_its_locks(self, direct: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "IDLE_TIMEOUT_S", 1)
        sleepy = SqlStore(direct.engine.url)
        wallet = given.wallet(direct)
        with pytest.raises((DatabaseUnavailable, OutcomeUnknown)), sleepy.transaction() as unit:  # noqa: PT012
            unit.wallet(wallet.id, lock=True)
            given.write(direct, lambda other: other.wallet(wallet.id, lock=True))  # waits until the server has had enough
            put(unit)
        assert given.read(direct, lambda unit: unit.setting("name")) is None
        sleepy.close()

    @pytest.mark.parametrize(
        "default",
        [
            "default_transaction_isolation = 'serializable'",
            "default_transaction_isolation = 'read uncommitted'",
            "default_transaction_read_only = on",
            "default_transaction_deferrable = on",
            "lock_timeout = 1",
            "statement_timeout = 250",
            "timezone = 'Asia/Kolkata'",
            "client_encoding = 'latin1'",
            "standard_conforming_strings = off",
        ],
    )
    def test_defaults_of_the_database_change_nothing(self, postgres: Server, postgres_url: str, default: str) -> None:
        name = make_url(postgres_url).database
        postgres.execute(f'ALTER DATABASE "{name}" SET {default}')
        store = SqlStore(postgres_url)
        wallet = given.wallet(store)
        labelled = make.wallet(wallet.owner_id, label="Käse ✓ '\\ ''")
        given.write(store, lambda unit: unit.add_wallets([labelled], []))
        assert given.read(store, lambda unit: unit.wallet(labelled.id)) == labelled
        given.write(store, lambda unit: unit.post([make.credit(wallet, 100)]))

        def take() -> bool:
            try:
                with store.transaction() as unit:
                    unit.wallet(wallet.id, lock=True)
                    if unit.balance(WalletAccounts(make.CHAIN_ID, "eth", wallet.id).available) < 80:
                        return False
                    unit.post([make.hold(wallet, 80, reference=f"take-{make.number()}")])
            except InsufficientFunds:
                return False
            return True

        assert sorted(given.at_once(*[take] * 6)) == [False] * 5 + [True]
        store.close()

    def test_a_sequence_behind_its_table_is_a_conflict_until_it_has_caught_up(self, direct: SqlStore) -> None:
        first, second = given.wallet(direct), given.wallet(direct)
        given.write(direct, lambda unit: unit.post([make.credit(first, 1)]))
        with direct.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("SELECT setval(pg_get_serial_sequence('accounts', 'id'), 1, false)")
        group, account = make.credit(second, 1), WalletAccounts(make.CHAIN_ID, "eth", second.id).available
        with pytest.raises(Conflict):
            given.write(direct, lambda unit: unit.post([group]))
        assert given.read(direct, lambda unit: unit.balance(account)) == 0
        for _ in range(5):
            with contextlib.suppress(Conflict):
                given.write(direct, lambda unit: unit.post([group]))
        assert given.read(direct, lambda unit: unit.balance(account)) == 1, "posted once, however often it was tried"

    def test_a_pool_that_is_used_up_says_so(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("POOL_CONNECTIONS", 1), ("POOL_OVERFLOW", 0), ("POOL_WAIT_S", 0.1)):
            monkeypatch.setattr(engine, name, value)
        store = SqlStore(postgres_url)
        with store.reading(), pytest.raises(DatabaseUnavailable, match="connections"):
            given.at_once(lambda: given.write(store, put))
        store.close()

    def test_nothing_stays_behind_in_the_servers_session(self, direct: SqlStore) -> None:
        with direct.transaction() as unit:
            unit.lock_pool()
            put(unit)
        with direct.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            raw.rollback()
            left = raw.execute(
                "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
                " (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
                " current_setting('application_name')"
            ).fetchone()
        assert left == ("0", "0", 0, 0, "custody")


class TestUnsafeServers:
    """A server that would lose what it confirmed is refused by name, before anything is written."""

    def test_a_server_as_it_comes_is_fine(self, direct: SqlStore) -> None:
        direct.require_safe()

    @pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
    def test_synchronous_commit_off_is_refused_wherever_it_is_set(self, postgres: Server, postgres_url: str, whose: str) -> None:
        url = make_url(postgres_url)
        role = f"custody_{make.number()}_{os.getpid()}"
        postgres.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'x'")
        name = f'"{url.database}"' if whose == "DATABASE" else role
        postgres.execute(f"ALTER {whose} {name} SET synchronous_commit = off")
        store = SqlStore(url.set(username=role, password="x"))
        with pytest.raises(DatabaseUnavailable, match=rf"synchronous_commit is off .*{whose.lower()}") as refused:
            store.require_safe()
        assert refused.value.extra == {"setting": "synchronous_commit"}
        store.close()
        postgres.execute(f"DROP ROLE {role}")

    @pytest.mark.slow
    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
    def test_a_server_set_to_lose_data_is_refused_by_name(self, own: PostgresServer, setting: str) -> None:
        own.set(setting, "off")
        own.kill()
        own.start()
        try:
            store = SqlStore(own.database_url("postgres"))
            with pytest.raises(DatabaseUnavailable, match=rf"^{setting} is off"):
                store.require_safe()
            store.close()
        finally:
            own.set(setting, "on")

    @pytest.mark.slow
    def test_another_encoding_is_refused(self, own: PostgresServer) -> None:
        own.execute("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        store = SqlStore(own.database_url("narrow"))
        with pytest.raises(DatabaseUnavailable, match="encoded in LATIN1"):
            store.require_safe()
        store.close()


@pytest.fixture(scope="module")
def own(postgres: Server) -> Iterator[PostgresServer]:
    """A server of the tests that set it up badly or kill it."""
    del postgres  # asked for so that a missing server is skipped, or a failure, in one place
    with PostgresServer() as server:
        yield server


WRITER = """
import sys
from custody_sql import SqlStore
from custody_core.errors import CustodyError, OutcomeUnknown

store = SqlStore(sys.argv[1])
for number in range(1_000_000):
    try:
        with store.transaction() as unit:
            unit.put_setting(f"n{number}", b"value")
    except (CustodyError, OutcomeUnknown):
        continue
    print(number, flush=True)
"""


@pytest.mark.slow
def test_what_was_confirmed_survives_a_killed_server(own: PostgresServer) -> None:
    """A writer reports each commit that was confirmed; the server is killed under it, twice."""
    own.restart()
    url = own.database_url(own.migrated_database())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url], env=environment, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    confirmed: list[int] = []
    try:
        for _ in range(2):
            confirmed += [int(writer.stdout.readline()) for _ in range(100)]
            own.restart()
        confirmed += [int(writer.stdout.readline()) for _ in range(100)]  # it goes on by itself
    finally:
        writer.kill()
        rest, _ = writer.communicate()
    confirmed += [int(line) for line in rest.splitlines()[:-1]]
    store = SqlStore(url)
    with store.reading() as unit:
        lost = [number for number in confirmed if unit.setting(f"n{number}") is None]
    store.close()
    assert lost == []


class TestJoined:
    """A unit within the caller's own transaction."""

    @pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
    def test_it_is_kept_or_not_with_the_callers_work(self, direct: SqlStore, isolation: str) -> None:
        from sqlalchemy import create_engine  # noqa: PLC0415 - the caller's own engine

        theirs = create_engine(direct.engine.url, isolation_level=isolation)
        with theirs.begin() as connection:
            connection.execute(text("CREATE TABLE orders (id TEXT PRIMARY KEY)"))
        for name, is_kept in (("kept", True), ("lost", False)):
            with theirs.connect() as connection:
                connection.execute(text("INSERT INTO orders VALUES (:name)"), {"name": name})
                with SqlStore.joined(connection).transaction() as unit:
                    unit.put_setting(name, b"value")
                assert given.read(direct, lambda unit, name=name: unit.setting(name)) is None  # type: ignore[misc]
                connection.commit() if is_kept else connection.rollback()
            assert (given.read(direct, lambda unit, name=name: unit.setting(name)) is not None) == is_kept  # type: ignore[misc]
        with theirs.connect() as connection:
            assert connection.execute(text("SELECT id FROM orders")).scalars().all() == ["kept"]
        theirs.dispose()

    def test_a_refused_unit_undoes_itself_alone(self, direct: SqlStore) -> None:
        user = make.user()
        given.write(direct, lambda unit: unit.add_user(user))
        with direct.engine.begin() as connection:
            joined = SqlStore.joined(connection)
            with pytest.raises(Conflict), joined.transaction() as unit:  # noqa: PT012
                unit.put_setting("lost", b"value")
                unit.add_user(user)
            with joined.transaction() as unit:
                unit.put_setting("kept", b"value")
            with pytest.raises(BrokenInvariant), joined.reading() as unit:
                unit.put_setting("read", b"value")
        with direct.reading() as unit:
            assert [unit.setting(name) for name in ("lost", "kept", "read")] == [None, b"value", None]
