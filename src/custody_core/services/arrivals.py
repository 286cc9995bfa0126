"""Whether tokens brought what their events say.

EIP-20 has no other record of a transfer than its event, and a contract may keep a fee of what it moves. So a wallet's balance of a
token, before the block and after it, is compared with what the events of the block say. A deposit of which less came is never its
owner's by itself: it is quarantined when it is final, and the comparison with the chain (`comparing.py`) books what is missing.

A balance that the node does not tell is waited for, as a part of the block, for as long as the block is young: a node that is busy
tells it a moment later. Where it does not keep the balances of so old a block, or never tells those of a token, the event is
believed, and the comparison alone is left to find it. What one node has shown to be short is not believed because a second one
is silent, or shows something else: a young block waits for that, too, and an old one's deposit is doubted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.domain.chain import BlockRef
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import read_transfer, token_keys
from custody_core.ports import Chain, Found, Unknown
from custody_core.services.block_evidence import BlockEvidence
from custody_core.services.vouched import balances_vouched

_YOUNG: Final = timedelta(minutes=2)
"""A younger block waits for balances that are not told."""

Held = tuple[Address, Address]
"""A wallet's address, and a token's contract."""


@attrs.frozen
class _Moved:
    """What the events of some blocks say: the change of what an address holds of a token, and which of these were paid."""

    change: Counter[Held]
    paid: frozenset[Held]


def with_shortfalls(
    chain: Chain, evidence: Sequence[BlockEvidence], managed: ManagedAddresses, *, now: datetime
) -> list[BlockEvidence]:
    """The evidence of blocks that follow each other, each with who got less of a token in it than its events say; up to the first
    young one of which a balance is not told now.

    That costs two requests for all of the blocks, if a token was paid in them at all, and more only where something is missing.
    """
    moved = [_moved(chain.chain_id, each, managed) for each in evidence]
    paid = sorted({held for each in moved for held in each.paid})
    if not paid:
        return list(evidence)
    first, last = evidence[0], evidence[-1]
    before, after = chain.balances(paid, _parent(first)), chain.balances(paid, last.block)
    untold = {held for held, *told in zip(paid, before, after, strict=True) if any(isinstance(each, Unknown) for each in told)}
    for index, (each, of_it) in enumerate(zip(evidence, moved, strict=True)):
        if of_it.paid & untold and _is_young(each, now):
            return with_shortfalls(chain, evidence[:index], managed, now=now)
    change: Counter[Held] = Counter()
    for of_it in moved:
        change.update(of_it.change)
    suspects = {
        held
        for held, had, has in zip(paid, before, after, strict=True)
        if isinstance(has, Found) and not _is_covered(change[held], had.value if isinstance(had, Found) else None, has.value)
    }
    marked: list[BlockEvidence] = []
    for each, of_it in zip(evidence, moved, strict=True):
        judged = _judged(chain, each, of_it, sorted(suspects & of_it.paid))
        if None in judged.values() and _is_young(each, now):
            break
        marked.append(attrs.evolve(each, short=frozenset(held for held, is_covered in judged.items() if not is_covered)))
    return marked


def _judged(chain: Chain, evidence: BlockEvidence, moved: _Moved, suspects: Sequence[Held]) -> dict[Held, bool | None]:
    """Whether each got what the events say, None where that is not told: what one node said of all the blocks is looked at again in
    this one, by two where there are several. Nothing told of before is no zero here: it would excuse what is suspected.
    """
    if not suspects:
        return {}
    before = balances_vouched(chain, suspects, _parent(evidence))
    after = balances_vouched(chain, suspects, evidence.block)
    return {
        held: None if had is None or has is None else _is_covered(moved.change[held], had, has)
        for held, had, has in zip(suspects, before, after, strict=True)
    }


def _moved(chain_id: int, evidence: BlockEvidence, managed: ManagedAddresses) -> _Moved:
    change: Counter[Held] = Counter()
    for log in evidence.logs:
        transfer = read_transfer(log)
        if transfer is None:
            continue
        token = address_from_bytes(log.emitter)
        change[address_from_bytes(transfer.sender), token] -= transfer.amount
        change[address_from_bytes(transfer.to), token] += transfer.amount
    paid = {(key.to, Address(key.asset)) for key in token_keys(chain_id, evidence.logs, managed)}
    return _Moved(change, frozenset(paid))


def _is_covered(change: int, before: int | None, after: int) -> bool:
    """Nothing said of before may mean that there was no contract yet. Nothing is what it was at least, so nobody is wronged."""
    return after - (before or 0) >= change


def _is_young(evidence: BlockEvidence, now: datetime) -> bool:
    return evidence.block.timestamp > now - _YOUNG


def _parent(evidence: BlockEvidence) -> BlockRef:
    header = evidence.matches.block.header
    return BlockRef(header.number - 1, header.parent_hash, header.timestamp)  # known by its hash; its own time is not
