"""P7: an authenticated read over HTTP, of one wallet by its id. Requests a second.

Ours is `custody serve` as it starts (two workers of eight threads) on PostgreSQL, over 100 wallets of one user in turn. The
limit is the same application on the same server without authentication. The peer is the same application, with authentication,
on gunicorn's own gthread worker with its own settings and two workers of four threads: what our limits on slow and malformed
requests cost. The client is one process with 16 connections, on the same machine.
"""

from __future__ import annotations

from tests.benchmarks.harness import Result, interleaved, median, ratio, spread
from tests.benchmarks.serving import SERVE, other_server, prepared_site

ROUNDS = 5


def run() -> Result:
    with prepared_site() as site:
        signed_in = [site.request("GET", f"/v1/wallets/{each}") for each in site.wallet_ids]
        anonymous = [site.request("GET", f"/v1/wallets/{each}", signed_in=False) for each in site.wallet_ids]
        with (
            site.serving(*SERVE) as ours,
            site.serving(*other_server("open")) as limit,
            site.serving(*other_server("stock")) as peer,
        ):
            rounds = interleaved(
                "P7",
                {
                    "ours": lambda: site.load(ours, signed_in, status=200).per_second,
                    "limit": lambda: site.load(limit, anonymous, status=200).per_second,
                    "peer": lambda: site.load(peer, signed_in, status=200).per_second,
                },
                rounds=ROUNDS,
            )
    return Result(
        id="P7",
        name="authenticated read over HTTP, PostgreSQL, 2 workers",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=median(rounds, "limit"),
        ratio_to_peer=ratio(rounds, "ours", "peer"),
        ratio_to_limit=ratio(rounds, "ours", "limit"),
        unit="req/s",
        runs=ROUNDS,
        more={"rounds_to_peer": spread(rounds, "ours", "peer"), "rounds_to_limit": spread(rounds, "ours", "limit")},
    )
