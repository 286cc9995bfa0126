"""What nodes and providers say when they do not trace a block, in our words."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from custody_rpc.envelopes import RpcError
from custody_rpc.error_words import ASKED_TOO_OFTEN, METHOD_NOT_FOUND, PRUNED, TOO_MUCH, Table, classified


class TraceFault(StrEnum):
    """What an error on asking for traces means."""

    NO_TRACES = "no_traces"
    """The node does not have this method, or does not let us use it: as far as one answer can tell."""
    NOT_THIS_BLOCK = "not_this_block"
    """It has no trace of this block, and will have none: the state is gone, or a transaction takes longer than it allows."""
    TOO_MUCH = "too_much"
    """There is too much to tell. Of a block that was asked about alone it is as `NOT_THIS_BLOCK`."""
    TIMED_OUT = "timed_out"
    """It took too long, be it for the block or for whatever the node is at besides."""
    OTHER = "other"


TRACE_PATTERNS: Final[Table[TraceFault]] = (
    (
        TraceFault.NOT_THIS_BLOCK,
        (
            *PRUNED,
            "pruned",  # erigon
            "genesis is not traceable",  # geth
            "execution timeout",  # geth: its own limit for one transaction
            "tracing failed",  # geth
        ),
    ),
    (TraceFault.TOO_MUCH, (*TOO_MUCH, "response is too big", "result is too large", "exceeds the limit of")),
    (
        TraceFault.TIMED_OUT,
        (
            "timeout",  # besu: timeout expired; nethermind: due to enabled timeout; of gateways: upstream request timeout
            "timed out",  # geth, reth and what is made of them: request timed out
            "time out",
            "context deadline exceeded",  # what is written in Go
            "deadline exceeded",
            "execution aborted",  # erigon
            "context canceled",
            "took too long",
            "takes too long",
            "too long to",  # … respond, … process
            "unable to complete request",
        ),
    ),
    (
        TraceFault.NO_TRACES,
        (
            "method not found",  # JSON-RPC 2.0
            "method trace",  # geth, erigon: the method … does not exist/is not available; hardhat, nethermind: … is not supported
            "method debug",
            "method not enabled",  # besu
            "method not supported",
            "method is not",  # providers: … whitelisted, … available on your plan
            "unknown method",
            "unsupported method",
            "no such method",
            "trace block is not",  # providers: trace_block is not available on the … tier
            "debug traceblockbyhash is not",
            "debug and trace requests are not",  # providers: … available on your current plan
            "tracer not found",  # geth before callTracer
        ),
    ),
)


def trace_fault(error: RpcError) -> TraceFault:
    """What a refusal to trace means. The code of JSON-RPC 2.0 for a method that is not there counts, whatever the words are, and
    so do those for being asked too often, which say nothing about the method or the block.
    """
    if error.code == METHOD_NOT_FOUND:
        return TraceFault.NO_TRACES
    if error.code in ASKED_TOO_OFTEN:
        return TraceFault.OTHER
    return classified(error.message, TRACE_PATTERNS) or TraceFault.OTHER
