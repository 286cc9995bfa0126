"""What nodes say when they refuse, in our words. The only file that knows their spellings.

Rules of this file

1. Only text is read, but for -32601 (no such method). Codes differ between nodes for the same fault, and -32000 means everything.
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

_METHOD_NOT_FOUND: Final = -32601

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
    "insufficient funds",  # geth, erigon, nethermind, reth, anvil
    "insufficientfunds",  # older nethermind
    "upfront cost exceeds",  # besu
    "transaction upfront cost",
    "sender doesn t have enough funds",  # hardhat
    "lack of funds",  # what runs on revm
    "does not have enough balance",  # ethereumjs
    "insufficient balance",
    "transaction would cause overdraft",  # geth before 1.13
)

_PRUNED: Final = (
    "missing trie node",  # geth
    "required historical state unavailable",
    "pruned history unavailable",  # besu
    "historical state",
    "world state unavailable",  # besu
    "state not available",
    "no state available",  # nethermind
)

_TOO_MUCH: Final = (
    "batch too large",  # geth
    "batch size",
    "batch limit",
    "too many requests in batch",
    "response too large",  # geth
    "response size",
    "request entity too large",
    "query returned more than",
    "query exceeds max",
    "requested range exceeds",  # besu
)

BROADCAST_PATTERNS: Final[Sequence[tuple[BroadcastOutcome, tuple[str, ...]]]] = (
    # hardhat answers with the revert of a transaction that it has mined.
    (BroadcastOutcome.UNKNOWN, _REVERTED),
    # Of a nonce, but of another account's: must not be read as a word about ours.
    (BroadcastOutcome.REFUSED, ("authority nonce too low",)),  # geth
    (
        BroadcastOutcome.KNOWN,
        (
            "already known",  # geth, erigon, nethermind, reth
            "alreadyknown",  # older nethermind
            "known transaction",  # besu, hardhat, geth before 1.10
            "transaction already known",
            "transaction already imported",  # anvil
            "transaction with the same hash was already imported",  # openethereum
            "this transaction is already in the txpool",  # ethereumjs
            "existing tx with same hash",  # erigon 2
            "existing txn with same hash",  # erigon 3
            "already in the mempool",
            "tx already in mempool",
        ),
    ),
    (
        BroadcastOutcome.NONCE_TOO_LOW,
        (
            "nonce too low",  # geth, erigon, nethermind, besu, reth, anvil, hardhat
            "nonce is too low",
            "oldnonce",  # older nethermind
            "transaction nonce is too low",  # openethereum
            "the transaction was already mined",
        ),
    ),
    (
        BroadcastOutcome.UNDERPRICED,
        (
            "replacement transaction underpriced",  # geth, erigon, nethermind, besu, reth, anvil, hardhat
            "transaction replacement underpriced",  # besu
            "transaction underpriced",  # geth, nethermind, reth
            "underpriced",  # erigon
            "replacement gas too low",  # ethereumjs
            "insufficient gas price to replace",  # reth, anvil
            "replacementnotallowed",  # older nethermind
            "could not replace existing tx",  # erigon
            "feetoolow",  # older nethermind, also FeeTooLowToCompete
            "fee too low",  # erigon
            "max fee per gas less than block base fee",  # geth, anvil, reth
            "gas price below current base fee",  # besu
            "gas price below configured minimum",  # besu
            "transaction gas price below minimum",  # geth
            "transaction gas price supplied is too low",  # openethereum
            "transaction priority fee below minimum",  # reth
            "gas price too low",
            "transaction gas price is too low",
        ),
    ),
    (BroadcastOutcome.INSUFFICIENT_FUNDS, _INSUFFICIENT_FUNDS),
    (
        BroadcastOutcome.NOT_NOW,
        (
            "txpool is full",  # geth; reth also where one sender has too many
            "transaction pool is full",
            "pending sub pool is full",  # erigon
            "basefee sub pool is full",
            "queued sub pool is full",
            "spammer",  # erigon: one sender has too many
            "account limit exceeded",  # geth
            "in flight transaction limit reached",  # geth, accounts with delegated code
            "gapped nonce tx from delegated accounts",  # geth
            "delegation nonce gap",  # nethermind
            "notcurrentnoncefordelegation",
            "delegation authority has pending transaction",
            "future transaction tries to replace pending",  # geth
            "address already reserved",  # geth, reth: a transaction of another kind is pending
            "authority already reserved",
            "pending transaction type conflict",  # nethermind
            "pendingtxsofconflictingtype",
            "nonce too high",  # hardhat, nethermind (a gap), besu
            "noncegap",  # older nethermind
            "nonce too far in future",  # nethermind
            "noncetoofarinfuture",
            "transaction nonce is too distant",  # besu
            "nonce too distant",
            "an invalid transaction with a lower nonce exists",  # besu
            "node is syncing",  # nethermind
            "initial sync is still in progress",  # besu
            "transaction pool not enabled",  # besu: not yet in sync
        ),
    ),
    (
        BroadcastOutcome.FEE_CAPPED,
        (
            "exceeds the configured cap",  # geth, erigon, reth: --rpc.txfeecap
            "transaction fee cap exceeded",  # besu: --tx-fee-cap
        ),
    ),
    (
        BroadcastOutcome.REFUSED,
        (
            "intrinsic gas too",  # geth, anvil, reth: low; anvil and reth also: high
            "intrinsicgas",  # erigon
            "intrinsic gas exceeds",  # besu
            "insufficient gas for floor data gas cost",  # geth (EIP-7623)
            "transaction requires at least",  # hardhat
            "exceeds block gas limit",  # geth, besu, reth
            "exceeds the gas limit",
            "transaction gas limit",  # besu, hardhat, geth (EIP-7825)
            "gas limit too high",
            "gas limit is too high",  # erigon
            "gas limit reached",  # nethermind
            "gaslimitexceeded",  # older nethermind
            "txgaslimitcapexceeded",  # nethermind (EIP-7825)
            "gas uint64 overflow",  # geth, reth, anvil
            "gasuintoverflow",  # erigon
            "transaction cost overflow",  # nethermind
            "oversized data",  # geth, erigon, reth
            "transaction too large",  # nethermind
            "maxtxsizeexceeded",  # older nethermind
            "max initcode size exceeded",  # geth, nethermind, reth, anvil
            "initcode too large",  # erigon
            "negative value",  # geth, erigon, reth
            "nonce has max value",  # geth, anvil, reth
            "invalid chain id",  # anvil, geth, ganache, reth
            "invalid chainid",
            "invalidtxchainid",  # nethermind
            "incompatible eip 155 transaction",  # anvil
            "wrong chain id",
            "wrong chainid",  # besu
            "chainid not supported",  # besu
            "chainid is required",  # besu
            "with an invalid chainid",  # hardhat
            "transaction type not supported",  # geth, reth
            "unsupported transaction type",  # nethermind
            "fork supporting this transaction type is not activated",  # erigon
            "only replay protected",  # geth
            "invalid transaction type",  # besu, hardhat
            "notsupportedtxtype",  # older nethermind
            "invalid sender",  # geth, erigon, reth
            "sender not an eoa",  # geth, nethermind, anvil
            "sender is not an eoa",  # reth
            "failed to recover sender",  # nethermind
            "failedtoresolvesender",  # older nethermind
            "invalid signature",  # besu
            "invalidtxsignature",  # nethermind
            "invalid transaction v r s values",  # geth
            "max priority fee per gas higher than",  # geth, reth, anvil
            "max priority fee per gas exceeds",  # besu
            "invalidmaxpriorityfeepergas",  # nethermind
            "max fee per gas higher than",  # geth: than 2^256-1
            "failed to decode",  # anvil, reth
            "could not decode transaction",  # ganache
            "typed transaction too short",  # geth
            "input too short",  # hardhat
            "rlp",  # geth: rlp: expected …; erigon: RLPTooLong
            "transaction invalid",  # nethermind
            "sender account not authorized",  # besu
            "plugin has marked the transaction",  # besu
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
            *_PRUNED,
            "is not currently canonical",  # geth (EIP-1898)
            "block is not canonical",
        ),
    ),
    (ReadFault.TOO_MUCH, _TOO_MUCH),
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


class TraceFault(StrEnum):
    """What an error on asking for traces means."""

    NO_TRACES = "no_traces"
    """The node does not have this method, or does not let us use it."""
    NOT_THIS_BLOCK = "not_this_block"
    """It has no trace of this block, and will have none: the state is gone, or there is too much to it."""
    OTHER = "other"


TRACE_PATTERNS: Final[Sequence[tuple[TraceFault, tuple[str, ...]]]] = (
    (
        TraceFault.NOT_THIS_BLOCK,
        (
            *_PRUNED,
            *_TOO_MUCH,
            "pruned",  # erigon
            "genesis is not traceable",  # geth
            "execution timeout",  # geth
            "tracing failed",  # geth
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
            "tracer not found",  # geth before callTracer
        ),
    ),
)


def trace_fault(error: RpcError) -> TraceFault:
    """What a refusal to trace means. The code of JSON-RPC 2.0 for a method that is not there counts, whatever the words are."""
    if error.code == _METHOD_NOT_FOUND:
        return TraceFault.NO_TRACES
    return _classified(error.message, TRACE_PATTERNS) or TraceFault.OTHER


def broadcast_outcome(error: RpcError) -> BroadcastOutcome:
    """What a refusal of `eth_sendRawTransaction` means."""
    return _classified(error.message, BROADCAST_PATTERNS) or BroadcastOutcome.UNKNOWN


def read_fault(error: RpcError) -> ReadFault:
    """What a refusal of a read means."""
    return _classified(error.message, READ_PATTERNS) or ReadFault.OTHER


def is_unsupported(error: RpcError) -> bool:
    """Whether the node does not offer the method: by the code of JSON-RPC 2.0, or by what it says."""
    return error.code == _METHOD_NOT_FOUND or read_fault(error) is ReadFault.UNSUPPORTED


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
