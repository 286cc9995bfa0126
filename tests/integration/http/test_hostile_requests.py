"""Requests made to deceive or to exhaust: each is refused as a client's mistake, costs little, and leaves nothing behind."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests
from sqlalchemy import func, select

from custody_core import Role, ether
from custody_sql.tables import metadata
from tests.integration.http.conftest import TIMEOUT_S, Client, Web, client_of
from tests.support.service import Service

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

OUTSIDER = "0x00000000000000000000000000000000DeaDBeef"
CPU_MAX_S = 0.1
"""What one refusal may cost the server."""

REPEATS = 5
"""The kernel counts a process's time in steps of some 10 ms: over several requests that is told apart from none at all."""


def rows_of(service: Service) -> Mapping[str, int]:
    """How many rows each table has."""
    with service.store.engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in metadata.sorted_tables
        }


def transfer_text(wallet_id: str, **members: object) -> dict[str, object]:
    return {"wallet_id": wallet_id, "to": OUTSIDER, "amount": "1", **members}


def raw_post(client: Client, url: str, body: bytes, content_type: str | None = "application/json") -> requests.Response:
    """A POST of exactly these bytes."""
    headers = {"Authorization": f"Bearer {client.secret}", "Idempotency-Key": "hostile"}
    headers |= {"Content-Type": content_type} if content_type else {}
    return client.session.post(url, data=body, headers=headers, timeout=TIMEOUT_S)


