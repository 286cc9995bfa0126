"""What has happened: events, pulled in order, and the audit trail."""

from __future__ import annotations

from custody_core.domain.access import Scope
from custody_core.services.resources import audit_resource, event_resource
from custody_http import schemas
from custody_http.registry import Call, KeyRule, Reach, Reply, Route, page


def events(call: Call) -> Reply:
    """`after` is the last event that the client has; `next_after` is where to go on."""
    query: schemas.EventsQuery = call.query
    found = call.custody.events.after(query.after, owner_id=call.owner, limit=query.limit)
    more = len(found) == query.limit and bool(call.custody.events.after(found[-1].id, owner_id=call.owner, limit=1))
    last = found[-1].id if found else query.after
    return Reply({"data": [event_resource(each) for each in found], "has_more": more, "next_after": last})


def audit(call: Call) -> Reply:
    return page(
        call,
        lambda limit, before: call.custody.audit.newest(limit=limit, before_sequence=int(before) if before else None),
        position=lambda row: str(row.sequence),
        show=audit_resource,
    )


ROUTES = (
    Route(
        method="GET",
        path="/events",
        summary="List events in order, oldest first, from the one after `after`",
        access=Scope.TRANSACTIONS_READ,
        reach=Reach.OWNER,
        query=schemas.EventsQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=events,
    ),
    Route(
        method="GET",
        path="/audit-events",
        summary="List the sealed audit trail, newest first",
        access=Scope.AUDIT_READ,
        reach=Reach.EVERY_OWNER,
        query=schemas.PageQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=audit,
    ),
)
