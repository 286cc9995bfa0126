"""A prepared service per test worker, and a fresh copy of it for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devnode import DevNode
from tests.support.sites import Prepared, Site, SqliteDatabase


@pytest.fixture(scope="session")
def prepared(anvil: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """On SQLite."""
    with DevNode(program=anvil) as node:
        yield Prepared(tmp_path_factory.mktemp("prepared"), node, SqliteDatabase())


@pytest.fixture
def site(prepared: Prepared, tmp_path: Path) -> Iterator[Site]:
    """A service with six funded wallets, as processes."""
    with prepared.site(tmp_path) as site:
        yield site
