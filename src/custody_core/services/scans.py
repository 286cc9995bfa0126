"""What an operator asks of the scanner: blocks that were followed, read again (`rescanning.py`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from custody_core.domain.chain import Hash
from custody_core.domain.resources import chain_text
from custody_core.errors import NodeUnavailable, NotFound, ValidationFailed
from custody_core.ports import Found, Unit, Unknown
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit
from custody_core.services.rescanning import Missing, Rescanner, require_followed
from custody_core.services.unfinished import give_up, unfinished

_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


@attrs.frozen
class Scan:
    """Blocks that were read again, the first and the last included, and what was missing of them. Of `untraced_blocks` no node told
    what contracts paid, so that may be missing still.
    """

    chain_id: int
    first: int
    last: int
    missing: Missing
    untraced_blocks: int = 0


@attrs.frozen
class LeftOut:
    """Blocks that a rescan which ended early has left out. Until they are read no comparison with the chain judges the books."""

    chain_id: int
    first: int
    last: int


class Scans:
    """`custody.scans`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def rescan(self, first: int, last: int | None = None, *, chain_id: int | None = None, actor: str = SYSTEM_ACTOR) -> Scan:
        """Reads the blocks `first` to `last` again (only `first` without `last`), and takes in what the books do not have of them.
        Doing it again changes nothing more. `chain_id` may be left out where one chain is followed.

        Raises `ValidationFailed`; `NotFound` for blocks that were not followed; `ChainHalted`; `NodeUnavailable` for a block that
        cannot be read whole now; `InvalidStateTransition` where the node shows another block than was followed, while others read
        blocks again, and inside of `joined`. What was taken in before it raised stays, and `unfinished` tells of the rest.
        """
        self._kit.require_own_transactions()
        chain = self._kit.chain(self._chosen(chain_id))
        last = first if last is None else last
        if not 0 <= first <= last:
            raise ValidationFailed("a range of blocks goes up: FROM is not above TO", pointer="/from")
        detail = {"from": str(first), "to": str(last)}

        def begin(unit: Unit) -> None:
            require_followed(unit, chain.chain_id, first, last)
            now = self._kit.clock.now()
            object_id = chain_text(chain.chain_id)
            record_audit(self._kit, unit, now=now, actor=actor, action="chain.rescanned", object_id=object_id, detail=detail)

        self._kit.write(begin)
        rescanner = Rescanner(self._kit, chain)
        missing = rescanner.run(first, last)
        return Scan(chain.chain_id, first, last, missing, rescanner.untraced_blocks)

    def rescan_hash(self, hash_: str, *, chain_id: int | None = None, actor: str = SYSTEM_ACTOR) -> Scan:
        """As `rescan`, for the block with that hash, or the one that holds the transaction with that hash. Raises what `rescan`
        raises; `NotFound` where neither is known.
        """
        if _HASH.fullmatch(hash_) is None:
            raise ValidationFailed("a hash is 0x and 64 hexadecimal digits", pointer="/hash")
        chosen = self._chosen(chain_id)
        number = self._number_of(chosen, Hash(hash_.lower()))
        return self.rescan(number, chain_id=chosen, actor=actor)

    def unfinished(self) -> Sequence[LeftOut]:
        """What rescans have left out, of every chain; what one reads now is among it."""

        def work(unit: Unit) -> Sequence[LeftOut]:
            return [LeftOut(state.chain_id, *each) for state in unit.chains() for each in unfinished(unit, state.chain_id)]

        return self._kit.read(work)

    def abandon(self, *, chain_id: int | None = None, actor: str = SYSTEM_ACTOR) -> Sequence[LeftOut]:
        """What rescans have left out is never to be read: the comparison with the chain judges the books as they are from now on.
        Returns what was given up. Raises `ValidationFailed`, and `NotFound` for a chain that is not followed.
        """
        chosen = self._kit.chain(self._chosen(chain_id)).chain_id

        def work(unit: Unit) -> Sequence[LeftOut]:
            unit.chain(chosen, lock=True)
            left, now = unfinished(unit, chosen), self._kit.clock.now()
            if left:
                give_up(unit, chosen)
                detail = {"blocks": ", ".join(f"{first}-{last}" for first, last in left)}
                name = chain_text(chosen)
                record_audit(self._kit, unit, now=now, actor=actor, action="chain.rescan-abandoned", object_id=name, detail=detail)
            return [LeftOut(chosen, *each) for each in left]

        return self._kit.write(work)

    def _number_of(self, chain_id: int, hash_: Hash) -> int:
        header = self._kit.read(lambda unit: unit.header_by_hash(chain_id, hash_))
        if header is not None:
            return header.number
        (answer,) = self._kit.chain(chain_id).receipts([hash_])
        if isinstance(answer, Unknown):
            raise NodeUnavailable("the node does not say which block holds this transaction; try again")
        if not isinstance(answer, Found):
            raise NotFound("no block of our books has this hash, and the node knows no mined transaction by it", pointer="/hash")
        return answer.value.block_number

    def _chosen(self, chain_id: int | None) -> int:
        if chain_id is None and len(self._kit.chains) != 1:
            raise ValidationFailed("this service follows several chains; say which one", pointer="/chain")
        return next(iter(self._kit.chains)) if chain_id is None else chain_id


def scan_resource(scan: Scan) -> dict[str, Any]:
    """What was read again, and what was missing."""
    return {
        "chain": chain_text(scan.chain_id),
        "from": scan.first,
        "to": scan.last,
        "blocks": scan.last - scan.first + 1,
        "deposits": [{"id": each.id, "wallet_id": each.wallet_id, "state": str(each.state)} for each in scan.missing.deposits],
        "transactions": list(scan.missing.transaction_ids),
        "outflows": scan.missing.outflows,
        "untraced_blocks": scan.untraced_blocks,
    }
