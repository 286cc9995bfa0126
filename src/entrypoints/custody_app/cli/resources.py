"""The public form of answers that only the command line gives."""

from __future__ import annotations

from collections.abc import Mapping

from custody_core import BlockRef, Custody, Deposit, Transaction
from custody_core.domain.resources import (
    Resource,
    attempt_resource,
    balance_resource,
    wallet_resource,
)
from custody_core.services.resources import movement_resource


def heads_of(custody: Custody) -> Mapping[int, BlockRef]:
    """Chain id → the newest block that we follow."""
    return custody.chains.heads()


def movement_with_attempts(movement: Transaction | Deposit, heads: Mapping[int, BlockRef]) -> Resource:
    """The same, an outgoing one with its attempts."""
    resource = movement_resource(movement, heads)
    if isinstance(movement, Transaction):
        resource["attempts"] = [attempt_resource(attempt) for attempt in movement.attempts]
    return resource


def wallet_with_balances(custody: Custody, wallet_id: str, *, live: bool) -> Resource:
    """A wallet with what it holds."""
    wallet = custody.wallets.get(wallet_id)
    balances = custody.wallets.balances(wallet.id, live=live)
    return {**wallet_resource(wallet), "balances": [balance_resource(each) for each in balances]}
