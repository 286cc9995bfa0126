"""Fees that jump, fall and lie: a waiting payment is made dearer by rule, up to its cap, and is paid once.

In front of anvil stands a pool with geth's rules (`tests/support/gethpool.py`): it refuses what is not 10 % dearer on both fields,
and keeps what is too cheap for now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest

from custody_core import FeeAboveCap, FeeUnavailable, Transaction, TransactionState, Wallet, ether
from custody_core.domain.authorisation import AuthorisedPayment
from custody_core.domain.encoding import FeeMarketTransaction
from custody_core.domain.fees import GWEI, payment_cap
from custody_core.domain.transaction import AttemptKind, Stuck
from tests.integration.test_sending import OUTSIDER, mined_from
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Edit, Error, Fault, Null
from tests.support.service import CHAIN_ID, Service, running_service


@attrs.frozen
class Waiting:
    """A service behind geth's rules, and one wallet of it. Blocks come only when a test asks for them."""

    service: Service
    proxy: FaultProxy
    wallet: Wallet

    @property
    def node(self) -> DevNode:
        return self.service.node

    def send(self, key: str, **options: Any) -> str:
        """Accepts a send and gives it to the pool; its id."""
        sent = self.service.custody.transactions.send(
            self.wallet.id, to=OUTSIDER, amount=ether("0.1"), idempotency_key=key, **options
        )
        self.service.custody.tick()
        return sent.id

    def market(self, base_fee_gwei: int) -> None:
        """A block, and from then on the market asks about this base fee."""
        self.node.set_next_base_fee(base_fee_gwei * GWEI)
        self.node.mine()

    def wait(self, seconds: float = 95) -> None:
        """So long nothing happens, then comes one round."""
        self.service.clock.advance(seconds)
        self.service.custody.tick()

    def look(self, transaction_id: str) -> Transaction:
        return self.service.outgoing(transaction_id)

    def end(self) -> None:
        """The base fee falls, and all that was sent becomes final."""
        self.node.set_next_base_fee(GWEI)
        self.wait(31)
        for _ in range(3):
            self.node.set_next_base_fee(GWEI)
            self.node.mine()
            self.wait(31)
        self.service.finalize()

    def refusals(self) -> Sequence[str]:
        """What nodes said against our bytes."""
        return [what for what, _ in self.service.observer.troubles if what.startswith("broadcast-")]

    def broadcasts(self) -> list[str]:
        """Each signed transaction that was given to the node, as hex, in order."""
        return [call.params[0] for call in self.proxy.calls("eth_sendRawTransaction")]

    def alarms(self) -> list[object]:
        """The codes of all alarms, in order."""
        self.service.custody.seal()
        return [each.data["code"] for each in self.service.custody.events.list(limit=10_000) if each.type == "alarm.raised"]


@pytest.fixture
def waiting(tmp_path: Path, node: DevNode) -> Iterator[Waiting]:
    with FaultProxy(node.rpc_url, geth_rules=True) as proxy, running_service(tmp_path, node, rpc_url=proxy.url) as service:
        wallet = service.wallet(funded_wei=ether("1"))
        node.set_automine(on=False)
        yield Waiting(service, proxy, wallet)


def raised_by_an_eighth(transaction: Transaction) -> bool:
    """Whether each attempt raises both fields by 12.5 % or more over the one before it."""
    fees = [attempt.fees for attempt in transaction.attempts]
    return all(
        8 * new.max_fee_per_gas_wei >= 9 * old.max_fee_per_gas_wei
        and 8 * new.max_priority_fee_per_gas_wei >= 9 * old.max_priority_fee_per_gas_wei
        for old, new in pairwise(fees)
    )


def test_s_06_a_base_fee_fifty_times_as_high_raises_both_fields_until_the_cap_and_then_sends_the_same_bytes(
    waiting: Waiting,
) -> None:
    """A payment that waits at its cap is neither given up nor forgotten: one is mined when the fee falls."""
    sent = waiting.send("spike", fee_per_gas_max_wei=60 * GWEI)
    for base_fee_gwei in (4, 10, 22, 50):
        waiting.market(base_fee_gwei)
        waiting.wait()
    risen = waiting.look(sent)
    assert len(risen.attempts) >= 4
    assert raised_by_an_eighth(risen)
    top = risen.attempts[-1].fees.max_fee_per_gas_wei
    assert 60 * GWEI * 7 // 10 < top <= payment_cap(60 * GWEI)
    assert waiting.alarms() == []

    waiting.market(80)
    for _ in range(4):
        waiting.wait()
    capped = waiting.look(sent)
    assert (capped.state, capped.stuck) == (TransactionState.BROADCASTING, Stuck.FEE_AT_CAP)
    assert waiting.alarms() == ["fee-at-cap"], "once, however long it lasts"
    assert "transaction.stuck" in waiting.service.event_types(sent)
    assert len(set(waiting.broadcasts()[-3:])) == 1, "the same bytes again and again"
    assert capped.attempts[-1].fees.max_fee_per_gas_wei <= payment_cap(60 * GWEI)

    waiting.end()
    paid = waiting.look(sent)
    assert (paid.state, paid.stuck) == (TransactionState.COMPLETED, None)
    assert len(mined_from(waiting.node, waiting.wallet.address)) == 1
    assert waiting.refusals() == []
    waiting.service.assert_reconciled()


