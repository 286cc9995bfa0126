"""What nodes say when a read brings nothing, in our words."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from custody_rpc.envelopes import RpcError
from custody_rpc.error_words import INSUFFICIENT_FUNDS, METHOD_NOT_FOUND, PRUNED, REVERTED, TOO_MUCH, Table, classified


class ReadFault(StrEnum):
    """Why a read brought nothing."""

    REVERTED = "reverted"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    UNKNOWN_BLOCK = "unknown_block"
    """The node has no such block, or no such tag, or has pruned its state."""
    UNSUPPORTED = "unsupported"
    """The node does not know the method, or not this form of its parameters."""
    TOO_MUCH = "too_much"
    """One answer, or one batch, is above a limit of the node. Being asked too often is not meant: that is `OTHER`."""
    OTHER = "other"


READ_PATTERNS: Final[Table[ReadFault]] = (
    (ReadFault.REVERTED, REVERTED),
    (ReadFault.INSUFFICIENT_FUNDS, INSUFFICIENT_FUNDS),
    (
        ReadFault.UNKNOWN_BLOCK,
        (
            "unknown block",  # geth, anvil
            "block not found",
            "finalized block not found",  # geth without a consensus client
            "safe block not found",
            "header not found",  # geth
            "header for hash not found",
            "blocknotfound",
            "could not find block",
            "block could not be found",
            "resource not found",  # besu, nethermind
            *PRUNED,
            "is not currently canonical",  # geth (EIP-1898)
            "block is not canonical",
        ),
    ),
    (ReadFault.TOO_MUCH, TOO_MUCH),
    (
        ReadFault.UNSUPPORTED,
        (
            "method not found",  # JSON-RPC 2.0
            "the method",  # geth: the method … does not exist/is not available
            "method eth",  # hardhat: Method eth_… is not supported
            "not supported",
            "unsupported",
            "invalid params",  # anvil
            "invalid argument",  # geth: invalid argument 1: …
            "invalid block",
            "invalid tag",
            "invalid value",
            "missing value for required argument",
            "cannot unmarshal",
            "errors encountered in param",  # hardhat
        ),
    ),
)


def read_fault(error: RpcError) -> ReadFault:
    """What a refusal of a read means."""
    return classified(error.message, READ_PATTERNS) or ReadFault.OTHER


def is_unsupported(error: RpcError) -> bool:
    """Whether the node does not offer the method: by the code of JSON-RPC 2.0, or by what it says."""
    return error.code == METHOD_NOT_FOUND or read_fault(error) is ReadFault.UNSUPPORTED
