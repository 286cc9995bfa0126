"""From a story that fails to the few decisions that make it fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from tests.unit.simulation.ddmin import ddmin
from tests.unit.simulation.decisions import Decision
from tests.unit.simulation.failures import Failure, NotLive
from tests.unit.simulation.script import Script
from tests.unit.simulation.story import Story

BUDGET_S: Final = 60
IMPATIENCE: Final = 0.1
"""While it shrinks, so much of the time in which a story has to come to its end; at the end all of it."""
PLAIN_AMOUNTS: Final = (1, 10**15)


def replay(script: Script, *, to_the_end: bool = True, patience: float = 1) -> tuple[Story, Failure | None]:
    """The story that the script tells, and how it fails. It is told to its end, or until the trouble ends."""
    story = Story(script.seed, script=script, patience=patience)
    try:
        if to_the_end:
            story.tell()
        else:
            story.tell_trouble()
    except Failure as failure:
        return story, failure
    return story, None


def named(failure: Failure) -> str:
    """What two failures have in common if they are of one cause: the class, and the invariant or the exception."""
    if isinstance(failure, NotLive):
        return failure.kind
    return f"{failure.kind} {str(failure).partition(':')[0].split()[-1]}"


class Shrinker:
    """Shrinks a story that just failed, within a budget of the processor's seconds."""

    def __init__(self, story: Story, failure: Failure, *, budget_s: float = BUDGET_S) -> None:
        self.best = story.script()
        self.failure = failure
        self.runs = 0
        self._during_trouble = not story.is_calm
        self._until_s = time.process_time() + budget_s

    def shrink(self) -> Script | None:
        """The shortest script that was found, or None where it does not fail again."""
        if not self._fails(self.best):
            return None
        size = None
        while size != (size := len(self.best.decisions)) and not self._is_late():
            self._leave_out_kinds()
            self._end_earlier()
            ddmin(self.best.decisions, self._fails_with)
            self._lower()
        return self.best if self._fails(self.best, patience=1) else None

    def _leave_out_kinds(self) -> None:
        """Whole kinds of decisions first, the most frequent ones before others; and the plainest shape."""
        for plainer in ({"is_interleaved": False}, {"views": 1}, {"is_tiny": False}, {"dust_wei": 0}):
            self._fails(attrs.evolve(self.best, shape=attrs.evolve(self.best.shape, **plainer)))
        for key in (lambda of: of.what, lambda of: (of.who, of.what)):
            for common, _ in Counter(key(each) for each in self.best.decisions).most_common():
                self._fails_with([each for each in self.best.decisions if key(each) != common])

    def _end_earlier(self) -> None:
        """The trouble ends with its last decision."""
        last_us = max((each.us for each in self.best.decisions if each.us < self.best.until_us), default=0)
        self._fails(attrs.evolve(self.best, until_us=last_us + 1))

    def _lower(self) -> None:
        """Smaller numbers in what is asked for and paid."""
        for index in range(len(self.best.decisions)):
            for value in _lower(self.best.decisions[index].value if index < len(self.best.decisions) else None):
                decisions = list(self.best.decisions)
                decisions[index] = attrs.evolve(decisions[index], value=value)
                if self._fails_with(decisions):
                    break

    def _fails_with(self, decisions: Sequence[Decision]) -> bool:
        return self._fails(attrs.evolve(self.best, decisions=tuple(decisions)))

    def _fails(self, script: Script, *, patience: float = IMPATIENCE) -> bool:
        """Whether it still fails, of the same cause. If so it is the best so far: as it was told, so without what was not used."""
        if self._is_late() and patience < 1:
            return False
        self.runs += 1
        story, failure = replay(script, to_the_end=not self._during_trouble, patience=patience)
        if failure is None or named(failure) != named(self.failure):
            return False
        self.best, self.failure = story.script(), failure
        return True

    def _is_late(self) -> bool:
        return time.process_time() > self._until_s


def _lower(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for index, part in enumerate(value):
            if type(part) is int and part > PLAIN_AMOUNTS[-1]:
                yield from ([*value[:index], plain, *value[index + 1 :]] for plain in PLAIN_AMOUNTS)
