"""Real parts for the integration tests: a dev chain of its own for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devnode import DevNode, anvil_program
from tests.support.faultproxy import FaultProxy
from tests.support.postgres import PostgresNotFound, Server, shared_server
from tests.support.service import Service, running_service


@pytest.fixture(scope="session")
def anvil() -> Path:
    try:
        return anvil_program()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def node(anvil: Path) -> Iterator[DevNode]:
    """A fresh chain, a block per transaction, `finalized` four blocks behind the head."""
    with DevNode(program=anvil) as node:
        yield node


@pytest.fixture
def proxy(node: DevNode) -> Iterator[FaultProxy]:
    """A faultless proxy before `node`; add faults with `proxy.on(…)`."""
    with FaultProxy(node.rpc_url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The PostgreSQL server of this run."""
    try:
        with shared_server() as server:
            yield server
    except PostgresNotFound as problem:
        pytest.skip(str(problem))


@pytest.fixture
def postgres_url(postgres: Server) -> str:
    """A fresh, migrated database."""
    return postgres.database_url(postgres.migrated_database())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the service's own, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'custody.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def service(tmp_path: Path, node: DevNode, database_url: str) -> Iterator[Service]:
    """The service on each kind of database, and on `node`."""
    with running_service(tmp_path, node, database_url=database_url) as service:
        yield service


@pytest.fixture
def proxied(tmp_path: Path, node: DevNode, proxy: FaultProxy, database_url: str) -> Iterator[Service]:
    """The service on each kind of database, with `proxy` between it and `node`."""
    with running_service(tmp_path, node, rpc_url=proxy.url, database_url=database_url) as service:
        yield service
