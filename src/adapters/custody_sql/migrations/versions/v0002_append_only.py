"""What is never changed and never taken away, by triggers that bind even those who come by SQL."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_NEVER_CHANGED = ("posting_groups", "postings", "decisions")
_NEVER_TAKEN_AWAY = (*_NEVER_CHANGED, "audit", "events", "transactions", "attempts", "deposits", "headers")

_NUMBERED_ONCE = {
    "audit": ("position", "id", "occurred_at", "actor", "action", "object_id", "detail"),
    "events": ("position", "id", "type", "occurred_at", "object_id", "owner_id", "data"),
}
"""Tables whose rows get their sequence later, once; and their other columns."""


def upgrade() -> None:
    """What is never changed and never taken away."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    forbid = _forbid_on_sqlite if is_sqlite else _forbid_on_postgresql
    if not is_sqlite:
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$"
            " BEGIN RAISE integrity_constraint_violation USING MESSAGE = 'this row is never changed'; END $$"
        )
    for table in _NEVER_TAKEN_AWAY:
        forbid(f"{table}_kept", "DELETE", table, None)
    for table in _NEVER_CHANGED:
        forbid(f"{table}_fixed", "UPDATE", table, None)
    for table, columns in _NUMBERED_ONCE.items():
        changed = " OR ".join(_differs(column, is_sqlite=is_sqlite) for column in columns)
        forbid(f"{table}_numbered_once", "UPDATE", table, f"OLD.sequence IS NOT NULL OR {changed}")
    forbid(
        "transactions_nonce_fixed", "UPDATE", "transactions", f"OLD.nonce IS NOT NULL AND {_differs('nonce', is_sqlite=is_sqlite)}"
    )
    signed = " OR ".join(_differs(column, is_sqlite=is_sqlite) for column in ("raw", "hash"))
    forbid("attempts_signed_once", "UPDATE", "attempts", f"OLD.id <> NEW.id OR (OLD.raw IS NOT NULL AND ({signed}))")


def _forbid_on_sqlite(name: str, event: str, table: str, condition: str | None) -> None:
    when = f"WHEN {condition} " if condition else ""
    # AFTER, because a BEFORE trigger makes SQLite look the row up twice, a third of an update's time; ABORT undoes either way.
    op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} {when}BEGIN SELECT RAISE(ABORT, 'this row is never changed'); END")


def _forbid_on_postgresql(name: str, event: str, table: str, condition: str | None) -> None:
    when = f"WHEN ({condition}) " if condition else ""
    op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {when}EXECUTE FUNCTION refuse_change()")


def _differs(column: str, *, is_sqlite: bool) -> str:
    if is_sqlite:
        return f"OLD.{column} IS NOT NEW.{column}"
    # json has no equality on PostgreSQL; its text has.
    cast = "::text" if column in {"detail", "data"} else ""
    return f"OLD.{column}{cast} IS DISTINCT FROM NEW.{column}{cast}"
