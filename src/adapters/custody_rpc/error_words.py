"""How what nodes say is compared with what they are known to say, and the words that mean the same whatever was asked.

Rules of this file

1. Only text is read. Codes differ between nodes for the same fault, and -32000 means everything. The few that count are named here.
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

Kind = TypeVar("Kind", bound=StrEnum)

Table = Sequence[tuple[Kind, tuple[str, ...]]]

TEXT_LENGTH_MAX: Final = 256
"""How much of a node's text is shown: it ends in rows, logs and pages."""

METHOD_NOT_FOUND: Final = -32601
"""JSON-RPC 2.0, section 5.1."""

ASKED_TOO_OFTEN: Final = frozenset({-32005, 429})
"""EIP-1474's code for a limit that was exceeded, and the HTTP status that some providers use for it."""

REVERTED: Final = (
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

INSUFFICIENT_FUNDS: Final = (
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

PRUNED: Final = (
    "missing trie node",  # geth
    "required historical state unavailable",
    "pruned history unavailable",  # besu
    "historical state",
    "world state unavailable",  # besu
    "state not available",
    "no state available",  # nethermind
)

TOO_MUCH: Final = (
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

_PUNCTUATION: Final = re.compile(r"[\W_]+")


def shown(text: str) -> str:
    """A node's text for people: one line, printable, bounded."""
    return "".join(character if character.isprintable() else " " for character in text[: 2 * TEXT_LENGTH_MAX])[
        :TEXT_LENGTH_MAX
    ].strip()


def classified(message: str, table: Table[Kind]) -> Kind | None:
    """What `message` means by the first row of `table` that has a pattern in it; None where none has."""
    text = " " + _PUNCTUATION.sub(" ", message[: 4 * TEXT_LENGTH_MAX].lower())
    return next((kind for kind, patterns in table if any(f" {pattern}" in text for pattern in patterns)), None)
