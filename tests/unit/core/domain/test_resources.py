"""The public form of things: exact texts, and nothing that is not the reader's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.deposit import DepositState
from custody_core.domain.ids import IdPrefix
from custody_core.domain.money import UINT256_MAX, ether
from custody_core.domain.resources import (
    Balance,
    OnChain,
    attempt_resource,
    balance_resource,
    deposit_resource,
    time_text,
    token_resource,
    transaction_resource,
    wallet_resource,
)
from custody_core.domain.transaction import AttemptState, State
from tests.support import factories
from tests.support.factories import ETH, NOW, block_ref


def every_resource() -> Iterator[tuple[str, dict[str, object]]]:
    sent = factories.attempt(AttemptState.SENT)
    yield "wallet", wallet_resource(factories.wallet("usr_1"))
    yield "queued", transaction_resource(factories.transaction())
    yield "confirming", transaction_resource(factories.confirming(), head=block_ref(101))
    yield "attempt", attempt_resource(sent)
    yield "deposit", deposit_resource(factories.deposit(), head=block_ref(101))
    yield "balance", balance_resource(Balance(ETH, 1, 2, 3, 4, block_ref(9), OnChain(6, block_ref(10), 3)))
    yield "token", token_resource(factories.token())


RESOURCES = dict(every_resource())


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_a_resource_is_plain_json_whose_amounts_are_text(resource: dict[str, object]) -> None:
    def walk(value: Any, name: str) -> None:
        assert not isinstance(value, float | bytes), name
        if isinstance(value, int) and not isinstance(value, bool):
            assert name in {"version", "decimals", "confirmations", "number", "nonce", "age_s"}, name
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key)

    walk(resource, "")
    assert json.loads(json.dumps(resource)) == resource


def test_no_resource_shows_an_attempts_bytes() -> None:
    sent = attrs.evolve(factories.attempt(AttemptState.SENT), raw=b"\xde\xad\xbe\xef" * 8)
    shown = json.dumps([attempt_resource(sent), transaction_resource(factories.broadcasting(attempts=(sent,)))])
    assert "deadbeef" not in shown
    assert "raw" not in shown


@given(st.integers(1, UINT256_MAX))
def test_amounts_are_exact_to_the_last_unit(amount: int) -> None:
    shown = transaction_resource(factories.transaction(amount=amount))
    assert shown["amount"] == str(amount)
    assert deposit_resource(factories.deposit(amount=amount))["amount"] == str(amount)


def test_times_are_rfc_3339_in_utc() -> None:
    assert time_text(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)) == "2026-03-04T05:06:07Z"
    assert time_text(datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)) == "2026-03-04T05:06:07.000089Z"
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}(\.[0-9]{6})?Z", time_text(NOW))


@pytest.mark.parametrize(("head", "confirmations"), [(None, 0), (99, 0), (100, 1), (111, 12)])
def test_confirmations_count_the_block_itself_and_are_never_negative(head: int | None, confirmations: int) -> None:
    newest = None if head is None else block_ref(head)
    assert transaction_resource(factories.confirming(), head=newest)["confirmations"] == confirmations
    assert deposit_resource(factories.deposit(), head=newest)["confirmations"] == confirmations


def test_a_transaction_shows_its_fee_once_a_block_holds_it() -> None:
    assert transaction_resource(factories.broadcasting())["fee"] is None
    fee = transaction_resource(factories.confirming())["fee"]
    assert fee == {"asset": "eth", "amount": str(21_000 * 20 * 10**9), "gas_used": "21000", "fee_per_gas_wei": str(20 * 10**9)}


def test_an_orphaned_deposit_shows_no_block() -> None:
    shown = deposit_resource(factories.deposit(state=DepositState.ORPHANED), head=block_ref(105))
    assert (shown["state"], shown["block"], shown["confirmations"]) == ("orphaned", None, 0)


def test_a_balance_adds_up() -> None:
    shown = balance_resource(Balance(ETH, ether("1"), ether("0.25"), ether("0.5"), ether("9"), block_ref(7)))
    assert (shown["total"], shown["formatted"], shown["on_chain"]) == (str(ether("1.75")), "1.75", None)
    assert shown["pending_in"] == str(ether("9"))


def test_the_two_directions_share_their_names() -> None:
    """A client that reads one direction reads the other: what both have, they call the same."""
    outgoing, incoming = transaction_resource(factories.transaction(state=State.QUEUED)), deposit_resource(factories.deposit())
    assert (outgoing["direction"], incoming["direction"]) == ("outgoing", "incoming")
    assert set(incoming) <= set(outgoing)
    assert str(outgoing["id"]).startswith(f"{IdPrefix.TRANSACTION}_")
