"""Seeing that a chain has stopped becoming final: nothing is credited meanwhile, and nobody would know why."""

from __future__ import annotations

from datetime import timedelta

from custody_core.domain.chain import BlockRef, ChainState
from custody_core.domain.resources import chain_text
from custody_core.ports import Unit
from custody_core.services.kit import Kit, clear_alarm, raise_alarm

STALLED = "finality-stalled"
"""The alarm, raised once and cleared when blocks become final again."""

STALLED_AFTER = timedelta(hours=1)
"""By the chain's own time, and more than any chain takes that we know of: Ethereum 13 to 20 minutes, rollups up to half an hour."""

STALLED_AFTER_BLOCKS = 100
"""More than Ethereum's three epochs. A chain that makes a block a day is not stalled by its hours alone."""


class FinalityWatch:
    """Looks at one chain whenever its head is reached. Where a depth is set, what is final follows from the head."""

    def __init__(self, kit: Kit, chain_id: int) -> None:
        self._kit = kit
        self._chain_id = chain_id
        self._name = f"finality-stalled:{chain_id}"

    def look(self, state: ChainState) -> None:
        """Raises the alarm, or clears it, where that is due. `state` is what was saved last, at the chain's head."""
        if self._kit.limits.confirmations.get(self._chain_id) is not None:
            return
        stalled = _is_stalled(state.final, state.cursor)
        if stalled != self._kit.read(self._is_told):
            self._kit.write(lambda unit: self._tell(unit, state, stalled=stalled))

    def _is_told(self, unit: Unit) -> bool:
        return bool(unit.setting(self._name))

    def _tell(self, unit: Unit, state: ChainState, *, stalled: bool) -> None:
        if self._is_told(unit) == stalled:
            return
        now, object_id = self._kit.clock.now(), chain_text(self._chain_id)
        unit.put_setting(self._name, state.final.hash.encode() if stalled else b"")
        if stalled:
            detail = (
                f"block {state.final.number} of {state.final.timestamp:%Y-%m-%d %H:%M:%S} UTC is still the newest final one, "
                f"{state.cursor.number - state.final.number} blocks below the head; nothing above it is credited"
            )
            raise_alarm(self._kit, unit, now=now, code=STALLED, object_id=object_id, detail=detail)
        else:
            clear_alarm(self._kit, unit, now=now, code=STALLED, object_id=object_id, detail="blocks become final again")


def _is_stalled(final: BlockRef, head: BlockRef) -> bool:
    return head.number - final.number > STALLED_AFTER_BLOCKS and head.timestamp - final.timestamp > STALLED_AFTER
