"""URLs that cannot work are refused clearly, and nothing of them is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody_core.errors import DatabaseUnavailable
from custody_sql import SqlStore


@pytest.mark.parametrize(
    "url",
    [
        "",
        "custody.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:custody.db?uri=true",
        "sqlite:///custody.db?timeout=5",
        "mysql://root:hunter2@localhost/custody",
        "postgresql+nodriver://root:hunter2@localhost/custody",
        "://hunter2",
    ],
)
def test_a_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        SqlStore(url)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_folder_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'missing' / 'custody.db'}")
    for use in (store.upgrade, store.require_current, lambda: store.transaction().__enter__()):
        with pytest.raises(DatabaseUnavailable) as refused:
            use()
        assert "DATABASE_URL" in refused.value.detail
        assert str(tmp_path) not in refused.value.detail


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "custody.db"
    path.write_bytes(b"my precious notes, " * 100)
    before = path.read_bytes()
    store = SqlStore(f"sqlite:///{path}")
    for use in (store.exists, store.upgrade, store.require_current):
        with pytest.raises(DatabaseUnavailable):
            use()
    assert path.read_bytes() == before


def test_the_path_may_hold_any_character(tmp_path: Path) -> None:
    folder = tmp_path / "100% ours #1 (ä)"
    folder.mkdir()
    store = SqlStore(f"sqlite:///{folder}/custody.db")
    store.upgrade()
    store.require_current()
    store.close()
    assert (folder / "custody.db").stat().st_size > 0
