"""O-09: a scanner that is told to stop does so within ten seconds, finishes what it is at, and leaves nothing to wait for."""

import pytest

from tests.support.faults import Before, Delay
from tests.support.sites import Site
from tests.support.waiting import until

DRAIN_MAX_S = 10.0
MANY = 1000
AT_ONCE_S = 8.0
"""Far below a lease: whoever comes next finds nothing held."""


@pytest.mark.parametrize(
    "question",
    [
        "eth_sendRawTransaction",
        pytest.param("eth_feeHistory", marks=pytest.mark.kills),
        pytest.param("eth_getTransactionReceipt", marks=pytest.mark.kills),
    ],
)
def test_o_09_told_to_stop_in_the_midst_of_a_send_it_leaves_the_rest_to_the_next(site: Site, question: str) -> None:
    def terminate() -> None:
        site.processes.newest().terminate()

    site.proxy.on(question, Before(terminate), Delay(0.5), times=1)
    ids = [site.send(site.wallets[0], key=f"payout-{number}") for number in range(3)]
    scanner = site.processes.fork("scanner")
    site.carried(ids, by=[scanner])
    assert scanner.ended(DRAIN_MAX_S) == 0
    assert [event["event"] for event in scanner.events()] == ["scanner-started", "scanner-stopped"]
    successor = site.processes.fork("scanner")
    assert site.carried(ids, by=[successor], timeout_s=AT_ONCE_S)
    site.settle()
    site.assert_paid_once(ids)


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_o_09_the_program_itself_stops_in_order(site: Site) -> None:
    ids = [site.send(site.wallets[0])]
    scanner = site.processes.start("scanner")
    until(lambda: bool(site.proxy.calls("eth_sendRawTransaction")), what="the payment is sent", timeout_s=20)
    scanner.terminate()
    assert scanner.ended(DRAIN_MAX_S) == 0
    assert site.carried(ids, by=[site.processes.fork("scanner")], timeout_s=AT_ONCE_S)
    site.settle()
    site.assert_paid_once(ids)


@pytest.mark.slow
@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_o_09_a_node_that_does_not_answer_does_not_hold_up_the_end(site: Site) -> None:
    silence = site.proxy.on("*", Delay(60), times=MANY, when=lambda _: bool(site.proxy.calls("eth_feeHistory")))
    ids = [site.send(site.wallets[0])]
    scanner = site.processes.fork("scanner")
    until(lambda: silence.times_left != MANY, what="a question is not answered", timeout_s=20)
    scanner.terminate()
    assert scanner.ended(DRAIN_MAX_S) == 0
    silence.times_left = 0
    site.leases_end()
    assert site.carried(ids, by=[site.processes.fork("scanner")])
    site.settle()
    site.assert_paid_once(ids)


def test_a_signal_is_heard_however_early_it_comes_and_whatever_came_before(site: Site) -> None:
    early, woken = (site.processes.fork("scanner") for _ in range(2))
    for scanner in (early, woken):
        until(lambda scanner=scanner: bool(scanner.events()), what="it runs")  # type: ignore[misc]
    early.terminate()
    woken.pause()
    woken.resume()
    woken.terminate()
    assert early.ended(DRAIN_MAX_S) == 0
    assert woken.ended(DRAIN_MAX_S) == 0
