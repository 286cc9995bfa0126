"""gunicorn around the application, with every limit written here (ADR-0011).

Rules of this file

1. Nothing of gunicorn's is set from outside: no configuration file, no environment variable, no forwarded header.
2. The application is opened in each worker, after the fork, and closed when the worker ends.
3. An open connection costs a client more than us: `worker.py` says how long each may last.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import attrs
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

STOP_WITHIN_S: Final = 8
"""How long running requests are waited for at the end."""

LIMITS: Final[dict[str, Any]] = {
    "limit_request_line": 4094,
    "limit_request_fields": 64,
    "limit_request_field_size": 8190,
    "backlog": 512,
    "worker_connections": 800,  # with the files of the database and the nodes, fewer than the usual limit of 1024
    "timeout": 60,
    "graceful_timeout": STOP_WITHIN_S,
    "keepalive": 15,
    # Who a proxy says the client is, and by which scheme it came, is used for nothing; so nothing is believed.
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    "forwarder_headers": "",
    "proxy_protocol": "off",
    "control_socket_disable": True,
    "sendfile": False,
}


@attrs.frozen(kw_only=True)
class Listen:
    """Where and with how many processes and threads."""

    host: str
    port: int
    workers: int
    threads: int

    @property
    def address(self) -> str:
        """As gunicorn takes it; an IPv6 address gets its brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Server(BaseApplication):
    """The process that listens and starts workers. `open_app` is entered in each worker."""

    def __init__(
        self, open_app: Callable[[], AbstractContextManager[WSGIApplication]], listen: Listen, *, worker_gone: Callable[[int], None]
    ) -> None:
        self._open_app = open_app
        self._listen = listen
        self._worker_gone = worker_gone
        self._opened = ExitStack()
        super().__init__()

    def load_config(self) -> None:
        """Sets everything that is not gunicorn's own choice."""
        chosen = {
            **LIMITS,
            "bind": [self._listen.address],
            "workers": self._listen.workers,
            "threads": self._listen.threads,
            "worker_class": "custody_http.worker.Worker",
            "logger_class": JsonLog,
            "proc_name": "custody serve",
            "worker_exit": lambda _server, _worker: self._opened.close(),
            "child_exit": lambda _server, worker: self._worker_gone(worker.pid),
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """In a worker: opens the application there."""
        return self._opened.enter_context(self._open_app())


class JsonLog(Logger):
    """gunicorn's own words as JSON lines on stderr. An exception is told by its type: its text may hold anything."""

    def setup(self, cfg: Any) -> None:
        """One handler, for what gunicorn says; requests are logged by the application."""
        super().setup(cfg)
        handler = logging.StreamHandler()
        handler.setFormatter(_JsonLines())
        self.error_log.handlers = [handler]
        self.error_log.propagate = False


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, str | int] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "event": "server",
            "process": os.getpid(),
            "detail": str(record.msg).splitlines()[0] % record.args if record.args else str(record.msg).splitlines()[0],
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["type"] = record.exc_info[0].__name__
        return json.dumps(fields)