def test_s_07_a_pool_that_wants_ten_percent_more_takes_the_second_attempt_at_once(waiting: Waiting) -> None:
    """Ours costs 12.5 % more on both fields; 9.9 % would be refused again and again."""
    sent = waiting.send("ten-percent")
    first = waiting.look(sent).attempts[0].fees
    too_little = first.max_fee_per_gas_wei * 1099 // 1000, first.max_priority_fee_per_gas_wei * 1099 // 1000
    assert "underpriced" in str(offered(waiting, *too_little))
    waiting.wait()
    second = waiting.look(sent)
    assert len(second.attempts) == 2
    assert raised_by_an_eighth(second)
    assert (waiting.refusals(), len(waiting.broadcasts())) == ([], 3)
    waiting.node.mine()
    waiting.service.finalize()
    assert waiting.look(sent).hash == second.attempts[1].hash
    assert waiting.look(sent).state is TransactionState.COMPLETED
    waiting.service.assert_reconciled()


def offered(waiting: Waiting, fee_max_wei: int, tip_max_wei: int) -> dict[str, Any] | None:
    """What the pool says to a payment at the wallet's first nonce, signed with its key."""
    kit = waiting.service.custody._kit
    assert kit.keys is not None
    wanted = FeeMarketTransaction(CHAIN_ID, 0, tip_max_wei, fee_max_wei, 21_000, bytes.fromhex(OUTSIDER[2:]), ether("0.1"))
    with kit.store.reading() as unit:
        key = unit.sealed_keys([waiting.wallet.id])[waiting.wallet.id]
    authorised = AuthorisedPayment(waiting.wallet.id, waiting.wallet.address, "dec_elsewhere", wanted)
    raw = kit.keys.sign(authorised, key).raw
    kit.chains[CHAIN_ID].broadcast([raw])
    return waiting.proxy.calls("eth_sendRawTransaction")[-1].answer


def with_base_fee(value: str) -> Edit:
    return Edit(lambda history: {**history, "baseFeePerGas": [value for _ in history["baseFeePerGas"]]})


@pytest.mark.parametrize(
    "fault",
    [with_base_fee(hex(10**13 * GWEI)), with_base_fee("-0x1"), with_base_fee("1000000000"), Null()],
    ids=["10^13 gwei", "negative", "decimal", "null"],
)
def test_s_08_fees_that_make_no_sense_are_refused_before_anything_is_kept(waiting: Waiting, fault: Fault) -> None:
    waiting.proxy.on("eth_feeHistory", fault)
    with pytest.raises(FeeUnavailable) as refused:
        waiting.send("nonsense")
    assert refused.value.code == "fee-unavailable"
    assert waiting.service.custody.transactions.list(direction="outgoing") == []
    assert waiting.service.available(waiting.wallet) == ether("1")
    waiting.proxy.clear()
    waiting.send("nonsense")


def test_s_08_a_fee_that_is_too_high_to_be_true_is_cut_by_the_ceiling(waiting: Waiting) -> None:
    """Within what any chain has ever had, but above what this service may pay: refused, and nothing is signed."""
    waiting.proxy.on("eth_feeHistory", with_base_fee(hex(900 * GWEI)))
    with pytest.raises(FeeAboveCap):
        waiting.send("dear")
    assert waiting.service.custody.transactions.list(direction="outgoing") == []


def test_s_08_a_base_fee_of_nothing_pays_the_least_tip_and_says_that_it_waits_at_its_cap(waiting: Waiting) -> None:
    """Zero is a fee that some chains have. Where it was a lie, nobody overpays, and a person is told."""
    history = waiting.proxy.on("eth_feeHistory", with_base_fee("0x0"))
    sent = waiting.send("nothing")
    history.times_left = 0
    for _ in range(3):
        waiting.wait()
    low = waiting.look(sent)
    assert (low.state, low.stuck, waiting.alarms()) == (TransactionState.BROADCASTING, Stuck.FEE_AT_CAP, ["fee-at-cap"])
    assert all(each.fees.max_fee_per_gas_wei <= low.fee_per_gas_max_wei for each in low.attempts)
    waiting.service.assert_reconciled()


