"""The web process: the HTTP facade over a service that holds no key material.

The settings, the nodes and the database are looked at once, before anything listens, so that a start that has to be refused says
why. Then each
worker opens the service for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from prometheus_client.multiprocess import mark_process_dead

from custody_app.bootstrap import open_database, open_service
from custody_app.config import Settings
from custody_app.observers import LogObserver
from custody_app.system import SystemEntropy
from custody_core import NodeUnavailable
from custody_http import create_app
from custody_http.cursors import KEY_BYTES
from custody_http.server import Listen, Server

__all__ = ["Listen", "open_app", "serve", "shared_cursor_key"]

CURSOR_KEY = "cursor-key"
"""The setting in the database under which all web processes sign paging cursors."""


def serve(settings: Settings, listen: Listen) -> None:
    """Answers until the process is told to stop. Raises what `open_service` raises, but for a node that does not answer yet."""
    log = LogObserver()
    _require_usable(settings, log)
    if os.access(settings.key_file, os.R_OK):
        log.trouble("key-file-readable", "this process needs no key, but could read the key file; give it to the scanner only")
    cursor_key = shared_cursor_key(settings)
    Server(lambda: open_app(settings, cursor_key, log), listen, worker_gone=mark_process_dead).run()


@contextmanager
def open_app(settings: Settings, cursor_key: bytes, log: LogObserver) -> Iterator[Flask]:
    """The application, with a service of its own. For one process: the database is not to be used after a fork."""

    def database_check() -> None:
        with open_database(settings) as store:
            store.require_current()

    with open_service(settings, observer=log, with_keys=False, with_nodes=False) as opened:
        opened.custody.background_works = True
        yield create_app(
            opened.custody, cursor_key=cursor_key, public_url=settings.public_url, log=log.info, database_check=database_check
        )


def shared_cursor_key(settings: Settings) -> bytes:
    """The key of the installation, made by whichever web process is the first."""
    with open_database(settings) as store:
        with store.reading() as unit:
            known = unit.setting(CURSOR_KEY)
        if known is not None:
            return known
        with store.transaction() as unit:
            unit.lock_pool()  # of two processes that start at once the second waits here, and finds the first one's
            known = unit.setting(CURSOR_KEY)
            if known is None:
                known = SystemEntropy().random_bytes(KEY_BYTES)
                unit.put_setting(CURSOR_KEY, known)
            return known


def _require_usable(settings: Settings, log: LogObserver) -> None:
    """Raises for what waiting does not mend. A node that is away is told by `/readyz`, and does not keep the books from being
    read."""
    try:
        with open_service(settings, observer=log, with_keys=False):
            pass
    except NodeUnavailable as problem:
        log.trouble(problem.code, problem.detail)
        with open_service(settings, observer=log, with_keys=False, with_nodes=False):
            pass
