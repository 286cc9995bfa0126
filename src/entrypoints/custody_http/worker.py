"""The process that answers: threads for requests, and one loop for everything that depends on how fast a client is.

Rules of this file

1. No thread ever waits for a client. It is given a request when all of it has come, and what the client does not take at once of
   the answer is sent by the loop.
2. A client has a time for each thing: to send a request, from when its connection is accepted or its last answer was sent; to
   take an answer; to go. None is longer for sending a byte now and then.
3. The loop never waits for a client either. When there is no room for another connection, those make room that have waited
   longest.
4. What cannot be read as a request is refused as a problem document with the same headers as any answer, and nothing of it is
   repeated.
"""

from __future__ import annotations

import io
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, cast

import attrs
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import InvalidHeader, NoMoreData
from gunicorn.http.parser import RequestParser
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import TConn, ThreadWorker

from custody_http.arriving import Arrival
from custody_http.refusals import raw_answer, refusal_of

READ_WITHIN_S: Final = 20
"""How long a client may take to send a request."""

WRITE_WITHIN_S: Final = 20
"""How long a client may take to receive an answer."""

LEAVE_WITHIN_S: Final = 2
"""How long a client may go on sending after its connection was closed: it may not have read its last answer yet."""

READ_BYTES: Final = 64 * 1024

SAID_ONCE: Final = ("AUTHORIZATION", "IDEMPOTENCY-KEY", "X-REQUEST-ID")
"""Header fields that have one value. `Host` and `Content-Type` are seen to by the parser."""


