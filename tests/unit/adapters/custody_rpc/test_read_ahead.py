"""Blocks that were read ahead are given out once, to whoever asks for just them, and never when they were not there yet."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from custody_core.ports import Absent, Answer, Found
from custody_rpc.read_ahead import MANY, ReadAhead


class Node:
    """Has blocks up to a height. Each answer says how many questions came before."""

    def __init__(self) -> None:
        self.head = 1000
        self.asked: list[Sequence[int]] = []
        self.heard = threading.Condition()

    def ask(self, numbers: Sequence[int]) -> Sequence[Answer[int]]:
        with self.heard:
            self.asked.append(numbers)
            self.heard.notify_all()
        return [Found(number) if number <= self.head else Absent() for number in numbers]

    def require_asked(self, *numbers: Sequence[int]) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.asked) >= len(numbers), timeout=10)
        assert [list(each) for each in self.asked] == [list(each) for each in numbers]


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def ahead(node: Node) -> Iterator[ReadAhead[int]]:
    made = ReadAhead(node.ask)
    yield made
    made.close()


def some(first: int, count: int = MANY) -> range:
    return range(first, first + count)


def test_the_next_of_many_are_read_before_they_are_asked_for(node: Node, ahead: ReadAhead[int]) -> None:
    assert ahead.answers(some(1)) == [Found(number) for number in some(1)]
    node.require_asked(some(1), some(1 + MANY))
    assert ahead.answers(some(1 + MANY)) == [Found(number) for number in some(1 + MANY)]
    node.require_asked(some(1), some(1 + MANY), some(1 + 2 * MANY))


def test_few_are_asked_for_as_they_are(node: Node, ahead: ReadAhead[int]) -> None:
    assert ahead.answers([7, 8]) == [Found(7), Found(8)]
    assert ahead.answers(range(0)) == []
    node.require_asked([7, 8])


def test_what_others_ask_for_is_not_taken_from_it(node: Node, ahead: ReadAhead[int]) -> None:
    ahead.answers(some(1))
    node.require_asked(some(1), some(1 + MANY))
    assert ahead.answers([3]) == [Found(3)]
    assert ahead.answers([1 + MANY]) == [Found(1 + MANY)], "a second time it is asked for, since nobody knows how old it is by then"
    node.require_asked(some(1), some(1 + MANY), [3], [1 + MANY])


def test_what_was_not_there_yet_is_asked_for_again(node: Node, ahead: ReadAhead[int]) -> None:
    node.head = MANY + 2
    ahead.answers(some(1))
    node.require_asked(some(1), some(1 + MANY))
    node.head = 1000
    assert ahead.answers(some(1 + MANY)) == [Found(number) for number in some(1 + MANY)]
    assert list(node.asked[2]) == list(some(MANY + 3, MANY - 2))
