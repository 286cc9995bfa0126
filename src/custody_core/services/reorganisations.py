"""A reorganisation as a fact with a row of its own, in the commit that takes its blocks back."""

from __future__ import annotations

from typing import Final

from custody_core.domain.chain import Reorganisation
from custody_core.domain.resources import chain_text
from custody_core.ports import Unit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, raise_alarm, record_audit

DEEP: Final = 8
"""From so many blocks on a person is told. A chain that finalises takes one or two back now and then, and hardly ever more."""


def record_reorganisation(kit: Kit, unit: Unit, reorganisation: Reorganisation) -> None:
    """Its row and its audit row; where it is deep, an alarm, unless the one before it was deep and went back to the same block."""
    before = unit.reorganisations(reorganisation.chain_id, limit=1)
    unit.add_reorganisation(reorganisation)
    now, object_id = reorganisation.found_at, chain_text(reorganisation.chain_id)
    detail = {
        "id": reorganisation.id,
        "depth": str(reorganisation.depth),
        "from": reorganisation.cursor.hash,
        "to": reorganisation.ancestor.hash,
        "deposits": str(len(reorganisation.deposit_ids)),
        "transactions": str(len(reorganisation.transaction_ids)),
    }
    record_audit(kit, unit, now=now, actor=SYSTEM_ACTOR, action="chain.reorganised", object_id=object_id, detail=detail)
    is_told = any(each.depth >= DEEP and each.ancestor == reorganisation.ancestor for each in before)
    if reorganisation.depth >= DEEP and not is_told:
        told = (
            f"{reorganisation.depth} blocks above block {reorganisation.ancestor.number} were replaced; "
            f"{len(reorganisation.deposit_ids)} deposits and {len(reorganisation.transaction_ids)} sends were taken back with them"
        )
        raise_alarm(kit, unit, now=now, code="reorganisation-deep", object_id=object_id, detail=told)
