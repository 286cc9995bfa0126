"""P11: how soon what happens shows: from a block on the node to its deposit over HTTP. Milliseconds, the 99th of a hundred.

A real `custody scanner`, which looks for blocks every 50 ms, and a real `custody serve` on PostgreSQL, before an anvil with a
block a second. Deposits come one a block; the clock starts when the node first shows the receipt, asked every few milliseconds,
and stops when the recipient's incoming transactions, asked for one request after another, hold the deposit. `send_…_ms` is the time
from when a send was accepted to when it was broadcast, by the rows' own times, while another process of the service accepts payouts
from 100 wallets, 500 a second; `send_per_second` is the rate that came about. There is no peer and no limit.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from custody_app.bootstrap import open_service
from custody_app.config import load_settings
from custody_app.observers import QuietObserver
from custody_core import Custody, CustodyError
from custody_core.services.batching import Batch, Payout
from tests.benchmarks.harness import Result, progress, rounded
from tests.benchmarks.serving import SERVE, Site, prepared_site
from tests.support.processes import Processes
from tests.support.waiting import until

DEPOSITS = 40
SENDS_PER_SECOND, SENDING_S = 500, 6
PAYOUTS = 5
ACCEPTING_THREADS = 4
SCAN_INTERVAL_S = "0.05"
RECIPIENT = "0x0000000000000000000000000000000000001559"
_LATENCIES = "SELECT extract(epoch FROM attempts.first_sent_at - transactions.created_at) * 1000 FROM attempts JOIN transactions "
_LATENCIES += "ON transactions.id = attempts.transaction_id WHERE attempts.ordinal = 0"
_SENT = "SELECT count(first_sent_at) FROM attempts WHERE ordinal = 0"


def run() -> Result:
    with (
        prepared_site() as site,
        tempfile.TemporaryDirectory() as logs,
        Processes(site.program.with_settings(SCAN_INTERVAL_S=SCAN_INTERVAL_S), logs=Path(logs)) as processes,
        site.serving(*SERVE) as port,
    ):
        processes.start("scanner")
        seen_ms = sorted([_deposit_ms(site, port, number) for number in range(DEPOSITS + 1)][1:])
        progress(f"P11 deposits: median {seen_ms[DEPOSITS // 2]:.4g} ms, longest {seen_ms[-1]:.4g} ms")
        rate = _send(site)
        sent = SENDS_PER_SECOND * SENDING_S
        until(lambda: site.postgres.execute(_SENT, database=site.database)[0][0] == sent, what="everything is sent", timeout_s=90)
        sent_ms = sorted(float(row[0]) for row in site.postgres.execute(_LATENCIES, database=site.database))
    return Result(
        id="P11",
        name="block seen → deposit visible over HTTP, p99",
        ours=rounded(_percentile(seen_ms, 0.99)),
        peer=None,
        limit=None,
        ratio_to_peer=None,
        ratio_to_limit=None,
        unit="ms",
        runs=1,
        more={
            "p50_ms": rounded(_percentile(seen_ms, 0.5)),
            "send_p50_ms": rounded(_percentile(sent_ms, 0.5)),
            "send_p99_ms": rounded(_percentile(sent_ms, 0.99)),
            "send_per_second": rounded(rate),
            "sends": len(sent_ms),
            "deposits": len(seen_ms),
        },
    )


def _deposit_ms(site: Site, port: int, number: int) -> float:
    """One deposit to a wallet, from when the node shows it to when the service does."""
    wallet_id = site.wallet_ids[number % len(site.wallet_ids)]
    address = _get(site, port, f"/v1/wallets/{wallet_id}")["address"]
    hash_ = site.node.send_from_dev_account(address, 10**15 + number)
    _soon(lambda: site.node.receipt(hash_) is not None)
    start = time.perf_counter()
    path = f"/v1/transactions?wallet_id={wallet_id}&direction=incoming"
    _soon(lambda: hash_ in json.dumps(_get(site, port, path)))
    return (time.perf_counter() - start) * 1000


def _soon(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError("a deposit did not show")
        time.sleep(0.002)


def _get(site: Site, port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {site.secret}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise AssertionError(f"{path} was answered with {answer.status}: {body[:200]!r}")
        return json.loads(body)
    finally:
        connection.close()


def _send(site: Site) -> float:
    """Accepts payouts evenly; how many a second it came to."""
    settings = load_settings({f"CUSTODY_{name}": text for name, text in site.program.settings.items()})
    numbers = range(SENDS_PER_SECOND * SENDING_S // PAYOUTS)
    with open_service(settings, observer=QuietObserver()) as opened, ThreadPoolExecutor(ACCEPTING_THREADS) as threads:
        start = time.perf_counter()

        def accept(number: int) -> None:
            time.sleep(max(0.0, start + number * PAYOUTS / SENDS_PER_SECOND - time.perf_counter()))
            _accept(opened.custody, site.wallet_ids, number)

        list(threads.map(accept, numbers))
        return len(numbers) * PAYOUTS / (time.perf_counter() - start)


def _accept(custody: Custody, wallet_ids: Sequence[str], number: int) -> None:
    payouts = [Payout(to=RECIPIENT, amount=1, external_id=f"{number}-{index}") for index in range(PAYOUTS)]
    batch = Batch(wallet_id=wallet_ids[number % len(wallet_ids)], payouts=payouts)
    for outcome in custody.transactions.accept_batch(batch, idempotency_key=f"batch-{number}"):
        if isinstance(outcome, CustodyError):
            raise outcome


def _percentile(ascending: Sequence[float], part: float) -> float:
    return ascending[min(int(len(ascending) * part), len(ascending) - 1)]
