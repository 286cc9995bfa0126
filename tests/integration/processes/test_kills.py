"""S-18: the scanner is killed before and after each call that leaves it while a send is on its way, and another one takes over.

A point is a question to the node, at a phase of the send. `before`: the process dies when the call is on the wire, and the node
never hears of it. `after`: the node has acted, and the process dies before it knows.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import attrs
import pytest

from tests.support.faultproxy import FaultProxy
from tests.support.faults import After, Before, DropRequest, ForwardThenDropReply
from tests.support.sites import TOKEN, Site


class Phase(StrEnum):
    """How far the send is, as the node can tell by what it was asked."""

    QUEUED = "queued"
    SENT = "sent"
    """From `eth_sendRawTransaction` on."""
    SEEN = "seen"
    """From the question for the receipt on."""


class Mode(StrEnum):
    BEFORE = "before"
    AFTER = "after"


@attrs.frozen
class Point:
    """Where a process can be killed."""

    question: str
    phase: Phase

    def __str__(self) -> str:
        return f"{self.question}-while-{self.phase}"


ETHER_POINTS = frozenset({
    Point("eth_chainId", Phase.QUEUED),
    Point("latest-header", Phase.QUEUED),
    Point("finalized-header", Phase.QUEUED),
    Point("eth_getTransactionCount", Phase.QUEUED),
    Point("eth_getBalance", Phase.QUEUED),
    Point("eth_feeHistory", Phase.QUEUED),
    Point("eth_sendRawTransaction", Phase.SENT),
    Point("latest-header", Phase.SENT),
    Point("finalized-header", Phase.SENT),
    Point("block", Phase.SENT),
    Point("eth_getTransactionReceipt", Phase.SEEN),
    Point("latest-header", Phase.SEEN),
    Point("finalized-header", Phase.SEEN),
    Point("block", Phase.SEEN),
})  # fmt: skip

TOKEN_POINTS = frozenset({*ETHER_POINTS, Point("eth_getLogs", Phase.SEEN)})

POINTS = {"eth": ETHER_POINTS, TOKEN: TOKEN_POINTS}

TOKEN_KILLS = ("eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getLogs")
"""Where a token's send is killed too: elsewhere it differs from ether's by nothing but its bytes."""

KILLS = [
    *(("eth", point, mode) for point in sorted(ETHER_POINTS, key=str) for mode in Mode),
    *((TOKEN, point, mode) for point in sorted(TOKEN_POINTS, key=str) for mode in Mode if point.question in TOKEN_KILLS),
]


def question(method: str, params: Sequence[Any]) -> str:
    if method != "eth_getBlockByNumber":
        return method
    return f"{params[0]}-header" if params[0] in {"latest", "finalized"} else "block"


def phase(asked: Sequence[tuple[str, list[Any]]]) -> Phase:
    methods = {method for method, _ in asked}
    if "eth_getTransactionReceipt" in methods:
        return Phase.SEEN
    return Phase.SENT if "eth_sendRawTransaction" in methods else Phase.QUEUED


def points_of(proxy: FaultProxy) -> set[Point]:
    asked = proxy.arrivals()
    return {Point(question(*call), phase(asked[: number + 1])) for number, call in enumerate(asked)}


def method_of(point: Point) -> str:
    return point.question if point.question.startswith("eth_") else "eth_getBlockByNumber"


def kill_at(site: Site, point: Point, mode: Mode) -> None:
    """The newest process dies at its first question of that kind in that phase."""

    def kill() -> None:
        site.processes.newest().kill()

    def when(params: list[Any]) -> bool:
        return Point(question(method, params), phase(site.proxy.arrivals())) == point

    method = method_of(point)
    faults = (Before(kill), DropRequest()) if mode is Mode.BEFORE else (After(kill), ForwardThenDropReply())
    site.proxy.on(method, *faults, times=1, when=when)


@pytest.mark.parametrize("asset", ["eth", TOKEN])
def test_s_18_the_points_are_all_that_a_send_asks_of_the_node(site: Site, asset: str) -> None:
    ids = [site.send(site.wallets[0], asset=asset)]
    scanner = site.processes.fork("scanner")
    assert site.carried(ids, by=[scanner])
    assert scanner.stop() == 0
    assert points_of(site.proxy) == POINTS[asset]
    site.settle()
    site.assert_paid_once(ids)


@pytest.mark.parametrize(("asset", "point", "mode"), KILLS, ids=str)
def test_s_18_killed_anywhere_a_send_is_paid_once(site: Site, asset: str, point: Point, mode: Mode) -> None:
    ids = [site.send(site.wallets[0], asset=asset)]
    kill_at(site, point, mode)
    victim = site.processes.fork("scanner")
    site.carried(ids, by=[victim])
    assert victim.ended() == -9
    site.leases_end()
    successor = site.processes.fork("scanner")
    assert site.carried(ids, by=[successor])
    site.settle()
    site.assert_paid_once(ids)
