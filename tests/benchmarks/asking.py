"""P12: HTTP requests to the node: per send, and per followed block. A JSON-RPC batch is one request.

Counted at a proxy before anvil. Ours is everything that the service asks: to accept a send, to carry it to the chain, and to
follow the block that holds it; 100 wallets send once each per block, and each send is accepted by itself. `lonely` is a single
send with a block of its own, when nothing was asked for a while; `…_accept`, `…_carry` and `…_follow` say where the requests go.
`per_block` is what following a block costs in which there is nothing of ours. The peer is web3.py as documented, which asks for
nonce, chain id, gas and fees for every transaction, and sends it; it follows nothing. There is no limit to compare with.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import attrs
import requests

from custody_core import Custody
from custody_core.services.market import RECENT_S
from tests.benchmarks.environments import python_of
from tests.benchmarks.harness import Result, interleaved, median, ratio, rounded
from tests.benchmarks.sends import ANVIL, CHAIN_ID, RECIPIENT, WALLETS, Ours, fund, require_sound, running_custody
from tests.benchmarks.worker import Worker
from tests.support.devnode import DevNode
from tests.support.faultproxy import Exchange, FaultProxy
from tests.support.waiting import until

ROUNDS = 3
PEER_SENDS = 20
BLOCKS = 20


class CountingProxy(FaultProxy):
    """Passes everything on, and counts HTTP requests."""

    def __init__(self, node_url: str) -> None:
        super().__init__(node_url)
        self._counting = threading.Lock()
        self._requests = 0

    def answer(self, body: bytes, session: requests.Session) -> Exchange:
        """What the node answers to the body of one HTTP request."""
        with self._counting:
            self._requests += 1
        return super().answer(body, session)

    def during(self, work: Callable[[], object]) -> int:
        """How many requests `work` made."""
        before = self._requests
        work()
        return self._requests - before


@attrs.frozen
class Share:
    """How many requests each part of the work made."""

    accept: int
    carry: int
    follow: int

    @property
    def total(self) -> int:
        return self.accept + self.carry + self.follow


class Sends:
    """Sends of ours, whose requests are counted. No block is mined but those that are mined in here."""

    def __init__(self, custody: Custody, node: DevNode, proxy: CountingProxy) -> None:
        self._custody, self._node, self._proxy = custody, node, proxy
        self._ours = Ours(custody, node)
        self._sent = 0
        self._accepted_s = time.monotonic()
        node.set_automine(False)
        self.steady_share = self.lonely_share = Share(0, 0, 0)

    def steady(self) -> float:
        """Requests per send where every wallet sends once per block."""
        self.steady_share = self._send(WALLETS)
        return self.steady_share.total / WALLETS

    def lonely(self) -> float:
        """Requests of a single send, when what was known of the fees is too old."""
        until(lambda: time.monotonic() > self._accepted_s + RECENT_S, what="the fees are old")
        self.lonely_share = self._send(1)
        return self.lonely_share.total

    def per_block(self) -> float:
        """Requests per block in which there is nothing of ours."""
        return self._proxy.during(self._follow_blocks) / BLOCKS

    def _follow_blocks(self) -> None:
        for _ in range(BLOCKS):
            self._follow_a_block()

    def _follow_a_block(self) -> None:
        self._node.mine()
        self._custody.follow(CHAIN_ID)

    def _send(self, count: int) -> Share:
        share = Share(
            accept=self._proxy.during(lambda: self._accept(count)),
            carry=self._proxy.during(lambda: self._ours.send(count)),
            follow=self._proxy.during(self._follow_a_block),
        )
        self._ours.finalize()
        return share

    def _accept(self, count: int) -> None:
        for wallet in self._ours.wallets[:count]:
            self._sent += 1
            self._custody.transactions.send(wallet.id, to=RECIPIENT, amount=1, idempotency_key=f"send-{self._sent}")
        self._accepted_s = time.monotonic()


def run() -> Result:
    with ExitStack() as stack:
        node = stack.enter_context(DevNode(arguments=ANVIL))
        proxy = stack.enter_context(CountingProxy(node.rpc_url))
        custody, observer = stack.enter_context(running_custody(proxy.url, None))
        sends = Sends(custody, node, proxy)
        ask_web3 = stack.enter_context(_web3_sends(node, proxy))
        rounds = interleaved(
            "P12",
            {
                "ours": sends.steady,
                "lonely": sends.lonely,
                "per_block": sends.per_block,
                "peer": lambda: proxy.during(ask_web3) / PEER_SENDS,
            },
            rounds=ROUNDS,
        )
        require_sound(custody, observer)
    parts = {"steady": (sends.steady_share, WALLETS), "lonely": (sends.lonely_share, 1)}
    shares = {
        f"{name}_{part}": rounded(made / count)
        for name, (share, count) in parts.items()
        for part, made in attrs.asdict(share).items()
    }
    return Result(
        id="P12",
        name="node requests per send",
        ours=median(rounds, "ours"),
        peer=median(rounds, "peer"),
        limit=None,
        ratio_to_peer=ratio(rounds, "peer", "ours"),
        ratio_to_limit=None,
        unit="requests",
        runs=ROUNDS,
        more={"lonely": median(rounds, "lonely"), "per_block": median(rounds, "per_block"), **shares},
    )


@contextmanager
def _web3_sends(node: DevNode, proxy: CountingProxy) -> Iterator[Callable[[], object]]:
    """Web3.py through the proxy, ready to send `PEER_SENDS` times."""
    key = os.urandom(32)
    fund(node, [key])
    with Worker(python_of("bench"), "sends") as worker:
        worker.ask("prepare", url=proxy.url, keys=[key.hex()], recipient=RECIPIENT)
        yield lambda: worker.ask("documented", count=PEER_SENDS, value=1)
