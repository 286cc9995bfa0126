"""What a route is, and what a handler is given.

Every field of `Route` has to be written down for every route: there is no default that could leave a route open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeVar

import attrs
import msgspec

from custody_core import Custody
from custody_core.domain.access import Principal, Scope
from custody_core.domain.resources import Resource
from custody_http.cursors import Cursors
from custody_http.sends import Sends

T = TypeVar("T")


class Access(Enum):
    """Who may call a route, where no single scope says it."""

    PUBLIC = auto()
    """Anybody; it tells nothing of any owner."""
    SIGNED_IN = auto()
    """Whoever has valid credentials, whatever their scopes."""


class Reach(Enum):
    """Whose objects a route shows or changes."""

    OWNER = auto()
    """The caller's, as far as `Principal.owner_filter` says; its look-ups are made with that filter."""
    SHARED = auto()
    """Objects that belong to no owner, such as tokens."""
    EVERY_OWNER = auto()
    """Everybody's; only for those whose role sees every owner."""


class KeyRule(Enum):
    """What a route makes of `Idempotency-Key`."""

    REQUIRED = auto()
    """400 without one."""
    WELCOME = auto()
    """May come. The request is then done once, in one commit with the key, and its answer repeated: the handler asks
    nothing that is outside of the process and its database."""
    IGNORED = auto()
    """Nothing is made or changed, or doing it again changes nothing more."""


@attrs.frozen
class Text:
    """An answer that is not JSON."""

    content: str
    media_type: str


@attrs.frozen
class Reply:
    """An answer that is not a problem."""

    resource: Mapping[str, object]
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    shown_once: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    """Secret members of the first answer. They are kept nowhere; where the answer is repeated they are null."""
    text: Text | None = None
    """What is answered in place of the resource."""


@attrs.frozen(kw_only=True)
class Route:
    """One method of one path, under `/v1`."""

    method: str
    path: str
    """With its parts in angle brackets, as in `/wallets/<wallet_id>`."""
    summary: str
    access: Scope | Access
    reach: Reach
    query: type[msgspec.Struct]
    body: type[msgspec.Struct] | None
    """None for methods that have no body."""
    key: KeyRule
    answer: Callable[[Call], Reply]

    @property
    def name(self) -> str:
        """As it stands in logs, metrics and cursors, such as `GET /wallets/<wallet_id>`."""
        return f"{self.method} {self.path}"


@attrs.frozen(kw_only=True)
class Call:
    """One request to a route, after everything that can be refused without knowing what it is for."""

    custody: Custody
    route: Route
    principal: Principal
    cursors: Cursors
    sends: Sends
    ids: Mapping[str, str]
    query: Any
    body: Any
    key: str | None
    prefers_csv: bool = False
    """Whether the client would rather have CSV than JSON, where a route has both."""

    @property
    def owner(self) -> str | None:
        """For the services' `owner_id`: whose objects this request sees, None for every owner's."""
        return self.principal.owner_filter

    @property
    def actor(self) -> str:
        """Who the audit trail says it was."""
        return self.principal.user.id


def page(
    call: Call,
    entries: Callable[[int, str | None], Sequence[T]],
    *,
    position: Callable[[T], str],
    show: Callable[[T], Resource],
) -> Reply:
    """One page of a list, newest first. `entries(limit, before)` are those before a position."""
    asked: dict[str, Any] = msgspec.to_builtins(call.query)
    limit, cursor = asked.pop("limit"), asked.pop("cursor")
    binding = {"route": call.route.name, "user": call.principal.user.id, "filters": asked}
    found = entries(limit, call.cursors.read(cursor, binding=binding))
    more = len(found) == limit and bool(entries(1, position(found[-1])))
    return Reply(
        {
            "data": [show(each) for each in found],
            "has_more": more,
            "next_cursor": call.cursors.make(position(found[-1]), binding=binding) if more else None,
        }
    )
