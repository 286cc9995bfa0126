"""Requests to send that arrive together are accepted together, chain by chain: a slow node holds up its own chain only, and a
wallet that somebody holds only those who ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from custody_core import Custody, CustodyError
from custody_core.errors import Conflict
from custody_core.services.accepting import Accepted, Asked
from custody_core.services.outcomes import value_of
from custody_http.combining import Combiner

SET_MAX: Final = 64
"""More than a worker has threads: whoever waits goes with the next set."""

Outcome = Accepted | CustodyError


class Sends:
    """Accepts for all threads of a process."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self._by_chain: dict[int, Combiner[Asked, Outcome]] = {
            chain_id: Combiner(self._together, alone=self._alone, is_left=_is_held, most=SET_MAX) for chain_id in custody.chain_ids
        }

    def accept(self, asked: Asked) -> Accepted:
        """As `custody.transactions.accept`, and raising what it raises."""
        return value_of(self._by_chain[asked.request.chain_id].run(asked))

    def _together(self, asked: Sequence[Asked]) -> Sequence[Outcome]:
        return self._custody.transactions.accept_all(asked, wait=False)

    def _alone(self, asked: Asked) -> Outcome:
        (outcome,) = self._custody.transactions.accept_all([asked])
        return outcome


def _is_held(outcome: Outcome) -> bool:
    return isinstance(outcome, Conflict)