class Worker(ThreadWorker):
    """Gunicorn's threads behind a loop that buffers what comes and what goes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: dict[TConn, float] = {}  # all but idle ones, which gunicorn keeps: until when, the oldest first
        self._unsent: dict[TConn, memoryview] = {}
        self._looked_at = 0.0

    def enqueue_req(self, conn: TConn) -> None:
        """Gunicorn's name for what is done with a connection that has, or may have, something to read: here, lets it arrive."""
        arrival = Arrival()
        ahead = self._unreader(conn).take_buffered()
        if ahead and arrival.add(ahead):
            self._hand_over(conn, arrival)
        elif not self._read(conn, arrival):
            self._wait(conn, selectors.EVENT_READ, READ_WITHIN_S, lambda: self._read(conn, arrival))

    def _read(self, conn: TConn, arrival: Arrival) -> bool:
        """Takes what has come; whether that was the end of waiting for it."""
        try:
            more = conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            self._drop(conn)
            return True
        if not more and not arrival.received:
            self._drop(conn)
        elif arrival.add(more) or not more:
            self._hand_over(conn, arrival)
        else:
            _let_continue(conn, arrival)
            return False
        return True

    def _hand_over(self, conn: TConn, arrival: Arrival) -> None:
        self._stop_waiting(conn)
        if arrival.refusal is not None:
            self.handle_error(None, conn.sock, conn.client, arrival.refusal)
            self._leave(conn)
            return
        self._unreader(conn).unread(bytes(arrival.received))
        conn.data_ready = True
        super().enqueue_req(conn)

    def _unreader(self, conn: TConn) -> Any:
        """What the connection's parser reads from: bytes that it is given here, never the socket."""
        if conn.parser is None:
            conn.parser = RequestParser(self.cfg, iter(()), conn.client)
        return conn.parser.unreader  # type: ignore[union-attr]  # other parsers are for protocols that are not spoken here

    def handle_request(self, req: Any, conn: Any) -> bool:
        """In a thread: answers one request. Whether the connection can be used again."""
        _require_clear_head(req)
        req.body = io.BytesIO(_whole_body(req))
        answer = _Answer()
        keep = super().handle_request(req, cast("Any", _Client(answer, conn.client, conn.server)))
        try:
            sent = conn.sock.send(answer.written, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(answer.written):
            self._unsent[conn] = memoryview(answer.written)[sent:]
        return bool(keep)

    def finish_request(self, conn: TConn, fs: Future[bool]) -> None:
        """In the loop again, after a thread is done with a request."""
        if conn in self._unsent:
            self._wait(conn, selectors.EVENT_WRITE, WRITE_WITHIN_S, lambda: self._write(conn, fs))
        elif fs.cancelled() or fs.exception() is not None or not fs.result():
            self._leave(conn)
        else:
            super().finish_request(conn, fs)

    def _write(self, conn: TConn, done: Future[bool]) -> None:
        try:
            rest = self._unsent[conn][conn.sock.send(self._unsent[conn], socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return
        except OSError:
            self._drop(conn)
            return
        if rest:
            self._unsent[conn] = rest
            return
        del self._unsent[conn]
        self._stop_waiting(conn)
        self.finish_request(conn, done)

    def _leave(self, conn: TConn) -> None:
        """Closes our half, and reads on for a moment: closing with something unread would take back the answer (RFC 9112,
        section 9.6).
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self._wait(conn, selectors.EVENT_READ, LEAVE_WITHIN_S, lambda: self._discard(conn))

    def _discard(self, conn: TConn) -> None:
        try:
            gone = not conn.sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Gunicorn's name for what is done at every turn of the loop: closes what has waited too long, or is in the way."""
        super().murder_keepalived(force)  # type: ignore[call-arg]  # the stubs are of an older release
        now = time.monotonic()
        if now >= self._looked_at + 1 or not self.alive:
            self._looked_at = now
            for conn in [conn for conn, until in self._waiting.items() if until < now]:
                self._drop(conn)
        while self.nr_conns >= self.worker_connections and self._make_room():
            pass

    def _make_room(self) -> bool:
        if self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()
        elif self._waiting:
            self._drop(next(iter(self._waiting)))
        else:
            return False
        return True

    def _cap_keepalive(self, deadline: float) -> None:
        """Gunicorn's name for what is done when the worker is told to end: nobody is waited for beyond `deadline`."""
        super()._cap_keepalive(deadline)  # type: ignore[misc]  # as above
        self._waiting = {conn: min(until, deadline) for conn, until in self._waiting.items()}

    def _wait(self, conn: TConn, events: int, seconds: float, then: Callable[[], object]) -> None:
        self._waiting[conn] = time.monotonic() + seconds
        self.poller.register(conn.sock, events, lambda _socket: then())

    def _stop_waiting(self, conn: TConn) -> None:
        if self._waiting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)

    def _drop(self, conn: TConn) -> None:
        self._stop_waiting(conn)
        self._unsent.pop(conn, None)
        self.nr_conns -= 1
        conn.close()

    def handle_error(self, req: object, client: socket.socket, addr: object, exc: BaseException) -> None:  # noqa: ARG002
        """Answers what could not be read as a request, and what broke outside of the application."""
        problem = refusal_of(exc)
        self.log.warning("refused a request that could not be read: %s", type(exc).__name__)
        try:
            write_nonblock(client, raw_answer(problem))
        except OSError:
            self.log.debug("the client did not wait for its refusal")


class _Answer:
    """Stands for the socket where an answer is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def sendall(self, data: bytes) -> None:
        self.written += data

    def send(self, data: bytes) -> int:
        """Gunicorn's `100 Continue`. It was sent when it was due; the body is here."""
        return len(data)


@attrs.frozen
class _Client:
    """A connection as gunicorn looks at it to answer one request."""

    sock: _Answer
    client: Any
    server: Any


def _require_clear_head(request: Any) -> None:
    """Raises for a request without a host (RFC 9112, section 3.2), and for one that says twice what has one value: the parser would
    join the two.
    """
    names = [name for name, _ in request.headers]
    if "HOST" not in names and request.version >= (1, 1):
        raise InvalidHeader("HOST")
    if any(names.count(name) > 1 for name in SAID_ONCE):
        raise InvalidHeader("twice")


def _whole_body(request: Any) -> bytes:
    """Raises what gunicorn's reader raises, and `NoMoreData` where the client went away in the middle."""
    reader = request.body.reader
    length = reader.length if isinstance(reader, LengthReader) else 0
    body: bytes = request.body.read()
    if len(body) < length:
        raise NoMoreData
    return body


def _let_continue(conn: TConn, arrival: Arrival) -> None:
    if arrival.expects_continue:
        arrival.expects_continue = False
        try:
            conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n", socket.MSG_DONTWAIT)
        except OSError:
            return  # seen when it is read next
