"""The books: what cannot be written, and that movements add up."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody_core.domain.ledger import (
    HELD_KINDS,
    WALLET_KINDS,
    Account,
    AccountKind,
    Posting,
    PostingGroup,
    Reason,
    WalletAccounts,
    moves,
    net_by_account,
)
from tests.support.factories import NOW

ACCOUNTS = WalletAccounts(1, "eth", "wal_1")
KINDS = st.sampled_from(AccountKind)
MOVEMENTS = st.lists(
    st.tuples(KINDS.map(ACCOUNTS.of), KINDS.map(ACCOUNTS.of), st.integers(0, 2**256)),
    max_size=12,
)


def group(*postings: Posting, chain_id: int = 1) -> PostingGroup:
    return PostingGroup(chain_id, "txn_1", Reason.SEND_HELD, NOW, None, postings)


@pytest.mark.parametrize("kind", AccountKind)
def test_an_account_of_a_wallet_names_it_and_one_of_the_system_does_not(kind: AccountKind) -> None:
    belongs = kind in HELD_KINDS
    assert Account(1, "eth", kind, "wal_1" if belongs else None) == ACCOUNTS.of(kind)
    with pytest.raises(ValueError, match="wallet"):
        Account(1, "eth", kind, None if belongs else "wal_1")


def test_suspense_is_held_on_the_address_and_belongs_to_no_owner() -> None:
    assert {AccountKind.SUSPENSE} == HELD_KINDS - WALLET_KINDS


@given(MOVEMENTS)
def test_movements_net_to_zero_and_name_each_account_once(movements: list[tuple[Account, Account, int]]) -> None:
    postings = moves(*movements)
    assert sum(posting.delta for posting in postings) == 0
    assert all(posting.delta for posting in postings)
    assert len({posting.account for posting in postings}) == len(postings)
    for posting in postings:
        came = sum(amount for _, target, amount in movements if target == posting.account)
        went = sum(amount for source, _, amount in movements if source == posting.account)
        assert posting.delta == came - went


def test_nothing_moves_backward() -> None:
    with pytest.raises(ValueError, match="source"):
        moves((ACCOUNTS.available, ACCOUNTS.reserved, -1))


@given(st.lists(st.integers(-(2**256), 2**256), min_size=1, max_size=6))
def test_a_group_that_does_not_sum_to_zero_cannot_be_said(deltas: list[int]) -> None:
    accounts = [attrs.evolve(ACCOUNTS, wallet_id=f"wal_{index}").available for index in range(len(deltas))]
    postings = [Posting(account, delta) for account, delta in zip(accounts, deltas, strict=True)]
    if sum(deltas) == 0 and all(deltas):
        assert group(*postings).postings == tuple(postings)
    else:
        with pytest.raises(ValueError, match=r"zero|changes"):
            group(*postings)


def test_assets_do_not_balance_each_other() -> None:
    token = attrs.evolve(ACCOUNTS, asset="0xtoken")
    with pytest.raises(ValueError, match="zero"):
        group(Posting(ACCOUNTS.available, -5), Posting(token.available, 5))


def test_chains_do_not_balance_each_other() -> None:
    other = attrs.evolve(ACCOUNTS, chain_id=10)
    with pytest.raises(ValueError, match="chain"):
        group(Posting(ACCOUNTS.available, -5), Posting(other.available, 5))


def test_a_group_of_nothing_cannot_be_said() -> None:
    with pytest.raises(ValueError, match="zero"):
        group()


@settings(max_examples=25)
@given(st.lists(MOVEMENTS.map(lambda movements: moves(*movements)).filter(bool), max_size=6))
def test_the_net_of_groups_is_the_sum_of_their_postings(each: list[tuple[Posting, ...]]) -> None:
    net = net_by_account(group(*postings) for postings in each)
    assert sum(net.values()) == 0
    for account, delta in net.items():
        assert delta == sum(posting.delta for postings in each for posting in postings if posting.account == account)
