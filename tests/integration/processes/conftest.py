"""A prepared service per test worker, and a fresh copy of it for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.support.devnode import DevNode
from tests.support.pgproxy import PgProxy
from tests.support.postgres import Server
from tests.support.sites import PostgresDatabase, Prepared, Site, SqliteDatabase


@pytest.fixture(scope="session")
def on_sqlite(anvil: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with DevNode(program=anvil) as node:
        yield Prepared(tmp_path_factory.mktemp("prepared"), node, SqliteDatabase())


@pytest.fixture(scope="session")
def on_postgres(anvil: Path, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with DevNode(program=anvil) as node:
        yield Prepared(tmp_path_factory.mktemp("prepared"), node, PostgresDatabase(postgres))


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A service with six funded wallets, as processes, on each kind of database."""
    prepared: Prepared = request.getfixturevalue("on_sqlite" if request.param == "sqlite" else "on_postgres")
    with prepared.site(tmp_path) as site:
        yield site


@pytest.fixture
def pgproxy(postgres: Server) -> Iterator[PgProxy]:
    """What stands between the processes of `pgsite` and PostgreSQL."""
    upstream = make_url(postgres.url)
    with PgProxy(upstream.host or "127.0.0.1", upstream.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def pgsite(on_postgres: Prepared, pgproxy: PgProxy, tmp_path: Path) -> Iterator[Site]:
    """A service with six funded wallets, as processes that reach PostgreSQL through `pgproxy`."""

    def via(url: str) -> str:
        return make_url(url).set(host="127.0.0.1", port=pgproxy.port).render_as_string(hide_password=False)

    with on_postgres.site(tmp_path, via=via) as site:
        yield site
