"""Accepting a send: what is answered again, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from custody_core import (
    ChainHalted,
    CustodyError,
    ExternalIdExists,
    FeeAboveCap,
    FeeUnavailable,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidAddress,
    InvalidAmount,
    InvalidRequest,
    Limits,
    NodeUnavailable,
    NotFound,
    PolicyDenied,
    SimulationReverted,
    TransactionState,
    UnsupportedAsset,
    ValidationFailed,
    WalletFrozen,
    ether,
)
from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.fees import GWEI
from custody_core.services.market import RECENT_S
from custody_core.services.previewing import Simulation
from custody_memory.chain import MemoryChain
from tests.support import factories
from tests.unit.core.services.bench import FRIEND, Bench, contract_of, opened

DENY_ALL = {"version": 1, "rules": [{"id": "stop", "when": {}, "then": {"deny": True}}]}
PLAIN_GAS = 21_000


# The same key


def test_the_same_key_and_body_is_the_same_transaction(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    once = bench.send(wallet, idempotency_key="payout-1", metadata={"b": "2", "a": "1"})
    again = bench.send(wallet, idempotency_key="payout-1", metadata={"a": "1", "b": "2"}, to=FRIEND.lower())
    assert again == once
    bench.settle()
    assert bench.send(wallet, idempotency_key="payout-1", metadata={"a": "1", "b": "2"}).state is TransactionState.COMPLETED
    assert len(bench.outgoing(wallet)) == 1
    assert bench.balance(wallet).reserved == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": ether("0.2")},
        {"to": factories.address(0xF002)},
        {"tier": "fast"},
        {"external_id": "order-1"},
        {"metadata": {"a": "2"}},
        {"fee_per_gas_max_wei": 90 * GWEI},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_same_key_with_another_body_is_refused_and_changes_nothing(bench: Bench, changed: dict[str, Any]) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.send(wallet, idempotency_key="payout-1", metadata={"a": "1"})
    before = bench.balance(wallet)
    with pytest.raises(IdempotencyKeyReused):
        bench.send(wallet, **({"idempotency_key": "payout-1", "metadata": {"a": "1"}} | changed))
    assert bench.balance(wallet) == before
    assert len(bench.outgoing(wallet)) == 1


def test_a_key_used_for_one_wallet_is_not_free_for_another_of_the_same_owner(bench: Bench) -> None:
    one, other = bench.wallet(wei=ether("1")), bench.wallet(wei=ether("1"))
    bench.send(one, idempotency_key="payout-1")
    with pytest.raises(IdempotencyKeyReused):
        bench.send(other, idempotency_key="payout-1")


def test_another_owners_key_is_another_key(bench: Bench) -> None:
    ours, theirs = bench.wallet("alice", wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    first, second = bench.send(ours, idempotency_key="payout-1"), bench.send(theirs, idempotency_key="payout-1")
    assert (first.wallet_id, second.wallet_id) == (ours.id, theirs.id)


def test_a_wallets_key_and_a_sends_key_are_not_in_each_others_way(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"), key="same")
    assert bench.send(wallet, idempotency_key="same").wallet_id == wallet.id


def test_a_send_that_failed_does_not_consume_its_key(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    with pytest.raises(InsufficientFunds):
        bench.send(wallet, ether("5"), idempotency_key="payout-1")
    with pytest.raises(InvalidAddress):
        bench.send(wallet, to=wallet.address, idempotency_key="payout-1")
    bench.chain.fail_next("estimate_gas")
    with pytest.raises(NodeUnavailable):
        bench.send(wallet, idempotency_key="payout-1")
    bench.clock.advance(RECENT_S)
    bench.chain.fail_next("fee_history")
    with pytest.raises(FeeUnavailable):
        bench.send(wallet, idempotency_key="payout-1")
    assert bench.send(wallet, ether("0.3"), idempotency_key="payout-1").amount == ether("0.3")


@pytest.mark.parametrize("key", ["", None])
def test_without_a_key_nothing_is_sent(bench: Bench, key: str | None) -> None:
    with pytest.raises(IdempotencyKeyMissing):
        bench.send(bench.wallet(), idempotency_key=key)


@pytest.mark.parametrize("key", ["x" * 256, "two words", "tab\t", "line\n", "ümlaut", "\x7f", "\uff11", 5, b"bytes"])
def test_a_key_is_visible_ascii_of_bounded_length(bench: Bench, key: object) -> None:
    with pytest.raises(InvalidRequest):
        bench.send(bench.wallet(), idempotency_key=key)
    with pytest.raises(InvalidRequest):
        bench.custody.wallets.create(owner="alice", idempotency_key=key)  # type: ignore[arg-type]


def test_the_longest_key_works(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    assert bench.send(wallet, idempotency_key="~" * 255) == bench.send(wallet, idempotency_key="~" * 255)


def test_an_external_id_names_one_transaction_of_an_owner(bench: Bench) -> None:
    ours, theirs = bench.wallet("alice", wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    made = bench.send(ours, external_id="order-1", idempotency_key="k-1")
    assert bench.send(ours, external_id="order-1", idempotency_key="k-1") == made
    with pytest.raises(ExternalIdExists) as refusal:
        bench.send(ours, external_id="order-1")
    assert refusal.value.pointer == "/external_id"
    assert bench.send(theirs, external_id="order-1").external_id == "order-1"


# Refusals


REFUSALS: dict[str, tuple[dict[str, Any], type[CustodyError], str | None]] = {
    "no such asset": ({"asset": "doge"}, UnsupportedAsset, "/asset"),
    "an amount of nothing": ({"amount": 0}, InvalidAmount, "/amount"),
    "a negative amount": ({"amount": -1}, InvalidAmount, "/amount"),
    "more than a word holds": ({"amount": 2**256}, InvalidAmount, "/amount"),
    "no address": ({"to": "vitalik.eth"}, InvalidAddress, "/to"),
    "the zero address": ({"to": "0x" + "00" * 20}, InvalidAddress, "/to"),
    "a precompile": ({"to": address_from_bytes((4).to_bytes(20, "big"))}, InvalidAddress, "/to"),
    "an unknown tier": ({"tier": "ludicrous"}, ValidationFailed, "/fee/tier"),
    "a cap of nothing": ({"fee_per_gas_max_wei": 0}, InvalidAmount, "/fee/fee_per_gas_max_wei"),
    "a cap above the service's": ({"fee_per_gas_max_wei": 501 * GWEI}, FeeAboveCap, "/fee/fee_per_gas_max_wei"),
    "a chain that is not followed": ({"chain_id": 999}, NotFound, "/chain"),
    "an external id of nothing": ({"external_id": ""}, ValidationFailed, "/external_id"),
    "an external id that cannot be shown": ({"external_id": "a\x00b"}, ValidationFailed, "/external_id"),
    "an external id without end": ({"external_id": "x" * 256}, ValidationFailed, "/external_id"),
    "too much metadata": ({"metadata": {str(each): "" for each in range(21)}}, ValidationFailed, "/metadata"),
    "metadata that is no text": ({"metadata": {"a": 1}}, ValidationFailed, "/metadata"),
    "metadata that cannot be stored": ({"metadata": {"a": "\ud800"}}, ValidationFailed, "/metadata"),
    "metadata with a control character": ({"metadata": {"a\x00": "b"}}, ValidationFailed, "/metadata"),
}


@pytest.mark.parametrize(("changes", "error", "pointer"), REFUSALS.values(), ids=REFUSALS)
def test_bad_input_is_refused_by_name_and_changes_nothing(
    bench: Bench, changes: dict[str, Any], error: type[CustodyError], pointer: str | None
) -> None:
    wallet = bench.wallet(wei=ether("1"))
    before, told = bench.balance(wallet), bench.all_events()
    with pytest.raises(error) as refusal:
        bench.send(wallet, **changes)
    assert refusal.value.pointer == pointer
    assert (bench.balance(wallet), bench.outgoing(wallet), bench.all_events()) == (before, [], told)


@pytest.mark.parametrize("amount", [0.5, "1", True, None])
def test_an_amount_that_is_no_int_is_a_mistake_in_the_program(bench: Bench, amount: object) -> None:
    with pytest.raises(TypeError):
        bench.send(bench.wallet(), amount)  # type: ignore[arg-type]


def test_a_call_that_would_revert_is_refused_with_its_reason(bench: Bench) -> None:
    grumpy = bench.chain.deploy_reverting("not today")
    with pytest.raises(SimulationReverted) as refusal:
        bench.send(bench.wallet(wei=ether("1")), to=grumpy)
    assert refusal.value.extra["reason"] == "not today"


def test_a_market_above_the_services_ceiling_is_refused_whatever_the_caller_would_pay() -> None:
    with opened(
        chain=MemoryChain(base_fee_per_gas_wei=GWEI), limits=Limits(fee_per_gas_max_wei=50 * GWEI, key_pool_size=1)
    ) as bench:
        wallet = bench.wallet(wei=ether("1"))
        bench.chain.set_base_fee(60 * GWEI)
        with pytest.raises(FeeAboveCap):
            bench.send(wallet)
        with pytest.raises(FeeAboveCap):
            bench.send(wallet, fee_per_gas_max_wei=50 * GWEI)


# Funds


def test_s14_two_sends_that_fit_singly_but_not_together_with_gas(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    first = bench.send(wallet, ether("0.5"))
    left = bench.balance(wallet).available
    assert left == ether("0.5") - first.fee_hold_wei
    with pytest.raises(InsufficientFunds) as refusal:
        bench.send(wallet, left)
    extra = refusal.value.extra
    assert (extra["asset"], extra["available"]) == ("eth", str(left))
    assert int(str(extra["required"])) > left
    bench.settle()
    assert [each.id for each in bench.outgoing(wallet)] == [first.id]
    bench.require_sound()


def test_the_last_wei_can_be_spent_and_one_more_cannot(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    hold = bench.custody.transactions.preview(wallet.id, to=FRIEND, amount=1, fee_per_gas_max_wei=10 * GWEI).fee_hold_wei
    assert hold is not None
    assert hold == PLAIN_GAS * 10 * GWEI
    most = ether("1") - hold
    with pytest.raises(InsufficientFunds):
        bench.send(wallet, most + 1, fee_per_gas_max_wei=10 * GWEI)
    bench.send(wallet, most, fee_per_gas_max_wei=10 * GWEI)
    assert bench.balance(wallet).available == 0
    bench.settle()
    bench.require_sound()


def test_what_is_on_its_way_cannot_be_spent(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, ether("1"))
    bench.blocks(2)
    assert (bench.balance(wallet).pending_in, bench.balance(wallet).available) == (ether("1"), 0)
    with pytest.raises(InsufficientFunds):
        bench.send(wallet)


def test_tokens_without_ether_for_gas_cannot_be_sent(bench: Bench) -> None:
    token, wallet = bench.token(), bench.wallet()
    bench.pay_in_token(wallet, token, 500)
    with pytest.raises(InsufficientFunds) as refusal:
        bench.send(wallet, 500, asset="usdc")
    assert refusal.value.extra["asset"] == "eth"
    with pytest.raises(InsufficientFunds) as refusal:
        bench.send(wallet, 501, asset="usdc")
    assert refusal.value.extra["asset"] == "usdc"


# Who may, and when


@pytest.mark.parametrize("ask", ["send", "preview", "get", "balances", "freeze", "unfreeze"])
def test_a_foreign_wallet_an_absent_one_and_one_of_the_pool_answer_the_same(bench: Bench, ask: str) -> None:
    theirs = bench.wallet("bob", wei=ether("1"))
    alice = bench.custody.wallets.owner_named("alice").id
    calls: dict[str, Callable[[str], object]] = {
        "send": lambda id_: bench.custody.transactions.send(id_, to=FRIEND, amount=1, idempotency_key="k", owner_id=alice),
        "preview": lambda id_: bench.custody.transactions.preview(id_, to=FRIEND, amount=1, owner_id=alice),
        "get": lambda id_: bench.custody.wallets.get(id_, owner_id=alice),
        "balances": lambda id_: bench.custody.wallets.balances(id_, owner_id=alice),
        "freeze": lambda id_: bench.custody.wallets.freeze(id_, reason="?", owner_id=alice),
        "unfreeze": lambda id_: bench.custody.wallets.unfreeze(id_, owner_id=alice),
    }
    answers = []
    for wallet_id in (theirs.id, factories.wallet().id, "nonsense", theirs.id.upper()):
        with pytest.raises(NotFound) as refusal:
            calls[ask](wallet_id)
        answers.append((refusal.value.detail, refusal.value.pointer, refusal.value.extra))
    assert answers == [answers[0]] * 4
    assert bench.outgoing(theirs) == []


def test_a_foreign_transaction_and_an_absent_one_answer_the_same(bench: Bench) -> None:
    theirs = bench.wallet("bob", wei=ether("1"))
    alice, bob = bench.custody.wallets.owner_named("alice").id, theirs.owner_id
    sent, (arrived,) = bench.send(theirs), bench.deposits(theirs)
    for transaction_id in (sent.id, arrived.id, factories.transaction().id, "nonsense"):
        for ask in (bench.custody.transactions.get, bench.custody.transactions.cancel):
            with pytest.raises(NotFound, match="no such"):
                ask(transaction_id, owner_id=alice)
    assert bench.custody.transactions.get(sent.id, owner_id=bob) == sent
    assert bench.custody.transactions.get(arrived.id, owner_id=bob) == arrived
    assert bench.custody.transactions.list(owner_id=alice) == []
    assert {each.id for each in bench.custody.transactions.list(owner_id=bob)} == {sent.id, arrived.id}
    assert bench.transaction(sent.id).cancel_requested_at is None


def test_a_wallet_of_the_pool_is_not_there_yet(bench: Bench) -> None:
    born = bench.custody.wallets
    (made,) = [each.object_id for each in bench.custody.audit.list(limit=100) if each.action == "wallet.made"][:1]
    with pytest.raises(NotFound):
        born.get(made)


def test_a_frozen_wallet_receives_and_does_not_send(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.custody.wallets.freeze(wallet.id, reason="lost phone")
    with pytest.raises(WalletFrozen, match="lost phone"):
        bench.send(wallet)
    bench.pay_in(wallet, ether("1"))
    assert bench.balance(wallet).available == ether("2")
    bench.custody.wallets.unfreeze(wallet.id)
    assert bench.send(wallet).state is TransactionState.QUEUED


def test_freezing_answers_an_earlier_key_as_before(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, idempotency_key="k")
    bench.custody.wallets.freeze(wallet.id, reason="?")
    assert bench.send(wallet, idempotency_key="k") == made


@pytest.mark.parametrize("reason", ["", "x" * 256, "a\x00b", "\ud800", None])
def test_a_reason_that_could_not_be_shown_again_freezes_nothing(bench: Bench, reason: Any) -> None:
    wallet = bench.wallet()
    with pytest.raises(ValidationFailed) as refusal:
        bench.custody.wallets.freeze(wallet.id, reason=reason)
    assert refusal.value.pointer == "/reason"
    assert bench.custody.wallets.get(wallet.id) == wallet


def test_a_halted_chain_takes_no_sends(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    queued = bench.send(wallet)
    bench.chain.reorg(bench.chain.head.number)
    bench.chain.mine(3)
    bench.rounds(3)
    assert bench.alarms() == ["finality-breached"]
    with pytest.raises(ChainHalted):
        bench.send(wallet)
    assert bench.transaction(queued.id).state is TransactionState.QUEUED


# Policy


def test_a_denied_send_is_kept_rejected_and_the_same_key_hears_the_same(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.custody.policies.publish(DENY_ALL)
    told = []
    for _ in range(2):
        with pytest.raises(PolicyDenied) as refusal:
            bench.send(wallet, idempotency_key="k")
        told.append((refusal.value.detail, refusal.value.extra))
    assert told[0] == told[1]
    (kept,) = bench.outgoing(wallet)
    assert (kept.id, kept.state, kept.policy_rules) == (told[0][1]["transaction_id"], TransactionState.REJECTED, ("stop",))
    assert bench.balance(wallet).reserved == 0
    assert bench.events(kept.id) == ["transaction.created", "transaction.rejected"]
    bench.settle()
    assert bench.transaction(kept.id) == kept
    bench.custody.policies.publish({"version": 1, "rules": [{"id": "all", "when": {}, "then": {"allow": True}}]})
    with pytest.raises(PolicyDenied):
        bench.send(wallet, idempotency_key="k")
    assert bench.send(wallet).state is TransactionState.QUEUED


def test_the_policy_in_force_when_the_nonce_is_due_decides(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    queued = bench.send(wallet)
    bench.custody.policies.publish(DENY_ALL)
    bench.settle()
    rejected = bench.transaction(queued.id)
    assert (rejected.state, rejected.nonce, rejected.attempts) == (TransactionState.REJECTED, None, ())
    assert bench.balance(wallet).available == ether("1")
    bench.require_sound()


def test_an_owners_and_a_wallets_policy_bind_nobody_else(bench: Bench) -> None:
    ours, theirs = bench.wallet("alice", wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    bench.custody.policies.publish(DENY_ALL, layer="owner", subject=ours.owner_id)
    with pytest.raises(PolicyDenied):
        bench.send(ours)
    assert bench.send(theirs).state is TransactionState.QUEUED
    bench.custody.policies.publish(DENY_ALL, layer="wallet", subject=theirs.id)
    with pytest.raises(PolicyDenied):
        bench.send(theirs)


@pytest.mark.parametrize(
    ("layer", "subject", "pointer"),
    [("planet", None, "/layer"), ("global", "usr_1", "/subject"), ("owner", None, "/subject"), ("wallet", None, "/subject")],
)
def test_a_policy_names_whom_it_binds(bench: Bench, layer: str, subject: str | None, pointer: str) -> None:
    before = bench.custody.policies.active()
    with pytest.raises(ValidationFailed) as refusal:
        bench.custody.policies.publish(DENY_ALL, layer=layer, subject=subject)
    assert refusal.value.pointer == pointer
    assert bench.custody.policies.active() == before


def test_a_policy_that_cannot_be_read_is_not_published(bench: Bench) -> None:
    before = bench.custody.policies.active()
    with pytest.raises(ValidationFailed) as refusal:
        bench.custody.policies.publish({"version": 1, "rules": [{"id": "r", "when": {"weekday": "1"}, "then": {"deny": True}}]})
    assert refusal.value.pointer == "/rules/0/when/weekday"
    assert bench.custody.policies.active() == before


# Looking first


def test_a_preview_says_what_a_send_would_do_and_does_nothing(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    before, told = bench.balance(wallet), bench.all_events()
    seen = bench.custody.transactions.preview(wallet.id, to=FRIEND, amount=ether("0.4"))
    assert (seen.sufficient, seen.verdict, seen.rules) == (True, "allow", ("allow-transfers",))
    assert (bench.balance(wallet), bench.outgoing(wallet), bench.all_events()) == (before, [], told)
    sent = bench.send(wallet, ether("0.4"))
    assert (sent.fee_hold_wei, sent.gas_limit) == (seen.fee_hold_wei, seen.gas_limit)
    assert seen.simulation == Simulation(ok=True)
    assert not bench.custody.transactions.preview(wallet.id, to=FRIEND, amount=ether("0.6")).sufficient


def test_a_preview_tells_what_would_revert_and_what_cannot_be_tried(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    refusing = bench.chain.deploy_reverting("no ether here")
    seen = bench.custody.transactions.preview(wallet.id, to=refusing, amount=1)
    assert (seen.simulation, seen.gas_limit, seen.fee_hold_wei) == (Simulation(ok=False, reason="no ether here"), None, None)
    assert (seen.sufficient, seen.verdict) == (True, "allow")
    poor = bench.custody.transactions.preview(wallet.id, to=FRIEND, amount=ether("2"))
    assert (poor.simulation, poor.sufficient, poor.available) == (None, False, ether("1"))


def test_a_token_that_was_disabled_is_not_sent(bench: Bench) -> None:
    token, wallet = bench.token(), bench.wallet(wei=ether("1"))
    bench.pay_in_token(wallet, token, 500)
    (listed,) = bench.custody.tokens.list()
    bench.custody.tokens.disable(listed.id)
    with pytest.raises(UnsupportedAsset):
        bench.send(wallet, 5, asset="usdc")
    again = bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract_of(token), alias="usdc", decimals=6)
    assert again.id == listed.id
    assert bench.send(wallet, 5, asset="usdc").asset == token
