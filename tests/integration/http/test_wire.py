"""HTTP as strangers speak it: malformed, ambiguous and slow requests (A-13)."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import Any

import pytest
import requests

from custody_http.security import HEADERS
from tests.integration.http.conftest import StartWeb, Web, client_of
from tests.support.service import Service

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # nothing in here is about the database

SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

UNCLEAR = [
    (b"POST /v1/wallets HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd" + SMUGGLED, 400),
    (b"POST /v1/wallets HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd" + SMUGGLED, 400),
    (b"POST /v1/wallets HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 501),
    (b"GET /v1/me HTTP/1.1\r\nHost: a\r\nX-One: a\r\n folded: b\r\n\r\n" + SMUGGLED, 400),
    (b"GET /v1/me HTTP/1.1\r\nHost: a\r\nX Bad: canary-header\r\n\r\n" + SMUGGLED, 400),
    (b"GET /v1/me HTTP/1.1\r\nHost : a\r\n\r\n" + SMUGGLED, 400),
    (b"GET /v1/me HTTP/9.9\r\nHost: a\r\n\r\n" + SMUGGLED, 400),
    (b"nonsense\r\n\r\n" + SMUGGLED, 400),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET /v1/me HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431),
    (b"GET /v1/me HTTP/1.1\r\nHost: a\r\n" + b"X-Many: a\r\n" * 70 + b"\r\n", 431),
]


def exchange(web: Web, raw: bytes, *, timeout_s: float = 10) -> bytes:
    """Everything that is answered until the server closes, or falls silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", web.port), timeout=timeout_s) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def read(answer: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, json.loads(body)


def test_what_is_no_clear_request_is_refused_and_nothing_behind_it_is_read(web: Web) -> None:
    for raw, status in UNCLEAR:
        answer = exchange(web, raw)
        assert answer.count(b"HTTP/1.1 ") == 1, raw[:100]
        found, headers, document = read(answer)
        assert (found, document["status"], document["code"]) == (status, status, "invalid-request"), raw[:100]
        assert headers["Content-Type"] == "application/problem+json"
        assert {name: headers.get(name) for name in HEADERS} == dict(HEADERS)
        assert "gunicorn/" not in headers.get("Server", "")
        assert b"canary" not in answer
    assert "canary" not in web.log.read_text("utf-8")


def test_what_a_proxy_claims_is_not_believed(service: Service, start_web: StartWeb) -> None:
    web = start_web(settings={"PUBLIC_URL": "http://custody.example"})
    alice = client_of(service, "alice")
    spoofed = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "custody.example",
        "Forwarded": "for=203.0.113.9",
    }
    headers = {"Authorization": f"Bearer {alice.secret}", **spoofed}
    assert requests.get(f"{web.url}/v1/me", headers=headers, timeout=10).status_code == 400
    known = requests.get(f"{web.url}/v1/me", headers={**headers, "Host": "custody.example"}, timeout=10)
    assert known.status_code == 200
    assert "203.0.113.9" not in web.log.read_text("utf-8")
    absolute = b"GET http://custody.example/v1/me HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert read(exchange(web, absolute))[0] == 400


SLOW = {
    "part of a request line": b"GET /livez HT",
    "part of the header fields": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "one byte of a body": b"POST /v1/transactions HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n{",
    "one chunk of a body": b"POST /v1/transactions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "nothing at all": b"",
}
SLOW_EACH = 50
CUT_AFTER_S = 4


def connect(web: Web, first: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=10)
    connection.sendall(first)
    connection.setblocking(False)
    return connection


def is_cut(connection: socket.socket) -> bool:
    """Sends one byte more, as a slow client does; whether the server has closed."""
    try:
        connection.send(b"a")
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def worst_of(times_s: list[float]) -> float:
    """The 95th percentile."""
    return sorted(times_s)[int(len(times_s) * 0.95)]


def test_a_14_slow_clients_hold_nobody_up_and_are_cut_off(service: Service, start_web: StartWeb) -> None:
    web = start_web("--workers", "1", "--threads", "2", before=f"import custody_http.worker as w; w.READ_WITHIN_S = {CUT_AFTER_S}")
    alice = client_of(service, "alice")
    open_ = [connect(web, first) for first in SLOW.values() for _ in range(SLOW_EACH)]
    began, times_s = time.monotonic(), []
    while open_ and time.monotonic() - began < 30:
        for connection in [connection for connection in open_ if is_cut(connection)]:
            open_.remove(connection)
            connection.close()
        asked = time.monotonic()
        assert alice.get(f"{web.url}/v1/me").status_code == 200
        assert requests.get(f"{web.url}/livez", timeout=10).status_code == 200
        times_s.append(time.monotonic() - asked)
        time.sleep(0.1)
    assert not open_, "a byte now and then keeps nobody connected"
    assert worst_of(times_s) < 1


