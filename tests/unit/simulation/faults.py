"""What goes wrong, how often: a swarm is drawn at the beginning of a story, so that each one is about a few kinds of trouble.

Each kind is on with one half; then with a rate drawn log-uniformly, a length of its bursts, and a stability: how many chances it
lets pass after a burst. Each kind has a stream of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import log
from typing import Final, Protocol, TypeVar

from tests.unit.simulation.chance import Streams
from tests.unit.simulation.decisions import Decisions

T = TypeVar("T")

RATE_MIN: Final = 1e-4
RATE_MAX: Final = 1e-1

KINDS: Final[dict[str, float]] = {
    # the chain, once a block
    "reorg": 5,
    "reorg-forgets": 100,
    "finality-breach": 0.5,
    "pool-drops": 2,
    "pool-narrow": 2,
    "pool-restarts": 1,
    "fee-spike": 2,
    "empty-blocks": 2,
    "finality-stalls": 2,
    "node-late": 5,
    "traces-fail": 3,
    "foreign-use": 3,
    "token-says-no": 2,
    "token-keeps-fee": 3,
    "token-rebases": 2,
    # its nodes, at every question
    "node-silent": 1,
    "node-stale": 1,
    "node-null": 1,
    "node-refuses": 2,
    "node-lies": 5,
    "node-omits": 2,
    "logs-garbled": 10,
    "traces-omitted": 10,
    "bloom-zeros": 2,
    "receipt-elsewhere": 1,
    "broadcast-lost": 3,
    "broadcast-unheard": 3,
    # the database, at every commit
    "conflict": 1,
    "commit-lost": 1,
    "commit-unheard": 1,
    # the signer, at every use
    "signer-away": 2,
    # the processes, at every call
    "kill-before": 0.2,
    "kill-after": 0.2,
    "pause": 0.5,
    "power-cut": 0.02,
    "clock-skew": 5,
    "clock-jump": 0.5,
}
"""Every kind of trouble, and how many times more often than others it strikes at a chance: some have few chances."""


class Fault:
    """One kind of trouble. How many chances pass until the next is drawn ahead, so that most chances cost nothing."""

    def __init__(self, streams: Streams, kind: str, *, is_wanted: bool) -> None:
        self._stream = streams.stream(f"fault {kind}")
        is_on = self._stream.random() < 0.5
        drawn = RATE_MIN * (RATE_MAX / RATE_MIN) ** self._stream.random()
        self._burst_max = self._stream.choice((1, 1, 1, 3, 10))
        self._stability = self._stream.choice((0, 0, 10, 100))
        self.rate = min(drawn * KINDS[kind], 0.5) if is_on and is_wanted else 0.0
        self._burst = 0
        self._chances = self._gap()

    def roll(self) -> bool:
        """Whether it strikes now."""
        if not self.rate:
            return False
        if self._burst:
            self._burst -= 1
        elif self._chances:
            self._chances -= 1
            return False
        else:
            self._burst = self._stream.randrange(self._burst_max)
            self._chances = self._stability + self._gap()
        return True

    def _gap(self) -> int:
        if not self.rate:
            return 0
        return int(log(1 - self._stream.random()) / log(1 - self.rate))


class Trouble(Protocol):
    """Who says what goes wrong now."""

    def roll(self, kind: str) -> bool:
        """Whether that kind of trouble strikes now."""
        ...

    def strike(self, kind: str, draw: Callable[[], T]) -> T | None:
        """How that kind of trouble strikes now, or None. `draw` asks chance how."""
        ...


class NoTrouble:
    """Nothing goes wrong."""

    def roll(self, kind: str) -> bool:  # noqa: ARG002  none of them
        """Never."""
        return False

    def strike(self, kind: str, draw: Callable[[], T]) -> T | None:  # noqa: ARG002  none of them
        """Never."""
        return None


class Faults:
    """All kinds of trouble of one story."""

    def __init__(self, streams: Streams, decisions: Decisions, *, only: Iterable[str] | None = None) -> None:
        wanted = set(KINDS if only is None else only)
        self.kinds = {kind: Fault(streams, kind, is_wanted=kind in wanted) for kind in KINDS}
        self._on = {kind for kind, fault in self.kinds.items() if decisions.may(kind, by_chance=fault.rate > 0)}
        self._decisions = decisions
        self._are_on = True
        self.struck: Counter[str] = Counter()

    def may_strike(self, kind: str) -> bool:
        """Whether that kind is one of this story's."""
        return kind in self._on

    def roll(self, kind: str) -> bool:
        """Whether that kind strikes now."""
        return self.strike(kind, lambda: True) is not None

    def strike(self, kind: str, draw: Callable[[], T]) -> T | None:
        """How that kind strikes now, or None."""
        if not self._are_on or kind not in self._on:
            return None
        how = self._decisions.take(kind, lambda: draw() if self.kinds[kind].roll() else None, None)
        if how is not None:
            self.struck[kind] += 1
        return how

    def pause(self) -> None:
        """No trouble for a while."""
        self._are_on = False

    def resume(self) -> None:
        """Trouble again."""
        self._are_on = True

    def end(self) -> None:
        """No more trouble from here on."""
        self._are_on = False

    def told(self) -> str:
        """The swarm, for the head of a trace."""
        return ", ".join(f"{kind} {fault.rate:.4f}" for kind, fault in self.kinds.items() if fault.rate) or "no faults"
