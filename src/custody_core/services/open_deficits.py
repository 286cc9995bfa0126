"""Which wallets hold less than their books say, and for which the alarm was raised: so that it is raised once, and cleared.

Kept as one value per chain, changed only by whoever holds the chain's row.
"""

from __future__ import annotations

import json

from custody_core.ports import Unit

_KEPT_MAX = 1_000
"""With so many of them nobody waits for one more alarm: beyond that, none is raised for the single wallet."""


def open_deficits(unit: Unit, chain_id: int) -> frozenset[tuple[str, str]]:
    """(wallet id, asset key) of every deficit that an alarm was raised for and that is not over."""
    kept = unit.setting(_name(chain_id))
    return frozenset((wallet_id, asset) for wallet_id, asset in json.loads(kept)) if kept else frozenset()


def is_deficit_open(unit: Unit, chain_id: int, wallet_id: str, asset: str) -> bool:
    """Whether an alarm was raised for it."""
    return (wallet_id, asset) in open_deficits(unit, chain_id)


def open_deficit(unit: Unit, chain_id: int, wallet_id: str, asset: str) -> bool:
    """Remembers it; whether it is a new one, for which the alarm is to be raised."""
    known = open_deficits(unit, chain_id)
    if (wallet_id, asset) in known or len(known) >= _KEPT_MAX:
        return False
    _keep(unit, chain_id, known | {(wallet_id, asset)})
    return True


def close_deficit(unit: Unit, chain_id: int, wallet_id: str, asset: str) -> None:
    """Forgets it."""
    _keep(unit, chain_id, open_deficits(unit, chain_id) - {(wallet_id, asset)})


def _keep(unit: Unit, chain_id: int, deficits: frozenset[tuple[str, str]]) -> None:
    unit.put_setting(_name(chain_id), json.dumps(sorted(deficits)).encode())


def _name(chain_id: int) -> str:
    return f"reconcile:deficits:{chain_id}"
