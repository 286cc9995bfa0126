"""A set of requests to send is accepted exactly as its requests would be one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody_core import (
    CustodyError,
    IdempotencyKeyReused,
    InsufficientFunds,
    Limits,
    NodeUnavailable,
    NotFound,
    ValidationFailed,
    Wallet,
    ether,
)
from custody_core.services.accepting import Accepted, Asked
from custody_core.services.batching import Batch, Payout
from tests.support import factories
from tests.unit.core.services.bench import FINALITY, FRIEND, Bench, contract_of, opened

FUNDS = ether("1")
TOKENS = 1000


@attrs.frozen
class Wish:
    """A request, by numbers, so that the same one can be made of two services."""

    wallet: int
    amount: int
    key: str
    external_id: str | None
    asset: str
    to_itself: bool


WISHES = st.builds(
    Wish,
    wallet=st.integers(0, 2),
    amount=st.sampled_from([1, 400, 700, ether("0.3"), ether("0.6"), ether("2")]),
    key=st.sampled_from(["a", "b", "c", "d", "e"]),
    external_id=st.sampled_from([None, None, "order-1", "order-2"]),
    asset=st.sampled_from(["eth", "eth", "usdc", "none"]),
    to_itself=st.sampled_from([False, False, False, True]),
)


def prepared(bench: Bench) -> list[Wallet]:
    """Two wallets of one owner and one of another, with ether and tokens."""
    token = bench.token()
    wallets = [bench.wallet(owner, key=f"w{index}") for index, owner in enumerate(["alice", "alice", "bob"])]
    for wallet in wallets:
        bench.chain.send_ether(wallet.address, FUNDS)
        bench.chain.send_token(contract_of(token), wallet.address, TOKENS)
    bench.blocks(FINALITY + 1)
    return wallets


def asked(bench: Bench, wallets: Sequence[Wallet], wish: Wish) -> Asked:
    wallet = wallets[wish.wallet]
    return bench.custody.transactions.ask(
        wallet.id,
        to=wallet.address if wish.to_itself else FRIEND,
        amount=wish.amount,
        asset=wish.asset,
        external_id=wish.external_id,
        idempotency_key=wish.key,
    )


def told(outcome: Accepted | CustodyError) -> object:
    """What a caller could tell apart. Of two refusals one is as good as the other: in a set, the cheaper one comes first."""
    if isinstance(outcome, CustodyError):
        return "refused"
    told_alike = ("state", "asset", "amount", "external_id", "fee", "reason")
    return outcome.replayed, {name: outcome.answer[name] for name in told_alike}


@settings(max_examples=40, deadline=None)
@given(wishes=st.lists(WISHES, min_size=1, max_size=12))
def test_a_set_is_accepted_as_its_requests_would_be_one_by_one(wishes: list[Wish]) -> None:
    with opened(limits=Limits(key_pool_size=3)) as together, opened(limits=Limits(key_pool_size=3)) as alone:
        ours, theirs = prepared(together), prepared(alone)
        of_a_set = together.custody.transactions.accept_all([asked(together, ours, wish) for wish in wishes])
        one_by_one = [alone.custody.transactions.accept_all([asked(alone, theirs, wish)])[0] for wish in wishes]
        assert [told(outcome) for outcome in of_a_set] == [told(outcome) for outcome in one_by_one]
        for wallet, other in zip(ours, theirs, strict=True):
            for asset in ("eth", "usdc"):
                assert together.balance(wallet, asset).available == alone.balance(other, asset).available
            assert len(together.outgoing(wallet)) == len(alone.outgoing(other))
        together.require_sound()


def test_two_of_a_set_cannot_spend_the_same_ether(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    wishes = [
        bench.custody.transactions.ask(wallet.id, to=FRIEND, amount=ether("0.6"), idempotency_key=f"k{number}")
        for number in range(3)
    ]
    outcomes = bench.custody.transactions.accept_all(wishes)
    assert [type(outcome) for outcome in outcomes] == [Accepted, InsufficientFunds, InsufficientFunds]
    bench.settle()
    bench.require_sound()


def test_the_same_request_twice_in_a_set_is_one_send(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    wish = bench.custody.transactions.ask(wallet.id, to=FRIEND, amount=ether("0.1"), idempotency_key="once")
    first, second = bench.custody.transactions.accept_all([wish, wish])
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert (first.transaction, first.replayed, second.replayed) == (second.transaction, False, True)
    assert len(bench.outgoing(wallet)) == 1


def test_the_node_is_asked_once_for_a_set_and_its_silence_refuses_only_what_is_new(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    before = bench.send(wallet, idempotency_key="before")
    wishes = [
        bench.custody.transactions.ask(wallet.id, to=FRIEND, amount=ether("0.1"), idempotency_key=key)
        for key in ("before", f"new-{factories.number()}", f"new-{factories.number()}")
    ]
    bench.chain.fail_next("estimate_gas")
    replayed, *refused = bench.custody.transactions.accept_all(wishes)
    assert isinstance(replayed, Accepted)
    assert (replayed.transaction, replayed.replayed) == (before, True)
    assert [type(outcome) for outcome in refused] == [NodeUnavailable, NodeUnavailable]


def batch_of(wallet: Wallet, *amounts: int, to: str = FRIEND) -> Batch:
    payouts = [Payout(to=to, amount=amount, external_id=f"order-{index}") for index, amount in enumerate(amounts)]
    return Batch(wallet_id=wallet.id, payouts=payouts)


def told_of(outcomes: Sequence[Accepted | CustodyError]) -> list[object]:
    return [each.code if isinstance(each, CustodyError) else each.replayed for each in outcomes]


def test_each_payout_of_a_batch_has_a_result_of_its_own_and_again_the_same(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    batch = batch_of(wallet, ether("0.3"), 0, ether("0.3"), ether("0.6"))
    once = bench.custody.transactions.accept_batch(batch, idempotency_key="payday")
    assert told_of(once) == [False, "invalid-amount", False, "insufficient-funds"]
    again = bench.custody.transactions.accept_batch(batch, idempotency_key="payday")
    assert told_of(again) == [True, "invalid-amount", True, "insufficient-funds"]
    bench.settle()
    assert [each.external_id for each in bench.outgoing(wallet)] == ["order-2", "order-0"]
    bench.require_sound()


def test_a_batch_key_with_another_batch_changes_nothing(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.custody.transactions.accept_batch(batch_of(wallet, 1, 2), idempotency_key="payday")
    for other in (batch_of(wallet, 1, 3), batch_of(wallet, 1, 2, 3), batch_of(wallet, 1)):
        with pytest.raises(IdempotencyKeyReused):
            bench.custody.transactions.accept_batch(other, idempotency_key="payday")
    assert len(bench.outgoing(wallet)) == 2


def test_a_batch_key_and_a_single_sends_key_are_not_in_each_others_way(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.custody.transactions.accept_batch(batch_of(wallet, 1), idempotency_key="payday")
    bench.send(wallet, 1, idempotency_key="payday")
    assert len(bench.outgoing(wallet)) == 2


def test_a_batch_that_no_single_request_could_be_is_refused_whole(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    twice = Batch(wallet_id=wallet.id, payouts=[Payout(to=FRIEND, amount=1, external_id="same")] * 2)
    for wrong in (twice, batch_of(wallet), batch_of(wallet, *[1] * 501)):
        with pytest.raises(ValidationFailed):
            bench.custody.transactions.accept_batch(wrong, idempotency_key="payday")
    with pytest.raises(NotFound):
        bench.custody.transactions.accept_batch(batch_of(wallet, 1), idempotency_key="payday", owner_id="usr_other")
    assert bench.outgoing(wallet) == []


def test_a_batch_key_is_bound_to_the_whole_batch_also_where_items_cannot_be_read(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bad = Payout(to="0x00", amount=1, external_id="bad")
    good, other = (Payout(to=FRIEND, amount=1, external_id=name) for name in ("good", "other"))

    def accept(*payouts: Payout) -> Sequence[Accepted | CustodyError]:
        batch = Batch(wallet_id=wallet.id, payouts=payouts)
        return bench.custody.transactions.accept_batch(batch, idempotency_key="payday")

    assert told_of(accept(bad, good)) == ["invalid-address", False]
    for another in ((other,), (bad, other), (good,)):
        with pytest.raises(IdempotencyKeyReused):
            accept(*another)
    assert told_of(accept(bad, good)) == ["invalid-address", True]
    assert len(bench.outgoing(wallet)) == 1
