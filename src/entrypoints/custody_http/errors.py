"""The one map from what went wrong to what a client is told: RFC 9457 problem documents.

Rules of this file

1. A code has one status. A code that is not in the table is a 500, and a 500 says nothing but that.
2. `detail` comes from our own errors only; another exception's text never leaves the process.
3. `type` is a URN: it identifies, and promises no page to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
from werkzeug.exceptions import HTTPException

from custody_core.errors import CustodyError, InvalidRequest

INTERNAL: Final = "internal"

STATUS_BY_CODE: Final[Mapping[str, int]] = {
    "invalid-request": 400,
    "idempotency-key-missing": 400,
    "invalid-cursor": 400,
    "unauthenticated": 401,
    "token-expired": 401,
    "insufficient-scope": 403,
    "policy-denied": 403,
    "wallet-frozen": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "invalid-state-transition": 409,
    "idempotency-in-progress": 409,
    "external-id-exists": 409,
    "stale-version": 409,
    "wallet-not-empty": 409,
    "body-too-large": 413,
    "unsupported-media-type": 415,
    "validation-failed": 422,
    "invalid-address": 422,
    "invalid-amount": 422,
    "unsupported-asset": 422,
    "insufficient-funds": 422,
    "fee-above-cap": 422,
    "simulation-reverted": 422,
    "idempotency-key-reused": 422,
    "node-unavailable": 503,
    "fee-unavailable": 503,
    "signer-unavailable": 503,
    "sealed": 503,
    "chain-halted": 503,
    "key-pool-empty": 503,
    "database-unavailable": 503,
    "outcome-unknown": 503,
}

RETRY_AFTER_S: Final = 1
"""What `Retry-After` says where asking again may well help."""

_INTERNAL_DETAIL = "something went wrong on our side; it is in the log under this request_id"


class MethodNotAllowed(CustodyError):
    """The path exists, but not with this method; the `Allow` header lists those that do."""

    code = "method-not-allowed"


class BodyTooLarge(CustodyError):
    """The request body is larger than is ever needed."""

    code = "body-too-large"


class UnsupportedMediaType(CustodyError):
    """The request body is not declared as JSON."""

    code = "unsupported-media-type"


@attrs.frozen
class Problem:
    """A problem document before it is written down."""

    code: str
    status: int
    detail: str
    errors: tuple[Mapping[str, str], ...] = ()
    extra: Mapping[str, object] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)

    def document(self, *, instance: str, request_id: str) -> dict[str, object]:
        """The members of RFC 9457 and ours. An extra never takes the place of one of them."""
        return {
            **self.extra,
            "type": f"urn:custody:problem:{self.code}",
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "request_id": request_id,
            "errors": list(self.errors),
        }


def problem_of(error: BaseException) -> Problem:
    """What a client is told about any exception."""
    match error:
        case CustodyError() if error.code in STATUS_BY_CODE:
            return _told(error)
        case HTTPException():
            return _from_werkzeug(error)
        case _:
            return Problem(INTERNAL, 500, _INTERNAL_DETAIL)


def _told(error: CustodyError) -> Problem:
    status = STATUS_BY_CODE[error.code]
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="custody"'
    if error.code == "insufficient-scope":
        headers["WWW-Authenticate"] = f'Bearer realm="custody", error="insufficient_scope", scope="{error.extra.get("scope", "")}"'
    if status == 503 or error.code == "idempotency-in-progress":
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if getattr(error, "replayed", False):
        headers["Idempotency-Replayed"] = "true"
    pointed: tuple[Mapping[str, str], ...] = ()
    if error.pointer is not None:
        pointed = ({"pointer": error.pointer, "detail": error.detail},)
    return Problem(error.code, status, error.detail, pointed, error.extra, headers)


def _from_werkzeug(error: HTTPException) -> Problem:
    """The refusals that Flask and Werkzeug make by themselves, in our words."""
    match error.code:
        case 404:
            return Problem("not-found", 404, "there is nothing at this path")
        case 405:
            allowed = sorted(getattr(error, "valid_methods", None) or ())
            told = _told(MethodNotAllowed(f"this path knows {', '.join(allowed)}"))
            return attrs.evolve(told, headers={"Allow": ", ".join(allowed)})
        case 413:
            return _told(BodyTooLarge("a request body has at most 64 KB"))
        case int(status) if 400 <= status < 500:
            return _told(InvalidRequest("the request is not well-formed"))
        case _:
            return Problem(INTERNAL, 500, _INTERNAL_DETAIL)
