"""A database with any number of wallets, each with one final deposit, filled as fast as it takes rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, insert

from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.ids import IdPrefix, make_id
from custody_sql import SqlStore
from custody_sql.tables import (
    accounts,
    chains,
    deposits,
    headers,
    posting_groups,
    postings,
    sealed_keys,
    users,
    wallets,
)
from custody_sql.tables import tokens as listed

CHAIN_ID = 31_337
AMOUNT_WEI = 10**15
"""What each wallet holds."""

BLOCKS = 1_000
BATCH = 10_000

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_OWNER = make_id(IdPrefix.USER, _BEGAN, bytes(10))
_EXTERNAL = 1
"""The id of the world's account; those of wallets follow it."""

Rows = Mapping[Table, Sequence[Mapping[str, Any]]]


def fill(store: SqlStore, count: int, *, tokens: int = 0) -> Iterator[int]:
    """Fills an empty database, with so many listed tokens; yields how many wallets there are so far."""
    with store.engine.begin() as connection:
        _write(connection, _beginning(count))
        _write(connection, {listed: [_token(number) for number in range(tokens)]} if tokens else {})
    for first in range(0, count, BATCH):
        last = min(first + BATCH, count)
        with store.engine.begin() as connection:
            _write(connection, _wallets(first, last))
        yield last


def block_hash(number: int) -> str:
    """The hash of a block of this chain."""
    return "0x" + (b"\xbb" * 28 + number.to_bytes(4, "big")).hex()


def _write(connection: Connection, rows: Rows) -> None:
    for table, of_table in rows.items():
        connection.execute(insert(table), list(of_table))


def _beginning(count: int) -> Rows:
    tip = BLOCKS - 1
    blocks = {"start": 0, "cursor": tip, "final": tip}
    chain: dict[str, Any] = {"chain_id": CHAIN_ID, "halted_reason": None, "version": 1}
    for name, number in blocks.items():
        chain |= {f"{name}_number": number, f"{name}_hash": block_hash(number), f"{name}_timestamp": _at(number)}
    return {
        users: [{"id": _OWNER, "issuer": "local", "subject": "everybody", "created_at": _BEGAN, "version": 1, "role": "user"}],
        chains: [chain],
        headers: [
            {
                "chain_id": CHAIN_ID,
                "hash": block_hash(number),
                "number": number,
                "parent_hash": block_hash(number - 1) if number else "0x" + bytes(32).hex(),
                "timestamp": _at(number),
                "reverted": False,
            }
            for number in range(BLOCKS)
        ],
        accounts: [
            {
                "id": _EXTERNAL,
                "chain_id": CHAIN_ID,
                "asset": "eth",
                "kind": "external",
                "wallet_id": None,
                "balance": -count * AMOUNT_WEI,
            }
        ],
    }


def _token(number: int) -> Mapping[str, Any]:
    return {
        "id": make_id(IdPrefix.TOKEN, _BEGAN, number.to_bytes(10, "big")),
        "chain_id": CHAIN_ID,
        "contract": address_from_bytes(b"\xcc" * 12 + number.to_bytes(8, "big")),
        "alias": f"token{number}",
        "decimals": 6,
        "symbol": "",
        "name": "",
        "state": "listed",
        "created_at": _BEGAN,
        "version": 1,
    }


def _wallets(first: int, last: int) -> Rows:
    rows: dict[Table, list[Mapping[str, Any]]] = {
        table: [] for table in (wallets, sealed_keys, accounts, deposits, posting_groups, postings)
    }
    for index in range(first, last):
        for table, row in _wallet(index):
            rows[table].append(row)
    return rows


def _wallet(index: int) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    entropy = index.to_bytes(10, "big")
    wallet_id, deposit_id = make_id(IdPrefix.WALLET, _BEGAN, entropy), make_id(IdPrefix.TRANSACTION, _BEGAN, entropy)
    address = address_from_bytes(b"\xaa" * 12 + index.to_bytes(8, "big"))
    height, account = index % BLOCKS, _EXTERNAL + 1 + index
    moments = {"created_at": _BEGAN, "updated_at": _BEGAN}
    yield (
        wallets,
        {
            "id": wallet_id,
            "address": address,
            "sequence": index + 1,
            "state": "open",
            "owner_id": _OWNER,
            "metadata": {},
            "version": 1,
            **moments,
        },
    )
    yield sealed_keys, {"wallet_id": wallet_id, "address": address, "key_version": 1, "sealed": b"opens with nothing"}
    yield (
        accounts,
        {
            "id": account,
            "chain_id": CHAIN_ID,
            "asset": "eth",
            "kind": "available",
            "wallet_id": wallet_id,
            "balance": AMOUNT_WEI,
        },
    )
    yield (
        deposits,
        {
            "id": deposit_id,
            "chain_id": CHAIN_ID,
            "transaction_hash": "0x" + (b"\xcc" * 22 + entropy).hex(),
            "kind": "native",
            "asset": "eth",
            "sender": address_from_bytes(b"\xee" * 20),
            "to": address,
            "amount": AMOUNT_WEI,
            "ordinal": 0,
            "alias": "eth",
            "decimals": 18,
            "wallet_id": wallet_id,
            "state": "completed",
            "block_number": height,
            "block_hash": block_hash(height),
            "block_timestamp": _at(height),
            "version": 2,
            **moments,
        },
    )
    cause = {"reference": deposit_id, "reason": "deposit-credited"}
    yield posting_groups, {"chain_id": CHAIN_ID, "posted_at": _BEGAN, "height": height, **cause}
    yield postings, {"ordinal": 0, "account_id": _EXTERNAL, "delta": -AMOUNT_WEI, **cause}
    yield postings, {"ordinal": 1, "account_id": account, "delta": AMOUNT_WEI, **cause}


def _at(number: int) -> datetime:
    return _BEGAN + timedelta(seconds=12 * number)
