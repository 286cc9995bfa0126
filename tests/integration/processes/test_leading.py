"""R-19, O-07: several scanners on one database. One follows the chain; another takes over when that one dies, or is too late."""

import time
from collections.abc import Iterator
from random import Random

import pytest

from custody_core import ether
from tests.support.faultproxy import FaultProxy
from tests.support.faults import After
from tests.support.processes import Running
from tests.support.sites import DEPOSIT_WEI, KILLED, OUTSIDER, Site
from tests.support.waiting import until

TAKEOVER_MAX_S = 30.0
POLLS = 8
"""Rounds of the leader in which the other one had every chance to ask, too."""


@pytest.fixture
def proxies(site: Site) -> Iterator[tuple[FaultProxy, FaultProxy]]:
    """A door to the node for each of two scanners, so that it shows which one asks."""
    with FaultProxy(site.node.rpc_url) as other:
        yield site.proxy, other


def rounds(proxy: FaultProxy) -> int:
    """How often the follower behind `proxy` asked what is final, which nobody else asks."""
    return len([params for _, params in proxy.arrivals("eth_getBlockByNumber") if params[0] == "finalized"])


def leader_of(proxies: tuple[FaultProxy, FaultProxy]) -> int:
    """Which of the two follows the chain, once that is plain."""
    first, second = proxies
    until(lambda: abs(rounds(first) - rounds(second)) >= POLLS, what="one of them leads")
    return 0 if rounds(first) > rounds(second) else 1


@pytest.mark.slow
@pytest.mark.parametrize("site", ["postgresql"], indirect=True)  # the clock is the machine's own here, so it takes its time
def test_r_19_one_follows_and_the_other_takes_over_within_thirty_seconds_of_its_death(
    site: Site, proxies: tuple[FaultProxy, FaultProxy]
) -> None:
    scanners = [site.processes.start("scanner", settings={"RPC_URL": proxy.url}) for proxy in proxies]
    for scanner in scanners:
        until(lambda scanner=scanner: bool(scanner.events()), what="it runs")  # type: ignore[misc]
    leader = leader_of(proxies)
    asked_by_idle = rounds(proxies[1 - leader])

    def deposit_and_send(key: str) -> str:
        site.node.mined(site.node.send_from_dev_account(site.wallets[1].address, ether("0.5")))
        return site.send(site.wallets[0], key=key)

    ids = [deposit_and_send("with-both")]
    assert site.carried(ids, by=scanners)
    assert rounds(proxies[1 - leader]) <= asked_by_idle + 1, "the idle one asks for fees at most"
    scanners[leader].kill()
    died_at = time.monotonic()
    ids.append(deposit_and_send("with-one"))
    survivor = scanners[1 - leader]
    assert site.carried(ids, by=[survivor], timeout_s=TAKEOVER_MAX_S + 10)
    assert time.monotonic() - died_at < TAKEOVER_MAX_S
    assert survivor.stop() == 0
    site.settle()
    assert site.custody.wallets.balances(site.wallets[1].id)[0].available == DEPOSIT_WEI + 2 * ether("0.5")
    site.assert_paid_once(ids)


@pytest.mark.parametrize(
    "question", ["eth_getTransactionReceipt", "eth_sendRawTransaction", pytest.param("eth_feeHistory", marks=pytest.mark.kills)]
)
def test_o_07_a_scanner_that_stood_still_cannot_write_over_its_successor(
    site: Site, proxies: tuple[FaultProxy, FaultProxy], question: str
) -> None:
    paused: list[Running] = []

    def pause() -> None:
        site.stand_still(site.processes.newest())
        paused.append(site.processes.newest())

    site.proxy.on(question, After(pause), times=1)
    ids = [site.send(site.wallets[0])]
    sleeper = site.processes.fork("scanner")
    until(lambda: bool(paused), what="it stands still")
    site.leases_end()
    successor = site.processes.fork("scanner", settings={"RPC_URL": proxies[1].url})
    assert site.carried(ids, by=[successor])
    done = site.look(ids[0])
    sleeper.resume()
    if question == "eth_getTransactionReceipt":
        until(lambda: "stale-version" in [event["event"] for event in sleeper.events()], what="it is told that it is too late")
    assert sleeper.stop() == 0
    assert site.look(ids[0]) == done
    site.settle()
    site.assert_paid_once(ids)


@pytest.mark.slow
def test_many_sends_under_scanners_that_keep_dying_are_each_paid_once(site: Site) -> None:
    chance = Random(19)
    scanners = [site.processes.fork("scanner") for _ in range(2)]
    ids = []
    for number in range(60):
        ids.append(site.send(site.wallets[number % len(site.wallets)], key=f"payout-{number}"))
        if number % 10 == 9:
            until(lambda: chance.random() < 0.05, what="some time passes")
            victim = scanners.pop(chance.randrange(2))
            victim.kill()
            assert victim.ended() == KILLED
            site.node.mined(site.node.send_from_dev_account(site.wallets[0].address, ether("0.1")))
            site.leases_end()
            scanners.append(site.processes.fork("scanner"))
    assert site.carried(ids, by=scanners, timeout_s=60)
    site.settle()
    site.assert_paid_once(ids)
    assert site.node.balance(OUTSIDER) == ether("10000") + 60 * 1000
