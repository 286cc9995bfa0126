"""A proxy between a client and PostgreSQL that understands the wire protocol as far as needed to be cruel at a COMMIT.

    with PgProxy("127.0.0.1", server_port) as proxy:
        proxy.at_commit(Fault.LOSE_ANSWER, times=1)
        ...                                    # the system under test connects to proxy.port

Without rules it passes everything on. Encryption is declined, so that it can read along.
"""

import random
import re
import socket
import struct
import threading
from enum import StrEnum
from types import TracebackType
from typing import BinaryIO, Self

import attrs

_ENCRYPTION_REQUESTS = frozenset({80877103, 80877104})
"""SSLRequest and GSSENCRequest, which come before the startup message."""

_QUERY, _PARSE, _READY = b"Q", b"P", b"Z"
_COMMIT = re.compile(rb"\s*COMMIT\b", re.IGNORECASE)


class Fault(StrEnum):
    """What happens to a COMMIT."""

    LOSE_ANSWER = "lose-answer"
    """It happens; the connection is cut before the answer arrives."""
    LOSE_REQUEST = "lose-request"
    """The connection is cut before it arrives; the server rolls back."""
    SERIALISATION_FAILURE = "40001"
    """The server rolls back, and the client is told this SQLSTATE."""
    DEADLOCK = "40P01"
    """The same, with another SQLSTATE."""


@attrs.define
class Rule:
    """When a fault befalls a COMMIT, or a statement that matches `statement`. Switched off by setting `times_left` to 0."""

    fault: Fault
    statement: re.Pattern[bytes]
    times_left: int | None
    skip_left: int
    probability: float
    chance: random.Random
    struck: int = 0

    def takes(self, text: bytes) -> bool:
        if self.times_left == 0 or self.statement.match(text) is None:
            return False
        if self.skip_left > 0:
            self.skip_left -= 1
            return False
        if self.chance.random() >= self.probability:
            return False
        if self.times_left is not None:
            self.times_left -= 1
        self.struck += 1
        return True


class PgProxy:
    """Listens on `port` until stopped. Faults are drawn from a seed."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.upstream = (host, port)
        self.commits = 0
        self._chance = random.Random(seed)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stopped = False
        threading.Thread(target=self._accept, name="pgproxy", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes the door and cuts every line."""
        self._stopped = True
        self._listener.close()
        self.cut_all()

    def cut_all(self) -> None:
        """Cuts every connection now."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.cut()

    def at_commit(self, fault: Fault, *, times: int | None = None, skip: int = 0, probability: float = 1.0) -> Rule:
        """From now on `fault` befalls COMMITs: at most `times`, after the first `skip`, by `probability`."""
        return self._add(Rule(fault, _COMMIT, times, skip, probability, self._chance))

    def cut_at(self, statement: str, *, times: int | None = 1, skip: int = 0) -> Rule:
        """From now on the connection is cut instead of passing on a statement that begins like this."""
        pattern = re.compile(re.escape(statement.encode()), re.IGNORECASE)
        return self._add(Rule(Fault.LOSE_REQUEST, pattern, times, skip, 1.0, self._chance))

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def fault_for(self, text: bytes) -> Fault | None:
        with self._lock:
            self.commits += _COMMIT.match(text) is not None
            return next((rule.fault for rule in self._rules if rule.takes(text)), None)

    def _accept(self) -> None:
        while not self._stopped:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.upstream)
            except OSError:
                client.close()
                continue
            line = _Line(self, client, server)
            with self._lock:
                self._lines.add(line)
            threading.Thread(target=line.run, name="pgproxy-client", daemon=True).start()

    def forget(self, line: "_Line") -> None:
        with self._lock:
            self._lines.discard(line)


class _Line:
    """One client's connection: this thread carries what the client says, another what the server says."""

    def __init__(self, proxy: PgProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._from_client, self._from_server = client.makefile("rb"), server.makefile("rb")
        self._fault: Fault | None = None
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        try:
            self._start_up()
            threading.Thread(target=self._carry_answers, name="pgproxy-server", daemon=True).start()
            while message := _read(self._from_client):
                self._carry(*message)
        except (OSError, ValueError):
            pass  # either side is gone, which is what this is about
        finally:
            self.cut()

    def cut(self) -> None:
        for each in (self._client, self._server):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                each.close()
        self._proxy.forget(self)

    def _start_up(self) -> None:
        while True:
            head = self._from_client.read(8)
            length, code = struct.unpack("!II", head) if len(head) == 8 else (8, 0)
            if code not in _ENCRYPTION_REQUESTS:
                break
            self._client.sendall(b"N")
        self._server.sendall(head + self._from_client.read(length - 8))

    def _carry(self, kind: bytes, body: bytes) -> None:
        fault = self._proxy.fault_for(_statement(kind, body)) if kind in {_QUERY, _PARSE} else None
        match fault:
            case None:
                self._server.sendall(_message(kind, body))
            case Fault.LOSE_REQUEST:
                self.cut()
            case Fault.LOSE_ANSWER:
                self._fault = fault
                self._server.sendall(_message(kind, body))
            case Fault.SERIALISATION_FAILURE | Fault.DEADLOCK:
                self._fault = fault
                self._server.sendall(_message(_QUERY, b"ROLLBACK\0"))

    def _carry_answers(self) -> None:
        try:
            while message := _read(self._from_server):
                if self._fault is None:
                    self._client.sendall(_message(*message))
                elif message[0] == _READY:
                    self._answer_at_fault(self._fault)
        except (OSError, ValueError):
            pass
        finally:
            self.cut()

    def _answer_at_fault(self, fault: Fault) -> None:
        """The server has done what the client asked, or rolled back; nothing of its answer is passed on."""
        if fault is Fault.LOSE_ANSWER:
            self.cut()
            return
        self._fault = None
        fields = (b"SERROR", b"VERROR", b"C" + fault.value.encode(), b"Mcould not serialize access")
        self._client.sendall(_message(b"E", b"\0".join(fields) + b"\0\0") + _message(_READY, b"I"))


def _read(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """The next message: its type and its body. None at the end."""
    head = stream.read(5)
    if len(head) < 5:
        return None
    (length,) = struct.unpack("!I", head[1:])
    return head[:1], stream.read(length - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _statement(kind: bytes, body: bytes) -> bytes:
    """The SQL of a Query, or of a Parse, whose first field is the name of the statement."""
    return body if kind == _QUERY else body.split(b"\0", 1)[1]
