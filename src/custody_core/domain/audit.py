"""The audit trail and the events that others are told of.

Rules of this file

1. Both are written in the transaction that makes the change they tell of, unnumbered; a change without its audit row does not
   exist.
2. One sealer numbers what is committed and links each audit row to the one before it, so that a global chain never serialises
   every commit.
3. The link is over a canonical text, so that anyone can recompute it: h(k) = SHA-256(h(k-1) ‖ canonical(row k)).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

GENESIS_HASH = bytes(32)
"""What the first audit row links to."""


@attrs.frozen
class AuditEvent:
    """Who did what to which object. `sequence` and `hash` are None until the sealer has numbered the row."""

    id: str
    occurred_at: datetime
    actor: str
    action: str
    object_id: str
    detail: Mapping[str, str]
    sequence: int | None = None
    hash: bytes | None = None


@attrs.frozen
class Event:
    """Something that a webhook or the event feed tells. `data` is the resource as it was then, in its public form."""

    id: str
    type: str
    occurred_at: datetime
    object_id: str
    owner_id: str | None
    data: Mapping[str, object]
    sequence: int | None = None


def canonical(event: AuditEvent) -> bytes:
    """The bytes that an audit row's hash covers: its fields as JSON with sorted keys, no spaces, UTF-8."""
    fields = {
        "action": event.action,
        "actor": event.actor,
        "detail": dict(event.detail),
        "id": event.id,
        "object_id": event.object_id,
        "occurred_at": event.occurred_at.isoformat(),
        "sequence": event.sequence,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def seal(rows: Sequence[AuditEvent], *, last_sequence: int, last_hash: bytes) -> tuple[AuditEvent, ...]:
    """`rows`, in order, numbered and linked on from the last sealed row."""
    sealed: list[AuditEvent] = []
    for row in rows:
        last_sequence += 1
        numbered = attrs.evolve(row, sequence=last_sequence)
        last_hash = hashlib.sha256(last_hash + canonical(numbered)).digest()
        sealed.append(attrs.evolve(numbered, hash=last_hash))
    return tuple(sealed)


def first_broken(rows: Sequence[AuditEvent], *, last_sequence: int = 0, last_hash: bytes = GENESIS_HASH) -> int | None:
    """The sequence at which sealed `rows` stop following from the last good one, or None when all of them do."""
    for row in rows:
        (expected,) = seal([row], last_sequence=last_sequence, last_hash=last_hash)
        if (row.sequence, row.hash) != (expected.sequence, expected.hash):
            return last_sequence + 1
        last_sequence, last_hash = last_sequence + 1, expected.hash or b""
    return None
