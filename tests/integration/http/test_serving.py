"""`custody serve` under real clients: parallel requests, the limits of the process, its start and its end."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from custody_core import Role, ether
from custody_core.domain.ids import IdPrefix
from custody_keys.key_file import load_key_file
from tests.integration.http.conftest import Client, StartWeb, Web, client_of
from tests.support import factories
from tests.support.service import Service
from tests.support.waiting import until

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at processes as Linux shows them")

OUTSIDER = "0x00000000000000000000000000000000DeaDBeef"


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))


def transfer(wallet_id: str, amount: int) -> dict[str, object]:
    return {"wallet_id": wallet_id, "to": OUTSIDER, "amount": str(amount)}


def test_s_15_a_hundred_requests_with_one_key_make_one_transaction(service: Service, web: Web) -> None:
    alice, wallet = client_of(service, "alice"), service.wallet("alice", funded_wei=ether("1"))
    url = f"{web.url}/v1/transactions"

    def ask(_: int) -> requests.Response:
        while True:
            answer: requests.Response = client_of_thread(alice).post(url, "payout-1", transfer(wallet.id, ether("0.1")))
            if answer.status_code != 409:
                return answer
            assert answer.json()["code"] == "idempotency-in-progress"

    answers = at_once(100, ask)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert len(service.custody.transactions.list(direction="outgoing")) == 1
    service.custody.tick()
    service.finalize()
    assert alice.get(f"{url}/{answers[0].json()['id']}").json()["state"] == "completed"
    assert alice.post(url, "payout-1", transfer(wallet.id, ether("0.1"))).content == answers[0].content
    service.assert_reconciled()


def test_s_16_the_same_key_with_another_amount_is_refused_and_does_nothing(service: Service, web: Web) -> None:
    alice, wallet = client_of(service, "alice"), service.wallet("alice", funded_wei=ether("1"))
    url = f"{web.url}/v1/transactions"
    first = alice.post(url, "payout-1", transfer(wallet.id, ether("0.1")))
    held = service.custody.wallets.balances(wallet.id)
    for amount in (ether("0.2"), ether("0.1") + 1, ether("9")):
        reused = alice.post(url, "payout-1", transfer(wallet.id, amount))
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency-key-reused")
    assert service.custody.wallets.balances(wallet.id) == held
    assert [each.id for each in service.custody.transactions.list(direction="outgoing")] == [first.json()["id"]]
    assert alice.post(url, "payout-1", transfer(wallet.id, ether("0.1"))).content == first.content


def test_s_17_the_same_key_of_another_owner_is_another_key(service: Service, web: Web) -> None:
    url = f"{web.url}/v1/transactions"
    for owner in ("alice", "bob"):
        wallet = service.wallet(owner, funded_wei=ether("1"))
        answer = client_of(service, owner).post(url, "payout-1", transfer(wallet.id, ether("0.1")))
        assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (201, False)
    assert len(service.custody.transactions.list(direction="outgoing")) == 2


def test_an_api_key_asked_for_often_at_once_is_one_whose_secret_is_told_once(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    body = {"name": "ci", "scopes": ["wallets:read"]}
    answers = at_once(20, lambda _: client_of_thread(alice).post(f"{web.url}/v1/api-keys", "key-1", body))
    assert {answer.status_code for answer in answers} == {201}
    told = [answer.json()["secret"] for answer in answers if "Idempotency-Replayed" not in answer.headers]
    assert [bool(secret) for secret in told] == [True]
    assert [answer.json()["secret"] for answer in answers if "Idempotency-Replayed" in answer.headers] == [None] * 19
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(service.custody.api_keys.list(alice.user.id)) == 2
    assert requests.get(f"{web.url}/v1/me", headers={"Authorization": f"Bearer {told[0]}"}, timeout=10).status_code == 200


def client_of_thread(client: Client) -> Client:
    """The same person on a connection of their own: a `requests.Session` is for one thread."""
    return Client(client.user, client.key_id, client.secret)


def test_changes_of_different_fields_at_once_lose_none(service: Service, web: Web) -> None:
    alice, wallet = client_of(service, "alice"), service.wallet("alice")
    url = f"{web.url}/v1/wallets/{wallet.id}"
    for number in range(15):
        bodies = [{"label": f"label-{number}"}, {"metadata": {"round": str(number)}}]
        answers = at_once(2, lambda each, bodies=bodies: client_of_thread(alice).call("PATCH", url, json=bodies[each]))  # type: ignore[misc]
        assert {answer.status_code for answer in answers} == {200}
        now = alice.get(url).json()
        assert (now["label"], now["metadata"]) == (f"label-{number}", {"round": str(number)})


def test_of_fifty_sends_that_fit_once_one_is_accepted(service: Service, web: Web) -> None:
    """S-13, over two worker processes."""
    for owner in ("alice", "bob", "carol"):
        client, wallet = client_of(service, owner), service.wallet(owner, funded_wei=ether("1"))

        def ask(number: int, client: Client = client, body: object = transfer(wallet.id, ether("0.8"))) -> tuple[int, str]:
            answer = client_of_thread(client).post(f"{web.url}/v1/transactions", f"send-{number}", body)
            return answer.status_code, answer.json().get("code", "")

        answers = at_once(50, ask)
        assert sorted(set(answers)) == [(201, ""), (422, "insufficient-funds")]
        assert answers.count((201, "")) == 1
    service.assert_reconciled()


def test_wallets_come_from_the_pool_and_it_can_make_none_itself(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    ready = service.custody.wallets.pool_size()
    made = [alice.post(f"{web.url}/v1/wallets", f"wallet-{number}", {}) for number in range(ready)]
    assert {answer.status_code for answer in made} == {201}
    empty = alice.post(f"{web.url}/v1/wallets", "one-more", {})
    assert (empty.status_code, empty.json()["code"], empty.headers["Retry-After"]) == (503, "key-pool-empty", "1")
    service.custody.make_ready()
    assert alice.post(f"{web.url}/v1/wallets", "one-more", {}).status_code == 201


@ON_LINUX
def test_the_master_key_is_in_no_memory_of_it(service: Service, web: Web, tmp_path: Path) -> None:
    alice = client_of(service, "alice")
    wallet = service.wallet("alice", funded_wei=ether("1"))
    assert alice.post(f"{web.url}/v1/wallets", "w", {}).status_code == 201
    assert alice.post(f"{web.url}/v1/transactions", "t", transfer(wallet.id, 1)).status_code == 201
    master = load_key_file(tmp_path / "custody.key")
    _, key = master.newest()
    assert is_in_memory_of(os.getpid(), key), "this process holds it, so here the search finds it"
    processes = [web.process.pid, *web.workers]
    assert len(processes) == 3
    assert [process for process in processes if is_in_memory_of(process, key)] == []
    loaded = {process: Path(f"/proc/{process}/maps").read_text("utf-8") for process in [os.getpid(), *processes]}
    assert [process for process, maps in loaded.items() if "sodium" in maps] == [os.getpid()], "nor what opens keys"
    master.close()


def test_a_key_file_that_it_could_read_is_told_at_the_start(start_web: StartWeb, tmp_path: Path) -> None:
    key_file = tmp_path / "custody.key"
    careless = start_web(settings={"KEY_FILE": str(key_file)})
    told = [line for line in careless.lines() if line["event"] == "key-file-readable"]
    assert [line["level"] for line in told] == ["warning"]
    assert str(key_file) not in careless.log.read_text("utf-8")
    careful = start_web()
    assert not [line for line in careful.lines() if line["event"] == "key-file-readable"]


def is_in_memory_of(process: int, wanted: bytes) -> bool:
    """Whether a running process has these bytes anywhere that it can write."""
    with Path(f"/proc/{process}/maps").open("r", encoding="utf-8") as maps, Path(f"/proc/{process}/mem").open("rb", 0) as memory:
        for line in maps:
            addresses, rights, *_ = line.split()
            first, last = (int(address, 16) for address in addresses.split("-"))
            if not rights.startswith("rw") or "[v" in line:
                continue
            memory.seek(first)
            with contextlib.suppress(OSError):  # what is mapped and cannot be read holds nothing
                if wanted in memory.read(last - first):
                    return True
    return False


def test_a_cursor_of_one_process_is_good_in_another(service: Service, start_web: StartWeb) -> None:
    first, second = start_web("--workers", "1"), start_web("--workers", "1")
    alice = client_of(service, "alice")
    for number in range(3):
        service.custody.wallets.create(owner="alice", idempotency_key=str(number))
    page = alice.get(f"{first.url}/v1/wallets?limit=2").json()
    rest = alice.get(f"{second.url}/v1/wallets?limit=2&cursor={page['next_cursor']}").json()
    assert len({each["id"] for each in page["data"] + rest["data"]}) == 3


def test_a_revoked_key_is_refused_by_every_worker_within_a_second(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    assert {at.status_code for at in at_once(16, lambda _: client_of_thread(alice).get(f"{web.url}/v1/me"))} == {200}
    service.custody.api_keys.revoke(alice.key_id)
    time.sleep(1)
    assert {at.status_code for at in at_once(32, lambda _: client_of_thread(alice).get(f"{web.url}/v1/me"))} == {401}


@ON_LINUX
def test_requests_are_counted_over_all_workers(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    at_once(40, lambda _: client_of_thread(alice).get(f"{web.url}/v1/tokens"))
    text = requests.get(f"{web.url}/metrics", timeout=10).text
    assert 'custody_http_requests_total{route="GET /tokens",status="200"} 40.0' in text
    handled = {line["process"] for line in web.lines() if line["event"] == "server"}
    assert handled >= set(web.workers)


def test_a_foreign_wallet_takes_as_long_to_be_absent_as_an_unknown_one(service: Service, web: Web) -> None:
    """A-19, with fewer requests."""
    mallory, wallet = client_of(service, "mallory"), service.wallet("alice")
    paths = (wallet.id, factories.identifier(IdPrefix.WALLET))
    took: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(300):
        for path in paths:
            began = time.perf_counter()
            assert mallory.get(f"{web.url}/v1/wallets/{path}").status_code == 404
            took[path].append(time.perf_counter() - began)
    foreign, unknown = (statistics.median(took[path]) for path in paths)
    assert abs(foreign - unknown) < 0.001


@ON_LINUX
def test_it_ends_in_time_when_told_while_clients_hold_connections(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    alice.get(f"{web.url}/v1/me")
    workers = web.workers
    began = time.monotonic()
    assert web.stop() == 0
    assert time.monotonic() - began < 10
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), what="its workers have ended")


def test_what_it_writes_down_is_json_and_holds_no_secret(service: Service, web: Web) -> None:
    alice = client_of(service, "alice")
    url = f"{web.url}/v1/wallets?cursor=canary-query"
    requests.get(url, headers={"Authorization": "Bearer canary-token", "Cookie": "canary-cookie"}, timeout=10)
    alice.post(f"{web.url}/v1/wallets", "canary-key", {"label": "canary-label\r\nforged: line"})
    lines = [line for line in web.lines() if line["event"] == "request" and line["route"] != "GET /livez"]
    assert [line["status"] for line in lines] == [401, 422]
    text = web.log.read_text("utf-8")
    assert "canary" not in text
    assert alice.secret not in text


def test_a_node_that_is_down_does_not_keep_the_books_from_being_read(service: Service, start_web: StartWeb) -> None:
    web = start_web(settings={"RPC_URL": "http://127.0.0.1:9"})
    alice = client_of(service, "alice")
    assert alice.get(f"{web.url}/v1/wallets").status_code == 200
    ready = requests.get(f"{web.url}/readyz", timeout=20)
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    wallet = service.wallet("alice")
    refused = alice.post(f"{web.url}/v1/transactions/preview", "k", transfer(wallet.id, 1))
    assert (refused.status_code, refused.json()["code"]) == (503, "fee-unavailable")


def test_a_node_of_another_chain_is_refused_at_the_start(start_web: StartWeb) -> None:
    web = start_web(settings={"CHAIN_ID": "1"}, wait=False)
    assert web.process.wait(20) == 1
    assert "CUSTODY_CHAIN_ID=31337" in web.log.read_text("utf-8")


def test_ready_is_when_a_scanner_works(service: Service, web: Web) -> None:
    service.custody.tick()
    assert until(lambda: requests.get(f"{web.url}/readyz", timeout=10).status_code == 200, what="ready")
    service.custody.step_down()
    until(lambda: requests.get(f"{web.url}/readyz", timeout=10).status_code == 503, what="told that nobody follows")


def test_an_admin_sees_the_sealed_trail_of_what_was_asked_over_http(service: Service, web: Web) -> None:
    alice, admin = client_of(service, "alice"), client_of(service, "root", Role.ADMIN)
    made = alice.post(f"{web.url}/v1/wallets", "k", {"label": "x"}).json()
    service.custody.seal()
    rows = admin.get(f"{web.url}/v1/audit-events").json()["data"]
    assert [(row["actor"], row["object_id"]) for row in rows if row["action"] == "wallet.created"] == [(alice.user.id, made["id"])]
    assert alice.get(f"{web.url}/v1/audit-events").status_code == 403
