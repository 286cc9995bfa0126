"""Logs as a confused node lists them, in the form in which they come over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from custody_core.domain.chain import Log
from custody_rpc.wire import WireLog

Garble = Literal["twice", "out of order", "of another block"]
GARBLES: Final[Sequence[Garble]] = ("twice", "out of order", "of another block")


def garbled(logs: Sequence[Log], how: Garble, other: Sequence[Log]) -> list[WireLog]:
    """A block's logs, garbled. `other` are those of another block."""
    listed = [_wire(log) for log in logs]
    match how:
        case "twice":
            return [*listed, *listed]
        case "out of order":
            return listed[::-1]
        case "of another block":
            return [_wire(log) for log in other]


def _wire(log: Log) -> WireLog:
    return WireLog(
        log.block_hash,
        log.transaction_hash,
        hex(log.log_index),
        "0x" + log.emitter.hex(),
        tuple("0x" + topic.hex() for topic in log.topics),
        "0x" + log.data.hex(),
    )
