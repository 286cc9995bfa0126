"""P6: accepting sends over HTTP: API key, policy, hold, audit, event, idempotency key and answer in one commit. Requests a second.

Ours is `custody serve` as it starts (two workers of eight threads) on PostgreSQL; the node is asked for the gas of each request
before its commit, and for fees once a second. Requests that arrive together share a commit. Sends come from 100 funded wallets of
one user, each with a key of its own. The peer is a bare Flask
application on the same gunicorn, workers, threads and database, which authenticates alike and then commits one INSERT of the
body. The client is one process with 16 connections; it, the server, PostgreSQL and the node share the machine. PostgreSQL's
data lies in memory where there is room for it, with fsync on: that favours the peer. `p99_ms` and `p50_ms` are
at half of the rate that ours reached, counted from when a request was due. There is no limit to compare with.
"""

from __future__ import annotations

import json

from tests.benchmarks.harness import Result, interleaved, median, ratio, rounded, spread
from tests.benchmarks.peers.web import TABLE
from tests.benchmarks.serving import SERVE, Site, other_server, prepared_site

ROUNDS = 5
RECIPIENT = "0x0000000000000000000000000000000000001559"
HALF_LOAD_S = 10.0


def run() -> Result:
    with prepared_site() as site:
        site.postgres.execute(
            f"CREATE TABLE {TABLE} (id bigserial PRIMARY KEY, owner_id text NOT NULL, body text NOT NULL)",
            database=site.database,
        )
        sends, inserts = _sends(site, "/v1/transactions"), _sends(site, "/")
        with site.serving(*SERVE) as ours, site.serving(*other_server("insert")) as peer:
            rounds = interleaved(
                "P6",
                {
                    "ours": lambda: site.load(ours, sends, status=201).per_second,
                    "peer": lambda: site.load(peer, inserts, status=201).per_second,
                },
                rounds=ROUNDS,
            )
            half = site.load(ours, sends, status=201, seconds=HALF_LOAD_S, rate=median(rounds, "ours") / 2)
    return Result(
        id="P6",
        name="accept a send over HTTP, PostgreSQL, 2 workers",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=None,
        ratio_to_peer=ratio(rounds, "ours", "peer"),
        ratio_to_limit=None,
        unit="req/s",
        runs=ROUNDS,
        more={
            "rounds_to_peer": spread(rounds, "ours", "peer"),
            "p50_ms": rounded(half.p50_ms),
            "p99_ms": rounded(half.p99_ms),
            "half_load_per_second": rounded(half.per_second),
        },
    )


def _sends(site: Site, path: str) -> list[str]:
    bodies = [json.dumps({"wallet_id": wallet_id, "to": RECIPIENT, "amount": "1"}) for wallet_id in site.wallet_ids]
    return [site.request("POST", path, body=body, key="send-{n}") for body in bodies]
