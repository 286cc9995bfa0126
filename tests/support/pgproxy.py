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
from collections.abc import Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import BinaryIO, Self

import attrs

_ENCRYPTION_REQUESTS = frozenset({80877103, 80877104})
"""SSLRequest and GSSENCRequest, which come before the startup message."""

_QUERY, _PARSE, _READY = b"Q", b"P", b"Z"
_BEGIN = re.compile(rb"\s*BEGIN\b", re.IGNORECASE)
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


Unit = Sequence[bytes]
"""The statements of one transaction, from its BEGIN on."""


@attrs.define
class Rule:
    """When a fault befalls a COMMIT, or a statement that matches `statement`. Switched off by setting `times_left` to 0."""

    fault: Fault
    statement: re.Pattern[bytes]
    times_left: int | None
    skip_left: int
    probability: float
    chance: random.Random
    when: Callable[[Unit], bool] | None = None
    act: Callable[[], object] | None = None
    """What happens at the same moment: before the server hears of a lost request, after it has answered a lost answer."""
    struck: int = 0

    def takes(self, text: bytes, unit: Unit) -> bool:
        if self.times_left == 0 or self.statement.match(text) is None:
            return False
        if self.when is not None and not self.when(unit):
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
        self.units: list[Unit] = []
        """The transactions whose COMMIT was asked for, oldest first."""
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

    def at_commit(
        self,
        fault: Fault,
        *,
        times: int | None = None,
        skip: int = 0,
        probability: float = 1.0,
        when: Callable[[Unit], bool] | None = None,
        act: Callable[[], object] | None = None,
    ) -> Rule:
        """From now on `fault` befalls COMMITs: at most `times`, after the first `skip`, by `probability`, and only of a transaction
        that is as `when` says. `act` happens together with it.
        """
        return self._add(Rule(fault, _COMMIT, times, skip, probability, self._chance, when, act))

    def cut_at(self, statement: str, *, times: int | None = 1, skip: int = 0) -> Rule:
        """From now on the connection is cut instead of passing on a statement that begins like this."""
        pattern = re.compile(re.escape(statement.encode()), re.IGNORECASE)
        return self._add(Rule(Fault.LOSE_REQUEST, pattern, times, skip, 1.0, self._chance))

    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def rule_for(self, text: bytes, unit: Unit) -> Rule | None:
        with self._lock:
            if _COMMIT.match(text) is not None:
                self.commits += 1
                self.units.append(tuple(unit))
            return next((rule for rule in self._rules if rule.takes(text, unit)), None)

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
        self._rule: Rule | None = None
        """The rule by which the server's next answer is not the client's."""
        self._unit: list[bytes] = []
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
        rule = self._rule_for(_statement(kind, body)) if kind in {_QUERY, _PARSE} else None
        match rule.fault if rule else None:
            case None:
                self._server.sendall(_message(kind, body))
            case Fault.LOSE_REQUEST:
                self._act(rule)
                self.cut()
            case Fault.LOSE_ANSWER:
                self._rule = rule
                self._server.sendall(_message(kind, body))
            case Fault.SERIALISATION_FAILURE | Fault.DEADLOCK:
                self._rule = rule
                self._server.sendall(_message(_QUERY, b"ROLLBACK\0"))

    def _rule_for(self, text: bytes) -> Rule | None:
        if _BEGIN.match(text) is not None:
            self._unit.clear()
        self._unit.append(text)
        return self._proxy.rule_for(text, self._unit)

    def _carry_answers(self) -> None:
        try:
            while message := _read(self._from_server):
                if self._rule is None:
                    self._client.sendall(_message(*message))
                elif message[0] == _READY:
                    self._answer_by(self._rule)
        except (OSError, ValueError):
            pass
        finally:
            self.cut()

    def _answer_by(self, rule: Rule) -> None:
        """The server has done what the client asked, or rolled back; nothing of its answer is passed on."""
        self._act(rule)
        if rule.fault is Fault.LOSE_ANSWER:
            self.cut()
            return
        self._rule = None
        fields = (b"SERROR", b"VERROR", b"C" + rule.fault.value.encode(), b"Mcould not serialize access")
        self._client.sendall(_message(b"E", b"\0".join(fields) + b"\0\0") + _message(_READY, b"I"))

    @staticmethod
    def _act(rule: Rule | None) -> None:
        if rule is not None and rule.act is not None:
            rule.act()


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
