"""What is decided in a story, by chance or by a script.

Everything that a story leaves to chance is asked for here: each fault, each latency, each request, each payment. Chance's answers
are recorded, except where they are the plain one (no fault, the usual latency, nothing asked). A script answers from such a record:
each decision at its time or at the next chance after it, and plainly otherwise. So a script with decisions left out is a story,
too, which is what shrinking needs.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

from tests.unit.simulation.virtual_time import MICROSECONDS, VirtualTime

T = TypeVar("T")

WORLD = "world"


@attrs.frozen
class Decision:
    """At `us`, at the `nth` chance of `who` for `what` at that time: `value`, which is plain JSON."""

    us: int
    nth: int
    who: str
    what: str
    value: Any

    def told(self) -> str:
        """In words."""
        value = "" if self.value is True else self.value
        return f"{self.us / MICROSECONDS:>12.6f}s {self.who:<20} {self.what} {value}".rstrip()


class Decisions:
    """Decides, and remembers. `script` is None where chance decides. `who` is the thread for which it is decided."""

    def __init__(self, time: VirtualTime, script: Sequence[Decision] | None = None) -> None:
        self._time = time
        self._script: defaultdict[tuple[str, str], deque[Decision]] | None = None
        self._chances: dict[tuple[str, str], tuple[int, int]] = {}
        self._scripted = {decision.what for decision in script or ()}
        self.taken: list[Decision] = []
        self.who = WORLD
        if script is not None:
            self._script = defaultdict(deque)
            for decision in script:
                self._script[decision.who, decision.what].append(decision)

    def may(self, what: str, *, by_chance: bool) -> bool:
        """Whether that can be decided otherwise than plainly at all. `by_chance` is chance's own word on it."""
        return by_chance if self._script is None else what in self._scripted

    def take(self, what: str, draw: Callable[[], T], otherwise: T) -> T:
        """What is decided. `draw` asks chance; `otherwise` is the plain answer."""
        us, key = self._time.us, (self.who, what)
        seen_us, nth = self._chances.get(key, (us, -1))
        nth = nth + 1 if seen_us == us else 0
        self._chances[key] = us, nth
        value = draw() if self._script is None else self._scripted_value(key, us, nth, otherwise)
        if value != otherwise:
            self.taken.append(Decision(us, nth, self.who, what, value))
        return value

    def _scripted_value(self, key: tuple[str, str], us: int, nth: int, otherwise: T) -> T:
        assert self._script is not None
        waiting = self._script.get(key)
        if not waiting or (waiting[0].us, waiting[0].nth) > (us, nth):
            return otherwise
        value: T = waiting.popleft().value
        return value
