"""A block's transactions and logs: hundreds at a time, all checked, few ever made into values of ours.

Rules of this file

1. What `wire.py` would refuse of one is refused here of all: a whole column of texts is checked at once, which costs a hundredth.
2. A value is made when somebody asks for it. By then nothing can be wrong with it any more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from custody_core.domain.chain import Block, BlockTransaction, Hash, Log, Logs, Transactions
from custody_rpc import wire
from custody_rpc.wire import Malformed, WireBlock, WireLog, WireTransaction

_WORD_TEXT: Final = 66
_ADDRESS_TEXT: Final = 42
_ADDRESS_BYTES: Final = 20
_NOBODY: Final = "0x" + "0" * 40


class BlockTransactions(Transactions):
    """Those of a full block. Raises `Malformed`."""

    def __init__(self, transactions: Sequence[WireTransaction]) -> None:
        self._wire = transactions
        recipients = [each.to for each in transactions]
        addresses = [each.sender for each in transactions] + [_NOBODY if to is None else to for to in recipients]
        raw = _data(addresses, _ADDRESS_TEXT)
        columns = [raw[at : at + _ADDRESS_BYTES] for at in range(0, len(raw), _ADDRESS_BYTES)]
        self._senders, called = columns[: len(transactions)], columns[len(transactions) :]
        self._recipients = [None if to is None else raw for to, raw in zip(recipients, called, strict=True)]
        _data([each.hash for each in transactions], _WORD_TEXT)
        _check_quantities([each.nonce for each in transactions] + [each.value for each in transactions])

    def __len__(self) -> int:
        return len(self._wire)

    def __getitem__(self, index: int) -> BlockTransaction:
        return wire.transaction(self._wire[index])

    @property
    def senders(self) -> Sequence[bytes]:
        """Who sent each."""
        return self._senders

    @property
    def recipients(self) -> Sequence[bytes | None]:
        """Whom each calls or pays."""
        return self._recipients


class BlockLogs(Logs):
    """Logs of one block, by their index. Raises `Malformed`, also for what was not asked for."""

    def __init__(self, logs: Sequence[WireLog], block_hash: Hash, topic: bytes, emitters: Collection[bytes]) -> None:
        self.block_hash = block_hash
        if any(each.removed for each in logs):
            raise Malformed("a log of a canonical block is not removed")
        if any(wire.hash_(text) != block_hash for text in {each.block_hash for each in logs}):
            raise Malformed("a log is of another block")
        if any(wire.data(text, 20) not in emitters for text in {each.address for each in logs}):
            raise Malformed("a log is of another contract")
        if any(wire.data(text, 32) != topic for text in {each.topics[0] if each.topics else "" for each in logs}):
            raise Malformed("a log has another topic")
        words = [word for each in logs for word in each.topics[1:]]
        _data(words + [each.transaction_hash for each in logs], _WORD_TEXT)
        _data([each.data for each in logs])
        self._wire = _by_index(logs)

    def __len__(self) -> int:
        return len(self._wire)

    def __getitem__(self, index: int) -> Log:
        return wire.log(self._wire[index])

    @property
    def transaction_hashes(self) -> Sequence[Hash]:
        """What emitted each."""
        return [Hash(each.transaction_hash.lower()) for each in self._wire]

    def addresses(self, topic: int) -> Sequence[bytes]:
        """The last 20 bytes of that topic of each."""
        words = [each.topics[topic][2:] if len(each.topics) > topic else "" for each in self._wire]
        if not all(words):
            return [bytes.fromhex(word)[12:] for word in words]
        raw = bytes.fromhex("".join(words))
        return [raw[at : at + _ADDRESS_BYTES] for at in range(12, len(raw), 32)]


def block(block: WireBlock) -> Block:
    """The block with its transactions. Raises `Malformed`."""
    return Block(wire.header(block), BlockTransactions(block.transactions))


def _by_index(logs: Sequence[WireLog]) -> Sequence[WireLog]:
    """In order, each once. Raises `Malformed` for two that are at one place and not the same."""
    texts = [each.log_index for each in logs]
    _check_quantities(texts)
    indexes = [int(text, 16) for text in texts]
    if indexes == sorted(set(indexes)):
        return logs
    found: dict[int, WireLog] = {}
    for index, log in zip(indexes, logs, strict=True):
        if wire.log(found.setdefault(index, log)) != wire.log(log):
            raise Malformed("two different logs have one index")
    return [found[index] for index in sorted(found)]


def _data(texts: Sequence[str], length: int | None = None) -> bytes:
    """All of `texts` as one, each of which has `length` characters, or else an even number of them."""
    lengths = set(map(len, texts))
    if any(each % 2 or each != (length or each) for each in lengths):
        raise Malformed("data has another length than it must have")
    return _from_hex(_digits(texts))


def _check_quantities(texts: Sequence[str]) -> None:
    lengths = set(map(len, texts))
    if lengths and max(lengths) > _WORD_TEXT:
        for text in texts:
            wire.quantity(text)
    if lengths and min(lengths) < 3:
        raise Malformed("a quantity has a digit")
    digits = _digits(texts)
    _from_hex(digits + "0" * (len(digits) % 2))


def _digits(texts: Sequence[str]) -> str:
    """What follows `0x` in each of `texts`, joined. A text that does not begin so leaves the line feed before it where it is."""
    joined = "\n".join(("", *texts))
    digits = joined.replace("\n0x", "")
    if len(joined) - len(digits) != 3 * len(texts):
        raise Malformed("data and quantities begin with 0x")
    return digits


def _from_hex(digits: str) -> bytes:
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raise Malformed("data and quantities have hexadecimal digits") from None
    if 2 * len(raw) != len(digits):  # `fromhex` skips blanks and line feeds
        raise Malformed("data and quantities have hexadecimal digits")
    return raw
