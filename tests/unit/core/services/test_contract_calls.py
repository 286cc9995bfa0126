"""Contract calls: only what a rule names, with what was asked for and nothing else, and the books of the ether they carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from custody_core import (
    CustodyError,
    FeeAboveCap,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidAddress,
    InvalidAmount,
    Limits,
    PolicyDenied,
    SimulationReverted,
    Transaction,
    TransactionState,
    UnsupportedAsset,
    ValidationFailed,
    Wallet,
    ether,
)
from custody_core.domain.calldata import parse_method
from custody_core.domain.encoding import decode_signed
from custody_core.domain.policy import evaluate
from custody_core.ports import Answer, Call, Found, Reverted
from custody_core.services.call_requests import ACCESS_LIST_ENTRIES_MAX, ACCESS_LIST_KEYS_MAX, DATA_LENGTH_MAX
from custody_memory.chain import MemoryChain
from tests.support import factories
from tests.unit.core.services.bench import FRIEND, Bench, contract_of, opened

DEPOSIT, APPROVE = "deposit(uint256,address)", "approve(address,uint256)"
VAULT = factories.address(0xC001)
"""A contract; the chain in memory lets every account take calls."""

ACCESS = [{"address": VAULT.lower(), "storageKeys": ["0x" + "00" * 31 + "01"]}]


def calldata(signature: str, *values: object) -> bytes:
    method = parse_method(signature)
    return method.selector + abi_encode([each.type for each in method.arguments], values)


DATA = calldata(DEPOSIT, 5, FRIEND)


def publish(bench: Bench, *rules: Mapping[str, Any]) -> None:
    """Transfers, and these calls."""
    transfers = {"id": "transfers", "when": {"type": "transfer"}, "then": {"allow": True}}
    bench.custody.policies.publish({"version": 1, "rules": [transfers, *rules]})


def naming(call: Mapping[str, Any], id_: str = "named") -> dict[str, Any]:
    return {"id": id_, "when": {"call": dict(call)}, "then": {"allow": True}}


def call(bench: Bench, wallet: Wallet, **changes: Any) -> Transaction:
    """A call of the vault, with a key of its own."""
    filled: dict[str, Any] = {"to": VAULT, "data": DATA, "idempotency_key": f"call-{factories.number()}"}
    return bench.custody.transactions.send(wallet.id, **(filled | changes))


@pytest.fixture
def wallet(bench: Bench) -> Wallet:
    """A funded wallet whose owner may deposit into the vault."""
    publish(bench, naming({"to": VAULT, "method": DEPOSIT}))
    return bench.wallet(wei=ether("1"))


# What is sent


def test_a_call_is_mined_with_its_calldata_its_value_and_its_access_list(bench: Bench, wallet: Wallet) -> None:
    sent = call(bench, wallet, value=ether("0.25"), access_list=ACCESS, external_id="order-1")
    assert (sent.type, sent.amount, sent.asset.alias) == ("contract_call", ether("0.25"), "eth")
    assert bench.balance(wallet).reserved == ether("0.25") + sent.fee_hold_wei
    bench.settle()
    final = bench.transaction(sent.id)
    assert final.state is TransactionState.COMPLETED
    assert final.newest_attempt is not None
    assert final.newest_attempt.raw is not None
    unsigned, *_ = decode_signed(final.newest_attempt.raw)
    assert (unsigned.to.hex(), unsigned.value, unsigned.data) == (VAULT[2:].lower(), ether("0.25"), DATA)
    assert unsigned.access_list == ((unsigned.to, (bytes(31) + b"\x01",)),)
    assert final.inclusion is not None
    balance = bench.balance(wallet)
    assert (balance.available, balance.reserved) == (ether("0.75") - final.inclusion.fee_wei, 0)
    bench.require_sound()


def test_a_call_that_carries_nothing_costs_its_gas_alone(bench: Bench, wallet: Wallet) -> None:
    sent = call(bench, wallet, data="0x" + DATA.hex())
    assert sent.amount == 0
    bench.settle()
    final = bench.transaction(sent.id)
    assert final.inclusion is not None
    assert bench.balance(wallet).available == ether("1") - final.inclusion.fee_wei
    bench.require_sound()


def test_a_call_is_shown_with_what_it_does(bench: Bench, wallet: Wallet) -> None:
    made = bench.custody.transactions.accept(
        wallet.id, to=VAULT, data=DATA, value=7, access_list=ACCESS, idempotency_key="shown"
    ).answer
    assert (made["type"], made["asset"], made["amount"], made["to"]) == ("contract_call", "eth", "7", VAULT)
    assert made["data"] == "0x" + DATA.hex()
    assert made["access_list"] == [{"address": VAULT, "storageKeys": ["0x" + "00" * 31 + "01"]}]
    transfer = bench.custody.transactions.accept(wallet.id, to=FRIEND, amount=7, idempotency_key="plain").answer
    assert (transfer["data"], transfer["access_list"]) == (None, [])


def test_a_transfer_may_name_what_it_touches_too(bench: Bench, wallet: Wallet) -> None:
    token = bench.token()
    bench.pay_in_token(wallet, token, 100)
    sent = bench.send(wallet, 40, asset="usdc", access_list=ACCESS)
    assert sent.gas_limit > bench.send(wallet, 40, asset="usdc").gas_limit
    bench.settle()
    final = bench.transaction(sent.id)
    assert final.state is TransactionState.COMPLETED
    assert final.newest_attempt is not None
    assert decode_signed(final.newest_attempt.raw or b"")[0].access_list == sent.access_list != ()
    bench.require_sound()


def test_the_decision_records_what_was_called_and_can_be_made_again(bench: Bench, wallet: Wallet) -> None:
    token = bench.token()
    publish(bench, naming({"token": "usdc", "method": APPROVE, "args": {"1": {"lte": "10"}}}))
    sent = call(bench, wallet, to=contract_of(token), data=calldata(APPROVE, FRIEND, 10), access_list=ACCESS)
    bench.rounds(2)
    decision_id = bench.transaction(sent.id).decision_id
    assert decision_id is not None
    with bench.custody._store.reading() as unit:
        decision = unit.decisions([decision_id])[decision_id]
        policies = unit.active_policies()
    inputs = decision.evaluation.inputs
    assert (inputs.data, inputs.access_list, inputs.token) == (sent.data, sent.access_list, "usdc")
    assert evaluate(policies, inputs) == decision.evaluation


# What is refused


def test_without_a_rule_that_names_it_a_call_is_born_rejected(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    everything = {"id": "everything", "when": {}, "then": {"allow": True}}
    for rules in ([], [everything], [naming({"to": VAULT, "method": "withdraw(uint256)"})]):
        publish(bench, *rules)
        with pytest.raises(PolicyDenied):
            call(bench, wallet)
    assert {each.state for each in bench.outgoing(wallet)} == {TransactionState.REJECTED}
    assert bench.balance(wallet).reserved == 0
    bench.require_sound()


def test_a_call_that_the_policy_no_longer_names_is_not_signed(bench: Bench, wallet: Wallet) -> None:
    sent = call(bench, wallet)
    publish(bench)
    bench.settle()
    assert bench.transaction(sent.id).state is TransactionState.REJECTED
    assert bench.transaction(sent.id).nonce is None


REFUSED: dict[str, tuple[dict[str, Any], type[CustodyError], str | None]] = {
    "an amount": ({"amount": 5}, ValidationFailed, "/amount"),
    "an asset": ({"asset": "usdc"}, ValidationFailed, "/asset"),
    "no calldata": ({"data": "0x"}, ValidationFailed, "/data"),
    "less than a selector": ({"data": "0xabcdef"}, ValidationFailed, "/data"),
    "half a byte": ({"data": "0xabcdef012"}, ValidationFailed, "/data"),
    "calldata without 0x": ({"data": "abcdef01"}, ValidationFailed, "/data"),
    "calldata with a line's end": ({"data": "0xabcdef01\n"}, ValidationFailed, "/data"),
    "too much calldata": ({"data": bytes(DATA_LENGTH_MAX + 1)}, ValidationFailed, "/data"),
    "calldata that is a number": ({"data": 5}, ValidationFailed, "/data"),
    "a negative value": ({"value": -1}, InvalidAmount, "/value"),
    "more than a word": ({"value": 2**256}, InvalidAmount, "/value"),
    "more than there is": ({"value": ether("2")}, InsufficientFunds, None),
    "all that there is, without its gas": ({"value": ether("1")}, InsufficientFunds, None),
    "the zero address": ({"to": "0x" + "00" * 20}, InvalidAddress, "/to"),
    "a precompile": ({"to": "0x" + "00" * 19 + "02"}, InvalidAddress, "/to"),
    "an access list that is none": ({"access_list": "0x"}, ValidationFailed, "/access_list"),
    "an entry that is none": ({"access_list": ["0x"]}, ValidationFailed, "/access_list/0"),
    "an entry without keys": ({"access_list": [{"address": VAULT}]}, ValidationFailed, "/access_list/0"),
    "an entry with more": ({"access_list": [{**ACCESS[0], "more": 1}]}, ValidationFailed, "/access_list/0"),
    "an entry of no address": (
        {"access_list": [*ACCESS, {"address": "0x12", "storageKeys": []}]},
        InvalidAddress,
        "/access_list/1/address",
    ),
    "keys that are text": (
        {"access_list": [{"address": VAULT, "storageKeys": "0x"}]},
        ValidationFailed,
        "/access_list/0/storageKeys",
    ),
    "a short key": (
        {"access_list": [{"address": VAULT, "storageKeys": ["0x01"]}]},
        ValidationFailed,
        "/access_list/0/storageKeys/0",
    ),
    "too many entries": (
        {"access_list": [{"address": VAULT, "storageKeys": []}] * (ACCESS_LIST_ENTRIES_MAX + 1)},
        ValidationFailed,
        "/access_list",
    ),
    "too many keys": (
        {"access_list": [{"address": VAULT, "storageKeys": ["0x" + "00" * 32] * (ACCESS_LIST_KEYS_MAX // 2 + 1)}] * 2},
        ValidationFailed,
        "/access_list",
    ),
}


@pytest.mark.parametrize(("changes", "error", "pointer"), REFUSED.values(), ids=REFUSED)
def test_a_call_that_makes_no_sense_is_refused_and_changes_nothing(
    bench: Bench, wallet: Wallet, changes: dict[str, Any], error: type[CustodyError], pointer: str | None
) -> None:
    with pytest.raises(error) as refusal:
        call(bench, wallet, **changes)
    assert refusal.value.pointer == pointer
    assert bench.outgoing(wallet) == []
    assert bench.balance(wallet).reserved == 0


def test_a_value_or_an_amount_that_is_no_int_is_a_mistake_in_the_program(bench: Bench, wallet: Wallet) -> None:
    for value in (0.5, "5", True):
        with pytest.raises(TypeError):
            call(bench, wallet, value=value)
    with pytest.raises(TypeError):
        bench.custody.transactions.send(wallet.id, to=FRIEND, idempotency_key="no-amount")
    with pytest.raises(ValidationFailed):
        bench.send(wallet, value=5)


def test_no_wallet_of_ours_is_called(bench: Bench, wallet: Wallet) -> None:
    other = bench.wallet("bob")
    for to, rule in ((wallet.address, "recipient-own-address"), (other.address, "recipient-managed-address")):
        for ask in (lambda to=to: call(bench, wallet, to=to), lambda to=to: preview(bench, wallet, to=to)):
            with pytest.raises(InvalidAddress) as refusal:
                ask()
            assert refusal.value.extra["rule"] == rule
    assert bench.outgoing(wallet) == []


@pytest.mark.parametrize(
    "data",
    [calldata("transfer(address,uint256)", FRIEND, 5), calldata("transferFrom(address,address,uint256)", FRIEND, VAULT, 5)],
    ids=["transfer", "transferFrom"],
)
def test_a_tokens_own_transfer_is_no_call_because_the_books_would_not_know(bench: Bench, wallet: Wallet, data: bytes) -> None:
    token = bench.token()
    method = "transfer(address,uint256)" if len(data) == 68 else "transferFrom(address,address,uint256)"
    publish(bench, naming({"token": "usdc", "method": method}))
    for ask in (call, preview):
        with pytest.raises(ValidationFailed, match="as a transfer") as refusal:
            ask(bench, wallet, to=contract_of(token), data=data)
        assert refusal.value.pointer == "/data"
    bench.custody.tokens.disable(bench.custody.tokens.list()[0].id)
    with pytest.raises(ValidationFailed, match="as a transfer"):
        call(bench, wallet, to=contract_of(token), data=data)
    with pytest.raises(UnsupportedAsset):
        bench.send(wallet, 5, asset="usdc")


def test_a_token_that_is_listed_while_the_node_is_asked_is_not_called_by_its_transfer(
    bench: Bench, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = bench.chain.deploy_token()
    publish(bench, naming({"to": contract, "method": "transfer(address,uint256)"}))
    estimate = bench.chain.estimate_gas

    def listed_meanwhile(calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract, alias="usdc", decimals=6)
        assert estimate(calls)
        return [Found(50_000)] * len(calls)

    monkeypatch.setattr(bench.chain, "estimate_gas", listed_meanwhile)
    with pytest.raises(ValidationFailed, match="as a transfer"):
        call(bench, wallet, to=contract, data=calldata("transfer(address,uint256)", FRIEND, 5))
    assert bench.outgoing(wallet) == []


def test_a_call_that_reverts_already_is_refused_with_its_reason(bench: Bench, wallet: Wallet) -> None:
    closed = bench.chain.deploy_reverting("closed on sundays")
    publish(bench, naming({"to": closed, "method": DEPOSIT}))
    with pytest.raises(SimulationReverted, match="closed on sundays"):
        call(bench, wallet, to=closed)


# The same key


def test_the_same_key_and_call_is_the_same_transaction(bench: Bench, wallet: Wallet) -> None:
    once = call(bench, wallet, value=5, access_list=ACCESS, idempotency_key="same")
    assert call(bench, wallet, data="0x" + DATA.hex().upper(), value=5, access_list=ACCESS, idempotency_key="same") == once
    bench.settle()
    bench.require_sound()


@pytest.mark.parametrize(
    "changed",
    [{"data": DATA + bytes(32)}, {"value": 6}, {"access_list": []}, {"to": FRIEND}, {"data": None, "value": None, "amount": 5}],
    ids=["data", "value", "access list", "to", "type"],
)
def test_the_same_key_with_another_call_is_refused(bench: Bench, wallet: Wallet, changed: dict[str, Any]) -> None:
    given_: dict[str, Any] = {"value": 5, "access_list": ACCESS, "idempotency_key": "same"}
    call(bench, wallet, **given_)
    with pytest.raises(IdempotencyKeyReused):
        call(bench, wallet, **(given_ | changed))
    assert len(bench.outgoing(wallet)) == 1


def test_what_a_plain_transfers_key_is_bound_to_is_what_it_always_was(bench: Bench, wallet: Wallet) -> None:
    """Keys are kept for ever, so a retry after an upgrade has to meet the same fingerprint."""
    transfer = bench.custody.transactions.ask(wallet.id, to=FRIEND, amount=5, idempotency_key="k").request.body
    names = ("amount", "asset", "chain_id", "external_id", "fee_per_gas_max_wei", "metadata", "tier", "to", "wallet_id")
    assert sorted(transfer) == sorted(names)


# Gas


def preview(bench: Bench, wallet: Wallet, **changes: Any) -> Any:
    return bench.custody.transactions.preview(wallet.id, **({"to": VAULT, "data": DATA} | changes))


class GreedyChain(MemoryChain):
    """Estimates what it is told to."""

    gas = 21_000

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        return [Found(self.gas) for _ in calls]


SENDS: dict[str, Callable[[Bench, Wallet], object]] = {
    "transfer": lambda bench, wallet: bench.send(wallet, 5),
    "call": call,
    "preview": preview,
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
@pytest.mark.parametrize(("gas", "limit_max"), [(29_000_000, 2**24), (2**24 + 1, 2**24), (200_001, 200_000)])
def test_s_09_more_gas_than_a_transaction_may_use_is_refused_before_signing(
    send: Callable[[Bench, Wallet], object], gas: int, limit_max: int
) -> None:
    chain = GreedyChain()
    with opened(chain=chain, limits=Limits(key_pool_size=3, gas_limit_max=limit_max)) as bench:
        publish(bench, naming({"to": VAULT, "method": DEPOSIT}))
        wallet = bench.wallet(wei=ether("50"))
        chain.gas = gas
        with pytest.raises(FeeAboveCap) as refusal:
            send(bench, wallet)
        assert refusal.value.extra == {"gas": gas, "gas_limit_max": limit_max}
        assert bench.outgoing(wallet) == []
        assert bench.balance(wallet).reserved == 0


@pytest.mark.parametrize("gas", [150_000, 160_000, 199_999, 200_000])
def test_s_09_the_margin_on_an_estimate_ends_at_the_same_limit(gas: int) -> None:
    chain = GreedyChain()
    with opened(chain=chain, limits=Limits(key_pool_size=3, gas_limit_max=200_000)) as bench:
        publish(bench, naming({"to": VAULT, "method": DEPOSIT}))
        wallet = bench.wallet(wei=ether("1"))
        chain.gas = gas
        assert call(bench, wallet).gas_limit == min(gas * 5 // 4, 200_000)


# Anything


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**17), st.binary(max_size=64), st.booleans()), min_size=1, max_size=4))
def test_whatever_is_called_the_books_are_the_chain(calls: list[tuple[int, bytes, bool]]) -> None:
    with opened() as bench:
        closed = bench.chain.deploy_reverting()
        method = "f(bytes)"
        publish(bench, naming({"to": VAULT, "method": method}), naming({"to": closed, "method": method}, "other"))
        wallet = bench.wallet(wei=ether("1"))
        for value, argument, reverts in calls:
            try:
                call(bench, wallet, to=closed if reverts else VAULT, data=calldata(method, argument), value=value)
            except (SimulationReverted, InsufficientFunds):
                continue
        bench.settle()
        (line,) = bench.custody.wallets.balances(wallet.id, live=True)
        assert line.on_chain is not None
        assert (line.available, line.reserved) == (line.on_chain.amount, 0)
        bench.require_sound()
