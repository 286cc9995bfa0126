"""Web and scanner processes on one PostgreSQL, as they are deployed: under parallel clients, and while the server is killed."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest
import requests

from custody_core import OutcomeUnknown, Role, Wallet, ether
from custody_core.domain.access import ROLE_SCOPES
from custody_core.errors import Conflict, DatabaseUnavailable
from tests.support.devnode import DevNode
from tests.support.postgres import PostgresServer, Server
from tests.support.processes import Running
from tests.support.sites import OUTSIDER, PostgresDatabase, Prepared, Site
from tests.support.waiting import until

REQUEST_TIMEOUT_S = 30.0
LISTENING = re.compile(r"http://127\.0\.0\.1:\d+")


@pytest.fixture
def site(on_postgres: Prepared, tmp_path: Path) -> Iterator[Site]:
    with on_postgres.site(tmp_path) as site:
        yield site


@pytest.fixture
def webs(site: Site) -> list[str]:
    """The URLs of two web processes, which hold no key file; two scanners work beside them."""
    keyless = {"KEY_FILE": str(site.program.folder / "none")}
    servers = [site.processes.fork("serve", "--port", "0", settings=keyless) for _ in range(2)]
    for _ in range(2):
        site.processes.fork("scanner")
    return [until(lambda server=server: url_of(server), what="it listens", timeout_s=30) for server in servers]  # type: ignore[misc]


def url_of(server: Running) -> str | None:
    """Where a web process says that it listens."""
    found = LISTENING.search(server.log.read_text("utf-8"))
    return found[0] if found and "Booting worker" in server.log.read_text("utf-8") else None


def ask_for_sends(site: Site, webs: Sequence[str], wallet: Wallet, keys: Sequence[str]) -> list[requests.Response]:
    """Asks for a send of 0.8 ether under each key, all at once, over both web processes."""
    assert wallet.owner_id is not None
    _, secret = site.custody.api_keys.create(wallet.owner_id, name="tests", scopes=ROLE_SCOPES[Role.USER])
    body = {"wallet_id": wallet.id, "to": OUTSIDER, "amount": str(ether("0.8"))}

    def ask(url: str, key: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": key}
        while True:
            answer = requests.post(f"{url}/v1/transactions", json=body, headers=headers, timeout=REQUEST_TIMEOUT_S)
            if answer.status_code != 409:
                return answer
            assert answer.json()["code"] == "idempotency-in-progress"

    with ThreadPoolExecutor(len(keys)) as clients:
        return list(clients.map(ask, cycle(webs), keys))


def broadcasts(site: Site) -> Counter[str]:
    """How often each signed transaction was given to the node."""
    return Counter(call.params[0] for call in site.proxy.calls("eth_sendRawTransaction"))


@pytest.mark.slow
def test_s_13_of_fifty_parallel_sends_of_80_with_100_one_is_accepted_again_and_again(site: Site, webs: list[str]) -> None:
    ids = []
    for wallet in site.wallets:
        answers = ask_for_sends(site, webs, wallet, [f"payout-{number}" for number in range(50)])
        assert Counter(answer.status_code for answer in answers) == {201: 1, 422: 49}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 422} == {"insufficient-funds"}
        ids += [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert site.carried(ids)
    site.settle()
    site.assert_paid_once(ids)
    assert sorted(broadcasts(site).values()) == [1] * len(site.wallets)


def test_s_15_one_key_a_hundred_times_in_parallel_is_one_send(site: Site, webs: list[str]) -> None:
    answers = ask_for_sends(site, webs, site.wallets[0], ["payout"] * 100)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    ids = [answers[0].json()["id"]]
    assert site.carried(ids)
    site.settle()
    site.assert_paid_once(ids)
    assert sorted(broadcasts(site).values()) == [1]


@pytest.fixture
def fragile(anvil: Path, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, PostgresServer]]:
    """A service on a PostgreSQL that nobody else uses."""
    del postgres  # asked for so that a missing server is skipped, or a failure, in one place
    with PostgresServer() as server, DevNode(program=anvil) as node:
        prepared = Prepared(tmp_path_factory.mktemp("prepared"), node, PostgresDatabase(server))
        with prepared.site(tmp_path_factory.mktemp("fragile")) as site:
            # A copied database forgets at a crash which numbers its sequences gave since the copy, unless a checkpoint came first.
            server.execute("CHECKPOINT")
            yield site, server


@pytest.mark.slow
def test_o_01_a_server_killed_under_scanners_and_a_hundred_sends_loses_none_that_was_accepted(
    fragile: tuple[Site, PostgresServer],
) -> None:
    site, server = fragile
    scanners = [site.processes.fork("scanner") for _ in range(2)]

    def send(number: int) -> str:
        """Asks with the same key until it is told that the send is accepted."""
        wallet = site.wallets[number % len(site.wallets)]
        return persistently(lambda: site.send(wallet, key=f"payout-{number}"))

    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(send, number) for number in range(100)]
        for share in (30, 70):
            until(lambda share=share: sum(each.done() for each in asked) >= share, what="some are accepted", timeout_s=60)  # type: ignore[misc]
            server.restart()
            site.leases_end()
        ids = [each.result(timeout=60) for each in asked]
    assert len(set(ids)) == 100
    assert site.carried(ids, by=scanners, timeout_s=60)
    site.settle()
    site.assert_paid_once(ids)


def persistently(ask: Callable[[], str], timeout_s: float = 60.0) -> str:
    """As a client that is told to try again."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except (DatabaseUnavailable, OutcomeUnknown, Conflict):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # a polite client's pause, not a wait for something
