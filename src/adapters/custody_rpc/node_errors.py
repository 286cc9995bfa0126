"""What nodes say when they refuse, in our words. The only file that knows their spellings.

Rules of this file

1. Only text is read. Codes differ between nodes for the same fault, and -32000 means everything.
2. Text that is not in a table is unknown, and unknown is never a no: the node may have taken the bytes.
3. A node can quote a stranger (a contract's revert reason). Whatever speaks of a revert is recognised as that first, so that no
   contract can make a node seem to say something else about a transaction.
4. Text is compared in lower case, with runs of punctuation and blanks as one blank. Patterns begin at a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from custody_core.domain.encoding import decode_revert_reason
from custody_core.ports import BroadcastOutcome
from custody_rpc.envelopes import UNREADABLE, RpcError

Kind = TypeVar("Kind", bound=StrEnum)

TEXT_LENGTH_MAX: Final = 256
"""How much of a node's text is shown: it ends in rows, logs and pages."""

REVERT_DATA_LENGTH_MAX: Final = 64 * 1024
"""Longer revert data is not looked at: a reason fits in less."""

_REVERTED: Final = (
    "execution reverted",  # geth, erigon, besu, reth, anvil
    "vm execution error",  # nethermind, openethereum
    "vm exception while processing transaction",  # hardhat, ganache
    "transaction reverted",  # hardhat
    "reverted",
    "revert",
    "evm error",  # anvil
    "evmerror",
    "invalid opcode",
    "invalid jump destination",
    "stack underflow",
)

_INSUFFICIENT_FUNDS: Final = (
    "insufficient funds",  # geth, erigon, reth, anvil
    "insufficientfunds",  # nethermind
    "upfront cost exceeds",  # besu
    "transaction upfront cost",
    "sender doesn t have enough funds",  # hardhat
    "does not have enough balance",  # ethereumjs
    "insufficient balance",
    "transaction would cause overdraft",  # geth
)

BROADCAST_PATTERNS: Final[Sequence[tuple[BroadcastOutcome, tuple[str, ...]]]] = (
    # hardhat answers with the revert of a transaction that it has mined.
    (BroadcastOutcome.UNKNOWN, _REVERTED),
    (
        BroadcastOutcome.KNOWN,
        (
            "already known",  # geth, erigon, reth
            "alreadyknown",  # nethermind
            "known transaction",  # besu, hardhat, geth before 1.10
            "transaction already known",
            "transaction already imported",  # anvil
            "transaction with the same hash was already imported",  # openethereum
            "this transaction is already in the txpool",  # ethereumjs
            "existing tx with same hash",  # erigon
            "already in the mempool",
            "tx already in mempool",
        ),
    ),
    (
        BroadcastOutcome.NONCE_TOO_LOW,
        (
            "nonce too low",  # geth, erigon, besu, reth, anvil, hardhat
            "nonce is too low",
            "oldnonce",  # nethermind
            "transaction nonce is too low",  # openethereum
            "the transaction was already mined",
        ),
    ),
    (
        BroadcastOutcome.UNDERPRICED,
        (
            "replacement transaction underpriced",  # geth, erigon, besu, reth, anvil, hardhat
            "transaction replacement underpriced",  # besu
            "transaction underpriced",  # geth, reth
            "underpriced",  # erigon
            "replacement gas too low",  # ethereumjs
            "replacementnotallowed",  # nethermind
            "could not replace existing tx",  # erigon
            "feetoolow",  # nethermind, also FeeTooLowToCompete
            "fee too low",  # erigon
            "max fee per gas less than block base fee",  # geth, anvil, reth
            "gas price below current base fee",  # besu
            "gas price below configured minimum",  # besu
            "transaction gas price below minimum",  # geth
            "gas price too low",
            "transaction gas price is too low",
            "txpool is full",  # geth, reth: full of dearer ones
            "pending sub pool is full",  # erigon
            "basefee sub pool is full",
            "queued sub pool is full",
        ),
    ),
    (BroadcastOutcome.INSUFFICIENT_FUNDS, _INSUFFICIENT_FUNDS),
    (
        BroadcastOutcome.REFUSED,
        (
            "intrinsic gas too",  # geth, anvil, erigon: low; anvil also: high
            "intrinsic gas exceeds",  # besu
            "transaction requires at least",  # hardhat
            "exceeds block gas limit",  # geth, besu
            "exceeds the gas limit",
            "transaction gas limit",  # besu, hardhat, geth (EIP-7825)
            "gas limit too high",
            "gas limit is too high",
            "gaslimitexceeded",  # nethermind
            "exceeds the configured cap",  # geth's own fee cap
            "transaction fee cap exceeded",  # besu
            "oversized data",  # geth, erigon
            "maxtxsizeexceeded",  # nethermind
            "rlp too long",  # erigon
            "invalid chain id",  # anvil, geth, ganache
            "invalid chainid",
            "wrong chain id",
            "with an invalid chainid",  # hardhat
            "transaction type not supported",  # geth
            "only replay protected",  # geth
            "invalid transaction type",  # hardhat
            "notsupportedtxtype",  # nethermind
            "invalid sender",  # geth, erigon
            "failedtoresolvesender",  # nethermind
            "invalid signature",
            "invalid transaction v r s values",  # geth
            "max priority fee per gas higher than max fee per gas",  # geth
            "failed to decode",  # anvil
            "could not decode transaction",  # ganache
            "typed transaction too short",  # geth
            "rlp",  # geth: rlp: expected …
            "nonce too high",  # hardhat
            "noncegap",  # nethermind
            "noncetoofarinfuture",
            "transaction nonce is too distant",  # besu
            "nonce too distant",
            "account limit exceeded",  # geth
            "in flight transaction limit reached",  # geth, accounts with delegated code
            "gapped nonce tx from delegated accounts",
            "future transaction tries to replace pending",
            "sender account not authorized",  # besu
        ),
    ),
)


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


