"""The client of P6 and P7: many connections that stay open, in one process and one thread, so that it takes little from the server.

A connection has one request on the way. Without a rate each sends the next as soon as it has its answer. With one, requests are
due at even times, however late the answers are, and a latency counts from when its request was due: a server that stalls is not
spared by a client that waits with it.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.peers.serving import serve

HOST = "127.0.0.1"
ANSWER_TIMEOUT_S = 30.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Connection:
    """One connection and what has come on it of its answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), ANSWER_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._received = b""

    def send(self, request: bytes, due: float) -> None:
        """A request is small enough to go out at once."""
        self.due = due
        self.socket.sendall(request)

    def answer(self) -> int | None:
        """Reads what is there; the status when the answer is complete."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed a connection that was to stay open")
        self._received += part
        head, found, body = self._received.partition(_HEAD_END)
        if not found or len(body) < _length(head):
            return None
        self._received = b""
        return int(head[9:12])


class Load:
    """Requests to one port. `requests` are taken in turn; `{n}` in one is a number that no other request has."""

    def __init__(self) -> None:
        self._numbers = 0

    def run(self, port: int, requests: Sequence[str], connections: int, seconds: float, rate: float | None) -> dict[str, Any]:
        """Sends for `seconds`, then waits for what is on its way. `rate`: requests a second; None: as many as it can."""
        opened = [Connection(port) for _ in range(connections)]
        with selectors.DefaultSelector() as selector:
            for each in opened:
                selector.register(each.socket, selectors.EVENT_READ, each)
            try:
                return self._run(selector, deque(opened), [request.encode() for request in requests], seconds, rate)
            finally:
                for each in opened:
                    each.socket.close()

    def _run(
        self,
        selector: selectors.BaseSelector,
        idle: deque[Connection],
        requests: Sequence[bytes],
        seconds: float,
        rate: float | None,
    ) -> dict[str, Any]:
        statuses: dict[int, int] = {}
        latencies: list[float] = []
        total, sent = len(idle), 0
        start = time.perf_counter()
        end = start + seconds
        while True:
            now = time.perf_counter()
            due = start + sent / rate if rate else now
            while idle and due <= now and due < end:
                idle.popleft().send(self._next(requests), due)
                sent += 1
                due = start + sent / rate if rate else now
            if due >= end and len(idle) == total:
                break
            if now > end + ANSWER_TIMEOUT_S:
                raise TimeoutError("an answer did not come")
            for key, _ in selector.select(min(max(due - now, 0.0), 0.1) if idle else 0.1):
                status = key.data.answer()
                if status is not None:
                    statuses[status] = statuses.get(status, 0) + 1
                    latencies.append(time.perf_counter() - key.data.due)
                    idle.append(key.data)
        took_s = time.perf_counter() - start
        latencies.sort()
        return {
            "per_second": len(latencies) / took_s,
            "p50_ms": latencies[len(latencies) // 2] * 1000,
            "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
            "statuses": statuses,
        }

    def _next(self, requests: Sequence[bytes]) -> bytes:
        self._numbers += 1
        return requests[self._numbers % len(requests)].replace(b"{n}", b"%d" % self._numbers)


def _length(head: bytes) -> int:
    for line in head.lower().splitlines():
        if line.startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    raise ValueError("an answer without its length")


if __name__ == "__main__":
    serve({"run": Load().run})
