"""gunicorn around the application, with every limit written here (ADR-0011).

Rules of this file

1. Nothing of gunicorn's is set from outside: no configuration file, no environment variable, no forwarded header.
2. The application is opened in each worker, after the fork, and closed when the worker ends.
3. What gunicorn itself refuses is a problem document with the same headers as any answer, and repeats nothing of the request.
4. A request that is not complete in time is cut off, however slowly its bytes keep coming.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import errors as refusals
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import TConn, ThreadWorker

from custody_http.errors import INTERNAL, Problem
from custody_http.security import HEADERS, request_id_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

READ_WITHIN_S: Final = 20
"""How long a client may take to send a request."""

STOP_WITHIN_S: Final = 8
"""How long running requests are waited for at the end."""

LIMITS: Final[dict[str, Any]] = {
    "limit_request_line": 4094,
    "limit_request_fields": 64,
    "limit_request_field_size": 8190,
    "backlog": 512,
    "worker_connections": 1000,
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
            "worker_class": "custody_http.server.Worker",
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


class Worker(ThreadWorker):
    """Threads that share the worker's connections."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reading: dict[TConn, float] = {}
        self._reading_lock = threading.Lock()

    def handle(self, conn: TConn) -> Any:
        """Handles a connection in a thread, where the main loop can see since when."""
        with self._reading_lock:
            self._reading[conn] = time.monotonic() + READ_WITHIN_S
        try:
            return super().handle(conn)
        finally:
            with self._reading_lock:
                self._reading.pop(conn, None)

    def murder_keepalived(self, force: bool = False) -> None:
        """Called at every turn of the main loop: ends the reading of requests that are late. One that is being answered is not
        hurt."""
        super().murder_keepalived(force)  # type: ignore[call-arg]  # the stubs are of an older release
        now = time.monotonic()
        with self._reading_lock:
            late = [conn for conn, until in self._reading.items() if until < now]
        for conn in late:
            try:
                conn.sock.shutdown(socket.SHUT_RD)
            except OSError:
                continue  # it has gone already

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: BaseException) -> None:  # noqa: ARG002
        """Answers what could not be read as a request, and what broke outside of the application."""
        problem = _refusal(exc)
        self.log.warning("refused a request that could not be read: %s", type(exc).__name__)
        try:
            write_nonblock(client, _raw_answer(problem))
        except OSError:
            self.log.debug("the client did not wait for its refusal")


_OURS = (refusals.InvalidResponseHeader, refusals.InvalidResponseHeaderName)  # type: ignore[attr-defined]  # as above
"""What gunicorn counts among the client's faults, and is not."""


def _refusal(error: BaseException) -> Problem:
    match error:
        case refusals.LimitRequestLine():
            return Problem("invalid-request", 414, "the request line is too long")
        case refusals.LimitRequestHeaders():
            return Problem("invalid-request", 431, "the request has too many or too long header fields")
        case refusals.UnsupportedTransferCoding():
            return Problem("invalid-request", 501, "this transfer coding is not understood")
        case refusals.ExpectationFailed():
            return Problem("invalid-request", 417, "this expectation cannot be met")
        case refusals.ParseException() if not isinstance(error, _OURS):
            return Problem("invalid-request", 400, "the request is not well-formed HTTP/1.1")
        case _:
            return Problem(INTERNAL, 500, "something went wrong on our side; it is in the log under this request_id")


_REASONS = {
    400: "Bad Request",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


def _raw_answer(problem: Problem) -> bytes:
    request_id = request_id_of(None)
    body = msgspec.json.encode(problem.document(instance="", request_id=request_id))
    headers = {
        **HEADERS,
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": "application/problem+json",
        "X-Request-Id": request_id,
    }
    lines = [f"HTTP/1.1 {problem.status} {_REASONS.get(problem.status, 'Internal Server Error')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


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
