"""What a unit can do with policies, idempotency keys, audit and events, leases and facts about the installation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from custody_core.domain.audit import AuditEvent, Event
from custody_core.domain.policy import Decision, Policy


@attrs.frozen
class IdempotencyRecord:
    """A key that was used: `fingerprint` of its body, the object that it made, and in `answer` that object's public form as it
    was then (JSON; empty in a record from before answers were kept)."""

    scope: str
    key: str
    fingerprint: bytes
    object_id: str
    created_at: datetime
    answer: Mapping[str, object]


@attrs.frozen
class AuditHead:
    """The newest sealed audit row: its sequence (0 before the first) and hash."""

    sequence: int
    hash: bytes


class RecordUnit(Protocol):
    """Policies, idempotency keys, audit and events, leases and facts about the installation; see `Unit`."""

    # Policy
    def active_policies(self) -> Sequence[Policy]: ...
    def publish_policy(self, policy: Policy) -> None:
        """Makes `policy` the active one of its layer and subject."""
        ...

    def add_decisions(self, decisions: Sequence[Decision]) -> None: ...
    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, Decision]: ...

    # Idempotency
    def idempotency(self, scope: str, key: str) -> IdempotencyRecord | None: ...
    def idempotency_records(self, keys: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], IdempotencyRecord]:
        """By (scope, key)."""
        ...

    def add_idempotency(self, records: Sequence[IdempotencyRecord]) -> None: ...

    # Audit and events. Rows are added unnumbered; the sealer takes committed ones in the order in which they were added, so that
    # what happened to one object is told in the order in which it happened.
    def add_audit(self, rows: Sequence[AuditEvent]) -> None: ...
    def add_events(self, rows: Sequence[Event]) -> None: ...
    def audit_head(self) -> AuditHead: ...
    def unsealed_audit(self, limit: int) -> Sequence[AuditEvent]: ...
    def save_sealed_audit(self, rows: Sequence[AuditEvent]) -> None: ...
    def audit(self, *, after_sequence: int, limit: int) -> Sequence[AuditEvent]:
        """Sealed rows by sequence."""
        ...

    def number_events(self, limit: int) -> int:
        """Gives the next sequences to unnumbered events, in the order in which they were added; how many it numbered."""
        ...

    def event(self, event_id: str) -> Event | None: ...
    def events(self, *, after_sequence: int, limit: int, owner_id: str | None = None) -> Sequence[Event]:
        """Numbered events by sequence, of one owner or with None all."""
        ...

    # Leases and facts about the installation
    def take_lease(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        """Whether `holder` has the lease now: it was free, expired, or already the holder's. It then ends at `until`."""
        ...

    def lease_until(self, name: str) -> datetime | None:
        """When the lease ends, or ended; None where nobody ever had it."""
        ...

    def setting(self, name: str) -> bytes | None: ...
    def put_setting(self, name: str, value: bytes) -> None: ...
