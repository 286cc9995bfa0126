"""One broadcast to every node: to all of them at once, and one answer per signed transaction out of all that they said.

Rules of this file

1. Every node that does not rest gets all of it. Another node's pool may be read by a builder that the first one's never reaches,
   and each accepts the same bytes only once.
2. Each node has a thread of its own, so that no node waits for another one, and its batches reach it in the order of their nonces.
3. Once every transaction is in some pool, the nodes that have not answered get a moment more; then the caller goes on without them.
4. A node that we did not send to has nothing: it has no say in the answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Final, TypeVar

import attrs

from custody_core.ports import BroadcastAnswer, BroadcastOutcome

T = TypeVar("T")

RANK: Final = {
    outcome: rank
    for rank, outcome in enumerate(
        (
            # It is in a pool: that settles it, whatever others say.
            BroadcastOutcome.ACCEPTED,
            BroadcastOutcome.KNOWN,
            # A word about the chain rather than about one pool, and it settles nothing by itself: who hears it asks the chain.
            BroadcastOutcome.NONCE_TOO_LOW,
            # A node that may have it outweighs every no: a no ends nothing where the bytes may be on their way.
            BroadcastOutcome.UNKNOWN,
            # Of those that did not take it, the one that came nearest to it, in the order in which nodes check.
            BroadcastOutcome.UNDERPRICED,
            BroadcastOutcome.NOT_NOW,
            BroadcastOutcome.INSUFFICIENT_FUNDS,
            BroadcastOutcome.FEE_CAPPED,
            BroadcastOutcome.REFUSED,
        )
    )
}
"""How several nodes' answers become one: the first of these that any of them gave."""

_NO_ROOM_FOR_FEE: Final = frozenset({BroadcastOutcome.UNKNOWN, BroadcastOutcome.FEE_CAPPED, BroadcastOutcome.REFUSED})
"""What nodes say where none of them is known to pass on a fee as high: whoever has another answer looked further than the fee."""

IN_A_POOL: Final = frozenset({BroadcastOutcome.ACCEPTED, BroadcastOutcome.KNOWN})

MOMENT_S: Final = 0.25
JOBS_MAX: Final = 8
"""Broadcasts that may wait for one slow node; further ones go without it."""


@attrs.frozen
class Offered:
    """What one node said to each of the transactions that it was sent, in their order."""

    node: str
    answers: Sequence[BroadcastAnswer]


def combined(offers: Sequence[Offered]) -> list[BroadcastAnswer]:
    """One answer per transaction, by `RANK`; its detail names the node where there are several.

    A silent node may have the bytes, so nothing is concluded; that the others do not pass on such a fee is told all the same.
    """
    answers = []
    for said in zip(*(offer.answers for offer in offers), strict=True):
        index, best = min(enumerate(said), key=lambda each: RANK[each[1].outcome])
        if best.outcome is BroadcastOutcome.UNKNOWN and {answer.outcome for answer in said} <= _NO_ROOM_FOR_FEE:
            best = attrs.evolve(best, fee_cap=_fee_cap(offers, said))
        is_named = len(offers) > 1 and best.detail and not best.detail.startswith(offers[index].node)
        answers.append(attrs.evolve(best, detail=f"{offers[index].node}: {best.detail}") if is_named else best)
    return answers


def disputed(offers: Sequence[Offered]) -> str | None:
    """Where one node took what another calls impossible: both cannot be right, and somebody should know."""
    for said in zip(*(offer.answers for offer in offers), strict=True):
        by_outcome = {answer.outcome: (offer.node, answer.detail) for offer, answer in zip(offers, said, strict=True)}
        if BroadcastOutcome.REFUSED in by_outcome and by_outcome.keys() & IN_A_POOL:
            node, detail = by_outcome[BroadcastOutcome.REFUSED]
            return f"{node} refused what another node took: {detail}"
    return None


def fee_capped(offers: Sequence[Offered]) -> str | None:
    """A node that passes on no fees as high as ours: its operator, or ours, has to set something."""
    each_said = zip(*(offer.answers for offer in offers), strict=True)
    return next((told for said in each_said if (told := _fee_cap(offers, said))), None)


def _fee_cap(offers: Sequence[Offered], said: Sequence[BroadcastAnswer]) -> str | None:
    capped = (each for each in zip(offers, said, strict=True) if each[1].outcome is BroadcastOutcome.FEE_CAPPED)
    return next((f"{offer.node}: {answer.detail}" for offer, answer in capped), None)


def gathered(offers: Sequence[Future[Offered | None]]) -> list[Offered]:
    """The offers that were answered: all of them, or those that were in time where they already put everything into a pool."""
    waiting, found = set(offers), list[Offered]()
    until_s: float | None = None
    while waiting:
        left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
        done, waiting = wait(waiting, left_s, FIRST_COMPLETED)
        found += [offered for each in offers if each in done and (offered := each.result())]
        if not done:
            break
        if until_s is None and found and all(answer.outcome in IN_A_POOL for answer in combined(found)):
            until_s = time.monotonic() + MOMENT_S
    return found


class Courier:
    """A thread that does one node's jobs one after another. It begins with the first job and never keeps a process from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def give(self, work: Callable[[], T]) -> Future[T] | None:
        """Has `work` done; None where too much is waiting."""
        if self._jobs.qsize() >= JOBS_MAX:
            return None
        future: Future[T] = Future()
        self._jobs.put(partial(_do, work, future))
        with self._lock:
            # A child of a fork has the queue, and not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=_work_off, args=(self._jobs,), name=f"courier {self._name}", daemon=True)
                self._thread.start()
        return future

    def close(self) -> None:
        """Ends the thread after what it has to do."""
        with self._lock:
            if self._thread is not None:
                self._jobs.put(None)
            self._thread = None


def _do(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)


def _work_off(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
