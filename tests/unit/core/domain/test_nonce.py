"""Nonces: each handed out once, in order, without a gap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.nonce import IN_FLIGHT_MAX, ForeignUse, moved_past, open_line, reserve, used_elsewhere
from tests.support import factories

ADDRESS = factories.address(3)


@given(st.integers(1, 50))
def test_nonces_begin_at_zero_and_have_no_gap(count: int) -> None:
    line = open_line(1, ADDRESS)
    reserved = []
    for _ in range(count):
        nonce, line = reserve(line)
        reserved.append(nonce)
    assert reserved == list(range(count))
    assert (line.chain_id, line.address) == (1, ADDRESS)


@given(st.integers(0, 10), st.integers(0, 20))
def test_more_known_to_a_node_than_we_ever_reserved_means_somebody_else_signs(count: int, known: int) -> None:
    line = open_line(1, ADDRESS)
    for _ in range(count):
        _, line = reserve(line)
    assert used_elsewhere(line, count=known) == (known > count)


@given(st.integers(0, 10), st.integers(0, 20))
def test_a_line_moves_past_a_foreign_nonce_and_never_back(count: int, nonce: int) -> None:
    line = open_line(1, ADDRESS)
    for _ in range(count):
        _, line = reserve(line)
    use = ForeignUse(1, ADDRESS, nonce, factories.hash32(), factories.block_ref(7))
    assert moved_past(line, use).next_nonce == max(count, nonce + 1)


def test_a_node_keeps_all_that_a_wallet_has_in_flight() -> None:
    """The `accountslots` of geth is 16: transactions beyond that are the first to be dropped."""
    assert 1 <= IN_FLIGHT_MAX <= 16
