"""`/metrics`, in the Prometheus text format.

Counters of requests belong to the worker processes, and are added up over all of them where the environment names a folder for that
(`PROMETHEUS_MULTIPROC_DIR`, which `custody serve` sets before anything is imported). Gauges are read from the database when
somebody asks; no
node is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from custody_core import Custody
from custody_core.domain.resources import chain_text
from custody_core.services.reconciler import Pace

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

_DURATIONS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The counters of this process, and the text for all of them."""

    def __init__(self, custody: Custody) -> None:
        own = CollectorRegistry()
        self._requests = Counter("custody_http_requests", "Requests answered.", ["route", "status"], registry=own)
        self._durations = Histogram(
            "custody_http_request_duration_seconds",
            "Time from the first byte read to the answer made.",
            ["route"],
            buckets=_DURATIONS_S,
            registry=own,
        )
        self._shown = own
        if FOLDER_VARIABLE in os.environ:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown)  # type: ignore[no-untyped-call]
        self._shown.register(_Books(custody))

    def count(self, route: str, status: int, duration_s: float) -> None:
        """One request was answered."""
        self._requests.labels(route, str(status)).inc()
        self._durations.labels(route).observe(duration_s)

    def exposition(self) -> tuple[bytes, str]:
        """The text, and its content type."""
        return generate_latest(self._shown), CONTENT_TYPE_LATEST


class _Books(Collector):
    """What the database says, at the moment of asking."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody

    def describe(self) -> Iterator[Metric]:
        """Nothing is read before somebody asks."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("custody_database_up", "Whether the database answers.")
        try:
            ready, states = self._custody.wallets.pool_size(), self._custody.chains.states()
            paces = {chain_id: self._custody.pace(chain_id) for chain_id in self._custody.chain_ids}
            in_suspense, misshapen = self._custody.suspense.count(), self._custody.chains.misshapen_logs()
        except Exception:  # noqa: BLE001 - that it does not answer is the measurement
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        pool = GaugeMetricFamily("custody_wallets_ready", "Wallets made ahead that nobody owns yet.")
        pool.add_metric([], ready)
        yield pool
        followed = GaugeMetricFamily("custody_chain_followed_block", "Newest block that was read.", labels=["chain"])
        final = GaugeMetricFamily("custody_chain_final_block", "Newest block that counts as final.", labels=["chain"])
        at = GaugeMetricFamily("custody_chain_followed_timestamp_seconds", "The chain's time at that block.", labels=["chain"])
        halted = GaugeMetricFamily("custody_chain_halted", "Whether crediting and sending are stopped.", labels=["chain"])
        for state in states:
            name = [chain_text(state.chain_id)]
            followed.add_metric(name, state.cursor.number)
            final.add_metric(name, state.final.number)
            at.add_metric(name, state.cursor.timestamp.timestamp())
            halted.add_metric(name, int(state.halted_reason is not None))
        logs = CounterMetricFamily(
            "custody_chain_logs_misshapen",
            "Logs of listed tokens about wallets that are no transfers by their shape.",
            labels=["chain"],
        )
        for chain_id, count in misshapen.items():
            logs.add_metric([chain_text(chain_id)], count)
        yield from (followed, final, at, halted, logs)
        yield from _comparison(paces)
        suspense = GaugeMetricFamily("custody_suspense_accounts", "Accounts that hold what nothing explains.")
        suspense.add_metric([], in_suspense)
        yield suspense


def _comparison(paces: Mapping[int, tuple[Pace, timedelta | None]]) -> Iterator[Metric]:
    """How often the books are compared with each chain, and what the last whole pass found."""
    period = GaugeMetricFamily(
        "custody_reconcile_period_seconds", "How long comparing all wallets with the chain takes.", labels=["chain"]
    )
    ended = GaugeMetricFamily("custody_reconcile_last_pass_timestamp_seconds", "When all were last compared.", labels=["chain"])
    wallets = GaugeMetricFamily("custody_reconcile_last_pass_wallets", "How many those were.", labels=["chain"])
    violations = GaugeMetricFamily(
        "custody_reconcile_last_pass_violations", "Balances that differ and are not booked, or were not told.", labels=["chain"]
    )
    for chain_id, (pace, length) in paces.items():
        name = [chain_text(chain_id)]
        if pace.last is not None and pace.last_ended_at is not None and length is not None:
            period.add_metric(name, length.total_seconds())
            ended.add_metric(name, pace.last_ended_at.timestamp())
            wallets.add_metric(name, pace.last.wallets)
            violations.add_metric(name, pace.last.violations)
    yield from (period, ended, wallets, violations)
