"""Carrying a send to the chain: in order, at most once, and on again after whatever held it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest

from custody_core import (
    Custody,
    InvalidStateTransition,
    Transaction,
    TransactionState,
    ValidationFailed,
    WaitTimedOut,
    ether,
)
from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.fees import GWEI
from custody_core.domain.nonce import IN_FLIGHT_MAX
from custody_core.domain.transaction import AttemptKind
from custody_core.domain.wallet import SealedKey
from custody_core.errors import KeyIntegrity, Sealed, SignerUnavailable
from custody_core.ports import BroadcastAnswer, BroadcastOutcome, Keys, SignedTransaction
from custody_core.services.reserving import WOKEN_WITHIN
from custody_memory.chain import MemoryChain
from custody_memory.execution import TokenContract
from custody_memory.store import MemoryUnit
from tests.unit.core.services.bench import FINALITY, Bench, contract_of, opened


def nonces(transactions: list[Transaction]) -> list[int | None]:
    return [each.nonce for each in transactions]


def keys_of(custody: Custody) -> Keys:
    assert custody._sender is not None
    return custody._sender._keys


class StubbornKeys:
    """A signer with a fault that a test takes away again."""

    def __init__(self, within: Keys, *, on_verify: Exception | None = None, on_sign: Exception | None = None) -> None:
        self.within, self.on_verify, self.on_sign = within, on_verify, on_sign

    def create(self, wallet_ids: list[str]) -> object:
        return self.within.create(wallet_ids)

    def verify(self, key: SealedKey) -> None:
        if self.on_verify:
            raise self.on_verify
        self.within.verify(key)

    def sign(self, authorised: object, key: SealedKey) -> SignedTransaction:
        if self.on_sign:
            raise self.on_sign
        return self.within.sign(authorised, key)  # type: ignore[arg-type]


def with_keys(bench: Bench, keys: StubbornKeys) -> None:
    assert bench.custody._sender is not None
    bench.custody._sender._keys = keys  # type: ignore[assignment]


# The whole way


def test_a_send_is_followed_until_it_is_final(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.25"))
    bench.rounds()
    sent = bench.transaction(made.id)
    assert (sent.state, sent.nonce, len(sent.attempts)) == (TransactionState.BROADCASTING, 0, 1)
    assert list(bench.chain.pool) == [sent.hash]
    bench.blocks(1)
    assert bench.transaction(made.id).state is TransactionState.CONFIRMING
    assert bench.balance(wallet).reserved == made.amount + made.fee_hold_wei
    bench.blocks(FINALITY - 1)
    assert bench.transaction(made.id).state is TransactionState.CONFIRMING
    bench.blocks(1)
    done = bench.transaction(made.id)
    assert done.inclusion is not None
    assert done.state is TransactionState.COMPLETED
    balance = bench.balance(wallet)
    assert (balance.reserved, balance.available) == (0, ether("0.75") - done.inclusion.fee_wei)
    bench.require_sound()


def test_events_tell_each_step_once_and_in_order(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet)
    bench.settle()
    assert bench.events(made.id) == [
        f"transaction.{step}" for step in ("created", "queued", "broadcasting", "confirming", "completed")
    ]
    told = [each for each in bench.all_events() if each.object_id == made.id]
    assert [each.sequence for each in told] == sorted({each.sequence or 0 for each in told})
    assert {each.owner_id for each in told} == {wallet.owner_id}
    versions = [int(str(each.data["version"])) for each in told]
    assert versions == sorted(versions)
    assert bench.custody.audit.verify().first_broken is None


def test_each_step_is_audited_with_what_is_known_by_then_and_nothing_else(bench: Bench) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    bench.settle()
    done = bench.transaction(made.id)
    rows = [each.detail for each in bench.custody.audit.list(limit=1000) if each.object_id == made.id]
    by_state = {row["state"]: set(row) for row in rows}
    known = {"state", "version"}
    assert by_state["queued"] == known
    assert by_state["pending_signature"] == known | {"nonce", "decision"}
    assert by_state["completed"] == known | {"nonce", "decision", "hash"}
    (last,) = [row for row in rows if row["state"] == "completed"]
    assert (last["nonce"], last["hash"], last["decision"]) == ("0", done.hash, done.decision_id)


def test_s10_a_payment_that_reverts_costs_the_gas_once_and_is_not_tried_again(bench: Bench) -> None:
    """The tokens leave by another way between the estimate and the block: the call reverts, the ether for its gas is gone."""
    token, wallet = bench.token(), bench.wallet(wei=ether("1"))
    bench.pay_in_token(wallet, token, 500)
    made = bench.send(wallet, 500, asset="usdc")
    bench.chain.mint(contract_of(token), wallet.address, -1)
    bench.settle()
    done = bench.transaction(made.id)
    assert done.inclusion is not None
    assert (done.state, len(done.attempts), done.nonce) == (TransactionState.REVERTED, 1, 0)
    assert done.reason is not None
    assert done.reason.startswith("it reverted: "), "tried again where the tokens are gone already, it tells its reason"
    assert (bench.balance(wallet, "usdc").available, bench.balance(wallet, "usdc").reserved) == (500, 0)
    assert bench.balance(wallet).available == ether("1") - done.inclusion.fee_wei
    assert bench.events(made.id)[-1] == "transaction.reverted"


def test_a_token_send_moves_the_token_and_pays_gas_in_ether(bench: Bench) -> None:
    token, wallet, other = bench.token(), bench.wallet(wei=ether("1")), bench.wallet("bob")
    bench.pay_in_token(wallet, token, 1_000_000)
    made = bench.send(wallet, 400_000, asset="usdc", to=other.address)
    assert (bench.balance(wallet, "usdc").reserved, bench.balance(wallet).reserved) == (400_000, made.fee_hold_wei)
    bench.settle()
    done = bench.transaction(made.id)
    assert done.inclusion is not None
    assert done.state is TransactionState.COMPLETED
    assert (bench.balance(wallet, "usdc").available, bench.balance(other, "usdc").available) == (600_000, 400_000)
    assert bench.balance(wallet).available == ether("1") - done.inclusion.fee_wei
    bench.require_sound()


def test_a_token_that_says_no_without_reverting_has_moved_nothing(bench: Bench) -> None:
    token, wallet = bench.token(), bench.wallet(wei=ether("1"))
    bench.pay_in_token(wallet, token, 9)
    made = bench.send(wallet, 4, asset="usdc")
    bench.chain._contracts[address_to_bytes(contract_of(token))] = TokenContract(says_no=True)
    bench.settle()
    done = bench.transaction(made.id)
    assert (done.state, done.reason) == (TransactionState.REVERTED, "the token's contract reported success and moved nothing")
    assert bench.balance(wallet, "usdc").available == 9
    bench.require_sound()


def test_between_two_wallets_of_ours_each_side_is_booked_once(bench: Bench) -> None:
    one, other = bench.wallet("alice", wei=ether("1")), bench.wallet("bob")
    made = bench.send(one, ether("0.4"), to=other.address)
    bench.settle()
    (arrived,) = bench.deposits(other)
    assert (arrived.key.transaction_hash, arrived.key.amount) == (bench.transaction(made.id).hash, ether("0.4"))
    assert bench.balance(other).available == ether("0.4")
    bench.require_sound()


# In flight


def test_no_more_than_the_limit_is_in_flight_and_the_rest_follows_in_order(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("10"))
    made = []
    for _ in range(2 * IN_FLIGHT_MAX + 2):
        made.append(bench.send(wallet, ether("0.1")).id)
        bench.clock.advance(0.01)
    bench.rounds()
    held = [bench.transaction(each) for each in made]
    assert nonces(held) == [*range(IN_FLIGHT_MAX), *[None] * (IN_FLIGHT_MAX + 2)]
    assert {each.parked_reason for each in held[IN_FLIGHT_MAX:]} == {"in-flight-limit"}
    soon = bench.clock.now() + WOKEN_WITHIN / 2
    assert all(each.due_at and each.due_at > soon for each in held[IN_FLIGHT_MAX:]), "nobody is woken while there is no room"
    for _ in range(4):
        bench.rounds(2, seconds=11)
        waiting = [each for each in map(bench.transaction, made) if each.nonce is not None and each.inclusion is None]
        assert len(waiting) <= IN_FLIGHT_MAX
        bench.blocks(FINALITY + 1)
    done = [bench.transaction(each) for each in made]
    assert {each.state for each in done} == {TransactionState.COMPLETED}
    assert nonces(done) == list(range(len(made)))
    assert bench.alarms() == []
    bench.require_sound()


def test_room_that_a_block_made_while_a_send_was_parked_is_not_overlooked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever counted before that block was saved parks the send after it; no other block may come to wake it."""
    wallet = bench.wallet(wei=ether("1"))
    made, counted, counts = bench.send(wallet), MemoryUnit.in_flight_of, [{wallet.id: IN_FLIGHT_MAX}]

    def count(unit: MemoryUnit, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        return counts.pop() if counts else counted(unit, chain_id, wallet_ids)

    monkeypatch.setattr(MemoryUnit, "in_flight_of", count)
    bench.rounds()
    assert not counts
    assert bench.transaction(made.id).nonce is None
    bench.rounds()
    assert bench.transaction(made.id).nonce == 0


def test_one_wallets_queue_holds_up_nobody_else(bench: Bench) -> None:
    busy, other = bench.wallet("alice", wei=ether("10")), bench.wallet("bob", wei=ether("1"))
    for _ in range(IN_FLIGHT_MAX + 1):
        bench.send(busy)
    made = bench.send(other)
    bench.rounds()
    assert bench.transaction(made.id).state is TransactionState.BROADCASTING


# Cancelling


def test_before_a_nonce_a_send_is_taken_back_at_once(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet)
    cancelled = bench.custody.transactions.cancel(made.id)
    assert (cancelled.state, cancelled.nonce) == (TransactionState.CANCELLED, None)
    assert bench.balance(wallet).available == ether("1")
    assert bench.custody.transactions.cancel(made.id) == cancelled
    bench.settle()
    assert bench.chain.pool == []
    assert bench.events(made.id) == ["transaction.created", "transaction.queued", "transaction.cancelled"]
    bench.require_sound()


def test_after_a_nonce_a_cancellation_races_the_payment(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    asked = bench.custody.transactions.cancel(made.id)
    assert (asked.state, asked.cancel_requested_at) == (TransactionState.BROADCASTING, bench.clock.now())
    assert bench.custody.transactions.cancel(made.id) == asked
    bench.rounds()
    racing = bench.transaction(made.id)
    assert [each.kind for each in racing.attempts] == [AttemptKind.PAYMENT, AttemptKind.CANCELLATION]
    bench.settle()
    done = bench.transaction(made.id)
    assert done.inclusion is not None
    assert (done.state, done.reason) == (TransactionState.CANCELLED, "cancelled on request")
    assert bench.balance(wallet).available == ether("1") - done.inclusion.fee_wei
    bench.require_sound()


def test_a_payment_that_is_mined_first_stays_paid(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    bench.chain.mine()
    bench.custody.transactions.cancel(made.id)
    bench.settle()
    done = bench.transaction(made.id)
    assert (done.state, done.reason) == (TransactionState.COMPLETED, None)
    with pytest.raises(InvalidStateTransition):
        bench.custody.transactions.cancel(bench.deposits(wallet)[0].id)
    bench.require_sound()


def test_what_a_block_holds_cannot_be_cancelled(bench: Bench) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    bench.rounds()
    bench.blocks(1)
    with pytest.raises(InvalidStateTransition, match="confirming"):
        bench.custody.transactions.cancel(made.id)


class Interrupting(StubbornKeys):
    """A signer during whose work, once, something else happens."""

    def __init__(
        self, within: Keys, *, verifying: Callable[[], object] | None = None, signing: Callable[[], object] | None = None
    ) -> None:
        super().__init__(within)
        self.verifying, self.signing = verifying, signing

    def verify(self, key: SealedKey) -> None:
        self.within.verify(key)
        happens, self.verifying = self.verifying, None
        if happens:
            happens()

    def sign(self, authorised: object, key: SealedKey) -> SignedTransaction:
        signed = super().sign(authorised, key)
        happens, self.signing = self.signing, None
        if happens:
            happens()
        return signed


def test_a_cancellation_while_the_nonce_is_being_reserved_comes_first(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet)
    with_keys(bench, Interrupting(keys_of(bench.custody), verifying=lambda: bench.custody.transactions.cancel(made.id)))
    bench.settle()
    done = bench.transaction(made.id)
    assert (done.state, done.nonce, done.attempts) == (TransactionState.CANCELLED, None, ())
    assert bench.balance(wallet).available == ether("1")
    following = bench.send(wallet)
    bench.settle()
    assert bench.transaction(following.id).nonce == 0, "no nonce was lost"
    bench.require_sound()


def test_a_cancellation_while_the_payment_is_being_signed_keeps_its_bytes_from_leaving(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    with_keys(bench, Interrupting(keys_of(bench.custody), signing=lambda: bench.custody.transactions.cancel(made.id)))
    bench.rounds()
    assert bench.chain.pool == []
    bench.settle()
    done = bench.transaction(made.id)
    assert (done.state, [each.kind for each in done.attempts]) == (TransactionState.CANCELLED, [AttemptKind.CANCELLATION])
    assert bench.balance(wallet).available > ether("0.99")
    bench.require_sound()


def test_a_freeze_while_the_payment_is_being_signed_signs_nothing_after_it(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    freezing = Interrupting(keys_of(bench.custody), verifying=lambda: bench.custody.wallets.freeze(wallet.id, reason="stolen"))
    with_keys(bench, freezing)
    bench.settle()
    waiting = bench.transaction(made.id)
    assert (waiting.nonce, waiting.parked_reason, bench.chain.pool) == (None, "wallet-frozen", [])


# Answers that are lost, blocks that are taken back


@pytest.mark.parametrize("loss", ["lose_broadcast_answers", "drop_broadcasts"])
def test_s02_a_lost_answer_sends_the_same_bytes_again_and_pays_once(bench: Bench, loss: str) -> None:
    wallet = bench.wallet(wei=ether("1"))
    getattr(bench.chain, loss)(1)
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    assert bench.transaction(made.id).state is TransactionState.BROADCASTING
    bench.rounds(2, seconds=31)
    bench.blocks(FINALITY + 1)
    done = bench.transaction(made.id)
    assert (done.state, len(done.attempts)) == (TransactionState.COMPLETED, 1)
    bench.require_sound()


@pytest.mark.parametrize("pooled", [True, False])
def test_a_payment_whose_block_leaves_the_chain_is_sent_again(bench: Bench, pooled: bool) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    bench.blocks(2)
    bench.chain.reorg(2, pooled=pooled)
    bench.rounds()
    assert bench.transaction(made.id).state in {TransactionState.BROADCASTING, TransactionState.CONFIRMING}
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED
    assert "transaction.reorged" in bench.events(made.id)
    bench.require_sound()


def test_what_waits_too_long_is_replaced_by_the_same_payment_until_the_cap(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"), fee_per_gas_max_wei=4 * GWEI)
    bench.rounds()
    bench.chain.set_base_fee(100 * GWEI)
    for _ in range(12):
        bench.rounds(seconds=91)
    waiting = bench.transaction(made.id)
    fees = [each.fees for each in waiting.attempts]
    assert len(fees) == 2, "the first dearer attempt follows the market to the cap"
    assert waiting.newest_attempt is not None
    assert waiting.newest_attempt.fees.max_fee_per_gas_wei == 4 * GWEI * 8 // 9, "an eighth above it is kept for a cancellation"
    assert all(each.max_fee_per_gas_wei <= 4 * GWEI for each in fees)
    assert {each.kind for each in waiting.attempts} == {AttemptKind.PAYMENT}
    assert len(bench.chain.pool) == 1
    bench.chain.set_base_fee(GWEI)
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED
    bench.require_sound()


class CappedOrSilent(MemoryChain):
    """Two nodes, for as long as it is told to: one passes on no such fee, of the other nothing is heard."""

    is_capped = True

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        if not self.is_capped:
            return super().broadcast(raws)
        return [BroadcastAnswer(BroadcastOutcome.UNKNOWN, "node 2 was silent", fee_cap="node 1: above the cap") for _ in raws]


def test_s_28_a_fee_cap_beside_a_silent_node_is_shown_and_told_once() -> None:
    chain = CappedOrSilent()
    with opened(chain=chain) as bench:
        made = bench.send(bench.wallet(wei=ether("1")))
        bench.rounds(4, seconds=31)
        waiting = bench.transaction(made.id)
        assert (waiting.state, waiting.parked_reason) == (TransactionState.BROADCASTING, "provider-fee-cap")
        assert len(waiting.attempts) == 1, "what is too dear already is not made dearer"
        assert bench.alarms() == ["provider-fee-cap"]
        chain.is_capped = False
        bench.settle()
        assert bench.transaction(made.id).state is TransactionState.COMPLETED
        bench.require_sound()


# What cannot go on waits, and goes on


@pytest.mark.parametrize(
    ("method", "reason"), [("fee_history", "fee-unavailable"), ("known_nonces", "node-unavailable")], ids=["fees", "nonce"]
)
def test_what_the_node_does_not_say_parks_a_send_without_an_alarm(bench: Bench, method: str, reason: str) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    bench.chain.fail_next(method)
    bench.rounds()
    parked = bench.transaction(made.id)
    assert (parked.state, parked.parked_reason, parked.nonce) == (TransactionState.QUEUED, reason, None)
    bench.rounds(seconds=11)
    assert bench.transaction(made.id).parked_reason == reason
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED
    assert bench.alarms() == []


@pytest.mark.parametrize(
    ("fault", "alarms"),
    [
        (KeyIntegrity("it does not open"), ["key-integrity"]),
        (SignerUnavailable("no answer"), []),
        (Sealed("not loaded"), []),
    ],
    ids=lambda it: getattr(it, "code", None),
)
def test_a_signer_that_cannot_open_the_key_is_asked_before_a_nonce_is_reserved(
    bench: Bench, fault: Exception, alarms: list[str]
) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    keys = StubbornKeys(keys_of(bench.custody), on_verify=fault)
    with_keys(bench, keys)
    bench.rounds(4, seconds=11)
    parked = bench.transaction(made.id)
    assert (parked.state, parked.nonce, parked.parked_reason) == (TransactionState.QUEUED, None, getattr(fault, "code", ""))
    assert bench.alarms() == alarms, "one alarm for one trouble, however long it lasts"
    keys.on_verify = None
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED


def test_a_signer_that_fails_after_the_reservation_keeps_the_nonce_for_later(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet)
    keys = StubbornKeys(keys_of(bench.custody), on_sign=SignerUnavailable("no answer"))
    with_keys(bench, keys)
    bench.rounds(2, seconds=11)
    parked = bench.transaction(made.id)
    assert (parked.state, parked.nonce, parked.parked_reason) == (TransactionState.PENDING_SIGNATURE, 0, "signer-unavailable")
    keys.on_sign = None
    bench.settle()
    done = bench.transaction(made.id)
    assert (done.state, done.nonce, len(done.attempts)) == (TransactionState.COMPLETED, 0, 1)
    bench.require_sound()


def test_one_wallets_broken_key_holds_up_nobody_else(bench: Bench) -> None:
    broken, sound = bench.wallet("alice", wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    real = keys_of(bench.custody)

    class OneBroken(StubbornKeys):
        def verify(self, key: SealedKey) -> None:
            if key.wallet_id == broken.id:
                raise KeyIntegrity("it does not open")
            self.within.verify(key)

    with_keys(bench, OneBroken(real))
    stuck, fine = bench.send(broken), bench.send(sound)
    bench.settle()
    assert bench.transaction(stuck.id).parked_reason == "key-integrity"
    assert bench.transaction(fine.id).state is TransactionState.COMPLETED


def test_a_wallet_frozen_while_a_send_is_queued_keeps_it_until_it_is_opened(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet)
    bench.custody.wallets.freeze(wallet.id, reason="lost phone")
    bench.settle()
    waiting = bench.transaction(made.id)
    assert (waiting.state, waiting.nonce, waiting.parked_reason) == (TransactionState.QUEUED, None, "wallet-frozen")
    bench.custody.wallets.unfreeze(wallet.id)
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED


def test_a_frozen_wallet_signs_a_cancellation_whatever_was_planned(bench: Bench) -> None:
    """A dearer payment was planned, and the freeze came before its signature: asked to, the wallet still takes the payment back."""
    wallet = bench.wallet(wei=ether("1"))
    bench.chain.drop_broadcasts(10)
    made = bench.send(wallet, ether("0.5"))
    bench.rounds(seconds=91)
    bench.custody.wallets.freeze(wallet.id, reason="lost phone")
    bench.rounds(2, seconds=11)
    planned = bench.transaction(made.id)
    assert (len(planned.attempts), planned.attempts[-1].raw, planned.parked_reason) == (2, None, "wallet-frozen")
    bench.custody.transactions.cancel(made.id)
    for _ in range(12):
        bench.rounds(seconds=31)
    bench.settle()
    done = bench.transaction(made.id)
    assert (done.state, done.attempts[1].kind) == (TransactionState.CANCELLED, AttemptKind.CANCELLATION)
    assert bench.balance(wallet).available > ether("0.99")
    bench.require_sound()


# Waiting


def test_waiting_does_the_work_where_nobody_else_does_it(bench: Bench) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    assert bench.custody.transactions.wait(made.id, until="broadcasting", timeout_s=5).state is TransactionState.BROADCASTING


def test_waiting_ends_in_time_and_the_send_goes_on(bench: Bench) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    started = bench.clock.monotonic_s()
    with pytest.raises(WaitTimedOut, match="broadcasting after 3 s"):
        bench.custody.transactions.wait(made.id, timeout_s=3)
    assert 3 <= bench.clock.monotonic_s() - started < 4
    bench.settle()
    assert bench.custody.transactions.wait(made.id, timeout_s=0).state is TransactionState.COMPLETED


def test_waiting_only_waits_where_the_work_is_done_elsewhere(bench: Bench) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    bench.custody.background_works = True
    with pytest.raises(WaitTimedOut):
        bench.custody.transactions.wait(made.id, until="broadcasting", timeout_s=5)
    assert bench.transaction(made.id).state is TransactionState.QUEUED


def test_what_has_ended_otherwise_is_not_waited_for(bench: Bench) -> None:
    made = bench.send(bench.wallet(wei=ether("1")))
    bench.custody.transactions.cancel(made.id)
    for until in ("broadcasting", "confirming", "completed"):
        assert bench.custody.transactions.wait(made.id, until=until, timeout_s=0).state is TransactionState.CANCELLED


def test_waiting_for_something_that_never_comes_is_refused(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    with pytest.raises(ValidationFailed):
        bench.custody.transactions.wait(bench.send(wallet).id, until="final", timeout_s=1)
    with pytest.raises(InvalidStateTransition):
        bench.custody.transactions.wait(bench.deposits(wallet)[0].id, timeout_s=1)


def test_one_that_is_cancelled_while_another_is_reserved_for_holds_up_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that shows each statement what was committed before it may list a send as queued and then show it cancelled."""
    wallet = bench.wallet("alice", wei=ether("2"))
    cancelled, other = bench.send(wallet), bench.send(wallet)
    bench.custody.transactions.cancel(cancelled.id)
    listed = MemoryUnit.queued_of

    def listed_before(unit: MemoryUnit, *asked: object, **more: object) -> list[str]:
        return [cancelled.id, *listed(unit, *asked, **more)]  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryUnit, "queued_of", listed_before)
    bench.rounds()
    states = [bench.transaction(each.id).state for each in (cancelled, other)]
    assert states == [TransactionState.CANCELLED, TransactionState.BROADCASTING]
