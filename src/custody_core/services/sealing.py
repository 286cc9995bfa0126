"""The sealer: numbers committed audit rows and events, links the audit rows, and checks the links.

One at a time does it (a lease). Rows are committed unnumbered, so that commits never wait for each other; how far the sealer is
behind is the number of rows it finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from custody_core.domain.audit import GENESIS_HASH, AuditEvent, Event, first_broken, seal
from custody_core.errors import NotFound
from custody_core.ports import Unit
from custody_core.services.checks import require_limit
from custody_core.services.kit import Kit

ROWS_PER_UNIT = 500
LEASE = "seal"


@attrs.frozen
class AuditVerdict:
    """Whether the sealed audit chain follows from its beginning: how many rows were read, and the first sequence that does not."""

    rows: int
    first_broken: int | None


class Audit:
    """`custody.audit`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def list(self, *, after_sequence: int = 0, limit: int = 100) -> Sequence[AuditEvent]:
        """Sealed audit rows, in order."""
        return self._kit.read(lambda unit: unit.audit(after_sequence=after_sequence, limit=limit))

    def newest(self, *, limit: int = 50, before_sequence: int | None = None) -> Sequence[AuditEvent]:
        """Sealed audit rows, newest first; for the next page give the last one's sequence as `before_sequence`."""
        require_limit(limit)

        def work(unit: Unit) -> Sequence[AuditEvent]:
            end = unit.audit_head().sequence + 1 if before_sequence is None else before_sequence
            first = max(end - limit, 1)  # sequences have no gaps
            return list(reversed(unit.audit(after_sequence=first - 1, limit=max(end - first, 0))))

        return self._kit.read(work)

    def verify(self) -> AuditVerdict:
        """Recomputes the chain from its beginning."""
        sequence, last_hash = 0, GENESIS_HASH
        while rows := self.list(after_sequence=sequence, limit=ROWS_PER_UNIT):
            broken = first_broken(rows, last_sequence=sequence, last_hash=last_hash)
            if broken is not None:
                return AuditVerdict(broken - 1, broken)
            sequence, last_hash = sequence + len(rows), rows[-1].hash or b""
        head = self._kit.read(lambda unit: unit.audit_head())
        if (head.sequence, head.hash) != (sequence, last_hash):
            return AuditVerdict(sequence, sequence + 1)
        return AuditVerdict(sequence, None)


class Events:
    """`custody.events`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def list(self, *, after_sequence: int = 0, limit: int = 100) -> Sequence[Event]:
        """Events in order, from the one after `after_sequence` on."""
        return self._kit.read(lambda unit: unit.events(after_sequence=after_sequence, limit=limit))

    def after(self, event_id: str | None, *, owner_id: str | None = None, limit: int = 50) -> Sequence[Event]:
        """Events in order, from the one after that event on, or from the first; with `owner_id` only that owner's.

        Raises `NotFound` for an event that the owner does not have.
        """
        require_limit(limit)

        def work(unit: Unit) -> Sequence[Event]:
            last = unit.event(event_id) if event_id is not None else None
            if event_id is not None and (last is None or last.sequence is None or owner_id not in {None, last.owner_id}):
                raise NotFound("no such event")
            return unit.events(after_sequence=(last.sequence or 0) if last else 0, limit=limit, owner_id=owner_id)

        return self._kit.read(work)


class Sealer:
    """Numbers and links what is committed."""

    def __init__(self, kit: Kit, *, holder: str) -> None:
        self._kit = kit
        self._holder = holder
        self._has_led = False

    def step_down(self) -> None:
        """Ends our lease now, where we had one; another's is left alone."""
        now = self._kit.clock.now()
        if self._has_led:
            self._kit.write(lambda unit: unit.take_lease(LEASE, holder=self._holder, now=now, until=now))
        self._has_led = False

    def run(self) -> int:
        """Seals all that is committed now; how many rows it numbered. Writes nothing where there is nothing to seal."""
        sealed = 0
        while self._kit.read(lambda unit: unit.unsealed_audit(1)) and (rows := self._kit.write(self._seal_some)):
            sealed += rows
        return sealed

    def _seal_some(self, unit: Unit) -> int:
        now = self._kit.clock.now()
        if not unit.take_lease(LEASE, holder=self._holder, now=now, until=now + self._kit.limits.lease):
            return 0
        self._has_led = True
        # Every event is added with an audit row. The rows are read first, so that their events are committed and found: what is
        # committed between the two reads is left to the next round, which its audit rows bring about.
        rows = unit.unsealed_audit(ROWS_PER_UNIT)
        while unit.number_events(ROWS_PER_UNIT):
            pass
        head = unit.audit_head()
        unit.save_sealed_audit(seal(rows, last_sequence=head.sequence, last_hash=head.hash))
        return len(rows)
