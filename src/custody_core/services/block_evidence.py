"""A block with everything that was needed to judge it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef, Hash, Log, Receipt
from custody_core.domain.matching import BlockMatches


@attrs.frozen
class BlockEvidence:
    """What matched, the receipts of the transactions that concern us, and the logs of the listed tokens that do."""

    matches: BlockMatches
    receipts: Mapping[Hash, Receipt]
    logs: tuple[Log, ...]
    reverts: Mapping[Hash, str] = attrs.field(factory=dict)
    """Of our own transactions that failed: why, where the node could say."""
    short: frozenset[tuple[Address, Address]] = frozenset()
    """(address, token contract) of those that got less of the token in this block than its events say."""

    @property
    def block(self) -> BlockRef:
        """Which block it is."""
        return self.matches.block.header.ref
