"""What a signer may be asked to sign: one altered field, and it may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.authorisation import (
    Authorised,
    AuthorisedCancellation,
    AuthorisedPayment,
    NotAuthorised,
    authorise,
    transaction_to_sign,
)
from custody_core.domain.encoding import AccessList, FeeMarketTransaction, decode_erc20_transfer, signing_hash
from custody_core.domain.fees import Fees
from custody_core.domain.policy import Decision, Verdict
from custody_core.domain.tokens import Asset, native_asset
from custody_core.domain.transaction import Attempt, AttemptKind, State, Transaction
from tests.support import factories
from tests.support.factories import CHAIN_ID, NOW

USDC = Asset(CHAIN_ID, factories.address(5), "usdc", 6)
WALLET = factories.wallet("usr_1")
NONCE = 7


def planned(asset: Asset | None = None, **changes: Any) -> Transaction:
    filled: dict[str, Any] = {"state": State.PENDING_SIGNATURE, "nonce": NONCE, "attempts": (factories.attempt(),)}
    made = factories.transaction(WALLET, **(filled | changes))
    return attrs.evolve(made, asset=asset) if asset else made


def the_attempt(transaction: Transaction) -> Attempt:
    assert transaction.newest_attempt is not None
    return transaction.newest_attempt


def decided(transaction: Transaction) -> Decision:
    return factories.decision(transaction, nonce=NONCE)


def with_inputs(decision: Decision, **changes: Any) -> Decision:
    return attrs.evolve(
        decision, evaluation=attrs.evolve(decision.evaluation, inputs=attrs.evolve(decision.evaluation.inputs, **changes))
    )


@pytest.mark.parametrize("asset", [native_asset(CHAIN_ID), USDC], ids=["ether", "token"])
def test_a_payment_is_rebuilt_from_what_was_asked_for(asset: Asset) -> None:
    transaction = planned(asset)
    authorised = authorise(transaction, the_attempt(transaction), decided(transaction))
    assert isinstance(authorised, AuthorisedPayment)
    unsigned = authorised.unsigned
    assert (unsigned.chain_id, unsigned.nonce, unsigned.gas_limit) == (CHAIN_ID, NONCE, transaction.gas_limit)
    assert unsigned.max_fee_per_gas == the_attempt(transaction).fees.max_fee_per_gas_wei
    assert unsigned.max_priority_fee_per_gas == the_attempt(transaction).fees.max_priority_fee_per_gas_wei
    to = address_to_bytes(transaction.to)
    if asset.is_native:
        assert (unsigned.to, unsigned.value, unsigned.data) == (to, transaction.amount, b"")
    else:
        assert asset.contract is not None
        assert (unsigned.to, unsigned.value) == (address_to_bytes(asset.contract), 0)
        assert decode_erc20_transfer(unsigned.data) == (to, transaction.amount)


def test_a_contract_call_is_signed_with_the_calldata_value_and_access_list_that_were_decided_on() -> None:
    call: dict[str, Any] = {
        "type": "contract_call",
        "data": b"\xab\xcd\xef\x01",
        "amount": 0,
        "access_list": ((b"\x01" * 20, (bytes(32),)),),
    }
    transaction = planned(**call)
    unsigned = authorise(transaction, the_attempt(transaction), decided(transaction)).unsigned
    assert (unsigned.to, unsigned.value, unsigned.data) == (address_to_bytes(transaction.to), 0, call["data"])
    assert unsigned.access_list == call["access_list"]
    assert transaction_to_sign(payment_of(transaction), factories.sealed_key(WALLET)) == unsigned


ACCESS_LISTS = st.lists(
    st.tuples(st.binary(min_size=20, max_size=20), st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple)), max_size=3
).map(tuple)


@given(st.binary(min_size=4, max_size=200), st.integers(0, 10**20), ACCESS_LISTS)
def test_s_20_an_authorised_call_is_hashed_as_eth_account_does(data: bytes, value: int, access_list: AccessList) -> None:
    """EIP-2930's list within EIP-1559's transaction, from what was asked for to what is signed."""
    transaction = planned(type="contract_call", data=data, amount=value, access_list=access_list)
    unsigned = authorise(transaction, the_attempt(transaction), decided(transaction)).unsigned
    listed = [{"address": "0x" + to.hex(), "storageKeys": ["0x" + key.hex() for key in keys]} for to, keys in access_list]
    oracle = TypedTransaction.from_dict(
        {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": NONCE,
            "maxFeePerGas": the_attempt(transaction).fees.max_fee_per_gas_wei,
            "maxPriorityFeePerGas": the_attempt(transaction).fees.max_priority_fee_per_gas_wei,
            "gas": transaction.gas_limit,
            "to": transaction.to,
            "value": value,
            "data": data,
            "accessList": listed,
        }
    )
    assert signing_hash(unsigned) == bytes(oracle.hash())


def test_a_transfer_of_a_token_may_carry_an_access_list() -> None:
    transaction = planned(USDC, access_list=((b"\x01" * 20, ()),))
    unsigned = authorise(transaction, the_attempt(transaction), decided(transaction)).unsigned
    assert unsigned.access_list == transaction.access_list
    assert decode_erc20_transfer(unsigned.data) == (address_to_bytes(transaction.to), transaction.amount)


ALTERED_TRANSACTION: dict[str, Callable[[Transaction], Transaction]] = {
    "recipient": lambda it: attrs.evolve(it, to=factories.address()),
    "amount": lambda it: attrs.evolve(it, amount=it.amount + 1),
    "asset": lambda it: attrs.evolve(it, asset=USDC),
    "nonce": lambda it: attrs.evolve(it, nonce=NONCE + 1),
    "no nonce": lambda it: attrs.evolve(it, nonce=None),
    "chain": lambda it: attrs.evolve(it, asset=native_asset(1)),
    "sender": lambda it: attrs.evolve(it, sender=factories.address()),
    "wallet": lambda it: attrs.evolve(it, wallet_id=factories.wallet().id),
    "owner": lambda it: attrs.evolve(it, owner_id="usr_2"),
    "type": lambda it: attrs.evolve(it, type="contract_call"),
    "calldata": lambda it: attrs.evolve(it, data=b"\xab\xcd\xef\x01"),
    "access list": lambda it: attrs.evolve(it, access_list=((b"\x01" * 20, ()),)),
    "gas limit": lambda it: attrs.evolve(it, gas_limit=it.gas_limit + 1),
    "fee cap": lambda it: attrs.evolve(it, fee_per_gas_max_wei=it.fee_per_gas_max_wei + 1),
    "another transaction": lambda it: attrs.evolve(it, id=factories.transaction().id),
}


@pytest.mark.parametrize("alter", ALTERED_TRANSACTION.values(), ids=ALTERED_TRANSACTION)
def test_a_transaction_altered_after_the_decision_is_not_signed(alter: Callable[[Transaction], Transaction]) -> None:
    transaction = planned()
    with pytest.raises(NotAuthorised):
        authorise(alter(transaction), the_attempt(transaction), decided(transaction))


ALTERED_DECISION: dict[str, Callable[[Decision], Decision]] = {
    "denied": lambda it: attrs.evolve(it, evaluation=attrs.evolve(it.evaluation, verdict=Verdict.DENY)),
    "approval missing": lambda it: attrs.evolve(it, evaluation=attrs.evolve(it.evaluation, verdict=Verdict.NEEDS_APPROVAL)),
    "made at acceptance": lambda it: attrs.evolve(it, nonce=None),
    "another nonce": lambda it: attrs.evolve(it, nonce=NONCE - 1),
    "of another transaction": lambda it: attrs.evolve(it, transaction_id=factories.transaction().id),
    "another gas limit": lambda it: attrs.evolve(it, gas_limit=it.gas_limit - 1),
    "another cap": lambda it: attrs.evolve(it, fee_per_gas_max_wei=it.fee_per_gas_max_wei - 1),
    "another recipient": lambda it: with_inputs(it, to=factories.address()),
    "another amount": lambda it: with_inputs(it, amount=it.evaluation.inputs.amount - 1),
    "another contract": lambda it: with_inputs(it, contract=USDC.contract),
    "another chain": lambda it: with_inputs(it, chain_id=1),
    "another sender": lambda it: with_inputs(it, sender=factories.address()),
    "another wallet": lambda it: with_inputs(it, wallet_id=factories.wallet().id),
    "another owner": lambda it: with_inputs(it, owner_id="usr_2"),
    "another alias": lambda it: with_inputs(it, asset="usdc"),
    "another type": lambda it: with_inputs(it, type="contract_call"),
    "other calldata": lambda it: with_inputs(it, data=b"\xab\xcd\xef\x01"),
    "another access list": lambda it: with_inputs(it, access_list=((b"\x01" * 20, (bytes(32),)),)),
}


@pytest.mark.parametrize("alter", ALTERED_DECISION.values(), ids=ALTERED_DECISION)
def test_a_decision_that_is_about_anything_else_covers_nothing(alter: Callable[[Decision], Decision]) -> None:
    transaction = planned()
    with pytest.raises(NotAuthorised):
        authorise(transaction, the_attempt(transaction), alter(decided(transaction)))


def test_neither_is_a_cancellation_covered_by_it() -> None:
    transaction = planned(cancel_requested_at=NOW, attempts=(factories.attempt(kind=AttemptKind.CANCELLATION),))
    for alter in ALTERED_DECISION.values():
        with pytest.raises(NotAuthorised):
            authorise(transaction, the_attempt(transaction), alter(decided(transaction)))


@given(st.integers(0, 10**15), st.integers(0, 10**12))
def test_no_attempt_is_signed_above_the_fee_that_was_held(max_fee: int, tip: int) -> None:
    transaction = planned()
    attempt = attrs.evolve(the_attempt(transaction), fees=Fees(max(max_fee, tip), tip))
    if attempt.fees.max_fee_per_gas_wei <= transaction.fee_per_gas_max_wei:
        authorise(transaction, attempt, decided(transaction))
    else:
        with pytest.raises(NotAuthorised):
            authorise(transaction, attempt, decided(transaction))


@pytest.mark.parametrize("asset", [native_asset(CHAIN_ID), USDC], ids=["ether", "token"])
def test_a_cancellation_moves_nothing_to_oneself_at_the_same_nonce(asset: Asset) -> None:
    attempts = (factories.attempt(kind=AttemptKind.CANCELLATION),)
    transaction = planned(asset, cancel_requested_at=NOW, attempts=attempts)
    authorised = authorise(transaction, the_attempt(transaction), decided(transaction))
    assert isinstance(authorised, AuthorisedCancellation)
    unsigned = authorised.unsigned
    assert (unsigned.to, unsigned.value, unsigned.data) == (address_to_bytes(WALLET.address), 0, b"")
    assert (unsigned.nonce, unsigned.gas_limit, unsigned.chain_id) == (NONCE, transaction.gas_limit, CHAIN_ID)


def test_nobody_asked_nobody_cancels() -> None:
    transaction = planned(attempts=(factories.attempt(kind=AttemptKind.CANCELLATION),))
    with pytest.raises(NotAuthorised):
        authorise(transaction, the_attempt(transaction), decided(transaction))


# The signer's own look at what it was handed


def payment_of(transaction: Transaction) -> AuthorisedPayment:
    made = authorise(transaction, the_attempt(transaction), decided(transaction))
    assert isinstance(made, AuthorisedPayment)
    return made


def test_a_signer_takes_what_was_authorised_for_its_own_wallet() -> None:
    payment = payment_of(planned())
    assert transaction_to_sign(payment, factories.sealed_key(WALLET)) == payment.unsigned
    with pytest.raises(NotAuthorised):
        transaction_to_sign(payment, factories.sealed_key(factories.wallet()))


def test_a_signer_takes_nothing_else() -> None:
    key, unsigned = factories.sealed_key(WALLET), payment_of(planned()).unsigned
    for thing in (None, b"\x01" * 32, "0x" + "01" * 32, unsigned, {"unsigned": unsigned}, 32):
        with pytest.raises(NotAuthorised):
            transaction_to_sign(thing, key)


def test_a_signer_is_not_fooled_by_a_subclass_of_the_transaction() -> None:
    class Liar(FeeMarketTransaction):
        pass

    honest = payment_of(planned())
    liar = Liar(**{field.name: getattr(honest.unsigned, field.name) for field in attrs.fields(FeeMarketTransaction) if field.init})
    with pytest.raises(NotAuthorised):
        transaction_to_sign(attrs.evolve(honest, unsigned=liar), factories.sealed_key(WALLET))


@pytest.mark.parametrize(
    "change",
    [{"value": 1}, {"to": b"\x01" * 20}, {"data": b"\0"}, {"access_list": ((b"\x01" * 20, ()),)}],
    ids=lambda change: next(iter(change)),
)
def test_a_cancellation_that_does_anything_is_not_signed(change: dict[str, Any]) -> None:
    transaction = planned(cancel_requested_at=NOW, attempts=(factories.attempt(kind=AttemptKind.CANCELLATION),))
    authorised: Authorised = authorise(transaction, the_attempt(transaction), decided(transaction))
    key = factories.sealed_key(WALLET)
    assert transaction_to_sign(authorised, key) == authorised.unsigned
    with pytest.raises(NotAuthorised):
        transaction_to_sign(attrs.evolve(authorised, unsigned=attrs.evolve(authorised.unsigned, **change)), key)
