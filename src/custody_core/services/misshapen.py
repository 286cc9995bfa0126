"""Counting logs that begin as a listed token's transfer does, concern us, and have not its shape.

They are no deposits, and hold nothing up: a contract may emit what it likes. But a listed token that does it is one whose payments
may not be found, which somebody should be able to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custody_core.domain.chain import Log
from custody_core.domain.matching import read_transfer
from custody_core.domain.resources import chain_text
from custody_core.ports import Unit
from custody_core.services.kit import Kit


def misshapen_count(unit: Unit, chain_id: int) -> int:
    """How many were passed over on that chain so far. A block that comes back after a reorganisation counts again."""
    return int(unit.setting(_name(chain_id)) or b"0")


def count_misshapen(kit: Kit, unit: Unit, chain_id: int, blocks: Mapping[int, Sequence[Log]]) -> None:
    """Adds those among the `Transfer` logs of `blocks`, by height, and tells of them."""
    found = {number: count for number, logs in blocks.items() if (count := sum(read_transfer(log) is None for log in logs))}
    if not found:
        return
    unit.put_setting(_name(chain_id), str(misshapen_count(unit, chain_id) + sum(found.values())).encode())
    for number, count in found.items():
        detail = f"{chain_text(chain_id)}: {count} logs of listed tokens in block {number} are no transfers by their shape"
        kit.observer.trouble("logs-misshapen", detail)


def _name(chain_id: int) -> str:
    return f"logs-misshapen:{chain_id}"