def test_s_08_fees_that_turn_to_nonsense_after_acceptance_leave_the_send_without_a_nonce(waiting: Waiting) -> None:
    history = waiting.proxy.on("eth_feeHistory", with_base_fee(hex(10**13 * GWEI)), skip=1)
    sent = waiting.send("later")
    parked = waiting.look(sent)
    assert (parked.state, parked.nonce, parked.parked_reason) == (TransactionState.QUEUED, None, "fee-unavailable")
    history.times_left = 0
    waiting.wait(11)
    assert waiting.look(sent).nonce == 0


def test_s_28_where_no_node_passes_on_such_a_fee_a_person_is_told_once_and_the_same_bytes_wait(waiting: Waiting) -> None:
    """Neither a loop nor a failure: half a minute between tries, one alarm, and paid when the node's own cap is raised."""
    capped = waiting.proxy.on(
        "eth_sendRawTransaction", Error(-32000, "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)")
    )
    sent = waiting.send("provider")
    for _ in range(4):
        waiting.wait(29)
        waiting.wait(2)
    refused = waiting.look(sent)
    assert (refused.state, refused.parked_reason) == (TransactionState.BROADCASTING, "provider-fee-cap")
    assert waiting.alarms() == ["provider-fee-cap"]
    assert len(waiting.broadcasts()) == 1 + 4
    capped.times_left = 0
    waiting.end()
    assert (waiting.look(sent).state, waiting.look(sent).parked_reason) == (TransactionState.COMPLETED, None)
    assert len(mined_from(waiting.node, waiting.wallet.address)) == 1
    waiting.service.assert_reconciled()


def test_a_bump_is_computed_from_every_earlier_attempt_and_not_from_a_market_that_has_fallen(waiting: Waiting) -> None:
    """What only follows today's market offers less than yesterday's attempt, and every node refuses it for ever."""
    waiting.market(40)
    sent = waiting.send("falling")
    waiting.market(400)  # nothing is mined, whatever happens next
    for _ in range(3):
        waiting.node.set_next_base_fee(2 * GWEI)
        waiting.wait()
    seen = waiting.look(sent)
    assert len(seen.attempts) >= 3
    assert raised_by_an_eighth(seen)
    assert waiting.refusals() == []
    waiting.end()
    assert waiting.look(sent).state is TransactionState.COMPLETED
    assert len(mined_from(waiting.node, waiting.wallet.address)) == 1


def test_fees_that_a_caller_capped_rise_too_as_far_as_the_cap_goes(waiting: Waiting) -> None:
    """A cap given by the caller is a cap, not a fixed price."""
    base_fee_wei = int(waiting.node.block()["baseFeePerGas"], 16)
    sent = waiting.send("capped", fee_per_gas_max_wei=4 * base_fee_wei)
    for _ in range(8):
        waiting.wait()
    seen = waiting.look(sent)
    assert len(seen.attempts) >= 3
    assert raised_by_an_eighth(seen)
    assert seen.attempts[-1].fees.max_fee_per_gas_wei <= payment_cap(4 * base_fee_wei)
    assert waiting.refusals() == []


@pytest.mark.parametrize("ask", ["cancel", "speed_up"])
def test_what_is_asked_for_raises_both_fields_by_the_same_rule_and_is_taken_at_once(waiting: Waiting, ask: str) -> None:
    """A cancellation that raises one field twice and the other never is underpriced, and cancels nothing."""
    sent = waiting.send(ask)
    getattr(waiting.service.custody.transactions, ask)(sent)
    waiting.service.custody.tick()
    asked = waiting.look(sent)
    kind = AttemptKind.CANCELLATION if ask == "cancel" else AttemptKind.PAYMENT
    assert [each.kind for each in asked.attempts] == [AttemptKind.PAYMENT, kind]
    assert raised_by_an_eighth(asked)
    assert waiting.refusals() == []
    waiting.node.mine()
    waiting.service.finalize()
    done = waiting.look(sent)
    assert done.state is (TransactionState.CANCELLED if ask == "cancel" else TransactionState.COMPLETED)
    assert done.hash == asked.attempts[1].hash
    assert len(mined_from(waiting.node, waiting.wallet.address)) == 1
    waiting.service.assert_reconciled()


