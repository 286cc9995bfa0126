"""More sends than a wallet may have in flight, sends that cannot go on, and requests that never get a nonce."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from custody_core import InsufficientFunds, TransactionState, ether
from custody_core.domain.nonce import IN_FLIGHT_MAX
from custody_core.services.accepting import Accepted
from custody_core.services.batching import Batch, Payout
from tests.integration.test_sending import OUTSIDER, mined_from
from tests.support.contracts import deploy, transact
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Null
from tests.support.gethpool import GethPool
from tests.support.service import CHAIN_ID, Service, running_service


@pytest.fixture
def pair(tmp_path: Path, node: DevNode, proxy: FaultProxy, database_url: str) -> Iterator[tuple[Service, Service]]:
    """Two services with one database, one key file and one node."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running_service(tmp_path, node, rpc_url=proxy.url, database_url=database_url)) for _ in range(2)
        )
        yield first, second


def test_s_25_twenty_in_flight_are_bounded_and_leave_in_the_order_of_acceptance_with_two_workers_and_parked_ones(
    pair: tuple[Service, Service], proxy: FaultProxy
) -> None:
    """The oldest are parked for another reason when the newest come; two workers take what is due; nobody overtakes anybody."""
    service, node = pair[0], pair[0].node
    wallet = service.wallet(funded_wei=ether("10"))
    node.set_automine(on=False)

    def send(number: int) -> str:
        of = pair[number % 2].custody.transactions
        return of.send(wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key=f"send-{number}").id

    def work(after_s: float) -> None:
        for each in pair:
            each.clock.advance(after_s)
        with ThreadPoolExecutor(2) as threads:
            for running in [threads.submit(each.custody.advance, CHAIN_ID) for each in pair]:
                running.result(timeout=60)

    ids = [send(number) for number in range(3)]
    no_fees = proxy.on("eth_feeHistory", Null())
    work(after_s=1)
    assert {service.outgoing(each).parked_reason for each in ids} == {"fee-unavailable"}
    no_fees.times_left = 0
    ids += [send(number) for number in range(3, 20)]
    for turn in range(40):
        work(after_s=11 if turn else 1)  # at first the oldest still wait where they were parked, and only the newest are due
        sends = [service.outgoing(each) for each in ids]
        reserved = [each for each in sends if each.nonce is not None]
        assert [each.nonce for each in reserved] == list(range(len(reserved)))
        assert reserved == sends[: len(reserved)], "in the order of acceptance"
        in_flight = [each for each in reserved if not each.is_final and each.inclusion is None]
        assert len(in_flight) <= IN_FLIGHT_MAX
        assert int(node.raw("txpool_status")["pending"], 16) <= IN_FLIGHT_MAX
        if len(reserved) == len(ids) and not in_flight:
            break
        node.mine()
        for each in pair:
            each.custody.follow(CHAIN_ID)
    service.finalize()
    assert {service.outgoing(each).state for each in ids} == {TransactionState.COMPLETED}
    assert [int(str(each["nonce"]), 16) for each in mined_from(node, wallet.address)] == list(range(20))
    service.assert_reconciled()


def test_a_crowded_pool_has_room_for_all_that_a_wallet_has_in_flight(tmp_path: Path, node: DevNode) -> None:
    """A full node keeps sixteen transactions of an account and forgets the others without a word: fewer are in flight."""
    pool = GethPool(crowded=True)
    with FaultProxy(node.rpc_url, geth_rules=pool) as proxy, running_service(tmp_path, node, rpc_url=proxy.url) as service:
        wallet = service.wallet(funded_wei=ether("10"))
        node.set_automine(on=False)
        batch = Batch(
            wallet_id=wallet.id, payouts=[Payout(to=OUTSIDER, amount=1000, external_id=f"payout-{number}") for number in range(20)]
        )
        accepted = service.custody.transactions.accept_batch(batch, idempotency_key="crowd")
        ids = [each.transaction.id for each in accepted if isinstance(each, Accepted)]
        for _ in range(5):
            service.clock.advance(11)
            service.custody.tick()
            node.mine()
            service.finalize()
        assert {service.outgoing(each).state for each in ids} == {TransactionState.COMPLETED}
        assert (len(ids), pool.dropped) == (20, [])
        assert len(proxy.calls("eth_sendRawTransaction")) == 20
        service.assert_reconciled()


