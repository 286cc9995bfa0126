"""What goes wrong in a long run, by seeded chance: lost requests and answers, killed workers, reorganisations."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import requests

from tests.support.devnode import DevNode
from tests.support.faultproxy import Exchange, FaultProxy
from tests.support.faults import DropRequest, ForwardThenDropReply
from tests.support.processes import Running
from tests.support.waiting import until

LOST_REQUESTS = 0.05
LOST_ANSWERS = 0.05
"""The share of HTTP requests that never reach the node, and of those whose answers never come back. A batch is lost as a whole."""

LOST_SENDS = 0.1
"""The share of the transactions within a batch whose own answers are missing, besides."""

PAUSE_S = (1.0, 4.0)
"""Between two blows."""

DOWN_S = (0.0, 2.0)
"""Between a kill and the next start."""

SHARE_OF_KILLS = 0.6
STARTS_WITHIN_S = 30.0


class RoughProxy(FaultProxy):
    """Loses requests and answers for as long as it is `rough`."""

    def __init__(self, node_url: str, *, chance: random.Random, geth_rules: bool) -> None:
        super().__init__(node_url, seed=chance.randrange(2**32), geth_rules=geth_rules)
        self._losses = random.Random(chance.randrange(2**32))
        self._losses_lock = threading.Lock()
        self.lost_requests = self.lost_answers = 0
        self.is_rough = False

    def be_rough(self) -> None:
        """From now on."""
        self.is_rough = True
        self.on("eth_sendRawTransaction", ForwardThenDropReply(), probability=LOST_SENDS / 2)
        self.on("eth_sendRawTransaction", DropRequest(), probability=LOST_SENDS / 2)

    def be_calm(self) -> None:
        """From now on everything arrives."""
        self.is_rough = False
        self.clear()

    @property
    def lost_sends(self) -> int:
        """Transactions of batches that were answered otherwise, which had no answer of their own."""
        return sum(call.answer is None for call in self.calls("eth_sendRawTransaction"))

    def answer(self, body: bytes, session: requests.Session) -> Exchange:
        """What to send for the body of one HTTP request."""
        with self._losses_lock:
            draw = self._losses.random() if self.is_rough else 1.0
            self.lost_requests += draw < LOST_REQUESTS
            self.lost_answers += LOST_REQUESTS <= draw < LOST_REQUESTS + LOST_ANSWERS
        if draw < LOST_REQUESTS:
            return Exchange(is_dropped=True)
        exchange = super().answer(body, session)
        exchange.is_dropped = exchange.is_dropped or draw < LOST_REQUESTS + LOST_ANSWERS
        return exchange


def _nothing(_depth: int) -> Sequence[tuple[str, int]]:
    return ()


class Blocks:
    """Mines a block now and then until the end of this. One thing at a time: an anvil that is reorganised while it mines by itself
    may have no block at that height ever after.
    """

    def __init__(self, node: DevNode, *, every_s: float) -> None:
        self._node, self._every_s = node, every_s
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._mine, name="blocks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()

    def reorganise(self, depth: int, mined_again: Callable[[int], Sequence[tuple[str, int]]] = _nothing) -> None:
        """Replaces the newest `depth` blocks. `mined_again` is asked, before that and while nothing else is mined, for what the new
        blocks hold, as `DevNode.reorg` wants it.
        """
        with self._lock:
            self._node.reorg(depth, mined_again(depth))

    def _mine(self) -> None:
        while not self._ending.wait(self._every_s):
            with self._lock:
                self._node.mine()


class Mayhem:
    """Two workers that are killed and started again, and a chain that is reorganised, until the end of this."""

    def __init__(
        self, start: Callable[[], Running], reorganise: Callable[[int], object], *, chance: random.Random, depth_max: int
    ) -> None:
        self._start, self._reorganise_by, self._chance, self._depth_max = start, reorganise, chance, depth_max
        self._workers = [start(), start()]
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mayhem", daemon=True)
        self.kills = self.unexpected_ends = 0
        self.depths: Counter[int] = Counter()
        """How many blocks were replaced at once, and how often."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()

    @property
    def reorgs(self) -> int:
        """How often blocks were replaced."""
        return self.depths.total()

    def require_well(self) -> None:
        """Raises what went wrong in here without being meant to."""
        if self._failure is not None:
            raise self._failure

    def stop_workers(self) -> list[int]:
        """Asks both to end, as soon as they can hear it; their exit codes. After the end of this."""
        until(lambda: all(map(_is_started, self._workers)), what="the workers are started", timeout_s=STARTS_WITHIN_S)
        return [worker.stop() for worker in self._workers]

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._chance.uniform(*PAUSE_S)):
                self._kill() if self._chance.random() < SHARE_OF_KILLS else self._reorganise()
        except BaseException as failure:  # noqa: BLE001 - it is raised where somebody looks
            self._failure = failure

    def _kill(self) -> None:
        index = self._chance.randrange(len(self._workers))
        worker = self._workers[index]
        self.unexpected_ends += not worker.is_running
        worker.kill()
        worker.ended()
        self.kills += 1
        time.sleep(self._chance.uniform(*DOWN_S))
        self._workers[index] = self._start()

    def _reorganise(self) -> None:
        depth = self._chance.randint(1, self._depth_max)
        self._reorganise_by(depth)
        self.depths[depth] += 1


def _is_started(worker: Running) -> bool:
    """Whether it hears SIGTERM: before, that ends it as it would end any program."""
    return any(event["event"] == "scanner-started" for event in worker.events())
