"""The chain as we follow it: links, the common ancestor, and what counts as final."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.chain import common_ancestor, final_number, links
from tests.support.factories import hash32, header, header_chain


def test_a_block_links_to_the_one_whose_hash_it_names() -> None:
    parent, child = header(10), header(11)
    assert links(parent.ref, child)
    assert not links(parent.ref, header(12))
    assert not links(parent.ref, header(10))
    assert not links(parent.ref, attrs.evolve(child, parent_hash=hash32(10, mark=9)))
    assert not links(header(10, fork=1).ref, child)
    assert not links(parent.ref, attrs.evolve(child, number=12))


@given(st.integers(0, 20), st.integers(1, 20), st.integers(0, 20))
def test_the_common_ancestor_is_the_last_block_before_the_fork(first: int, shared: int, forked: int) -> None:
    ours = header_chain(first, first + shared + forked - 1)
    theirs = header_chain(first, first + shared - 1) + header_chain(first + shared, first + shared + forked, fork=1, parent_fork=0)
    ancestor = common_ancestor(ours, {each.number: each.hash for each in theirs})
    assert ancestor == ours[shared - 1]


@given(st.sets(st.integers(0, 9)))
def test_a_node_that_answers_for_some_heights_only_never_moves_the_ancestor_up(answered: set[int]) -> None:
    ours = header_chain(0, 9)
    fork = {each.number: each.hash for each in (*header_chain(0, 4), *header_chain(5, 9, fork=1, parent_fork=0))}
    ancestor = common_ancestor(ours, {number: fork[number] for number in answered})
    agreed = [number for number in answered if number <= 4]
    assert ancestor == (ours[max(agreed)] if agreed else None)


def test_without_agreement_there_is_no_ancestor() -> None:
    assert common_ancestor(header_chain(0, 3), {each.number: each.hash for each in header_chain(0, 3, fork=1)}) is None
    assert common_ancestor([], {}) is None


@pytest.mark.parametrize(
    ("tagged", "head", "confirmations", "final"),
    [
        (None, 100, None, None),
        (96, 100, None, 96),
        (96, 100, 1, 100),
        (None, 100, 12, 89),
        (None, 5, 12, 0),
        (0, 0, None, 0),
    ],
)
def test_final_is_what_the_node_tags_or_a_depth_where_one_is_set(
    tagged: int | None, head: int, confirmations: int | None, final: int | None
) -> None:
    assert final_number(tagged=tagged, head=head, confirmations=confirmations) == final
