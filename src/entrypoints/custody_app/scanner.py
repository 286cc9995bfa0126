"""The scanner process: APScheduler jobs that do all the background work, until they are told to stop.

Each chain is followed by one job and served by another, so that a slow node of one chain never delays the sends of the next. A job
never overlaps itself; one that fails is tried again at its next turn. On SIGTERM or SIGINT running jobs finish and the process
ends; one that waits for a node that does not answer is given up after `DRAIN_MAX_S`.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from functools import partial

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from custody_core import Custody, CustodyError, OutcomeUnknown
from custody_core.ports import Observer
from custody_core.services.sending import BATCH_MAX

SENDING_INTERVAL_S = 0.05
"""How often due transactions are looked for: what a send waits at most before it is on its way."""

COMPARING_INTERVAL_S = 1.0
"""How often it is looked whether the next wallets are to be compared with the chain; the budget of requests says when they are."""

POOL_INTERVAL_S = 5.0
SEALING_INTERVAL_S = 1.0

DRAIN_MAX_S = 8.0
"""How long a process that was told to end waits for its jobs. It may be killed at any moment, so nothing is lost by that."""

_ENDING = frozenset({signal.SIGTERM, signal.SIGINT})

# A job that is still running when its turn comes again is left out by design; without this, Python would print that on stderr.
logging.getLogger("apscheduler").addHandler(logging.NullHandler())


class Scanner:
    """The background work of one `Custody`, on a schedule, in threads."""

    def __init__(self, custody: Custody, *, observer: Observer, scan_interval_s: float) -> None:
        self._custody = custody
        self._observer = observer
        self._is_ending = False
        chain_ids = custody.chain_ids
        executor = ThreadPoolExecutor(max_workers=3 * len(chain_ids) + 2)
        self._scheduler = BackgroundScheduler(
            executors={"default": executor}, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        for chain_id in chain_ids:
            self._every(scan_interval_s, f"follow eip155:{chain_id}", partial(custody.follow, chain_id))
            self._every(COMPARING_INTERVAL_S, f"compare with eip155:{chain_id}", partial(custody.compare, chain_id))
            self._every(SENDING_INTERVAL_S, f"send eip155:{chain_id}", partial(self._carry, chain_id))
        self._every(POOL_INTERVAL_S, "make wallets ahead", custody.make_ready)
        self._every(SEALING_INTERVAL_S, "seal the audit trail", custody.seal)

    def _carry(self, chain_id: int) -> None:
        """Rounds of sending until one finds less than it could take: what is due does not wait for the next turn."""
        while self._custody.advance(chain_id) >= BATCH_MAX and not self._is_ending:
            pass

    def start(self) -> None:
        """Begins. The pool and the chains are made ready first, so that the first job finds them."""
        self._custody.make_ready()
        self._scheduler.start()

    def stop(self, *, within_s: float | None = None) -> bool:
        """Begins nothing any more, lets running jobs finish, and ends; whether all did so `within_s`."""
        self._is_ending = True
        if not self._scheduler.running:
            return True
        ending = threading.Thread(target=self._scheduler.shutdown, name="scanner-ending", daemon=True)
        ending.start()
        ending.join(within_s)
        return not ending.is_alive()

    def run_until_signal(self, *, started: Callable[[], None]) -> bool:
        """Runs until SIGTERM or SIGINT; whether all jobs finished in time. For the main thread of a process without others.

        The signals are waited for, not handled: a handler runs in the main thread alone, which a signal that another thread
        receives does not wake.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # what is started from here on has them blocked, too
        started()
        self.start()
        signal.sigwait(_ENDING)
        return self.stop(within_s=DRAIN_MAX_S)

    def _every(self, interval_s: float, name: str, work: Callable[[], object]) -> None:
        self._scheduler.add_job(self._guarded, "interval", args=[name, work], seconds=interval_s, id=name, name=name)

    def _guarded(self, name: str, work: Callable[[], object]) -> None:
        """Runs one job. What went wrong is told in our own words; the rows still say what is due, so the next turn goes on
        from there.
        """
        try:
            work()
        except (CustodyError, OutcomeUnknown) as problem:
            self._observer.trouble(problem.code, f"{name}: {problem.detail}")
        except Exception as problem:  # noqa: BLE001 - one job's fault must not end the others; its text may hold anything, its type may not
            self._observer.trouble("internal", f"{name}: {type(problem).__name__}; it is tried again")
