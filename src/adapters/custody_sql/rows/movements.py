"""Outflows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from custody_core.domain.chain import BlockRef
from custody_core.domain.outflow import Outflow


def outflow_row(outflow: Outflow, *, settled: bool) -> dict[str, Any]:
    return {
        "chain_id": outflow.chain_id,
        "transaction_hash": outflow.transaction_hash,
        "ordinal": outflow.ordinal,
        "wallet_id": outflow.wallet_id,
        "asset": outflow.asset,
        "amount": outflow.amount,
        "block_number": outflow.block.number,
        "block_hash": outflow.block.hash,
        "block_timestamp": outflow.block.timestamp,
        "settled": settled,
    }


def to_outflow(row: Row[Any]) -> Outflow:
    block = BlockRef(row.block_number, row.block_hash, row.block_timestamp)
    return Outflow(row.chain_id, row.transaction_hash, row.ordinal, row.wallet_id, row.asset, row.amount, block)
