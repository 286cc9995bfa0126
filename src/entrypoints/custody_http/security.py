"""Headers that go with every answer, and the two that are read from every request: `Host` and `X-Request-Id`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from custody_core.errors import InvalidRequest, NotFound

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "()",
    "Referrer-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}

_REQUEST_ID = re.compile(r"(?!.*ck_)[A-Za-z0-9._-]{1,64}", re.ASCII)
"""Not what could be an API key's secret: a request id is written down and told back."""

_ABSOLUTE = re.compile("https?://", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def request_id_of(given: str | None) -> str:
    """The client's own id where it can be repeated everywhere as it is, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def require_plain_path(target: str) -> None:
    """Raises `NotFound` for a path that only looks like one of ours once slashes are decoded or taken away.

    A proxy that lets some paths pass compares what was sent; nothing is answered under two names.
    """
    _, path = _host_and_path(target)
    if path.startswith("//") or "%2f" in path.lower():
        raise NotFound("there is nothing at this path")


def _host_and_path(target: str) -> tuple[str | None, str]:
    """What a request target names (RFC 9112, section 3.2): a host in its absolute form only. Raises `InvalidRequest`."""
    if not _ABSOLUTE.match(target):
        return None, target.partition("?")[0]
    try:
        parts = urlsplit(target)
    except ValueError:
        raise InvalidRequest("the request target is not well-formed") from None
    return parts.netloc, parts.path


class HostCheck:
    """Refuses requests that were meant for another host, where `PUBLIC_URL` says which one we are."""

    def __init__(self, public_url: str | None) -> None:
        parts = urlsplit(public_url or "")
        self._expected: frozenset[str] | None = None
        if public_url is not None and parts.hostname:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
            names = {f"{host}:{port}"}
            if port == _DEFAULT_PORTS.get(parts.scheme):
                names.add(host)
            self._expected = frozenset(names)

    def require(self, host: str | None, target: str) -> None:
        """Raises `InvalidRequest` for another host than ours, be it in `Host` or in the target."""
        aimed_at, _ = _host_and_path(target)
        named = {host or "", host or "" if aimed_at is None else aimed_at}
        if self._expected is not None and any(each.lower() not in self._expected for each in named):
            raise InvalidRequest("this service is not known under that host")
