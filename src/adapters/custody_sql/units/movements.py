"""What lists of transactions of both directions have in common."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Table, select

from custody_core.domain.ids import IdPrefix, first_id
from custody_core.ports import MovementFilter


def newest_first(table: Table, wanted: MovementFilter, *, limit: int, before_id: str | None) -> Select[Any]:
    """The rows of `table` that `wanted` is about, but for their owner and external id, which are not kept alike."""
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if wanted.wallet_id is not None:
        query = query.where(table.c.wallet_id == wanted.wallet_id)
    if wanted.state is not None:
        query = query.where(table.c.state == str(wanted.state))
    if wanted.asset is not None:
        query = query.where(table.c.alias == wanted.asset)
    if wanted.created_since is not None:
        # An id begins with the time of its row, so that the index of ids, in which lists are walked, ends the walk there.
        earliest = first_id(IdPrefix.TRANSACTION, wanted.created_since)
        query = query.where(table.c.created_at >= wanted.created_since, table.c.id >= earliest)
    if before_id is not None:
        query = query.where(table.c.id < before_id)
    return query
