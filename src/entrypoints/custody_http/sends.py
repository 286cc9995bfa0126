"""Requests to send that arrive together are accepted together, chain by chain: a slow node holds up its own chain only."""

from __future__ import annotations

from typing import Final

from custody_core import Custody
from custody_core.services.accepting import Accepted, Asked
from custody_core.services.outcomes import value_of
from custody_http.combining import Combiner

SET_MAX: Final = 64
"""More than a worker has threads: whoever waits goes with the next set."""


class Sends:
    """Accepts for all threads of a process."""

    def __init__(self, custody: Custody) -> None:
        accept = custody.transactions.accept_all
        self._by_chain = {chain_id: Combiner(accept, most=SET_MAX) for chain_id in custody.chain_ids}

    def accept(self, asked: Asked) -> Accepted:
        """As `custody.transactions.accept`, and raising what it raises."""
        return value_of(self._by_chain[asked.request.chain_id].run(asked))
