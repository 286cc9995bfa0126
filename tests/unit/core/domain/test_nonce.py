"""Nonces: each handed out once, in order, without a gap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.nonce import IN_FLIGHT_MAX, open_line, reserve, used_elsewhere
from tests.support import factories

ADDRESS = factories.address(3)


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_nonces_go_on_where_the_chain_is_without_a_gap(mined_count: int, count: int) -> None:
    line = open_line(1, ADDRESS, mined_count=mined_count)
    reserved = []
    for _ in range(count):
        nonce, line = reserve(line)
        reserved.append(nonce)
    assert reserved == list(range(mined_count, mined_count + count))
    assert (line.chain_id, line.address) == (1, ADDRESS)


@given(st.integers(0, 100), st.integers(0, 10), st.integers(0, 200))
def test_more_mined_than_we_ever_reserved_means_somebody_else_signs(mined_count: int, count: int, seen: int) -> None:
    line = open_line(1, ADDRESS, mined_count=mined_count)
    for _ in range(count):
        _, line = reserve(line)
    assert used_elsewhere(line, mined_count=seen) == (seen > mined_count + count)


def test_a_node_keeps_all_that_a_wallet_has_in_flight() -> None:
    """The `accountslots` of geth is 16: transactions beyond that are the first to be dropped."""
    assert 1 <= IN_FLIGHT_MAX <= 16
