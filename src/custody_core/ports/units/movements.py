"""Which movements a list is about: transactions of both directions are narrowed down by the same filter."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class MovementFilter:
    """What the listed movements have in common. None leaves a question open; `owner_id` has to be said, so that nobody shows
    everybody's by forgetting it.
    """

    owner_id: str | None
    """Of a deposit: whoever owns its wallet."""
    wallet_id: str | None = None
    state: str | None = None
    asset: str | None = None
    """The alias that the asset had when the movement was recorded."""
    external_id: str | None = None
    """Deposits have none, so that none is found by one."""
    created_since: datetime | None = None
    """Recorded at this time or later."""


EVERY_MOVEMENT = MovementFilter(owner_id=None)
