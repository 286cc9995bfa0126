"""Whether rows agree with each other: what they are found by, whose they are, and the chain of the audit rows.

What is not found by its index is never looked at again, so each of these is a promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from json import JSONEncoder
from typing import Any, Final

from custody_memory.tables import Table, Tables
from tests.unit.simulation.failures import require

_TEXT: Final = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def require_rows_found(tables: Tables) -> None:
    """What each row is found by leads to it, and to nothing else."""
    sends, deposits, wallets = tables.transactions.rows, tables.deposits.rows, tables.wallets.rows
    by_nonce = {(each.chain_id, each.sender, each.nonce): each.id for each in sends.values() if each.nonce is not None}
    hashes = {(each.chain_id, attempt.hash): each.id for each in sends.values() for attempt in each.attempts if attempt.hash}
    external = {(each.owner_id, each.external_id): each.id for each in sends.values() if each.external_id is not None}
    _require_same("INV-9", "transaction_by_nonce", tables.transaction_by_nonce, by_nonce)
    _require_same("INV-7", "transaction_by_hash", tables.transaction_by_hash, hashes)
    _require_same("INV-8", "transaction_by_external_id", tables.transaction_by_external_id, external)
    _require_rows("INV-22", "unsettled", tables.unsettled, {id_: each for id_, each in sends.items() if not each.is_final})
    confirming = {id_: each for id_, each in deposits.items() if str(each.state) == "confirming"}
    _require_rows("INV-21", "confirming_deposits", tables.confirming_deposits, confirming)
    _require_same("INV-3", "deposit_by_key", tables.deposit_by_key, {each.key: id_ for id_, each in deposits.items()})
    _require_same("INV-21", "wallet_by_address", tables.wallet_by_address, {each.address: id_ for id_, each in wallets.items()})
    _require_same("INV-21", "wallet_by_sequence", tables.wallet_by_sequence, {each.sequence: id_ for id_, each in wallets.items()})
    named = {
        (each.owner_id, each.external_id): id_ for id_, each in wallets.items() if each.owner_id and each.external_id is not None
    }
    _require_same("INV-8", "wallet_by_external_id", tables.wallet_by_external_id, named)
    _require_same(
        "INV-24", "user_by_subject", tables.user_by_subject, {(each.issuer, each.subject): each.id for each in tables.users}
    )
    records = tables.idempotency.rows
    require(all((each.scope, each.key) == key for key, each in records.items()), "INV-8", "an answer is kept under another key")
    for table, other, invariant in (
        (tables.headers, tables.reverted_headers, "INV-20"),
        (tables.foreign_uses, tables.settled_foreign_uses, "INV-9"),
        (tables.outflows, tables.settled_outflows, "INV-1"),
    ):
        both = {_hash_of(each) for each in table} & {_hash_of(each) for each in other}
        require(not both, invariant, f"both are said of {both}")


def require_owners(tables: Tables) -> None:
    """INV-15, INV-16, INV-24: a send and its wallet have one owner and one address, a signature rests on a decision of its own."""
    for wallet in tables.wallets:
        key = tables.sealed_keys.get(wallet.id)
        is_its_own = key is not None and (key.wallet_id, key.address) == (wallet.id, wallet.address)
        require(is_its_own, "INV-15", f"{wallet.id} has no key of its own")
        require(wallet.owner_id is None or wallet.owner_id in tables.users, "INV-24", f"{wallet.id} is nobody's")
    for send in tables.transactions:
        wallet = tables.wallets.rows[send.wallet_id]
        require((send.owner_id, send.sender) == (wallet.owner_id, wallet.address), "INV-24", f"{send.id} is not of {wallet.id}")
        if send.nonce is not None:
            decision = tables.decisions.get(send.decision_id or "")
            decided = decision and (decision.transaction_id, decision.nonce) == (send.id, send.nonce)
            require(decided, "INV-16", f"nonce {send.nonce} of {send.id} rests on no decision of its own")
    for deposit in tables.deposits:
        paid = tables.wallet_by_address.get(deposit.key.to)
        require(paid == deposit.wallet_id, "INV-24", f"{deposit.id} was paid to {paid} and is of {deposit.wallet_id}")


def require_audit_chain(tables: Tables) -> None:
    """INV-18: each sealed audit row has its number and stands on the one before it; those that are not sealed wait."""
    last, sealed = bytes(32), tables.audit.after(0, len(tables.audit))
    for number, row in enumerate(sealed, 1):
        text = _TEXT.encode(
            {
                "action": row.action,
                "actor": row.actor,
                "detail": dict(row.detail),
                "id": row.id,
                "object_id": row.object_id,
                "occurred_at": row.occurred_at.isoformat(),
                "sequence": number,
            }
        )
        last = sha256(last + text.encode()).digest()
        require((row.sequence, row.hash) == (number, last), "INV-18", f"audit row {number} is not what was sealed")
    waiting = tables.unsealed_audit.rows
    untouched = all(row.id == id_ and row.sequence is None and row.hash is None for id_, row in waiting.items())
    require(untouched, "INV-18", "a row waits for its seal and has one")
    ids = [row.id for row in sealed] + list(waiting)
    require(len(ids) == len(tables.audit_ids.rows) and set(ids) == tables.audit_ids.rows.keys(), "INV-18", "an audit row is gone")
    events = tables.events.after(0, len(tables.events))
    numbered = all(event.sequence == number for number, event in enumerate(events, 1))
    ids = [event.id for event in events] + list(tables.unnumbered_events.rows)
    is_whole = len(ids) == len(tables.event_ids.rows) and set(ids) == tables.event_ids.rows.keys()
    require(numbered and is_whole, "INV-25", "an event is gone, or has another's number")


def _require_same(invariant: str, name: str, index: Table[Any, Any], expected: Mapping[Any, str]) -> None:
    if index.rows != expected:
        odd = [*(index.rows.items() - expected.items()), *(expected.items() - index.rows.items())]
        require(False, invariant, f"{name} is wrong about {odd}")


def _require_rows(invariant: str, name: str, kept: Table[Any, Any], expected: Mapping[str, object]) -> None:
    """`kept` has these very rows."""
    is_same = kept.rows.keys() == expected.keys() and all(kept.rows[id_] is each for id_, each in expected.items())
    require(
        is_same,
        invariant,
        f"{name} is wrong about {sorted(kept.rows.keys() ^ expected.keys()) or 'rows that it shows as they were'}",
    )


def _hash_of(row: Any) -> tuple[str, int]:
    """What names a header, a use of a nonce, or an outflow."""
    return getattr(row, "hash", "") or row.transaction_hash, getattr(row, "ordinal", 0)
