"""Alarms about what nodes do not agree about."""

from __future__ import annotations

from collections.abc import Iterable

from custody_core.domain.chain import BlockRef, Hash
from custody_core.services.kit import Kit
from custody_core.services.lasting_alarms import LastingAlarm

NODE_DISAGREEMENT = "node-disagreement"

DEPOSIT_UNCORROBORATED = "deposit-uncorroborated"
"""The alarm about a deposit that was quarantined for want of a second node's word; cleared when an operator releases it."""

_SHOWN_MAX = 3
"""How many transactions an alarm names."""


class Disagreement:
    """The lowest block of a chain that its nodes do not agree about."""

    def __init__(self, kit: Kit, chain_id: int) -> None:
        self._kit = kit
        self._chain_id = chain_id
        self._alarm = LastingAlarm(kit, NODE_DISAGREEMENT, chain_id)
        self._may_be_raised = True

    def tell(self, block: BlockRef, hashes: Iterable[Hash]) -> None:
        """Raises the alarm. `hashes`: the transactions in question, where they are known."""
        first = sorted(hashes)[:_SHOWN_MAX]
        about = f"{', '.join(first)} in block" if first else "block"
        detail = f"the nodes do not agree about {about} {block.number} ({block.hash}): nothing becomes final from there on"
        self._alarm.begin(detail, mark=f"{block.number} {block.hash}")

    def settle(self, agreed: BlockRef) -> None:
        """Clears the alarm where the block that it was raised about is not above `agreed`, or has left our chain."""
        if not (mark := self._alarm.mark):
            return
        text, hash_ = mark.split()
        number = int(text)
        ours = self._kit.read(lambda unit: unit.canonical_hashes(self._chain_id, [number])).get(number, hash_)
        if number <= agreed.number or ours != hash_:
            self._alarm.end("the nodes agree about it again, or it is not ours any more")

    def end_unchecked(self) -> None:
        """Clears the alarm where nodes are not compared any more. It is looked for once: none is raised without a minimum."""
        if self._may_be_raised:
            self._alarm.end("nodes are not compared any more: CROSS_CHECK_MIN_WEI is not set")
            self._may_be_raised = False
