"""Bugs in what a node is believed."""

from __future__ import annotations

from typing import Final

from custody_core.services import booking, evidence, tracing
from custody_rpc import bulk
from tests.unit.simulation.zoo.bug import Bug

LIES: Final = (
    Bug(
        "a log that is listed twice is two deposits",
        bulk,
        "_by_index",
        "if indexes == sorted(set(indexes)):",
        "if True:",
    ),
    Bug(
        "the logs of another block are taken",
        bulk.BlockLogs,
        "__init__",
        "if any(wire.hash_(text) != block_hash",
        "if False and any(wire.hash_(text) != block_hash",
    ),
    Bug(
        "a filter of zeros rules logs out",
        evidence.EvidenceReader,
        "_transfer_logs",
        "bloom_admits(each.logs_bloom,",
        "bloom_admits(each.header.logs_bloom,",
    ),
    Bug(
        "what left out of suspense is no hole in it",
        booking.Booking,
        "_may_lack",
        "unit.taken_from_suspense(",
        "unit.booked_from_suspense(",
    ),
    Bug(
        "a block is read without its traces and nobody is told",
        tracing.TraceReader,
        "_go_without",
        "if self._alarm is not None and is_expected:",
        "if False:",
    ),
    Bug(
        "what was not asked about is taken for told",
        tracing.TraceReader,
        "_answers",
        'Unknown("was not asked")',
        "Found(())",
    ),
    Bug("what is explained stays in suspense", booking.Booking, "run", "if difference.explained:", "if False:"),
)
