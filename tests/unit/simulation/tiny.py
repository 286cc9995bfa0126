"""Numbers of the core that only very large services reach, made so small that a story reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from custody_core.domain import managed
from custody_core.services import evidence


@contextmanager
def tiny(is_tiny: bool) -> Iterator[None]:
    """Where `is_tiny`, addresses are held by their first bytes from the second one on, and learnt two at a time."""
    before = managed.SET_MAX, managed.NEWEST_MAX, evidence._ADDRESSES_PER_READ
    if is_tiny:
        managed.SET_MAX, managed.NEWEST_MAX, evidence._ADDRESSES_PER_READ = 1, 1, 2  # type: ignore[misc]
    try:
        yield
    finally:
        managed.SET_MAX, managed.NEWEST_MAX, evidence._ADDRESSES_PER_READ = before  # type: ignore[misc]