def test_a_cancellation_keeps_under_the_cap_and_still_fits_above_a_payment_that_is_at_it(waiting: Waiting) -> None:
    """Nothing goes past the cap, a cancellation neither; and being at the cap leaves nobody without a way back."""
    sent = waiting.send("full", fee_per_gas_max_wei=9 * GWEI)
    waiting.market(80)
    for _ in range(4):
        waiting.wait()
    assert waiting.look(sent).attempts[-1].fees.max_fee_per_gas_wei == payment_cap(9 * GWEI)
    waiting.service.custody.transactions.cancel(sent)
    waiting.service.custody.tick()
    cancelling = waiting.look(sent)
    assert cancelling.attempts[-1].kind is AttemptKind.CANCELLATION
    assert raised_by_an_eighth(cancelling)
    assert cancelling.attempts[-1].fees.max_fee_per_gas_wei <= 9 * GWEI
    assert waiting.refusals() == []
    waiting.end()
    assert waiting.look(sent).state is TransactionState.CANCELLED
    waiting.service.assert_reconciled()


def test_a_fee_at_the_cap_does_not_wedge_the_wallet(waiting: Waiting) -> None:
    """After the spike the same bytes, evicted meanwhile, get there, and so does what waits behind them."""
    sent = [waiting.send(f"wedge-{number}", fee_per_gas_max_wei=9 * GWEI) for number in range(3)]
    waiting.market(80)
    for _ in range(4):
        waiting.wait()
    newest = waiting.look(sent[0]).newest_attempt
    assert newest is not None
    assert newest.hash is not None
    forget(waiting, newest.hash)
    waiting.end()
    assert [waiting.look(each).state for each in sent] == [TransactionState.COMPLETED] * 3
    assert [int(str(each["nonce"]), 16) for each in mined_from(waiting.node, waiting.wallet.address)] == [0, 1, 2]
    assert waiting.look(sent[0]).hash == newest.hash
    waiting.service.assert_reconciled()


def forget(waiting: Waiting, transaction_hash: str) -> None:
    """The pool evicts a transaction."""
    pool = waiting.proxy._geth_pool
    assert pool is not None
    pool.drop(transaction_hash, lambda method, *params: {"result": waiting.node.raw(method, *params)})


def test_a_stuck_low_nonce_does_not_make_the_later_ones_dearer(waiting: Waiting) -> None:
    """They wait for it, not for a better price."""
    waiting.market(10)
    sent = [waiting.send(f"behind-{number}") for number in range(4)]
    waiting.market(80)
    for _ in range(3):
        waiting.wait()
    attempts = [len(waiting.look(each).attempts) for each in sent]
    assert attempts[0] >= 2
    assert attempts[1:] == [1, 1, 1]
    waiting.end()
    assert [waiting.look(each).state for each in sent] == [TransactionState.COMPLETED] * 4


def test_cheap_is_not_stuck_while_it_may_still_pay_more(waiting: Waiting) -> None:
    """Below the market and below the cap nothing is said to be stuck: a dearer attempt is made."""
    sent = waiting.send("cheap", fee_per_gas_max_wei=400 * GWEI)
    waiting.market(20)
    waiting.wait(600)
    seen = waiting.look(sent)
    assert (len(seen.attempts), seen.stuck) == (2, None)
    assert waiting.alarms() == []


def test_a_payment_is_passed_over_only_when_it_offers_the_market_and_has_waited_long(waiting: Waiting) -> None:
    """Too cheap is one thing, and dearer attempts are its cure; that no block takes what pays the market is another."""
    sent = waiting.send("passed-over")
    for _ in range(6):
        waiting.wait()
        assert waiting.look(sent).stuck is None
    waiting.wait()
    stuck = waiting.look(sent)
    assert (stuck.state, stuck.stuck) == (TransactionState.BROADCASTING, Stuck.PASSED_OVER)
    assert {each.kind for each in stuck.attempts} == {AttemptKind.PAYMENT}
    for _ in range(3):
        waiting.wait()
    assert waiting.service.event_types(sent).count("transaction.stuck") == 1
    assert waiting.alarms() == []
    waiting.end()
    assert (waiting.look(sent).state, waiting.look(sent).stuck) == (TransactionState.COMPLETED, None)


def test_a_bump_that_cannot_be_priced_sends_the_same_bytes_and_never_a_cancellation(waiting: Waiting) -> None:
    """A node that gives no fees is no reason to take a payment back, or to make it dearer by guess."""
    sent = waiting.send("unpriced")
    waiting.proxy.on("eth_feeHistory", Null())
    for _ in range(10):
        waiting.wait()
    seen = waiting.look(sent)
    assert (seen.state, len(seen.attempts)) == (TransactionState.BROADCASTING, 1)
    assert len(set(waiting.broadcasts())) == 1
    waiting.proxy.clear()
    waiting.end()
    assert waiting.look(sent).state is TransactionState.COMPLETED
    assert len(mined_from(waiting.node, waiting.wallet.address)) == 1
