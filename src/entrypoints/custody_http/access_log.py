"""What is written down about requests. Nothing that a client made up is repeated, but for ids in their own form.

No header, no body, no query string and no path gets in: a secret that was put into one of them by mistake is not found here later.
"""

from __future__ import annotations

import re
import traceback
from typing import Protocol

from flask import g, request

_ID = re.compile(r"[a-z]{3}_[0-9a-z]{26}", re.ASCII)


class Log(Protocol):
    """Takes one event with its fields; whoever writes it escapes them."""

    def __call__(self, event: str, **fields: str | int) -> None: ...


def nobody(event: str, **fields: str | int) -> None:
    """Writes nothing down."""


def log_request(log: Log, route: str, status: int, duration_s: float) -> None:
    """One line for one request that was answered."""
    fields: dict[str, str | int] = {
        "request_id": g.request_id,
        "route": route,
        "status": status,
        "duration_us": int(duration_s * 1_000_000),
        "client": request.remote_addr or "",
    }
    if g.principal is not None:
        fields["user"] = g.principal.user.id
        fields["api_key"] = g.principal.api_key_id or ""
    named = next((value for value in (request.view_args or {}).values() if _ID.fullmatch(value)), None)
    if named is not None:
        fields["object"] = named
    log("request", **fields)


def log_trouble(log: Log, error: BaseException) -> None:
    """Where something broke: the type and the lines of code, never the text, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    log("internal-error", level="error", request_id=g.request_id, type=type(error).__name__, where=where)
