"""Reading blocks again that were followed."""

from __future__ import annotations

from typing import Final

from custody_core import ValidationFailed
from custody_core.domain.access import Scope
from custody_core.services.scans import scan_resource
from custody_http import schemas
from custody_http.parse import read_chain
from custody_http.registry import Call, KeyRule, Reach, Reply, Route

BLOCKS_MAX: Final = 500
"""So many are read while a client waits; `custody scan rescan` reads any number."""


def rescan(call: Call) -> Reply:
    body: schemas.NewScan = call.body
    chain_id, scans = read_chain(body.chain), call.custody.scans
    if body.hash is not None:
        if body.first is not None or body.last is not None:
            raise ValidationFailed("give a hash, or a range of blocks", pointer="/hash")
        return Reply(scan_resource(scans.rescan_hash(body.hash, chain_id=chain_id, actor=call.actor)))
    if body.first is None:
        raise ValidationFailed("say which blocks: from and to, or a hash", pointer="/from")
    last = body.first if body.last is None else body.last
    if last - body.first >= BLOCKS_MAX:
        raise ValidationFailed(f"at most {BLOCKS_MAX} blocks are read at a time", pointer="/to")
    return Reply(scan_resource(scans.rescan(body.first, last, chain_id=chain_id, actor=call.actor)))


ROUTES = (
    Route(
        method="POST",
        path="/scans",
        summary="Read blocks again that were followed, and take in what is missing of them",
        access=Scope.OPS_ADMIN,
        reach=Reach.EVERY_OWNER,
        query=schemas.Nothing,
        body=schemas.NewScan,
        key=KeyRule.IGNORED,
        answer=rescan,
    ),
)
