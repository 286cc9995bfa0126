"""The gate that every call to a port passes: where a process can be interleaved, lose an answer, or die."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol


class Fate(Enum):
    """What becomes of one call to a port."""

    DONE = auto()
    REFUSED = auto()
    """No effect, and the caller is told so: 40001 of a database, a signer that is away. Of a question: no answer."""
    LOST_BEFORE = auto()
    """No effect, and the caller cannot know that."""
    LOST_AFTER = auto()
    """It took effect, and the caller cannot know that."""
    KILLED_BEFORE = auto()
    """The process dies before the effect."""
    KILLED_AFTER = auto()
    """The process dies after the effect, before it hears of it."""


class Killed(BaseException):
    """The process is no more. What its code still does while this passes through it has no effect: its ports are fenced."""


class Gate(Protocol):
    """One thread's way to the world."""

    def enter(self, call: str) -> Fate:
        """Waits for the call's turn; its fate. Raises `Killed` when the process dies before it, or is dead already."""
        ...

    def leave(self, fate: Fate) -> None:
        """After the effect. Raises `Killed` when the process dies here."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits that long. Raises `Killed`."""
        ...


class OpenGate:
    """A gate at which nothing happens."""

    def enter(self, call: str) -> Fate:  # noqa: ARG002  nobody is stopped
        """At once."""
        return Fate.DONE

    def leave(self, fate: Fate) -> None:
        """Nothing."""

    def sleep(self, seconds: float) -> None:
        """Nothing."""
