"""The audit trail: whatever changes its state is told of in a row of its own, in the commit of the change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from custody_core.domain.audit import AuditEvent
from custody_memory.tables import Tables
from tests.unit.simulation.failures import require
from tests.unit.simulation.journal import Changed

Told = tuple[str, str, Callable[[AuditEvent], bool]] | None
"""The object of an audit row, what it has to say, and whether a row says it; None where nothing has to be said."""


def require_told(tables: Tables, changed: Changed) -> None:
    """INV-18: each change of a state in this unit has an audit row of its own, which names the object and its new state."""
    rows: dict[str, list[AuditEvent]] = defaultdict(list)
    for table, key, old in changed:
        row = tables.unsealed_audit.get(key) if table == "unsealed_audit" and old is None else None
        if row is not None:
            rows[row.object_id].append(row)
    for table, old, new in steps(tables, changed, TOLD):
        is_told_by = TOLD[table](old, new)
        if is_told_by is None:
            continue
        object_id, what, holds = is_told_by
        told = next((row for row in rows[object_id] if holds(row)), None)
        require(told is not None, "INV-18", f"{object_id} is {what}, and no audit row of the commit says so")
        assert told is not None
        rows[object_id].remove(told)


def steps(tables: Tables, changed: Changed, of: Collection[str]) -> Iterator[tuple[str, Any, Any]]:
    """Each change of a row of these tables: the table, the row before or None, the row after; but of rows that are taken away."""
    latest: dict[tuple[str, Any], Any] = {}
    for table, key, old in changed:
        if table in of:
            if (table, key) in latest:
                yield table, latest[table, key], old
            latest[table, key] = old
    for (table, key), old in latest.items():
        new = getattr(tables, table).rows.get(key)
        if new is not None:
            yield table, old, new


def _send(old: Any, new: Any) -> Told:
    if old is not None and old.state == new.state:
        return None
    said = {"state": str(new.state), "version": str(new.version)}
    return new.id, said["state"], lambda row: said.items() <= row.detail.items()


def _deposit(old: Any, new: Any) -> Told:
    if old is not None and old.state == new.state:
        return None
    state = str(new.state)
    is_released = old is not None and str(old.state) == "quarantined"
    return new.id, state, lambda row: row.action == "deposit.released" if is_released else row.detail.get("state") == state


def _wallet(old: Any, new: Any) -> Told:
    if old is None:
        return _acted(new.id, "wallet.made")
    if old.owner_id != new.owner_id:
        return _acted(new.id, "wallet.created")
    return (
        None if old.state == new.state else _acted(new.id, "wallet.unfrozen" if str(new.state) == "open" else f"wallet.{new.state}")
    )


def _token(old: Any, new: Any) -> Told:
    return None if old is not None and old.state == new.state else _acted(new.id, f"token.{new.state}")


def _user(old: Any, new: Any) -> Told:
    if old is None:
        return _acted(new.id, "user.created")
    if (old.disabled_at is None) == (new.disabled_at is None):
        return None
    return _acted(new.id, "user.enabled" if new.disabled_at is None else "user.disabled")


def _chain(old: Any, new: Any) -> Told:
    if old is None or (old.halted_reason is None) == (new.halted_reason is None):
        return None
    return _acted(f"eip155:{new.chain_id}", "chain.resumed" if new.halted_reason is None else "chain.halted")


def _policy(_old: Any, new: Any) -> Told:
    return _acted(new.id, "policy.published")


def _acted(object_id: str, action: str) -> Told:
    return object_id, action, lambda row: row.action == action


TOLD: Final[Mapping[str, Callable[[Any, Any], Told]]] = {
    "transactions": _send,
    "deposits": _deposit,
    "wallets": _wallet,
    "tokens": _token,
    "users": _user,
    "chains": _chain,
    "policies": _policy,
    "settled_outflows": lambda _old, new: _acted(new.wallet_id, "wallet.moved-elsewhere"),
}
