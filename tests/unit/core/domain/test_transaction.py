"""Outgoing transactions as values: what they put on the chain follows from what was asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.encoding import decode_erc20_transfer
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.tokens import Asset
from custody_core.domain.transaction import FINAL_STATES, AttemptState, State
from tests.support import factories
from tests.support.factories import CHAIN_ID

USDC = Asset(CHAIN_ID, factories.address(5), "usdc", 6)


@given(st.integers(1, UINT256_MAX))
def test_ether_goes_as_value_and_a_token_as_a_call(amount: int) -> None:
    ether = factories.transaction(amount=amount)
    assert (ether.call_to, ether.call_value_wei, ether.call_data) == (ether.to, amount, b"")
    token = factories.transaction(amount=amount, asset=USDC)
    assert (token.call_to, token.call_value_wei) == (USDC.contract, 0)
    assert decode_erc20_transfer(token.call_data) == (address_to_bytes(token.to), amount)


@given(st.integers(21_000, 2**24), st.integers(1, 10**15))
def test_the_fee_hold_is_the_most_that_gas_can_cost(gas_limit: int, cap: int) -> None:
    assert factories.transaction(gas_limit=gas_limit, fee_per_gas_max_wei=cap).fee_hold_wei == gas_limit * cap


def test_the_hash_to_show_is_the_mined_ones_else_the_newest_signed_ones() -> None:
    one, two, three = factories.attempt(AttemptState.SENT), factories.attempt(AttemptState.SIGNED), factories.attempt()
    assert factories.transaction().hash is None
    assert factories.transaction(attempts=(three,)).hash is None
    assert factories.transaction(attempts=(one, two, three)).hash == two.hash
    mined = factories.confirming()
    assert mined.inclusion is not None
    assert mined.hash == mined.attempts[0].hash
    later = factories.confirming(attempts=(mined.attempts[0], two), inclusion=mined.inclusion)
    assert later.hash == mined.attempts[0].hash


def test_attempts_are_found_by_their_hash() -> None:
    attempts = (factories.attempt(AttemptState.SENT), factories.attempt(AttemptState.SENT))
    transaction = factories.broadcasting(attempts=attempts)
    for attempt in attempts:
        assert attempt.hash is not None
        assert transaction.attempt_by_hash(attempt.hash) is attempt
    assert transaction.attempt_by_hash(factories.hash32()) is None


def test_six_states_are_final() -> None:
    assert {state for state in State if factories.transaction(state=state).is_final} == FINAL_STATES
    assert len(FINAL_STATES) == 6
