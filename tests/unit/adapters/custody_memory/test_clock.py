"""Time and chance that a test owns, and observers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from custody_core.ports import Clock, Entropy, Observer
from custody_memory.clock import ManualClock, SeededEntropy
from custody_memory.observer import RecordingObserver, SilentObserver


def test_time_stands_still_until_it_is_moved() -> None:
    start = datetime(2030, 5, 6, tzinfo=UTC)
    clock = ManualClock(start)
    port: Clock = clock
    assert (port.now(), port.monotonic_s()) == (start, 0)
    port.sleep(1.5)
    clock.advance(86_400)
    assert (port.now(), port.monotonic_s()) == (start + timedelta(days=1, seconds=1.5), 86_401.5)


def test_time_does_not_go_backward() -> None:
    clock = ManualClock()
    with pytest.raises(ValueError, match="backward"):
        clock.sleep(-1)
    assert clock.monotonic_s() == 0


def test_chance_depends_on_the_seed_alone() -> None:
    def drawn(entropy: Entropy) -> list[bytes]:
        return [entropy.random_bytes(count) for count in (32, 32, 0, 1, 100)]

    first = drawn(SeededEntropy(1))
    assert [len(draw) for draw in first] == [32, 32, 0, 1, 100]
    assert first[0] != first[1]
    assert drawn(SeededEntropy(1)) == first
    assert drawn(SeededEntropy(2))[0] != first[0]


def test_observers() -> None:
    recording = RecordingObserver()
    observers: list[Observer] = [recording, SilentObserver()]
    for observer in observers:
        observer.progress("blocks", done=1, total=2)
        observer.trouble("node", "silent")
    assert recording.progress_made == [("blocks", 1, 2)]
    assert recording.troubles == [("node", "silent")]
