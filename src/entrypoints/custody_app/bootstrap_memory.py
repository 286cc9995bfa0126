"""The composition root of a service that lives in memory only: for the tests of programs that embed the library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from custody_app.observers import QuietObserver
from custody_core import Custody, Limits
from custody_memory.chain import MemoryChain
from custody_memory.clock import ManualClock, SeededEntropy
from custody_memory.keys import MemoryKeys
from custody_memory.store import MemoryStore


@contextmanager
def open_in_memory(
    chain: MemoryChain | None = None, *, clock: ManualClock | None = None, seed: int = 0, limits: Limits | None = None
) -> Iterator[Custody]:
    """The same `Custody` over in-memory adapters, on a chain that you script.

    Make the `MemoryChain` yourself to fund addresses, mine, reorganise and fail it; make the `ManualClock` yourself to let time
    pass.
    The same seed gives the same ids and keys. Call `custody.tick()` for each round of the background work.
    """
    followed, entropy = chain or MemoryChain(), SeededEntropy(seed)
    custody = Custody(
        store=MemoryStore(),
        chains={followed.chain_id: followed},
        keys=MemoryKeys(entropy),
        clock=clock or ManualClock(),
        entropy=entropy,
        observer=QuietObserver(),
        limits=limits,
    )
    with custody:
        custody.policies.ensure_starter()
        yield custody
