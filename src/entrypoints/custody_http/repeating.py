"""Answering once: where an `Idempotency-Key` may come and did, the same request gets the first answer again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from custody_http.registry import Call, KeyRule, Reply


def answer_to(call: Call) -> Reply:
    """The handler's reply, or the earlier one to the same request of the same caller.

    Raises what the handler raises, which keeps nothing; `IdempotencyKeyReused` for the key of another request.
    """
    if call.key is None or call.route.key is not KeyRule.WELCOME:
        return call.route.answer(call)
    replies: list[Reply] = []

    def act() -> Mapping[str, object]:
        replies.append(call.route.answer(call))
        return _kept(replies[-1])

    asked = {"ids": dict(call.ids), "body": msgspec.to_builtins(call.body)}
    once = call.custody.once(act, caller_id=call.principal.user.id, route=call.route.name, key=call.key, body=asked)
    return _repeated(once.answer) if once.replayed else replies[-1]


def _kept(reply: Reply) -> Mapping[str, object]:
    resource = {**reply.resource, **dict.fromkeys(reply.shown_once)}
    return {"id": reply.resource.get("id"), "status": reply.status, "headers": dict(reply.headers), "resource": resource}


def _repeated(kept: Mapping[str, Any]) -> Reply:
    return Reply(kept["resource"], kept["status"], {**kept["headers"], "Idempotency-Replayed": "true"})
