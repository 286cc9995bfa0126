"""Policies and decisions, idempotency, the audit trail, events, leases and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import attrs

from custody_core.domain.audit import GENESIS_HASH, AuditEvent, Event
from custody_core.domain.policy import Decision, Policy
from custody_core.errors import BrokenInvariant
from custody_core.ports import AuditHead, IdempotencyRecord
from custody_memory.tables import Tables


class RecordRows:
    """The part of a unit that keeps what was decided, said and done."""

    _tables: Tables

    def active_policies(self) -> Sequence[Policy]:
        return sorted(self._tables.active_policies, key=lambda policy: policy.id)

    def publish_policy(self, policy: Policy) -> None:
        self._tables.policies.add(policy.id, policy)
        self._tables.active_policies.put((policy.layer, policy.subject), policy)

    def add_decisions(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self._tables.decisions.add(decision.id, decision)

    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, Decision]:
        return self._tables.decisions.some(decision_ids)

    def idempotency(self, scope: str, key: str) -> IdempotencyRecord | None:
        return self._tables.idempotency.get((scope, key))

    def idempotency_records(self, keys: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], IdempotencyRecord]:
        return self._tables.idempotency.some(keys)

    def add_idempotency(self, records: Sequence[IdempotencyRecord]) -> None:
        for record in records:
            self._tables.idempotency.add((record.scope, record.key), record)

    def add_audit(self, rows: Sequence[AuditEvent]) -> None:
        for row in rows:
            if row.sequence is not None or row.hash is not None:
                raise BrokenInvariant("audit rows are added unnumbered")
            self._tables.audit_ids.add(row.id, None)
            self._tables.unsealed_audit.add(row.id, row)

    def add_events(self, rows: Sequence[Event]) -> None:
        for row in rows:
            if row.sequence is not None:
                raise BrokenInvariant("events are added unnumbered")
            self._tables.event_ids.add(row.id, None)
            self._tables.unnumbered_events.add(row.id, row)

    def audit_head(self) -> AuditHead:
        sequence = len(self._tables.audit)
        newest = self._tables.audit.after(sequence - 1, 1)[-1] if sequence else None
        return AuditHead(sequence, newest.hash or b"") if newest else AuditHead(0, GENESIS_HASH)

    def unsealed_audit(self, limit: int) -> Sequence[AuditEvent]:
        return list(self._tables.unsealed_audit)[:limit]

    def save_sealed_audit(self, rows: Sequence[AuditEvent]) -> None:
        for row in rows:
            unsealed = self._tables.unsealed_audit.get(row.id)
            if unsealed is None or row.sequence != len(self._tables.audit) + 1:
                self._tables.mode.refuse("an audit row was sealed by somebody else")
            if row.hash is None or attrs.evolve(row, sequence=None, hash=None) != unsealed:
                raise BrokenInvariant("sealing adds a sequence and a hash and changes nothing")
            self._tables.unsealed_audit.discard(row.id)
            self._tables.audit.append(row)

    def audit(self, *, after_sequence: int, limit: int) -> Sequence[AuditEvent]:
        return self._tables.audit.after(after_sequence, limit)

    def number_events(self, limit: int) -> int:
        self._tables.mode.require_writable()
        unnumbered = list(self._tables.unnumbered_events)[:limit]
        for row in unnumbered:
            self._tables.unnumbered_events.discard(row.id)
            self._tables.events.append(attrs.evolve(row, sequence=len(self._tables.events) + 1))
        return len(unnumbered)

    def event(self, event_id: str) -> Event | None:
        numbered = self._tables.events.after(0, len(self._tables.events))
        found = next((event for event in numbered if event.id == event_id), None)
        return found or self._tables.unnumbered_events.get(event_id)

    def events(self, *, after_sequence: int, limit: int, owner_id: str | None = None) -> Sequence[Event]:
        if owner_id is None:
            return self._tables.events.after(after_sequence, limit)
        later = self._tables.events.after(after_sequence, len(self._tables.events))
        return [event for event in later if event.owner_id == owner_id][:limit]

    def take_lease(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        self._tables.mode.require_writable()
        lease = self._tables.leases.get(name)
        if lease is not None and lease[0] != holder and lease[1] > now:
            return False
        self._tables.leases.put(name, (holder, until))
        return True

    def lease_until(self, name: str) -> datetime | None:
        lease = self._tables.leases.get(name)
        return None if lease is None else lease[1]

    def setting(self, name: str) -> bytes | None:
        return self._tables.settings.get(name)

    def put_setting(self, name: str, value: bytes) -> None:
        self._tables.settings.put(name, value)
