"""HTTP as strangers speak it: malformed, ambiguous and slow requests (A-13)."""

from __future__ import annotations

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


def test_a_request_that_never_ends_is_cut_off(start_web: StartWeb) -> None:
    web = start_web("--workers", "1", "--threads", "2", before="import custody_http.server as s; s.READ_WITHIN_S = 1")
    slow = [socket.create_connection(("127.0.0.1", web.port), timeout=20) for _ in range(2)]
    for connection in slow:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    began, cut = time.monotonic(), 0
    while cut < len(slow) and time.monotonic() - began < 20:
        cut = 0
        for connection in slow:
            try:
                connection.sendall(b"a")  # a byte now and then, as a slow client does
                connection.settimeout(0.1)
                cut += connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                cut += 1
    assert cut == len(slow)
    assert requests.get(f"{web.url}/livez", timeout=10).status_code == 200
    for connection in slow:
        connection.close()
