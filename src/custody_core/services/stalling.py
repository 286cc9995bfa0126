"""Seeing that the cursor stands still although the chain goes on: no deposit is seen meanwhile, at the head or far behind it.

For minutes that is nothing: nodes are late, and a block that cannot be read whole is waited for. What lasts longer needs a person.
Where no node says that there is anything to read, nobody can know; that the nodes are silent is told elsewhere.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from custody_core.domain.chain import BlockRef
from custody_core.services.kit import Kit
from custody_core.services.lasting_alarms import LastingAlarm

STALLED = "chain-stalled"
"""The alarm, raised once and cleared when the cursor moves, or has nothing above it any more."""

STALLED_AFTER = timedelta(minutes=5)


class StallWatch:
    """Is told of every round of one chain's follower."""

    def __init__(self, kit: Kit, chain_id: int) -> None:
        self._clock = kit.clock
        self._alarm = LastingAlarm(kit, STALLED, chain_id)
        self._seen: tuple[BlockRef, datetime] | None = None
        self._head = 0

    def is_below(self, cursor: BlockRef, head: int) -> None:
        """A node's head is above the cursor."""
        self._head = head
        if self._seen is None or self._seen[0] != cursor:
            self._seen = cursor, self._clock.now()

    def stands(self, cursor: BlockRef, why: str) -> None:
        """A round left the cursor where it was. Raises the alarm where that is due."""
        if self._seen is None or self._seen[0] != cursor or self._clock.now() - self._seen[1] < STALLED_AFTER:
            return
        since = f"{self._seen[1]:%Y-%m-%d %H:%M:%S} UTC"
        detail = f"block {cursor.number + 1} is there and has not been read since {since}; the head is {self._head}: {why}"
        self._alarm.begin(detail, mark=cursor.hash)

    def goes_on(self) -> None:
        """A round moved the cursor, or found nothing above it."""
        self._seen = None
        self._alarm.end("blocks are read again")
