"""A node gets no more at once than it takes, and its distance counts once."""

from __future__ import annotations

import threading

from custody_rpc.pace import AT_ONCE_MAX, Pace


def test_what_was_too_much_is_halved_for_whatever_comes_next_and_grows_back() -> None:
    pace = Pace()
    assert pace.batch_max(20) == 20
    pace.was_too_much(20, of=20)
    pace.was_too_much(10, of=20)
    assert [pace.batch_max(size) for size in (20, 100, 1)] == [5, 25, 1]
    sizes = []
    for _ in range(10):
        pace.was_taken()
        sizes.append(pace.batch_max(20))
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (6, 20)


def test_a_batch_is_never_empty_however_often_a_node_refuses() -> None:
    pace = Pace()
    for _ in range(100):
        pace.was_too_much(2, of=1000)
    assert pace.batch_max(20) == 1
    pace.was_taken()
    assert pace.batch_max(1000) > 1


def test_parts_are_worked_on_at_the_same_time_and_answered_in_their_order() -> None:
    pace, together = Pace(), threading.Barrier(AT_ONCE_MAX, timeout=10)

    def work(part: int) -> tuple[int, str]:
        together.wait()
        return part, threading.current_thread().name

    answers = pace.each(work, range(AT_ONCE_MAX))
    assert [part for part, _ in answers] == list(range(AT_ONCE_MAX))
    assert answers[0][1] == threading.current_thread().name
    assert len({name for _, name in answers}) == AT_ONCE_MAX
    pace.close()
    assert pace.each(str, [1]) == ["1"]
