"""Policies and decisions, idempotency, the audit trail, events, leases and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select, update

from custody_core.domain.audit import GENESIS_HASH, AuditEvent, Event
from custody_core.domain.policy import Decision, Policy
from custody_core.errors import BrokenInvariant
from custody_core.ports import AuditHead, IdempotencyRecord
from custody_sql.rows.records import (
    audit_row,
    decision_row,
    event_row,
    idempotency_row,
    policy_row,
    to_audit,
    to_decision,
    to_event,
    to_idempotency,
    to_policy,
)
from custody_sql.session import Session
from custody_sql.sets import keyed_update, putting
from custody_sql.tables import IS_ACTIVE, audit, decisions, events, idempotency_keys, leases, policies, settings

_SEAL = keyed_update(
    audit,
    tuple(column.name for column in audit.c if column.name not in {"id", "position"}),
    only=audit.c.sequence.is_(None),
)
_PUT_SETTING = putting(settings, ("name", "value"), key=("name",), changes=("value",))
_NUMBER = keyed_update(events, ("sequence",), only=events.c.sequence.is_(None))


class RecordRows:
    """The part of a unit that keeps what was decided, said and done."""

    _session: Session

    def active_policies(self) -> Sequence[Policy]:
        return [to_policy(row) for row in self._session.rows(select(policies).where(IS_ACTIVE).order_by(policies.c.id))]

    def publish_policy(self, policy: Policy) -> None:
        of_subject = policies.c.subject.is_(None) if policy.subject is None else policies.c.subject == policy.subject
        before = update(policies).where(policies.c.layer == policy.layer.value, of_subject, IS_ACTIVE)
        self._session.write(before.values(active=False))
        self._session.add(policies, [policy_row(policy)])

    def add_decisions(self, decisions_: Sequence[Decision]) -> None:
        self._session.add(decisions, [decision_row(decision) for decision in decisions_])

    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, Decision]:
        rows = self._session.rows_in(select(decisions), decisions.c.id, decision_ids)
        return {row.id: to_decision(row) for row in rows}

    def idempotency(self, scope: str, key: str) -> IdempotencyRecord | None:
        of_key = (idempotency_keys.c.scope == scope) & (idempotency_keys.c.key == key)
        row = self._session.row(select(idempotency_keys).where(of_key))
        return None if row is None else to_idempotency(row)

    def idempotency_records(self, keys: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], IdempotencyRecord]:
        of = (idempotency_keys.c.scope, idempotency_keys.c.key)
        return {(row.scope, row.key): to_idempotency(row) for row in self._session.rows_with(select(idempotency_keys), of, keys)}

    def add_idempotency(self, records: Sequence[IdempotencyRecord]) -> None:
        self._session.add(idempotency_keys, [idempotency_row(record) for record in records])

    def add_audit(self, rows: Sequence[AuditEvent]) -> None:
        if any(row.sequence is not None or row.hash is not None for row in rows):
            raise BrokenInvariant("audit rows are added unnumbered")
        self._session.add(audit, [audit_row(row) for row in rows])

    def add_events(self, rows: Sequence[Event]) -> None:
        if any(row.sequence is not None for row in rows):
            raise BrokenInvariant("events are added unnumbered")
        self._session.add(events, [event_row(row) for row in rows])

    def audit_head(self) -> AuditHead:
        newest = select(audit.c.sequence, audit.c.hash).where(audit.c.sequence.is_not(None))
        row = self._session.row(newest.order_by(audit.c.sequence.desc()).limit(1))
        return AuditHead(row.sequence, bytes(row.hash)) if row else AuditHead(0, GENESIS_HASH)

    def unsealed_audit(self, limit: int) -> Sequence[AuditEvent]:
        query = select(audit).where(audit.c.sequence.is_(None)).order_by(audit.c.position).limit(limit)
        return [to_audit(row) for row in self._session.rows(query)]

    def save_sealed_audit(self, rows: Sequence[AuditEvent]) -> None:
        first = self.audit_head().sequence + 1
        if [row.sequence for row in rows] != list(range(first, first + len(rows))):
            self._session.refuse()
        values = [audit_row(row) for row in rows]
        self._session.write_set(_SEAL, [{"row_key": row.pop("id"), **row} for row in values])

    def audit(self, *, after_sequence: int, limit: int) -> Sequence[AuditEvent]:
        query = select(audit).where(audit.c.sequence > after_sequence).order_by(audit.c.sequence).limit(limit)
        return [to_audit(row) for row in self._session.rows(query)]

    def number_events(self, limit: int) -> int:
        self._session.require_writable()
        newest = self._session.row(select(func.max(events.c.sequence)))
        first = (newest[0] if newest and newest[0] else 0) + 1
        unnumbered = select(events.c.id).where(events.c.sequence.is_(None)).order_by(events.c.position).limit(limit)
        ids = [row.id for row in self._session.rows(unnumbered)]
        self._session.write_set(_NUMBER, [{"row_key": id_, "sequence": sequence} for sequence, id_ in enumerate(ids, first)])
        return len(ids)

    def event(self, event_id: str) -> Event | None:
        row = self._session.row(select(events).where(events.c.id == event_id))
        return None if row is None else to_event(row)

    def events(self, *, after_sequence: int, limit: int, owner_id: str | None = None) -> Sequence[Event]:
        query = select(events).where(events.c.sequence > after_sequence).order_by(events.c.sequence).limit(limit)
        if owner_id is not None:
            query = query.where(events.c.owner_id == owner_id)
        return [to_event(row) for row in self._session.rows(query)]

    def take_lease(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        put = self._session.insert(leases).values(name=name, holder=holder, until=until)
        take = put.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": put.excluded.holder, "until": put.excluded.until},
            where=(leases.c.holder == holder) | (leases.c.until <= now),
        )
        return self._session.write(take) == 1

    def lease_until(self, name: str) -> datetime | None:
        row = self._session.row(select(leases.c.until).where(leases.c.name == name))
        return None if row is None else row.until

    def setting(self, name: str) -> bytes | None:
        row = self._session.row(select(settings.c.value).where(settings.c.name == name))
        return None if row is None else bytes(row.value)

    def put_setting(self, name: str, value: bytes) -> None:
        self._session.write_set(_PUT_SETTING, [{"name": name, "value": value}])