READ_PATTERNS: Final[Sequence[tuple[ReadFault, tuple[str, ...]]]] = (
    (ReadFault.REVERTED, _REVERTED),
    (ReadFault.INSUFFICIENT_FUNDS, _INSUFFICIENT_FUNDS),
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
            "missing trie node",  # geth: pruned
            "required historical state unavailable",
            "historical state",
            "world state unavailable",  # besu
            "state not available",
            "no state available",  # nethermind
            "is not currently canonical",  # geth (EIP-1898)
            "block is not canonical",
        ),
    ),
    (
        ReadFault.TOO_MUCH,
        (
            "batch too large",  # geth
            "batch size",
            "batch limit",
            "too many requests in batch",
            "response too large",  # geth
            "response size",
            "request entity too large",
            "query returned more than",
            "query exceeds max",
        ),
    ),
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


def broadcast_outcome(error: RpcError) -> BroadcastOutcome:
    """What a refusal of `eth_sendRawTransaction` means."""
    return _classified(error.message, BROADCAST_PATTERNS) or BroadcastOutcome.UNKNOWN


def read_fault(error: RpcError) -> ReadFault:
    """What a refusal of a read means."""
    return _classified(error.message, READ_PATTERNS) or ReadFault.OTHER


def revert_reason(error: RpcError) -> str | None:
    """The reason of a revert: decoded from the error's data where there is any, else what the message adds to the word."""
    data = _revert_data(error.data)
    if data:
        return decode_revert_reason(data)
    quoted = _QUOTED_REASON.search(error.message)
    return shown(quoted["hardhat"] or quoted["geth"] or "") or None if quoted else None


def shown(text: str) -> str:
    """A node's text for people: one line, printable, bounded."""
    return "".join(character if character.isprintable() else " " for character in text[: 2 * TEXT_LENGTH_MAX])[
        :TEXT_LENGTH_MAX
    ].strip()


_QUOTED_REASON: Final = re.compile(r"reverted with reason string '(?P<hardhat>.*)'|reverted: (?P<geth>.+)", re.DOTALL)
_HEX: Final = re.compile(r"(?:Reverted )?(0x(?:[0-9a-fA-F]{2})*)", re.ASCII)
_PUNCTUATION: Final = re.compile(r"[\W_]+")


class _WithData(msgspec.Struct):
    data: str


_REVERT_DATA: Final = msgspec.json.Decoder(str | _WithData | None)


def _revert_data(data: msgspec.Raw) -> bytes:
    """The revert's bytes: hex (geth and most), `Reverted 0x…` (nethermind), or either within an object (hardhat)."""
    if len(data) > REVERT_DATA_LENGTH_MAX:
        return b""
    try:
        parsed = _REVERT_DATA.decode(data)
    except UNREADABLE:
        return b""
    text = parsed.data if isinstance(parsed, _WithData) else parsed or ""
    matched = _HEX.fullmatch(text)
    return bytes.fromhex(matched[1][2:]) if matched else b""


def _classified(message: str, table: Sequence[tuple[Kind, tuple[str, ...]]]) -> Kind | None:
    text = " " + _PUNCTUATION.sub(" ", message[: 4 * TEXT_LENGTH_MAX].lower())
    return next((kind for kind, patterns in table if any(f" {pattern}" in text for pattern in patterns)), None)
