"""Idempotency keys: the same key with the same body is the same request, however often it comes.

The key is kept in the commit that makes the object, and only then: an error that made nothing does not consume it. Its scope is
the owner, the method and the route, so that another owner's key, or a rotated API key, is never in the way.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime

from custody_core.errors import IdempotencyKeyMissing, IdempotencyKeyReused, InvalidRequest
from custody_core.ports import IdempotencyRecord, Unit

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def require_key(key: object) -> str:
    """`key` when it is 1 to 255 visible ASCII characters. Raises `IdempotencyKeyMissing` or `InvalidRequest`."""
    if key is None or key == "":
        raise IdempotencyKeyMissing("give an idempotency key: the id of your payout or sign-up, the same one on every retry")
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise InvalidRequest("an idempotency key is 1 to 255 visible ASCII characters")
    return key


def scope_of(owner_id: str, route: str) -> str:
    """Where a key counts: one owner, one method and route, such as `POST /transactions`."""
    return f"{owner_id} {route}"


def fingerprint_of(body: Mapping[str, object]) -> bytes:
    """SHA-256 of the body's canonical JSON."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()


def made_before(unit: Unit, *, scope: str, key: str, fingerprint: bytes) -> IdempotencyRecord | None:
    """What this key made, None if it is new. Raises `IdempotencyKeyReused` for another body."""
    record = unit.idempotency(scope, key)
    if record is not None:
        require_same(record, fingerprint)
    return record


def require_same(record: IdempotencyRecord, fingerprint: bytes) -> None:
    """Raises `IdempotencyKeyReused` unless the key is used with the body that it was used with before."""
    if record.fingerprint != fingerprint:
        raise IdempotencyKeyReused("this idempotency key was used with another body; a new request needs a new key")


def remember(
    unit: Unit, *, scope: str, key: str, fingerprint: bytes, object_id: str, answer: Mapping[str, object], now: datetime
) -> None:
    """Keeps the key with what it made, and what was answered: a replay answers the same, whatever has happened since."""
    unit.add_idempotency([IdempotencyRecord(scope, key, fingerprint, object_id, now, answer)])
