"""Doing together what several threads ask for at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from custody_core import InvalidAmount
from custody_core.errors import BrokenInvariant
from custody_http.combining import Combiner

WAIT_S = 10


class Desk:
    """Doubles numbers, remembers the sets, and can be held up in its first one. Refuses any set with a negative number."""

    def __init__(self, *, held: bool = False) -> None:
        self.sets: list[list[int]] = []
        self.entered = threading.Event()
        self.go_on = threading.Event()
        if not held:
            self.go_on.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.sets.append(list(items))
        self.entered.set()
        assert self.go_on.wait(WAIT_S)
        if any(item < 0 for item in items):
            raise InvalidAmount("negative")
        return [2 * item for item in items]


def over(desk: Desk, *, most: int = 8) -> Combiner[int, int]:
    """A combiner that leaves the item 13 to whoever asks for it."""
    return Combiner(desk, alone=lambda item: desk([item])[0], is_left=lambda result: result == 26, most=most)


def waiting(combiner: Combiner[int, int], count: int) -> None:
    for _ in range(1000):
        if len(combiner._waiting) == count:
            return
        threading.Event().wait(0.005)
    raise AssertionError("they never came")


def test_alone_an_item_is_done_at_once() -> None:
    desk = Desk()
    assert [over(desk).run(item) for item in (1, 2)] == [2, 4]
    assert desk.sets == [[1], [2]]


def test_who_comes_meanwhile_goes_together_and_everybody_gets_their_own() -> None:
    desk = Desk(held=True)
    combiner = over(desk)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(combiner.run, 100)
        assert desk.entered.wait(WAIT_S)
        others = [threads.submit(combiner.run, item) for item in range(6)]
        waiting(combiner, 6)
        desk.go_on.set()
        assert first.result(WAIT_S) == 200
        assert [other.result(WAIT_S) for other in others] == [0, 2, 4, 6, 8, 10]
    assert [sorted(items) for items in desk.sets] == [[100], [0, 1, 2, 3, 4, 5]]


def test_a_set_is_never_larger_than_allowed_and_nobody_is_forgotten() -> None:
    desk = Desk(held=True)
    combiner = over(desk, most=2)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(combiner.run, 100)
        assert desk.entered.wait(WAIT_S)
        others = [threads.submit(combiner.run, item) for item in range(5)]
        waiting(combiner, 5)
        desk.go_on.set()
        assert [each.result(WAIT_S) for each in [first, *others]] == [200, 0, 2, 4, 6, 8]
    assert sorted(len(items) for items in desk.sets) == [1, 1, 2, 2]


def test_what_fails_for_one_does_not_fail_for_the_others() -> None:
    desk = Desk(held=True)
    combiner = over(desk)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(combiner.run, 100)
        assert desk.entered.wait(WAIT_S)
        poison, good = threads.submit(combiner.run, -1), threads.submit(combiner.run, 3)
        waiting(combiner, 2)
        desk.go_on.set()
        assert (first.result(WAIT_S), good.result(WAIT_S)) == (200, 6)
        with pytest.raises(InvalidAmount):
            poison.result(WAIT_S)
    assert combiner.run(4) == 8, "it goes on"


def test_what_a_set_leaves_is_done_by_the_thread_that_asked_and_holds_up_nobody() -> None:
    desk = Desk(held=True)
    combiner = over(desk)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(combiner.run, 100)
        assert desk.entered.wait(WAIT_S)
        left, other = threads.submit(combiner.run, 13), threads.submit(combiner.run, 3)
        waiting(combiner, 2)
        desk.go_on.set()
        assert (first.result(WAIT_S), left.result(WAIT_S), other.result(WAIT_S)) == (200, 26, 6)
    assert desk.sets[-1] == [13]


def test_a_work_that_forgets_an_item_is_an_error_and_not_somebody_elses_answer() -> None:
    combiner: Combiner[int, int] = Combiner(lambda _items: [], alone=lambda item: item, is_left=lambda _result: False, most=8)
    with pytest.raises(BrokenInvariant, match="each of its items"):
        combiner.run(1)
