"""Bytes that came back from the chain are an attempt of ours when they say what the transaction says, and cost what it may."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.encoding import FeeMarketTransaction, keccak256, serialize_signed
from custody_core.domain.recognition import is_at_another_nonce, recognise
from custody_core.domain.tokens import Asset
from custody_core.domain.transaction import Attempt, AttemptKind, AttemptState, State, Transaction
from tests.support import factories
from tests.support.factories import CHAIN_ID, ETH, NOW

USDC = Asset(CHAIN_ID, factories.address(5), "usdc", 6)


def waiting(asset: Asset = ETH, **changes: Any) -> Transaction:
    return factories.broadcasting(nonce=3, asset=asset, **changes)


def fields(transaction: Transaction) -> FeeMarketTransaction:
    """What an attempt of `transaction` puts on the chain, at its own cap."""
    return FeeMarketTransaction(
        chain_id=transaction.chain_id,
        nonce=transaction.nonce or 0,
        max_priority_fee_per_gas=1,
        max_fee_per_gas=transaction.fee_per_gas_max_wei,
        gas_limit=transaction.gas_limit,
        to=address_to_bytes(transaction.call_to),
        value=transaction.call_value_wei,
        data=transaction.call_data,
        access_list=transaction.access_list,
    )


def signed(unsigned: FeeMarketTransaction, **changes: Any) -> bytes:
    return serialize_signed(attrs.evolve(unsigned, **changes), 1, 5, 7)


def found(transaction: Transaction, raw: bytes) -> Attempt | None:
    return recognise(transaction, raw, attempt_id="att_found", now=NOW)


@pytest.mark.parametrize("asset", [ETH, USDC], ids=str)
def test_the_same_payment_at_other_fees_is_ours(asset: Asset) -> None:
    it = waiting(asset)
    raw = signed(fields(it), max_fee_per_gas=12_345)
    attempt = found(it, raw)
    assert attempt is not None
    assert (attempt.id, attempt.kind, attempt.state, attempt.raw) == ("att_found", AttemptKind.PAYMENT, AttemptState.FOUND, raw)
    assert attempt.hash == "0x" + keccak256(raw).hex()
    assert (attempt.fees.max_fee_per_gas_wei, attempt.fees.max_priority_fee_per_gas_wei) == (12_345, 1)


def test_a_transfer_of_nothing_to_oneself_is_its_cancellation_and_may_cost_what_that_may() -> None:
    it = waiting(cancel_requested_at=NOW, cancel_fee_per_gas_max_wei=10**13)
    nothing = {"to": address_to_bytes(it.sender), "value": 0, "data": b"", "max_fee_per_gas": 10**13}
    attempt = found(it, signed(fields(it), **nothing))
    assert attempt is not None
    assert attempt.kind is AttemptKind.CANCELLATION
    assert found(it, signed(fields(it), **{**nothing, "max_fee_per_gas": 10**13 + 1})) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": 4},
        {"chain_id": CHAIN_ID + 1},
        {"to": b"\x77" * 20},
        {"value": 5},
        {"data": b"\x01"},
        {"access_list": ((b"\x77" * 20, ()),)},
        {"gas_limit": 10_000_000},
        {"max_fee_per_gas": 10**18},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_differs_in_anything_but_a_fee_within_the_hold_is_somebody_elses(changes: dict[str, Any]) -> None:
    it = waiting()
    assert found(it, signed(fields(it))) is not None
    assert found(it, signed(fields(it), **changes)) is None


def test_bytes_that_are_no_transaction_are_not_ours() -> None:
    assert found(waiting(), b"\x02\xc0") is None
    assert found(factories.transaction(state=State.QUEUED), signed(fields(waiting()))) is None, "without a nonce there is nothing"


def test_bytes_say_themselves_at_which_nonce_they_are() -> None:
    raw = signed(fields(waiting()), nonce=4)
    assert is_at_another_nonce(raw, 5)
    assert not is_at_another_nonce(raw, 4)
    assert not is_at_another_nonce(b"\x02\xc0", 4), "of what is no transaction nobody can tell"
