"""The other servers of P6 and P7, on the project's own environment: `python -m tests.benchmarks.peers.web insert 8123`.

Each opens what `custody serve` opens, with the same settings from the environment.

* `insert`: one authenticated INSERT, committed, in a bare Flask application on the same gunicorn, workers and threads;
* `open`: the application of `custody serve` on the same gunicorn, with everybody let in as the owner of the wallets;
* `stock`: the application of `custody serve` on gunicorn's own gthread worker with gunicorn's own settings, two workers of four
  threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication
from sqlalchemy import create_engine, text

import custody_http.app
from custody_app.bootstrap import open_service
from custody_app.cli.opening import settings_now
from custody_app.cli.serve import THREADS, WORKERS
from custody_app.config import Settings
from custody_app.observers import LogObserver
from custody_app.web import open_app, shared_cursor_key
from custody_core import Custody
from custody_core.domain.access import ROLE_SCOPES, Principal
from custody_http.auth import Credentials
from custody_http.server import Listen, Server

TABLE = "bench_inserts"
STOCK_THREADS = 4

_INSERT = text(f"INSERT INTO {TABLE} (owner_id, body) VALUES (:owner_id, :body)")  # noqa: S608 - the name is above


@contextmanager
def inserting(settings: Settings) -> Iterator[Flask]:
    """POST / keeps its body in one row. It authenticates as `custody serve` does, and checks nothing else."""
    engine = create_engine(settings.database_url, pool_size=THREADS)
    with open_service(settings, observer=LogObserver(), with_keys=False, with_nodes=False) as opened:
        credentials = Credentials(opened.custody)
        app = Flask("insert", static_folder=None)

        def insert() -> Response:
            owner_id = credentials.principal(request.headers.get("Authorization")).user.id
            with engine.begin() as connection:
                connection.execute(_INSERT, {"owner_id": owner_id, "body": request.get_data(as_text=True)})
            return Response(status=201)

        app.add_url_rule("/", view_func=insert, methods=["POST"])
        yield app
    engine.dispose()


class Everybody(Credentials):
    """Takes every request for one of the only user's, and looks at no header."""

    def __init__(self, custody: Custody) -> None:
        super().__init__(custody)
        (user,) = custody.users.list(limit=1)
        self._everybody = Principal(user, ROLE_SCOPES[user.role])

    def principal(self, authorization: str | None) -> Principal:  # noqa: ARG002 - that is what it is for
        return self._everybody


@contextmanager
def let_in(settings: Settings, cursor_key: bytes) -> Iterator[Flask]:
    """The application without authentication."""
    with open_service(settings, observer=LogObserver(), with_keys=False, with_nodes=False) as opened:
        opened.custody.background_works = True
        vars(custody_http.app)["Credentials"] = Everybody  # in this process, which does nothing else
        yield custody_http.app.create_app(opened.custody, cursor_key=cursor_key, log=LogObserver().info)


class Stock(BaseApplication):
    """gunicorn as it is, but for its class of worker and how many there are."""

    def __init__(self, open_app: Callable[[], AbstractContextManager[Flask]], port: int) -> None:
        self._open_app, self._port = open_app, port
        super().__init__()

    def load_config(self) -> None:
        """Sets what was measured for the goal."""
        chosen = {"bind": [f"127.0.0.1:{self._port}"], "workers": WORKERS, "threads": STOCK_THREADS, "worker_class": "gthread"}
        for name, value in {**chosen, "control_socket_disable": True}.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """In a worker: opens the application there, until the process ends."""
        self._opened = self._open_app()
        return self._opened.__enter__()


def main(kind: str, port: int) -> None:
    settings = settings_now()
    cursor_key = shared_cursor_key(settings)
    applications: dict[str, Callable[[], AbstractContextManager[Flask]]] = {
        "insert": lambda: inserting(settings),
        "open": lambda: let_in(settings, cursor_key),
        "stock": lambda: open_app(settings, cursor_key, LogObserver()),
    }
    if kind == "stock":
        Stock(applications[kind], port).run()
    else:
        listen = Listen(host="127.0.0.1", port=port, workers=WORKERS, threads=THREADS)
        Server(applications[kind], listen, worker_gone=lambda _: None).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
