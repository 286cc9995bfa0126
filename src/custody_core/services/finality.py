"""Seeing that a chain has stopped becoming final: nothing is credited meanwhile, and nobody would know why."""

from __future__ import annotations

from datetime import timedelta

from custody_core.domain.chain import BlockRef, ChainState
from custody_core.services.kit import Kit
from custody_core.services.lasting_alarms import LastingAlarm

STALLED = "finality-stalled"
"""The alarm, raised once and cleared when blocks become final again."""

STALLED_AFTER = timedelta(hours=1)
"""By the chain's own time, and more than any chain takes that we know of: Ethereum 13 to 20 minutes, rollups up to half an hour."""

STALLED_AFTER_BLOCKS = 100
"""More than Ethereum's three epochs. A chain that makes a block a day is not stalled by its hours alone."""


class FinalityWatch:
    """Looks at one chain whenever its head is reached. Where a depth is set, what is final follows from the head."""

    def __init__(self, kit: Kit, chain_id: int) -> None:
        self._has_depth = kit.limits.confirmations.get(chain_id) is not None
        self._alarm = LastingAlarm(kit, STALLED, chain_id)

    def look(self, state: ChainState) -> None:
        """Raises the alarm, or clears it, where that is due. `state` is what was saved last, at the chain's head."""
        if self._has_depth:
            self._alarm.end("what is final is decided by CONFIRMATIONS now")
            return
        final, head = state.final, state.cursor
        if not _is_stalled(final, head):
            self._alarm.end("blocks become final again")
            return
        self._alarm.begin(
            f"block {final.number} of {final.timestamp:%Y-%m-%d %H:%M:%S} UTC is still the newest final one, "
            f"{head.number - final.number} blocks below the head; nothing above it is credited",
            mark=final.hash,
        )


def _is_stalled(final: BlockRef, head: BlockRef) -> bool:
    return head.number - final.number > STALLED_AFTER_BLOCKS and head.timestamp - final.timestamp > STALLED_AFTER