def test_clients_that_do_not_go_after_a_refusal_hold_nobody_up(web: Web) -> None:
    staying = [connect(web, b"nonsense\r\n\r\n") for _ in range(50)]
    began = time.monotonic()
    for _ in range(10):
        assert requests.get(f"{web.url}/livez", timeout=10).status_code == 200
    assert time.monotonic() - began < 5
    for connection in staying:
        connection.close()


def test_clients_that_do_not_read_hold_nobody_up(start_web: StartWeb) -> None:
    web = start_web("--workers", "1", "--threads", "2")
    staying = []
    for _ in range(10):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", web.port))
        connection.setblocking(False)
        staying.append(connection)
        with contextlib.suppress(BlockingIOError):
            while connection.send(b"GET /v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100):
                pass
    began = time.monotonic()
    for _ in range(10):
        assert requests.get(f"{web.url}/livez", timeout=10).status_code == 200
    assert time.monotonic() - began < 10
    for connection in staying:
        connection.close()


def test_more_connections_than_there_is_room_for_make_room(start_web: StartWeb) -> None:
    few = "import custody_http.server as s; s.LIMITS['worker_connections'] = 20"
    web = start_web("--workers", "1", "--threads", "2", before=few)
    staying = [connect(web, b"GET /livez HT") for _ in range(60)]
    assert requests.get(f"{web.url}/livez", timeout=5).status_code == 200
    for connection in staying:
        connection.close()


HEAD = b"POST /v1/wallets HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body", [b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\nBad Name: x\r\n\r\n", b"2\r\n{}xx0\r\n\r\n"]
)
def test_a_malformed_chunk_is_the_clients_mistake(web: Web, body: bytes) -> None:
    answer = exchange(web, HEAD + body + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") == 1
    status, headers, document = read(answer)
    assert (status, headers["Connection"], document["code"]) == (400, "close", "invalid-request")


def test_requests_that_come_one_byte_at_a_time_or_all_at_once_are_answered_the_same(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    head = f"POST /v1/api-keys HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {alice.secret}\r\nContent-Type: application/json\r\n"
    body = b'{"name":"x","scopes":["wallets:read"]}'
    by_length = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    in_chunks = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n4\r\n" + body[:4] + b"\r\n"
    in_chunks += b"%x;a=b\r\n" % len(body[4:]) + body[4:] + b"\r\n0\r\nX-Trailer: a\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for step in (1, 7, 100_000):
        answer = b""
        with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw = by_length + in_chunks + last
            for at in range(0, len(raw), step):
                connection.sendall(raw[at : at + step])
            while piece := connection.recv(65536):
                answer += piece
        assert [answer.count(b"HTTP/1.1 201 "), answer.count(b"HTTP/1.1 200 ")] == [2, 1], step


def test_a_client_that_waits_to_be_told_to_go_on_is_told(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    head = f"POST /v1/api-keys HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {alice.secret}\r\nContent-Type: application/json\r\n"
    body = b'{"name":"x","scopes":["wallets:read"]}'
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Authorization", "X-Request-Id"])
def test_what_has_one_value_is_said_once(web: Web, name: str) -> None:
    raw = f"POST /v1/wallets HTTP/1.1\r\nHost: a\r\n{name}: a\r\n{name}: b\r\nContent-Length: 0\r\n\r\n"
    status, _, document = read(exchange(web, raw.encode()))
    assert (status, document["code"]) == (400, "invalid-request")


@pytest.mark.parametrize("target", ["//metrics", "//livez", "/v1%2fme"])
def test_nothing_is_answered_under_two_paths(web: Web, target: str) -> None:
    raw = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert read(exchange(web, raw.encode()))[0] == 404


def test_a_request_names_its_host(web: Web) -> None:
    assert read(exchange(web, b"GET /livez HTTP/1.1\r\n\r\n"))[0] == 400
    assert read(exchange(web, b"GET /livez HTTP/1.0\r\n\r\n"))[0] == 200
