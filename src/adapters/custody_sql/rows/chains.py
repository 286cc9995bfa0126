"""Chains, headers, tokens and nonces."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef, ChainState, Header, Reorganisation
from custody_core.domain.nonce import ForeignUse, NonceLine
from custody_core.domain.tokens import Asset, Token, TokenState


def chain_row(state: ChainState) -> dict[str, Any]:
    return {
        "chain_id": state.chain_id,
        **_block_row("start", state.start),
        **_block_row("cursor", state.cursor),
        **_block_row("final", state.final),
        "halted_reason": state.halted_reason,
        "version": state.version,
    }


def to_chain(row: Row[Any]) -> ChainState:
    return ChainState(
        chain_id=row.chain_id,
        start=BlockRef(row.start_number, row.start_hash, row.start_timestamp),
        cursor=BlockRef(row.cursor_number, row.cursor_hash, row.cursor_timestamp),
        final=BlockRef(row.final_number, row.final_hash, row.final_timestamp),
        halted_reason=row.halted_reason,
        version=row.version,
    )


def header_row(chain_id: int, header: Header) -> dict[str, Any]:
    return {
        "chain_id": chain_id,
        "hash": header.hash,
        "number": header.number,
        "parent_hash": header.parent_hash,
        "timestamp": header.timestamp,
        "reverted": False,
    }


def to_header(row: Row[Any]) -> Header:
    return Header(row.number, row.hash, row.parent_hash, row.timestamp)


def reorganisation_row(reorganisation: Reorganisation) -> dict[str, Any]:
    return {
        "id": reorganisation.id,
        "chain_id": reorganisation.chain_id,
        "found_at": reorganisation.found_at,
        **_block_row("cursor", reorganisation.cursor),
        **_block_row("ancestor", reorganisation.ancestor),
        "deposit_ids": list(reorganisation.deposit_ids),
        "transaction_ids": list(reorganisation.transaction_ids),
        "events": reorganisation.events,
    }


def to_reorganisation(row: Row[Any]) -> Reorganisation:
    return Reorganisation(
        id=row.id,
        chain_id=row.chain_id,
        found_at=row.found_at,
        cursor=BlockRef(row.cursor_number, row.cursor_hash, row.cursor_timestamp),
        ancestor=BlockRef(row.ancestor_number, row.ancestor_hash, row.ancestor_timestamp),
        deposit_ids=tuple(row.deposit_ids),
        transaction_ids=tuple(row.transaction_ids),
        events=row.events,
    )


def token_row(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "chain_id": token.asset.chain_id,
        "contract": token.asset.contract,
        "alias": token.asset.alias,
        "decimals": token.asset.decimals,
        "symbol": token.symbol,
        "name": token.name,
        "state": token.state.value,
        "created_at": token.created_at,
        "dust": token.dust,
        "version": token.version,
    }


def to_token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        asset=Asset(row.chain_id, Address(row.contract), row.alias, row.decimals),
        symbol=row.symbol,
        name=row.name,
        state=TokenState(row.state),
        created_at=row.created_at,
        dust=row.dust,
        version=row.version,
    )


def nonce_line_row(line: NonceLine) -> dict[str, Any]:
    return {"chain_id": line.chain_id, "address": line.address, "next_nonce": line.next_nonce}


def to_nonce_line(row: Row[Any]) -> NonceLine:
    return NonceLine(row.chain_id, Address(row.address), row.next_nonce)


def _block_row(name: str, block: BlockRef) -> dict[str, Any]:
    return {f"{name}_number": block.number, f"{name}_hash": block.hash, f"{name}_timestamp": block.timestamp}


def foreign_use_row(use: ForeignUse) -> dict[str, Any]:
    return {
        "chain_id": use.chain_id,
        "hash": use.hash,
        "address": use.address,
        "nonce": use.nonce,
        **_block_row("block", use.block),
        "settled": False,
    }


def to_foreign_use(row: Row[Any]) -> ForeignUse:
    block = BlockRef(row.block_number, row.block_hash, row.block_timestamp)
    return ForeignUse(row.chain_id, Address(row.address), row.nonce, row.hash, block)
