"""Of all calls within a transaction, which have moved ether: what a failure took back never counts, however deep."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.chain import InternalTransfer
from custody_core.domain.tracing import TracedCall, surviving_transfers
from tests.support.factories import hash32

HASH, CONTRACT, OURS = hash32(1), b"\xcc" * 20, b"\x11" * 20


def call(depth: int, value: int = 0, *, failed: bool = False) -> TracedCall:
    return TracedCall(depth, failed, InternalTransfer(HASH, CONTRACT, OURS, value) if value else None)


def values(*calls: TracedCall) -> list[int]:
    return [transfer.value for transfer in surviving_transfers(calls)]


def test_the_transaction_itself_is_no_internal_transfer() -> None:
    assert values(call(0, 5)) == []
    assert values(call(0, 5), call(1, 4), call(2, 3), call(1, 2)) == [4, 3, 2]


def test_d_13_a_failure_takes_back_all_below_it_and_nothing_beside_it() -> None:
    assert values(call(0, 5), call(1, 5, failed=True), call(2, 5), call(3, 5), call(1, 7)) == [7]
    assert values(call(0, 5), call(1), call(2, 5, failed=True), call(3, 4), call(2, 3)) == [3]
    assert values(call(0, 5), call(1, 5, failed=True), call(1, 4), call(2, 3)) == [4, 3]
    assert values(call(0, 5), call(1, failed=True), call(2, failed=True), call(3, 4), call(2, 3), call(1, 2)) == [2]


def test_d_02_nothing_survives_a_transaction_that_failed() -> None:
    assert values(call(0, 5, failed=True), call(1, 4), call(2, 3), call(1, 2)) == []


@attrs.frozen
class Tree:
    value: int
    failed: bool
    below: list[Tree]

    def calls(self, depth: int = 0) -> Iterator[TracedCall]:
        yield call(depth, self.value, failed=self.failed)
        for tree in self.below:
            yield from tree.calls(depth + 1)

    def kept(self) -> list[int]:
        """What it and those below it have moved, by the definition."""
        return [] if self.failed else [self.value] * (self.value > 0) + [each for tree in self.below for each in tree.kept()]


LEAVES = st.builds(Tree, st.integers(0, 3), st.booleans(), st.just([]))
TREES = st.recursive(LEAVES, lambda below: st.builds(Tree, st.integers(0, 3), st.booleans(), st.lists(below, max_size=4)))


@given(TREES)
def test_what_survives_is_what_no_failure_is_above(tree: Tree) -> None:
    top = attrs.evolve(tree, value=0)
    assert values(*top.calls()) == top.kept()


def test_calls_may_go_as_deep_as_they_like() -> None:
    assert values(*(call(depth, 1) for depth in range(100_000))) == [1] * 99_999
