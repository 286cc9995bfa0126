"""The life of an outgoing transaction: the table is the machine, and whatever happens the books add up.

`TRANSITIONS` is the oracle: what it has no edge for must raise, what it has an edge for must lead where it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain import facts
from custody_core.domain.fees import Fees
from custody_core.domain.ledger import Account, PostingGroup, Reason, WalletAccounts, net_by_account
from custody_core.domain.lifecycle import REPLACE_AFTER, RESEND_AFTER, TRANSITIONS, Act, accept, decide, next_act, park
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.tokens import NATIVE_ALIAS, Asset
from custody_core.domain.transaction import FINAL_STATES, Attempt, AttemptKind, AttemptState, Inclusion, State, Stuck, Transaction
from custody_core.errors import IllegalTransition
from tests.support import factories
from tests.support.factories import CHAIN_ID, ETH, NOW

USDC = Asset(CHAIN_ID, factories.address(5), "usdc", 6)
FACT_TYPES: tuple[type[facts.Fact], ...] = get_args(facts.Fact)
EDGES = [(state, kind) for state, row in TRANSITIONS.items() for kind in row]
NO_EDGES = [(state, kind) for state in State for kind in FACT_TYPES if kind not in TRANSITIONS[state]]
FAR_AWAY = timedelta(days=365)

HOLDING = frozenset({State.PENDING_APPROVAL, State.QUEUED})
"""States before a nonce is reserved."""


def due(transaction: Transaction, now: datetime) -> Act | None:
    """What a worker that claims what is due would do about it."""
    is_due = transaction.due_at is not None and transaction.due_at <= now
    return next_act(transaction, now) if is_due else None


def transaction_in(state: State, **changes: Any) -> Transaction:
    """A transaction as it stands in `state`, with what every transaction has by then."""
    match state:
        case State.PENDING_SIGNATURE:
            return factories.transaction(state=state, nonce=3, decision_id="dec_1", attempts=(factories.attempt(),), **changes)
        case State.BROADCASTING:
            return factories.broadcasting(nonce=3, **changes)
        case State.CONFIRMING | State.COMPLETED | State.REVERTED:
            return attrs.evolve(factories.confirming(nonce=3, **changes), state=state)
        case _:
            return factories.transaction(state=state, **changes)


def signable(transaction: Transaction) -> Transaction:
    """`transaction` with one more attempt that has no bytes yet."""
    newest = transaction.newest_attempt
    if newest is None or newest.state is AttemptState.PLANNED:
        return transaction
    return attrs.evolve(transaction, attempts=(*transaction.attempts, factories.attempt()))


def fact_for(kind: type[facts.Fact], transaction: Transaction) -> facts.Fact:
    newest = transaction.newest_attempt
    newest_id = newest.id if newest else "att_none"
    made: dict[type[facts.Fact], facts.Fact] = {
        facts.Refused: facts.Refused("no"),
        facts.Overtaken: facts.Overtaken("it may have been paid"),
        facts.NonceReserved: facts.NonceReserved(3, "dec_1", factories.attempt()),
        facts.ReplacementPlanned: facts.ReplacementPlanned(factories.attempt(fees=Fees(10**12, 10**10))),
        facts.BytesStored: facts.BytesStored(newest_id, b"\x02raw", factories.hash32()),
        facts.AttemptSent: facts.AttemptSent(newest_id),
        facts.AttemptFound: facts.AttemptFound(factories.attempt(AttemptState.FOUND, hash=factories.hash32())),
        facts.SeenInBlock: facts.SeenInBlock(inclusion_of(newest_id)),
        facts.FoundStuck: facts.FoundStuck(Stuck.FEE_AT_CAP),
        facts.NonceTakenForGood: facts.NonceTakenForGood(factories.hash32()),
    }
    return made.get(kind) or kind()  # type: ignore[call-arg]


def inclusion_of(attempt_id: str, *, height: int = 100, succeeded: bool = True, gas: int = 21_000, price: int = 10**9) -> Inclusion:
    return Inclusion(attempt_id, factories.block_ref(height), succeeded, gas, price)


# The table


def test_the_table_has_a_row_for_every_state_and_ends_where_a_transaction_is_final() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, row in TRANSITIONS.items() if not row} == FINAL_STATES
    used = {kind for _, kind in EDGES}
    assert used == set(FACT_TYPES)


def test_every_final_state_can_be_reached_and_is_left_never() -> None:
    reached, frontier = set[State](), {State.PENDING_APPROVAL}
    while frontier:
        reached |= frontier
        frontier = {edge.to for state in frontier for edge in TRANSITIONS[state].values()} - reached
    assert reached == set(State)


@pytest.mark.parametrize(("state", "kind"), EDGES, ids=lambda it: getattr(it, "__name__", str(it)))
def test_every_edge_leads_where_the_table_says(state: State, kind: type[facts.Fact]) -> None:
    transaction = transaction_in(state)
    if kind is facts.BytesStored:
        transaction = signable(transaction)
    edge = TRANSITIONS[state][kind]
    fact, later = fact_for(kind, transaction), NOW + timedelta(seconds=1)
    change = decide(transaction, fact, later)
    assert (change.transaction.state, change.event) == (edge.to, edge.event)
    assert (change.transaction.version, change.transaction.updated_at) == (transaction.version + 1, later)
    assert bool(change.postings) == (edge.to in FINAL_STATES)
    assert decide(transaction, fact, later) == change


@pytest.mark.parametrize(("state", "kind"), NO_EDGES, ids=lambda it: getattr(it, "__name__", str(it)))
def test_what_the_table_has_no_edge_for_cannot_happen(state: State, kind: type[facts.Fact]) -> None:
    transaction = transaction_in(state)
    with pytest.raises(IllegalTransition, match=transaction.id):
        decide(transaction, fact_for(kind, transaction), NOW)


def test_each_edge_says_why_it_exists() -> None:
    assert all(edge.because for row in TRANSITIONS.values() for edge in row.values())


# What is due

SENT, SIGNED, PLANNED = (factories.attempt(state) for state in (AttemptState.SENT, AttemptState.SIGNED, AttemptState.PLANNED))
CANCELLATION = factories.attempt(AttemptState.SENT, kind=AttemptKind.CANCELLATION)


@pytest.mark.parametrize(
    ("transaction", "after", "act"),
    [
        (transaction_in(State.PENDING_APPROVAL, due_at=None), FAR_AWAY, None),
        (transaction_in(State.QUEUED), timedelta(0), Act.RESERVE),
        (transaction_in(State.PENDING_SIGNATURE), timedelta(0), Act.SIGN),
        (factories.broadcasting(attempts=(SIGNED,)), timedelta(0), Act.SEND),
        (factories.broadcasting(attempts=(SENT,)), RESEND_AFTER, Act.SEND),
        (factories.broadcasting(attempts=(SENT,)), REPLACE_AFTER - timedelta(seconds=1), Act.SEND),
        (factories.broadcasting(attempts=(SENT,)), REPLACE_AFTER, Act.REPLACE),
        (factories.broadcasting(attempts=(SENT, PLANNED)), timedelta(0), Act.SIGN),
        (factories.broadcasting(attempts=(SENT, SIGNED)), FAR_AWAY, Act.SEND),
        (factories.broadcasting(attempts=(SENT,), cancel_requested_at=NOW), timedelta(0), Act.REPLACE),
        (factories.broadcasting(attempts=(SIGNED,), cancel_requested_at=NOW), timedelta(0), Act.SEND),
        (factories.broadcasting(attempts=(SENT, CANCELLATION), cancel_requested_at=NOW), timedelta(0), Act.SEND),
        (factories.broadcasting(attempts=(SENT, CANCELLATION), cancel_requested_at=NOW), REPLACE_AFTER, Act.REPLACE),
        (factories.confirming(), FAR_AWAY, None),
        (factories.confirming(due_at=NOW), FAR_AWAY, None),
        *[(factories.transaction(state=state), FAR_AWAY, None) for state in sorted(FINAL_STATES)],
    ],
    ids=lambda it: f"{it.state}-{len(it.attempts)}" if isinstance(it, Transaction) else None,
)
def test_state_and_newest_attempt_name_the_one_act_that_is_due(transaction: Transaction, after: timedelta, act: Act | None) -> None:
    assert due(transaction, NOW + after) is act


@pytest.mark.parametrize("state", State)
def test_nothing_is_due_before_its_time(state: State) -> None:
    waiting = transaction_in(state)
    assert due(attrs.evolve(waiting, due_at=NOW), NOW - timedelta(microseconds=1)) is None
    assert due(attrs.evolve(waiting, due_at=None), NOW + FAR_AWAY) is None


# Attempts


def test_a_transactions_bytes_never_change_once_they_are_there() -> None:
    for attempt in (SIGNED, SENT):
        transaction = factories.broadcasting(attempts=(attempt,))
        with pytest.raises(IllegalTransition):
            decide(transaction, facts.BytesStored(attempt.id, b"\x02others", factories.hash32()), NOW)


def test_what_has_no_bytes_was_never_sent() -> None:
    with pytest.raises(IllegalTransition):
        decide(factories.broadcasting(attempts=(SENT, PLANNED)), facts.AttemptSent(PLANNED.id), NOW)


def test_only_the_newest_attempt_is_signed_and_sent() -> None:
    transaction = factories.broadcasting(attempts=(SENT, SIGNED))
    for fact in (facts.AttemptSent(SENT.id), facts.BytesStored(SENT.id, b"\x02", factories.hash32())):
        with pytest.raises(IllegalTransition):
            decide(transaction, fact, NOW)


def test_sending_again_keeps_the_first_time_so_that_waiting_counts_from_there() -> None:
    sent = decide(factories.broadcasting(attempts=(SIGNED,)), facts.AttemptSent(SIGNED.id), NOW).transaction
    again = decide(sent, facts.AttemptSent(SIGNED.id), NOW + RESEND_AFTER).transaction
    assert again.newest_attempt is not None
    assert again.newest_attempt.first_sent_at == NOW
    assert again.due_at == NOW + 2 * RESEND_AFTER


# Cancelling


@pytest.mark.parametrize("state", sorted(HOLDING))
def test_before_a_nonce_a_cancellation_ends_it_at_once(state: State) -> None:
    change = decide(transaction_in(state), facts.CancelAsked(), NOW)
    assert (change.transaction.state, change.transaction.reason) == (State.CANCELLED, "cancelled on request")
    assert [group.reason for group in change.postings] == [Reason.SEND_RELEASED]


def test_a_planned_attempt_becomes_the_cancellation() -> None:
    asked = decide(transaction_in(State.PENDING_SIGNATURE), facts.CancelAsked(), NOW).transaction
    assert [attempt.kind for attempt in asked.attempts] == [AttemptKind.CANCELLATION]
    assert (asked.state, asked.cancel_requested_at, asked.reason) == (State.PENDING_SIGNATURE, NOW, None)


def test_so_does_a_dearer_attempt_that_is_planned_and_not_signed() -> None:
    asked = decide(factories.broadcasting(attempts=(SENT, PLANNED)), facts.CancelAsked(), NOW).transaction
    assert [attempt.kind for attempt in asked.attempts] == [AttemptKind.PAYMENT, AttemptKind.CANCELLATION]
    assert due(asked, NOW) is Act.SIGN


def test_a_cancellation_that_may_cost_more_than_the_payment_holds_the_difference_and_settles_all_of_it() -> None:
    for asset, life in story(*TO_SENT):
        it = life.transaction
        native, gas = life.accounts(NATIVE_ALIAS), it.gas_limit
        life.paid_in[NATIVE_ALIAS] += 10 * gas * it.fee_per_gas_max_wei
        for times in (2, 3, 1):  # the last one raises nothing
            change = decide(life.transaction, facts.CancelAsked(times * it.fee_per_gas_max_wei), NOW)
            life.transaction, life.groups = change.transaction, [*life.groups, *change.postings]
        held = net_by_account(life.groups)[native.reserved] - (it.amount if asset == ETH else 0)
        assert held == life.transaction.fee_hold_wei == 3 * gas * it.fee_per_gas_max_wei
        assert life.transaction.fee_cap_wei(AttemptKind.PAYMENT) == it.fee_per_gas_max_wei
        assert life.transaction.fee_cap_wei(AttemptKind.CANCELLATION) == 3 * it.fee_per_gas_max_wei
        assert life.transaction.cancel_requested_at == NOW
        cancellation = factories.attempt(kind=AttemptKind.CANCELLATION)
        mined = facts.SeenInBlock(inclusion_of(cancellation.id, price=3 * it.fee_per_gas_max_wei))
        for fact in (facts.ReplacementPlanned(cancellation), fact_for(facts.BytesStored, it), mined, facts.FinalCancellation()):
            told = attrs.evolve(fact, attempt_id=cancellation.id) if isinstance(fact, facts.BytesStored) else fact
            change = decide(life.transaction, told, NOW)
            life.transaction, life.groups = change.transaction, [*life.groups, *change.postings]
        assert net_by_account(life.groups).get(native.reserved, 0) == 0
        assert net_by_account(life.groups)[native.fees] == 21_000 * 3 * it.fee_per_gas_max_wei


def test_a_cancellation_before_a_nonce_holds_nothing_more() -> None:
    change = decide(transaction_in(State.QUEUED), facts.CancelAsked(10**15), NOW)
    assert (change.transaction.state, change.transaction.cancel_fee_per_gas_max_wei) == (State.CANCELLED, None)


# What the books had lost


def test_an_attempt_that_comes_back_takes_the_place_of_one_that_was_only_planned() -> None:
    found = factories.attempt(AttemptState.FOUND, kind=AttemptKind.CANCELLATION, first_sent_at=NOW)
    for before in (transaction_in(State.PENDING_SIGNATURE), factories.broadcasting(attempts=(SENT, PLANNED))):
        after = decide(before, facts.AttemptFound(found), NOW).transaction
        assert after.attempts == (*before.attempts[:-1], attrs.evolve(found, id=before.attempts[-1].id))
        assert (after.state, due(after, NOW)) == (State.BROADCASTING, Act.SEND)


def test_an_attempt_that_comes_back_stays_found_when_it_is_sent_again() -> None:
    found = factories.attempt(AttemptState.FOUND, first_sent_at=NOW)
    back = decide(factories.broadcasting(attempts=(SENT,)), facts.AttemptFound(found), NOW).transaction
    again = decide(back, facts.AttemptSent(found.id), NOW).transaction
    assert again.attempts == (SENT, found)


def test_what_is_signed_stays_what_it_is() -> None:
    for attempts in ((SENT,), (SENT, SIGNED)):
        asked = decide(factories.broadcasting(attempts=attempts), facts.CancelAsked(), NOW).transaction
        assert asked.attempts == attempts


def test_a_payment_that_wins_the_race_against_its_cancellation_is_not_called_cancelled() -> None:
    asked = decide(factories.broadcasting(attempts=(SENT,)), facts.CancelAsked(), NOW).transaction
    seen = decide(asked, facts.SeenInBlock(inclusion_of(SENT.id)), NOW).transaction
    completed = decide(seen, facts.FinalSuccess(), NOW).transaction
    assert (completed.state, completed.reason, completed.cancel_requested_at) == (State.COMPLETED, None, NOW)


def test_a_cancellation_that_wins_says_so() -> None:
    asked = attrs.evolve(factories.broadcasting(attempts=(SENT, CANCELLATION)), cancel_requested_at=NOW)
    seen = decide(asked, facts.SeenInBlock(inclusion_of(CANCELLATION.id)), NOW).transaction
    cancelled = decide(seen, facts.FinalCancellation(), NOW).transaction
    assert (cancelled.state, cancelled.reason) == (State.CANCELLED, "cancelled on request")


# Parking


def test_what_cannot_go_on_waits_where_it_is_and_says_why() -> None:
    transaction = transaction_in(State.QUEUED)
    parked = park(transaction, reason="node-unavailable", until=NOW + RESEND_AFTER, now=NOW)
    assert (parked.state, parked.parked_reason, parked.version) == (State.QUEUED, "node-unavailable", transaction.version + 1)
    assert (due(parked, NOW), due(parked, NOW + RESEND_AFTER)) == (None, Act.RESERVE)
    assert decide(parked, fact_for(facts.NonceReserved, parked), NOW).transaction.parked_reason is None


# The books


class Life:
    """A transaction with its books, driven by facts, and what has to be true after each of them."""

    def __init__(self, transaction: Transaction, *, spare: int) -> None:
        self.transaction = transaction
        self.now = transaction.created_at
        self.paid_in = {NATIVE_ALIAS: transaction.fee_hold_wei + spare}
        self.paid_in[transaction.asset.key] = self.paid_in.get(transaction.asset.key, spare) + transaction.amount
        change = accept(transaction, self.now)
        self.groups: list[PostingGroup] = list(change.postings)
        self.check()

    def happens(self, fact: facts.Fact) -> None:
        before = self.transaction
        self.now += timedelta(seconds=1)
        if type(fact) not in TRANSITIONS[before.state]:
            with pytest.raises(IllegalTransition):
                decide(before, fact, self.now)
            return
        change = decide(before, fact, self.now)
        self.transaction = change.transaction
        self.groups += change.postings
        self.check()
        self.check_history(before)

    def accounts(self, asset: str) -> WalletAccounts:
        return WalletAccounts(self.transaction.chain_id, asset, self.transaction.wallet_id)

    def check(self) -> None:
        net, it = net_by_account(self.groups), self.transaction
        fee = it.inclusion.fee_wei if it.inclusion and it.is_final else 0
        for asset, paid_in in self.paid_in.items():
            own = self.accounts(asset)

            def of(account: Account) -> int:
                return net.get(account, 0)

            held = (it.amount if asset == it.asset.key else 0) + (it.fee_hold_wei if asset == NATIVE_ALIAS else 0)
            gone = it.amount if it.state is State.COMPLETED and asset == it.asset.key else 0
            spent = fee if asset == NATIVE_ALIAS else 0
            available = paid_in + of(own.available)
            assert of(own.reserved) == (0 if it.is_final else held)
            assert (of(own.external), of(own.fees)) == (gone, spent)
            assert available == paid_in - (gone + spent if it.is_final else held)
            assert available >= 0
            assert available + of(own.reserved) + of(own.external) + of(own.fees) == paid_in
        names = [(group.reference, group.reason) for group in self.groups]
        assert len(names) == len(set(names)) == (2 if it.is_final else 1)

    def check_history(self, before: Transaction) -> None:
        after = self.transaction
        assert after.version == before.version + 1
        assert before.nonce is None or after.nonce == before.nonce
        assert [attempt.id for attempt in after.attempts][: len(before.attempts)] == [attempt.id for attempt in before.attempts]
        for old, new in zip(before.attempts, after.attempts, strict=False):
            assert old.raw is None or (old.raw, old.hash) == (new.raw, new.hash)
        intent = ("id", "wallet_id", "owner_id", "asset", "sender", "to", "amount", "gas_limit", "fee_per_gas_max_wei")
        assert all(getattr(before, name) == getattr(after, name) for name in intent)
        if after.is_final:
            assert after.due_at is None
        if after.state in {State.QUEUED, State.PENDING_SIGNATURE, State.BROADCASTING}:
            assert due(after, self.now + FAR_AWAY) is not None, "nothing would ever happen again"
        on_chain = after.state in {State.COMPLETED, State.REVERTED} or (after.state is State.CANCELLED and after.nonce is not None)
        assert (after.inclusion is not None) == (on_chain or after.state is State.CONFIRMING)


def next_fact(data: st.DataObject, life: Life) -> facts.Fact:
    """A fact that may reach the transaction now: one that its services could tell, or any other that must be refused."""
    it = life.transaction
    kind = data.draw(
        st.sampled_from(sorted(TRANSITIONS[it.state] or FACT_TYPES, key=lambda each: each.__name__)) | st.sampled_from(FACT_TYPES)
    )
    newest = it.newest_attempt
    if kind is facts.SeenInBlock and newest is not None:
        signed = [attempt.id for attempt in it.attempts if attempt.raw is not None]
        if signed:
            used = data.draw(st.integers(21_000, it.gas_limit)), data.draw(st.integers(1, it.fee_per_gas_max_wei))
            attempt_id, succeeded = data.draw(st.sampled_from(signed)), data.draw(st.booleans())
            return facts.SeenInBlock(inclusion_of(attempt_id, succeeded=succeeded, gas=used[0], price=used[1]))
    unsound = {
        facts.BytesStored: newest is not None and newest.raw is not None,
        facts.AttemptSent: newest is not None and newest.raw is None,
        facts.ReplacementPlanned: newest is not None and newest.raw is None,
    }
    if unsound.get(kind, False) and kind in TRANSITIONS[it.state]:
        return facts.CancelAsked()
    if kind in {facts.FinalSuccess, facts.FinalRevert, facts.FinalCancellation} and it.inclusion is not None:
        return final_fact(it, it.inclusion)
    return fact_for(kind, it)


def final_fact(transaction: Transaction, inclusion: Inclusion) -> facts.Fact:
    mined = next(attempt for attempt in transaction.attempts if attempt.id == inclusion.attempt_id)
    if mined.kind is AttemptKind.CANCELLATION:
        return facts.FinalCancellation()
    return facts.FinalSuccess() if inclusion.succeeded else facts.FinalRevert()


@given(
    asset=st.sampled_from([ETH, USDC]),
    amount=st.integers(1, UINT256_MAX),
    gas_limit=st.integers(21_000, 2**24),
    cap=st.integers(1, 10**15),
    spare=st.sampled_from([0, 1, 10**20]),
    state=st.sampled_from(sorted(HOLDING)),
    data=st.data(),
)
def test_whatever_happens_the_hold_is_settled_exactly_once_and_the_books_add_up(
    asset: Asset, amount: int, gas_limit: int, cap: int, spare: int, state: State, data: st.DataObject
) -> None:
    transaction = factories.transaction(asset=asset, amount=amount, gas_limit=gas_limit, fee_per_gas_max_wei=cap, state=state)
    life = Life(transaction, spare=spare)
    for _ in range(data.draw(st.integers(0, 25))):
        life.happens(next_fact(data, life))


def story(*steps: type[facts.Fact] | str) -> Iterator[tuple[Asset, Life]]:
    """The same life for ether and for a token."""
    for asset in (ETH, USDC):
        life = Life(factories.transaction(asset=asset, gas_limit=60_000), spare=1)
        for step in steps:
            it = life.transaction
            match step:
                case "payment mined" | "payment reverted" | "cancellation mined":
                    wanted = AttemptKind.CANCELLATION if step.startswith("cancel") else AttemptKind.PAYMENT
                    mined = next(attempt for attempt in it.attempts if attempt.kind is wanted)
                    life.happens(facts.SeenInBlock(inclusion_of(mined.id, succeeded=step != "payment reverted", gas=50_000)))
                case "cancellation planned":
                    life.happens(facts.ReplacementPlanned(factories.attempt(kind=AttemptKind.CANCELLATION)))
                case str():
                    raise AssertionError(step)
                case _:
                    life.happens(fact_for(step, it))
        yield asset, life


TO_SENT = (facts.NonceReserved, facts.BytesStored, facts.AttemptSent)
CANCELLED = (facts.CancelAsked, "cancellation planned", facts.BytesStored, facts.AttemptSent)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ((*TO_SENT, "payment mined", facts.FinalSuccess), State.COMPLETED),
        ((*TO_SENT, "payment reverted", facts.FinalRevert), State.REVERTED),
        ((*TO_SENT, "payment mined", facts.DroppedByReorg, "payment mined", facts.FinalSuccess), State.COMPLETED),
        ((*TO_SENT, *CANCELLED, "cancellation mined", facts.FinalCancellation), State.CANCELLED),
        ((*TO_SENT, *CANCELLED, "payment mined", facts.FinalSuccess), State.COMPLETED),
        (
            (*TO_SENT, *CANCELLED, "cancellation mined", facts.DroppedByReorg, "payment mined", facts.FinalSuccess),
            State.COMPLETED,
        ),
        ((facts.NonceReserved, facts.CancelAsked, *TO_SENT[1:], "cancellation mined", facts.FinalCancellation), State.CANCELLED),
        ((*TO_SENT, facts.NonceTakenForGood), State.FAILED),
        ((facts.NonceReserved, facts.NonceTakenForGood), State.FAILED),
        ((facts.Refused,), State.REJECTED),
        ((facts.CancelAsked,), State.CANCELLED),
    ],
)
def test_every_ending_is_reached_with_the_books_in_order(steps: tuple[type[facts.Fact] | str, ...], state: State) -> None:
    for _, life in story(*steps):
        assert life.transaction.state is state
        settlement = life.groups[-1]
        inclusion = life.transaction.inclusion
        assert settlement.reason is (Reason.SEND_SETTLED if inclusion else Reason.SEND_RELEASED)
        assert settlement.height == (inclusion.block.number if inclusion else None)


def test_what_the_policy_refused_at_once_holds_nothing() -> None:
    change = accept(factories.transaction(state=State.REJECTED), NOW)
    assert (change.postings, change.event) == ((), "rejected")


def test_a_receipt_that_cost_more_than_was_held_is_never_booked() -> None:
    transaction = factories.confirming()
    assert transaction.inclusion is not None
    dear = attrs.evolve(transaction.inclusion, effective_gas_price_wei=transaction.fee_per_gas_max_wei + 1)
    with pytest.raises(ValueError, match="movement"):
        decide(attrs.evolve(transaction, inclusion=dear), facts.FinalSuccess(), NOW)


def test_time_is_a_value() -> None:
    """The same fact at another time makes the same change but for the times that it notes."""
    transaction = transaction_in(State.QUEUED)
    fact = fact_for(facts.NonceReserved, transaction)

    def at(now: datetime) -> Transaction:
        return attrs.evolve(decide(transaction, fact, now).transaction, due_at=None, updated_at=NOW)

    assert at(NOW) == at(NOW + FAR_AWAY)


def test_an_attempt_without_bytes_is_the_only_one_that_is_signed() -> None:
    for attempts in ((PLANNED,), (SENT, PLANNED)):
        newest: Attempt = attempts[-1]
        transaction = factories.broadcasting(attempts=attempts)
        stored = decide(transaction, facts.BytesStored(newest.id, b"\x02raw", factories.hash32(4)), NOW).transaction
        assert stored.newest_attempt is not None
        assert (stored.newest_attempt.state, stored.newest_attempt.hash) == (AttemptState.SIGNED, factories.hash32(4))
        assert due(stored, NOW) is Act.SEND
