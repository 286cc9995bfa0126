"""The chains that are followed, as they are shown."""

from __future__ import annotations

import pytest

from custody_core import Custody
from custody_core.services.resources import chain_resource
from custody_memory.chain import MemoryChain
from custody_memory.clock import ManualClock, SeededEntropy
from custody_memory.keys import MemoryKeys
from custody_memory.observer import RecordingObserver
from custody_memory.store import MemoryStore


@pytest.mark.parametrize(("given", "name"), [({31337: "ours"}, "ours"), ({1: "another"}, "local"), (None, "local")])
def test_a_chain_is_called_what_the_operator_calls_it_or_else_what_everybody_does(given: dict[int, str] | None, name: str) -> None:
    chain, entropy = MemoryChain(), SeededEntropy(1)
    with Custody(
        store=MemoryStore(),
        chains={chain.chain_id: chain},
        keys=MemoryKeys(entropy),
        clock=ManualClock(),
        entropy=entropy,
        observer=RecordingObserver(),
        chain_names=given,
    ) as custody:
        custody.tick()
        (status,) = custody.chains.list()
    shown = chain_resource(status)
    assert (shown["id"], shown["name"]) == ("eip155:31337", name)
