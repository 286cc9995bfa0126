"""What every long run begins with: a folder, a database, the service in this process."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from custody_app.bootstrap import open_service
from custody_app.config import load_settings
from custody_app.observers import QuietObserver
from custody_core import Custody
from tests.support.postgres import Server

SLOTS_IN_AN_EPOCH = 4
FINAL_DEPTH = 2 * SLOTS_IN_AN_EPOCH
"""How far below the head anvil's final block is."""

NODE_ARGUMENTS = ("--gas-limit", "300000000")


@attrs.frozen
class Database:
    """One database of a server."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """As the settings want it."""
        return self.server.database_url(self.name)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows themselves."""
        return self.server.execute(query, database=self.name)

    def is_sealed(self) -> bool:
        """Whether every event has its number."""
        return self.rows("SELECT 1 FROM events WHERE sequence IS NULL LIMIT 1") == []


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that is left where it is when something goes wrong: the workers' logs are in it."""
    folder = Path(tempfile.mkdtemp(prefix="custody-soak-"))
    try:
        yield folder
    except BaseException:
        sys.stderr.write(f"\nsoak: what the workers wrote is in {folder}\n")
        raise
    shutil.rmtree(folder)


@contextmanager
def opened(settings: Mapping[str, str], *, create: bool = False) -> Iterator[Custody]:
    """The service in this process. It holds keys only while it is `create`d."""
    loaded = load_settings({f"CUSTODY_{name}": text for name, text in settings.items()})
    with open_service(loaded, observer=QuietObserver(), create=create, with_keys=create) as service:
        yield service.custody
