"""The client of the HTTP benchmarks sends what it says, and counts what was answered."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.benchmarks.peers.load import Load


class Answering(BaseHTTPRequestHandler):
    """201 for every key that comes for the first time, 409 after that; the body comes later than the head."""

    protocol_version = "HTTP/1.1"
    keys: list[str]

    def do_POST(self) -> None:
        key = self.headers["Idempotency-Key"]
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(409 if key in self.keys else 201)
        self.keys.append(key)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.flush()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def answering() -> Iterator[tuple[int, list[str]]]:
    keys: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answering,), {"keys": keys}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1], keys
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(key: str) -> str:
    return f"POST / HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\nContent-Length: 4\r\n\r\nbody"


def test_no_two_requests_have_the_same_number_and_every_answer_is_counted() -> None:
    load = Load()
    with answering() as (port, keys):
        told = [load.run(port, [post("a-{n}"), post("b-{n}")], 4, 0.1, None) for _ in range(2)]
    assert sum(each["statuses"][201] for each in told) == len(keys) == len(set(keys))
    assert {key[0] for key in keys} == {"a", "b"}
    assert all(set(each["statuses"]) == {201} and 0 < each["p50_ms"] <= each["p99_ms"] for each in told)


def test_another_status_is_told() -> None:
    with answering() as (port, keys):
        told = Load().run(port, [post("same")], 2, 0.1, None)
    assert told["statuses"] == {201: 1, 409: len(keys) - 1}


def test_with_a_rate_no_more_is_sent_than_is_due() -> None:
    with answering() as (port, keys):
        told = Load().run(port, [post("{n}")], 4, 0.5, 100.0)
    assert len(keys) == 50
    assert told["statuses"] == {201: 50}


def test_a_server_that_closes_the_connection_is_no_answer() -> None:
    with answering() as (port, _), pytest.raises(ConnectionError):
        Load().run(port, [post("{n}").replace("Host", "Connection: close\r\nHost")], 1, 1.0, None)
