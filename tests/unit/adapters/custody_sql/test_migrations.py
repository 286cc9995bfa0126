"""Migrations make exactly the tables that the code works on."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from custody_core.errors import DatabaseUnavailable
from custody_sql import SqlStore, migrations
from custody_sql.engine import make_file, open_engine
from custody_sql.tables import metadata
from tests.support import factories as make
from tests.unit.contracts.store.given import at_once


@pytest.fixture
def empty(tmp_path: Path) -> Engine:
    engine = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    make_file(engine)
    return engine


def _schema(engine: Engine, *, kinds: tuple[str, ...] = ("table", "index")) -> dict[str, str | None]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master"))
        return {row.name: row.sql for row in rows if row.type in kinds and row.name != "alembic_version"}


def test_migrations_make_what_the_tables_say(empty: Engine, tmp_path: Path) -> None:
    migrations.upgrade(empty)
    described = open_engine(f"sqlite:///{tmp_path / 'described.db'}")
    make_file(described)
    metadata.create_all(described)
    made, wanted = _schema(empty), _schema(described)
    del made["sqlite_autoindex_alembic_version_1"]
    assert {name: _normal(sql) for name, sql in made.items()} == {name: _normal(sql) for name, sql in wanted.items()}


def _normal(sql: str | None) -> list[str]:
    """The parts of a definition in any order: columns that came later stand at the end, and constraints as they come."""
    parts, depth = [""], 0
    for character in " ".join((sql or "").split()):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += character
    head, _, first = parts[0].partition("(")
    last, _, tail = parts[-1].rpartition(")")
    return [head.strip(), tail.strip(), *sorted(part.strip() for part in [first, *parts[1:-1], last])]


def test_the_code_expects_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.EXPECTED


def test_upgrading_twice_changes_nothing(empty: Engine) -> None:
    assert migrations.check(empty) == migrations.SchemaState(None, migrations.EXPECTED)
    assert migrations.upgrade(empty).is_current
    before = _schema(empty, kinds=("table", "index", "trigger"))
    assert migrations.upgrade(empty).is_current
    assert _schema(empty, kinds=("table", "index", "trigger")) == before
    assert migrations.check(empty).is_current


def test_two_processes_may_upgrade_at_once(empty: Engine) -> None:
    other = open_engine(empty.url)
    states = at_once(lambda: migrations.upgrade(empty), lambda: migrations.upgrade(other))
    assert all(state.is_current for state in states)


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE events (mine INTEGER)"))
    with pytest.raises(DatabaseUnavailable):
        migrations.upgrade(empty)
    assert list(_schema(empty)) == ["events"]


def test_users_and_keys_from_before_roles_and_answers_are_kept(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'custody.db'}")
    make_file(store.engine)
    migrations.upgrade(store.engine, revision="0002")
    user, record = make.user(), make.idempotency()
    with store.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO users (id, issuer, subject, created_at, version) VALUES (:id, :issuer, :subject, :at, 1)"),
            {"id": user.id, "issuer": user.issuer, "subject": user.subject, "at": user.created_at.isoformat()},
        )
        connection.execute(
            text("INSERT INTO idempotency_keys VALUES (:scope, :key, :fingerprint, :object_id, :at)"),
            {
                "scope": record.scope,
                "key": record.key,
                "fingerprint": record.fingerprint,
                "object_id": record.object_id,
                "at": record.created_at.isoformat(),
            },
        )
    store.upgrade()
    with store.reading() as unit:
        assert unit.user(user.id) == user
        assert unit.idempotency(record.scope, record.key) == attrs.evolve(record, answer={})


def test_wallets_frozen_before_it_was_known_by_whom_are_not_their_owners_to_open(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'custody.db'}")
    make_file(store.engine)
    migrations.upgrade(store.engine, revision="0006")
    user, frozen, open_ = make.user(), make.wallet(), make.wallet()
    with store.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO users VALUES (:id, :issuer, :subject, :at, NULL, 1, 'user')"),
            {"id": user.id, "issuer": user.issuer, "subject": user.subject, "at": user.created_at.isoformat()},
        )
        for wallet, state in ((frozen, "frozen"), (open_, "open")):
            connection.execute(
                text(
                    "INSERT INTO wallets (id, address, sequence, created_at, updated_at, state, owner_id, metadata, version)"
                    " VALUES (:id, :address, :sequence, :at, :at, :state, :owner, '{}', 1)"
                ),
                {
                    "id": wallet.id,
                    "address": wallet.address,
                    "sequence": wallet.sequence,
                    "at": wallet.created_at.isoformat(),
                    "state": state,
                    "owner": user.id,
                },
            )
    store.upgrade()
    with store.reading() as unit:
        found = unit.wallets_by_id([frozen.id, open_.id])
    assert {wallet.id: wallet.frozen_by for wallet in found.values()} == {frozen.id: "system", open_.id: None}


def test_a_store_is_used_only_when_it_is_of_this_version(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'custody.db'}")
    assert not store.exists()
    with pytest.raises(DatabaseUnavailable, match="no database yet"):
        store.require_current()
    with pytest.raises(DatabaseUnavailable), store.reading() as unit:
        unit.tokens()
    assert list(tmp_path.iterdir()) == []  # asking made nothing

    make_file(store.engine)
    assert not store.exists()
    with pytest.raises(DatabaseUnavailable, match="is empty"):
        store.require_current()
    with pytest.raises(DatabaseUnavailable, match="not prepared"), store.reading() as unit:
        unit.tokens()

    migrations.upgrade(store.engine, revision="0001")
    assert store.exists()
    with pytest.raises(DatabaseUnavailable, match="older version"):
        store.require_current()

    store.upgrade()
    store.require_current()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseUnavailable, match="newer version"):
        store.require_current()


def test_a_database_of_a_newer_version_is_not_upgraded(store: SqlStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (store.require_upgradable, store.upgrade, store.require_current):
        with pytest.raises(DatabaseUnavailable, match="newer version; update this one"):
            use()
    assert store.schema().current == "9999"


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE wallets (mine INTEGER)",
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('0001')",
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('ae1027a6acf0')",
    ],
)
def test_a_file_of_another_program_is_left_as_it_is(tmp_path: Path, tables: str) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.executescript(tables)
    before = path.read_bytes()
    store = SqlStore(f"sqlite:///{path}")
    store.schema()
    for use in (store.require_upgradable, store.upgrade):
        with pytest.raises(DatabaseUnavailable, match="belongs to another program"):
            use()
    store.close()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_looking_into_a_file_without_our_tables_does_not_change_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
    before = path.read_bytes()
    store = SqlStore(f"sqlite:///{path}")
    assert not store.exists()
    store.require_upgradable()
    assert path.read_bytes() == before
    store.upgrade()
    store.require_current()
    with store.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'custody.db'}")
    store.upgrade()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
