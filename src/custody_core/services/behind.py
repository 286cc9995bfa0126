"""Whether a chain's nodes show the present. What a node that is behind says of fees and pools is of the past."""

from __future__ import annotations

from typing import assert_never

from custody_core.domain.chain import Header
from custody_core.ports import Absent, Answer, Found, Unknown
from custody_core.services.kit import Kit


def why_behind(kit: Kit, chain_id: int, synced_head: Answer[Header]) -> str | None:
    """Why nothing new should be sent through nodes whose `Chain.synced_head` this is; None where nothing speaks against it."""
    match synced_head:
        case Unknown(reason=reason):
            return reason
        case Absent():
            return "it has no newest block"
        case Found(value=head):
            age_max = kit.limits.head_age_max.get(chain_id)
            if age_max is None or kit.clock.now() - head.timestamp <= age_max:
                return None
            return f"its newest block, {head.number}, is of {head.timestamp:%Y-%m-%d %H:%M:%S} UTC"
        case _:
            assert_never(synced_head)
