"""Several processes' worth of the service on one PostgreSQL, which refuses, deadlocks and dies under them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import make_url

from custody_core import InsufficientFunds, Limits, OutcomeUnknown, TransactionState, ether
from custody_core.domain.nonce import IN_FLIGHT_MAX
from custody_core.errors import Conflict, DatabaseUnavailable
from custody_core.services.accepting import Accepted
from custody_core.services.following import Round
from custody_http.sends import Sends
from custody_sql import SqlStore
from custody_sql.store import SqlUnit
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.pgproxy import Fault, PgProxy
from tests.support.postgres import PostgresServer, Server
from tests.support.service import CHAIN_ID, Service, running_service
from tests.support.waiting import until

T = TypeVar("T")

OUTSIDER = "0x00000000000000000000000000000000000A11cE"


@pytest.fixture
def pair(tmp_path: Path, node: DevNode, proxy: FaultProxy, postgres_url: str) -> Iterator[tuple[Service, Service]]:
    """Two services with one database, one key file and one node."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running_service(tmp_path, node, rpc_url=proxy.url, database_url=postgres_url)) for _ in range(2)
        )
        yield first, second


def at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Runs all of `works` at the same time."""
    ready = threading.Barrier(len(works), timeout=60)

    def run(work: Callable[[], T]) -> T:
        ready.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return [running.result(timeout=100) for running in [threads.submit(run, work) for work in works]]


def spend(service: Service, wallet_id: str, key: str) -> str:
    """Asks to send 80 ether."""
    try:
        service.custody.transactions.send(wallet_id, to=OUTSIDER, amount=ether("80"), idempotency_key=key)
    except InsufficientFunds:
        return "insufficient"
    return "accepted"


def broadcasts(proxy: FaultProxy) -> Counter[str]:
    """How often each signed transaction was given to the node."""
    return Counter(call.params[0] for call in proxy.calls("eth_sendRawTransaction"))


@pytest.mark.slow
def test_s_13_of_fifty_parallel_sends_of_80_with_100_one_is_accepted(pair: tuple[Service, Service]) -> None:
    for turn in range(3):
        wallet = pair[0].wallet(f"owner-{turn}", funded_wei=ether("100"))

        works = [
            partial(spend, service, wallet.id, f"{turn}-{number}") for number, service in zip(range(50), cycle(pair), strict=False)
        ]
        assert Counter(at_once(works)) == {"insufficient": 49, "accepted": 1}
        balance = pair[1].custody.wallets.balances(wallet.id)[0]
        assert balance.available + balance.reserved == ether("100")
        assert ether("80") < balance.reserved < ether("81")
    pair[0].assert_reconciled()


@pytest.mark.slow
def test_r_19_two_services_that_work_at_once_leave_no_double(pair: tuple[Service, Service], proxy: FaultProxy) -> None:
    wallets = [pair[0].wallet(f"owner-{number}", funded_wei=ether("10")) for number in range(3)]
    stopped = threading.Event()

    def work(service: Service) -> None:
        while not stopped.is_set():
            service.custody.tick()

    def use() -> list[str]:
        try:
            sent = []
            for number in range(12):
                wallet, service = wallets[number % 3], pair[number % 2]
                sent.append(
                    service.custody.transactions.send(
                        wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key=f"send-{number}"
                    ).id
                )
                pair[0].node.mined(pair[0].node.send_from_dev_account(wallet.address, ether("0.2")))
            until(lambda: _mined(pair[1], sent), what="all are mined", timeout_s=60)
            pair[0].node.finalize()
            until(lambda: all(pair[1].outgoing(id_).is_final for id_ in sent), what="all are final", timeout_s=60)
            return sent
        finally:
            stopped.set()

    _, _, sent = at_once([lambda: work(pair[0]), lambda: work(pair[1]), use])
    assert sent
    assert {pair[0].outgoing(id_).state for id_ in sent} == {TransactionState.COMPLETED}
    assert len(pair[0].deposits()) == 3 + 12
    assert sorted(broadcasts(proxy).values()) == [1] * 12
    assert pair[0].node.balance(OUTSIDER) == 12 * ether("0.1")
    pair[0].custody.seal()
    events = pair[0].custody.events.list(limit=10_000)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    told = Counter((event.object_id, event.type) for event in events)
    assert [each for each, count in told.items() if count > 1] == []
    assert pair[1].custody.audit.verify().first_broken is None
    pair[1].assert_reconciled()


def test_r_19_a_second_follower_takes_over_when_the_lease_ends_and_the_first_is_fenced_off(pair: tuple[Service, Service]) -> None:
    first, second = pair
    wallet = first.wallet(funded_wei=ether("1"))
    assert second.custody.follow(CHAIN_ID) is Round.NOT_LEADING
    with first.store.reading() as unit:
        paused_at = unit.chain(CHAIN_ID)
    assert paused_at is not None

    first.node.mined(first.node.send_from_dev_account(wallet.address, ether("2")))
    first.node.finalize()
    second.clock.advance(10)  # and the time that passed on a busy machine
    assert second.custody.follow(CHAIN_ID) is Round.NOT_LEADING
    second.clock.advance(11)
    assert second.custody.follow(CHAIN_ID) is Round.IDLE
    assert second.available(wallet) == ether("3")

    assert first.custody.follow(CHAIN_ID) is Round.NOT_LEADING
    # Had it been stopped right after it saw that it leads, it would go on with what it knew then.
    with pytest.raises(Conflict):
        first.custody._followers[CHAIN_ID]._step(paused_at)
    assert first.available(wallet) == ether("3")
    assert len(first.deposits()) == 2
    second.assert_reconciled()


@pytest.mark.slow
def test_o_04_a_database_that_refuses_every_third_commit_changes_nothing_but_the_time_it_takes(
    tmp_path: Path, node: DevNode, proxy: FaultProxy, postgres: Server, postgres_url: str
) -> None:
    upstream = make_url(postgres.url)
    with PgProxy(upstream.host or "127.0.0.1", upstream.port or 5432, seed=4) as pgproxy:
        url = postgres.database_url(make_url(postgres_url).database or "", port=pgproxy.port)
        with running_service(tmp_path, node, rpc_url=proxy.url, database_url=url) as service:
            wallets = [service.wallet(f"owner-{number}", funded_wei=ether("10")) for number in range(3)]
            rules = [pgproxy.at_commit(fault, probability=0.17) for fault in (Fault.SERIALISATION_FAILURE, Fault.DEADLOCK)]
            sent = [
                _persistently(
                    lambda number=number: service.custody.transactions.send(  # type: ignore[misc]
                        wallets[number % 3].id, to=OUTSIDER, amount=ether("0.1"), idempotency_key=f"send-{number}"
                    )
                ).id
                for number in range(12)
            ]

            def all_are_final() -> bool:
                node.finalize()
                _persistently(service.custody.tick)
                return all(service.outgoing(id_).is_final for id_ in sent)

            until(all_are_final, what="all are final", timeout_s=60)
            assert all(rule.struck >= 3 for rule in rules), [rule.struck for rule in rules]
            for rule in rules:
                rule.times_left = 0
            assert {service.outgoing(id_).state for id_ in sent} == {TransactionState.COMPLETED}
            assert sorted(broadcasts(proxy).values()) == [1] * 12
            assert node.balance(OUTSIDER) == 12 * ether("0.1")
            service.assert_reconciled()


@pytest.mark.slow
def test_o_01_a_server_killed_under_a_hundred_sends_loses_none_that_was_accepted(
    tmp_path: Path, node: DevNode, proxy: FaultProxy, postgres: Server
) -> None:
    del postgres  # asked for so that a missing server is skipped, or a failure, in one place
    with PostgresServer() as server:
        url = server.database_url(server.migrated_database())
        limits = Limits(key_pool_size=3)
        with running_service(tmp_path, node, rpc_url=proxy.url, database_url=url, limits=limits) as service:
            wallets = [service.wallet(f"owner-{number}", funded_wei=ether("10")) for number in range(4)]

            def send(number: int) -> str:
                """Asks with the same key until it is told that the send is accepted."""
                deadline = time.monotonic() + 60
                while True:
                    try:
                        accepted = service.custody.transactions.send(
                            wallets[number % 4].id, to=OUTSIDER, amount=ether("0.01"), idempotency_key=f"send-{number}"
                        )
                    except (DatabaseUnavailable, OutcomeUnknown, Conflict):
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.02)  # a polite client's pause, not a wait for something
                        continue
                    return accepted.id

            with ThreadPoolExecutor(8) as threads:
                running = [threads.submit(send, number) for number in range(100)]
                for share in (20, 60):
                    until(lambda share=share: sum(each.done() for each in running) >= share, what="some", timeout_s=60)  # type: ignore[misc]
                    server.restart()
                accepted = [each.result(timeout=100) for each in running]
            assert len(set(accepted)) == 100

            def all_are_final() -> bool:
                service.custody.tick()
                service.finalize()
                service.clock.advance(11)  # a wallet has only so many in flight; the rest of its sends wait their turn
                return all(service.outgoing(id_).is_final for id_ in accepted)

            until(all_are_final, what="all are final", timeout_s=60)
            assert {service.outgoing(id_).state for id_ in accepted} == {TransactionState.COMPLETED}
            assert sorted(broadcasts(proxy).values()) == [1] * 100
            service.assert_reconciled()


def _persistently(work: Callable[[], T]) -> T:
    """As the scanner, or a client that is told to try again."""
    for _ in range(99):
        try:
            return work()
        except Conflict:
            continue
    return work()


def test_two_that_begin_at_once_prepare_one_database(postgres: Server) -> None:
    url = postgres.database_url(postgres.create_database())
    stores = [SqlStore(url) for _ in range(3)]
    at_once([store.upgrade for store in stores])
    for store in stores:
        store.require_current()
        store.close()


def test_a_wallet_that_somebody_holds_holds_up_only_who_asks_for_it(pair: tuple[Service, Service]) -> None:
    first, second = pair
    held, free = (first.wallet(owner, funded_wei=ether("1")) for owner in ("alice", "bob"))
    sends = Sends(second.custody)

    def ask(wallet_id: str, key: str) -> Accepted:
        asked = second.custody.transactions.ask(wallet_id, to=OUTSIDER, amount=1, idempotency_key=key)
        return sends.accept(asked)

    with ThreadPoolExecutor(6) as threads:
        with first.store.transaction() as unit:
            assert unit.wallet(held.id, lock=True) is not None
            waiting = [threads.submit(ask, held.id, f"held-{number}") for number in range(2)]
            others = [threads.submit(ask, free.id, f"free-{number}") for number in range(3)]
            assert all(not other.result(timeout=15).replayed for other in others)
            assert not any(each.done() for each in waiting)
        assert all(not each.result(timeout=15).replayed for each in waiting)


@pytest.mark.parametrize("hook", ["in_flight_of", "wake_queued"])
def test_a_block_that_makes_room_while_a_send_is_being_parked_does_not_leave_it_waiting(
    pair: tuple[Service, Service], monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    """Whoever saves the block does not find it parked yet, and who parks it has counted before the block. One of the two does its
    whole work in the midst of the other's.
    """
    first, second = pair
    wallet = first.wallet(funded_wei=ether("10"))
    first.node.set_automine(on=False)

    def send(number: int) -> str:
        return first.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1, idempotency_key=f"send-{number}").id

    ids = [send(number) for number in range(IN_FLIGHT_MAX)]
    first.custody.advance(CHAIN_ID)
    assert {first.outgoing(each).state for each in ids} == {TransactionState.BROADCASTING}
    first.custody.step_down()
    late = send(IN_FLIGHT_MAX)
    first.node.mine()
    follow, park = (lambda: second.custody.follow(CHAIN_ID)), (lambda: first.custody.advance(CHAIN_ID))
    outer, inner = (park, follow) if hook == "in_flight_of" else (follow, park)
    meanwhile, own = iter([inner]), getattr(SqlUnit, hook)

    def overtaken(unit: SqlUnit, *arguments: Any, **named: Any) -> Any:
        answer = own(unit, *arguments, **named)
        for act in meanwhile:
            act()
        return answer

    monkeypatch.setattr(SqlUnit, hook, overtaken)
    outer()
    assert {first.outgoing(each).state for each in ids} == {TransactionState.CONFIRMING}
    assert first.outgoing(late).parked_reason == "in-flight-limit"
    first.clock.advance(1)
    first.custody.advance(CHAIN_ID)
    assert first.outgoing(late).state is TransactionState.BROADCASTING


def _mined(service: Service, ids: Sequence[str]) -> bool:
    """A node that mines by itself may leave transactions of a batch lying until the next one comes."""
    service.node.mine()
    return all(service.outgoing(each).inclusion for each in ids)
