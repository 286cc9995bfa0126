"""No as a value: in a set, what is refused to one is not refused to all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from custody_core.errors import CustodyError

T = TypeVar("T")


def outcome_of(work: Callable[[], T]) -> T | CustodyError:
    """What `work` returns, or the problem that it raises. For work that only decides: what a port raises concerns everybody."""
    try:
        return work()
    except CustodyError as problem:
        return problem


def value_of(outcome: T | CustodyError) -> T:
    """The outcome of a set of one. Raises the problem."""
    if isinstance(outcome, CustodyError):
        raise outcome
    return outcome
