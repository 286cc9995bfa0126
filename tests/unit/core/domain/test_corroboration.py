"""What the nodes' words about one block come to."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.corroboration import Sight, Unseen, Verdict, Word, needing_corroboration, verdict, word
from custody_core.domain.deposit import Deposit, DepositKind
from tests.support import factories

S, D, E, C, N = Word.SHOWS, Word.DENIES, Word.ELSEWHERE, Word.CANNOT_TELL, Word.SILENT
SENT = factories.hash32(1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([S, S], Verdict.AGREED),
        ([S, D, S], Verdict.AGREED),
        ([S, E, S], Verdict.AGREED),
        ([D, D], Verdict.WRONG),
        ([D, D, N], Verdict.WRONG),
        ([S, D, D], Verdict.CONTRADICTED),
        ([D, D, C], Verdict.CONTRADICTED),
        ([S, D], Verdict.CONTRADICTED),
        ([D, N], Verdict.CONTRADICTED),
        ([S, E], Verdict.CONTRADICTED),
        ([C, D], Verdict.CONTRADICTED),
        ([S, C], Verdict.UNTRACED),
        ([C, C], Verdict.UNTRACED),
        ([C, N, S], Verdict.UNTRACED),
        ([S, N], Verdict.OPEN),
        ([C, N], Verdict.OPEN),
        ([S], Verdict.OPEN),
        ([], Verdict.OPEN),
    ],
)
def test_what_words_come_to(words: list[Word], expected: Verdict) -> None:
    assert verdict(words) is expected
    assert verdict(words[::-1]) is expected


@given(st.lists(st.sampled_from(Word), max_size=5))
def test_nothing_is_agreed_or_put_aside_on_one_nodes_word(words: list[Word]) -> None:
    said = verdict(words)
    if said is Verdict.AGREED:
        assert words.count(S) >= 2
    if said is Verdict.UNTRACED:
        assert words.count(S) + words.count(C) >= 2
        assert not {D, E} & set(words)


def test_a_node_denies_what_it_shows_otherwise_or_beyond_our_books() -> None:
    books = Sight(outcomes=frozenset({(SENT, True)}))
    assert word(books, books) is S
    assert word(books, Sight(outcomes=frozenset({(SENT, False)}))) is D
    assert word(books, Sight()) is D
    assert word(Sight(), books) is D
    assert word(Sight(), Sight(taken=frozenset({(SENT, "wal_1", "eth", 5, 1)}))) is D
    assert [word(books, each) for each in Unseen] == [E, N]


def test_traces_are_missed_only_where_something_large_rests_on_them() -> None:
    paid = frozenset({factories.deposit().key})
    books = Sight(internal=paid)
    assert word(books, Sight(internal=paid)) is S
    assert word(books, Sight(internal=paid, is_traced=False)) is C
    assert word(books, Sight(is_traced=False)) is D, "its transaction failed, or is not in the block"
    assert word(Sight(), Sight(is_traced=False)) is S
    assert word(Sight(), Sight(internal=paid)) is S


@pytest.mark.parametrize(
    ("sent", "by_contracts", "large"),
    [
        ([9], [], []),
        ([10], [], [10]),
        ([5, 5], [], [5, 5]),
        ([], [9], []),
        ([], [3, 3, 4], [3, 3, 4]),
        ([1], [3, 3, 4], [1, 3, 3, 4]),
        ([5], [5], [5]),
        ([10], [9], [10]),
    ],
)
def test_what_is_paid_in_one_block_counts_together(sent: list[int], by_contracts: list[int], large: list[int]) -> None:
    """`large`: those sent first. A large payment that was sent asks for no trace."""
    deposits = [_paid(each, DepositKind.NATIVE) for each in sent] + [_paid(each, DepositKind.INTERNAL) for each in by_contracts]
    found = needing_corroboration(deposits, minimum_wei=10)
    assert [each.key.amount for each in found] == large
    if by_contracts == [9] or (sent, by_contracts) == ([5], [5]):
        assert all(each.key.kind is DepositKind.NATIVE for each in found)


def _paid(amount: int, kind: DepositKind) -> Deposit:
    deposit = factories.deposit()
    return attrs.evolve(deposit, key=attrs.evolve(deposit.key, amount=amount, kind=kind))


@given(st.lists(st.tuples(st.sampled_from([DepositKind.NATIVE, DepositKind.INTERNAL]), st.integers(0, 20))), st.integers(1, 30))
def test_less_than_the_minimum_of_each_block_rests_on_one_nodes_word(paid: list[tuple[DepositKind, int]], minimum: int) -> None:
    deposits = [_paid(amount, kind) for kind, amount in paid]
    large = needing_corroboration(deposits, minimum_wei=minimum)
    assert sum(each.key.amount for each in deposits) - sum(each.key.amount for each in large) < minimum
