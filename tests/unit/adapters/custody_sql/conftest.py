"""Prepared databases: migrated once, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from custody_sql import SqlStore


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("custody_sql") / "template.db"
    store = SqlStore(f"sqlite:///{path}")
    store.upgrade()
    store.close()
    return path


@pytest.fixture
def database(template: Path, tmp_path: Path) -> str:
    """The URL of a prepared, empty database."""
    shutil.copy(template, tmp_path / "custody.db")
    return f"sqlite:///{tmp_path / 'custody.db'}"


@pytest.fixture
def store(database: str) -> Iterator[SqlStore]:
    opened = SqlStore(database)
    yield opened
    opened.close()