def told(answer: requests.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_a_10_a_member_named_twice_is_refused(service: Service, web: Web) -> None:
    """Python's parser would take the last amount, a proxy before it may have looked at the first."""
    alice, wallet = client_of(service, "alice"), service.wallet("alice", funded_wei=ether("1"))
    sound = json.dumps(transfer_text(wallet.id))
    before = rows_of(service)
    for twice in (
        b'{"amount":"1","amount":"1000"}',
        sound.replace('"amount": "1"', '"amount": "1", "amount": "1000"').encode(),
        sound.replace('"amount": "1"', '"amount": "1", "amount": "1"').encode(),
        sound.replace('"amount": "1"', '"amount": "1", "\\u0061mount": "1000"').encode(),
        sound.replace('"amount": "1"', '"amount": "1", "fee": {"tier": "slow", "tier": "fast"}').encode(),
    ):
        assert told(raw_post(alice, f"{web.url}/v1/transactions", twice)) == (400, "invalid-request"), twice
    assert rows_of(service) == before
    assert raw_post(alice, f"{web.url}/v1/transactions", sound.encode()).status_code == 201, "it was refused for nothing else"


def test_a_11_a_field_that_is_not_there_is_refused_not_ignored(service: Service, web: Web) -> None:
    alice, admin = client_of(service, "alice"), client_of(service, "root", Role.ADMIN)
    wallet = service.wallet("alice", funded_wei=ether("1"))
    token = {"address": OUTSIDER.lower(), "alias": "usdc", "decimals": 6}
    routes: list[tuple[Client, str, str, Mapping[str, object]]] = [
        (alice, "POST", "/v1/transactions", transfer_text(wallet.id)),
        (alice, "POST", "/v1/transactions/preview", transfer_text(wallet.id)),
        (alice, "POST", "/v1/wallets", {"label": "savings"}),
        (alice, "PATCH", f"/v1/wallets/{wallet.id}", {"label": "savings"}),
        (alice, "POST", f"/v1/wallets/{wallet.id}/freeze", {}),
        (alice, "POST", "/v1/api-keys", {"name": "more", "scopes": ["wallets:read"]}),
        (admin, "POST", "/v1/tokens", token),
    ]
    before = rows_of(service)
    for client, method, path, body in routes:
        for name in ("tenant_id", "status", "role", "approved_by"):
            answer = client.call(method, f"{web.url}{path}", key="hostile", json={**body, name: "admin"})
            assert told(answer) == (422, "validation-failed"), (method, path, name)
            assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{name}"], (method, path, name)
    nested = transfer_text(wallet.id, fee={"tier": "slow", "role": "admin"})
    answer = alice.post(f"{web.url}/v1/transactions", "hostile", nested)
    assert (told(answer), answer.json()["errors"][0]["pointer"]) == ((422, "validation-failed"), "/fee/role")
    assert rows_of(service) == before


def text_of_amount(text: str) -> bytes:
    """A transfer in every other respect."""
    return f'{{"wallet_id":"w","to":"{OUTSIDER}","amount":{text}}}'.encode()


BROKEN: Mapping[str, tuple[bytes, str | None, int]] = {
    "NaN": (text_of_amount("NaN"), "application/json", 400),
    "Infinity": (text_of_amount("-Infinity"), "application/json", 400),
    "1e400": (text_of_amount("1e400"), "application/json", 400),
    "a number of sixty thousand digits": (text_of_amount("9" * 60_000), "application/json", 400),
    "lists 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, "application/json", 400),
    "lists 10,000 deep without an end": (b"[" * 10_000, "application/json", 400),
    "objects 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "application/json", 400),
    "ten thousand quotation marks": (b'"' * 9_999, "application/json", 400),
    "10 MB": (b" " * 10_000_000, "application/json", 413),
    "no content type": (b"{}", None, 415),
    "text": (b"{}", "text/plain", 415),
    "a form": (b"amount=1", "application/x-www-form-urlencoded", 415),
    "another character set": (b"{}", "application/json; charset=utf-16", 415),
    "broken UTF-8": (b'{"amount":"\xff"}', "application/json", 400),
    "overlong UTF-8": (b'{"amount":"\xc0\xaf"}', "application/json", 400),
    "UTF-16": ('{"amount":"1"}'.encode("utf-16"), "application/json", 400),
    "NUL": (b'{"amount":"\x00"}', "application/json", 400),
    "NUL, escaped": (b'{"amount":"\\u0000"}', "application/json", 400),
    "half a surrogate pair": (b'{"amount":"\\ud800"}', "application/json", 400),
}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the time of processes as Linux shows it")
def test_a_12_what_no_parser_should_see_is_refused_cheaply(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    url = f"{web.url}/v1/transactions"
    for worker in range(4):  # the first request to each worker costs what is imported late
        raw_post(alice, url, b"{}" + b" " * worker)
    before = rows_of(service)
    for what, (body, content_type, status) in BROKEN.items():
        spent = cpu_s_of(web)
        answers = [raw_post(alice, url, body, content_type) for _ in range(REPEATS)]
        spent = cpu_s_of(web) - spent
        assert {answer.status_code for answer in answers} == {status}, what
        assert spent / REPEATS < CPU_MAX_S, what
    chunked = alice.session.post(
        url,
        data=iter([b" " * 60_000] * 3),
        headers={"Authorization": f"Bearer {alice.secret}", "Idempotency-Key": "k", "Content-Type": "application/json"},
        timeout=TIMEOUT_S,
    )
    assert told(chunked) == (413, "body-too-large")
    assert rows_of(service) == before
    assert not [line for line in web.lines() if line.get("status", 0) >= 500]


def cpu_s_of(web: Web) -> float:
    """The processor time that its worker processes have had, theirs and the kernel's for them."""
    return sum(_ticks(worker) for worker in web.workers) / os.sysconf("SC_CLK_TCK")


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_18_a_cursor_is_good_only_as_it_was_made_for_whom_and_what(service: Service, web: Web) -> None:
    alice, bob = client_of(service, "alice"), client_of(service, "bob")
    for owner in ("alice", "bob"):
        wallet = service.wallet(owner, funded_wei=ether("1"))
        for number in range(2):
            service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1, idempotency_key=f"send-{number}")
    lists = f"{web.url}/v1/transactions?limit=1"

    def refused(client: Client, url: str) -> None:
        assert told(client.get(url)) == (400, "invalid-cursor"), url

    cursor: str = alice.get(lists).json()["next_cursor"]
    before = rows_of(service)
    assert alice.get(f"{lists}&cursor={cursor}").status_code == 200
    for edited in {edit for change in (bits_flipped, characters_exchanged, cut_short, lengthened) for edit in change(cursor)}:
        refused(alice, f"{lists}&cursor={edited}")
    refused(bob, f"{lists}&cursor={cursor}")
    for path in ("wallets?limit=1", "api-keys?limit=1"):
        refused(alice, f"{web.url}/v1/{path}&cursor={cursor}")
    for more in ("&state=queued", "&direction=outgoing", f"&wallet_id={service.wallet('alice').id}"):
        refused(alice, f"{lists}{more}&cursor={cursor}")
        filtered = alice.get(f"{lists}{more}").json()["next_cursor"]
        refused(alice, f"{lists}&cursor={filtered}")
    assert rows_of(service) == before


def bits_flipped(cursor: str) -> set[str]:
    """Each bit of what it encodes, turned over."""
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    turned = (bytes([*raw[:at], raw[at] ^ 1 << bit, *raw[at + 1 :]]) for at in range(len(raw)) for bit in range(8))
    return {base64.urlsafe_b64encode(each).decode().rstrip("=") for each in turned}


def characters_exchanged(cursor: str) -> set[str]:
    """Each character for another, the last one for those too that encode the same bytes."""
    first = {f"{cursor[:at]}{'B' if cursor[at] == 'A' else 'A'}{cursor[at + 1 :]}" for at in range(len(cursor))}
    last = {cursor[:-1] + each for each in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"}
    return (first | last) - {cursor}


def cut_short(cursor: str) -> set[str]:
    return {cursor[:length] for length in range(len(cursor))} | {cursor[1:]}


def lengthened(cursor: str) -> set[str]:
    """With more behind it; `+`, `/` and spaces are base64 of another kind, or are skipped by forgiving decoders."""
    return {cursor + more for more in ("A", "AAAA", "=", "==", "%0A", "%20", "%2B", "%2F", "é", "A" * 1_000)}