def test_two_workers_at_once_prepare_one_send_once(pair: tuple[Service, Service], proxy: FaultProxy) -> None:
    """Both are told to go on with the same sends at the same moment: each gets one nonce, one attempt and one broadcast."""
    service = pair[0]
    wallets = [service.wallet(owner, funded_wei=ether("1")) for owner in ("alice", "bob")]
    ids = [
        service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=1000, idempotency_key=f"{wallet.id}-{number}").id
        for wallet in wallets
        for number in range(3)
    ]
    with ThreadPoolExecutor(4) as threads:
        for running in [threads.submit(each.custody.advance, CHAIN_ID) for each in pair * 2]:
            running.result(timeout=60)
    service.clock.advance(21)
    service.custody.tick()
    service.finalize()
    done = [service.outgoing(each) for each in ids]
    assert {(each.state, len(each.attempts)) for each in done} == {(TransactionState.COMPLETED, 1)}
    assert [each.nonce for each in done] == [0, 1, 2] * 2
    raws = [call.params[0] for call in proxy.calls("eth_sendRawTransaction")]
    assert len(raws) == len(set(raws)) == 6
    service.assert_reconciled()


def test_s_26_tokens_without_ether_for_their_gas_are_refused_and_take_no_nonce(service: Service) -> None:
    wallet, node = service.wallet(), service.node
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    node.mined(transact(node, "Good", token, "mint", wallet.address, 100))
    service.finalize()
    with pytest.raises(InsufficientFunds):
        service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=60, asset="good", idempotency_key="gasless")
    assert service.custody.transactions.list(direction="outgoing") == []
    node.mined(node.send_from_dev_account(wallet.address, ether("1")))
    service.finalize()
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=60, asset="good", idempotency_key="gasless")
    service.custody.tick()
    service.finalize()
    assert (service.outgoing(sent.id).state, service.outgoing(sent.id).nonce) == (TransactionState.COMPLETED, 0)
    service.assert_reconciled()


def test_s_30_a_send_of_a_user_who_was_disabled_before_its_nonce_is_rejected_and_its_hold_released(service: Service) -> None:
    wallet, node = service.wallet(funded_wei=ether("1")), service.node
    sent = service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="disabled")
    assert service.available(wallet) < ether("0.6")
    service.custody.users.disable(sent.owner_id)
    service.custody.tick()
    service.finalize()
    rejected = service.outgoing(sent.id)
    assert (rejected.state, rejected.reason) == (TransactionState.REJECTED, "the owner is disabled")
    assert (rejected.nonce, rejected.attempts, mined_from(node, wallet.address)) == (None, (), [])
    assert service.available(wallet) == ether("1")
    service.custody.seal()
    audited = [row.action for row in service.custody.audit.list(limit=1000) if row.object_id == sent.id]
    assert "transaction.rejected" in audited
    assert service.event_types(sent.id)[-1] == "transaction.rejected"
    service.assert_reconciled()


def test_what_is_refused_on_the_way_takes_no_nonce_and_jams_nobody(service: Service) -> None:
    """A doomed send that had taken its nonce when it was accepted would leave all those after it waiting."""
    wallet = service.wallet(funded_wei=ether("1"))

    def send(key: str, amount: int) -> str:
        return service.custody.transactions.send(wallet.id, to=OUTSIDER, amount=amount, idempotency_key=key).id

    doomed, fine = send("doomed", 2000), send("fine", 1000)
    small = {"id": "small", "when": {"type": "transfer", "amount": {"lt": "2000"}}, "then": {"allow": True}}
    service.custody.policies.publish({"version": 1, "rules": [small]})
    service.custody.tick()
    service.finalize()
    assert (service.outgoing(doomed).state, service.outgoing(doomed).nonce) == (TransactionState.REJECTED, None)
    assert (service.outgoing(fine).state, service.outgoing(fine).nonce) == (TransactionState.COMPLETED, 0)
    service.assert_reconciled()
