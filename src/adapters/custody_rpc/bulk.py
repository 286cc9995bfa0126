"""A block's transactions and logs: hundreds at a time, all checked, few ever made into values of ours.

Rules of this file

1. What `wire.py` would refuse of one is refused here of all: a whole column of texts is checked at once, which costs a hundredth.
2. A value is made when somebody asks for it. By then nothing can be wrong with it any more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from struct import Struct
from typing import Final, cast

from custody_core.domain.chain import Block, BlockTransaction, Hash, Log, Logs, Transactions
from custody_rpc import wire
from custody_rpc.wire import Malformed, WireBlock, WireLog, WireTransaction

_WORD_TEXT: Final = 66
_ADDRESS_TEXT: Final = 42
_ADDRESSES: Final = Struct("x20s")
"""One of a column of addresses: a byte for its 0x, and itself."""
_WORDS: Final = Struct("13x20s")
"""One of a column of words: a byte for its 0x, 12 that an address does not fill, and the address."""
_NOBODY: Final = "0x" + "0" * 40


class BlockTransactions(Transactions):
    """Those of a full block. Raises `Malformed`."""

    def __init__(self, transactions: Sequence[WireTransaction]) -> None:
        self._wire = transactions
        recipients = [each.to for each in transactions]
        called = _addresses([_NOBODY if to is None else to for to in recipients])
        self._senders = _addresses([each.sender for each in transactions])
        self._recipients = [None if to is None else raw for to, raw in zip(recipients, called, strict=True)]
        _fixed([each.hash for each in transactions], _WORD_TEXT)
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
        self._wire = _by_index(logs)
        topics = [each.topics for each in self._wire]
        if True in {each.removed for each in logs}:
            raise Malformed("a log of a canonical block is not removed")
        if any(wire.hash_(text) != block_hash for text in {each.block_hash for each in logs}):
            raise Malformed("a log is of another block")
        if any(wire.data(text, 20) not in emitters for text in {each.address for each in logs}):
            raise Malformed("a log is of another contract")
        if any(wire.data(text, 32) != topic for text in {each[0] if each else "" for each in topics}):
            raise Malformed("a log has another topic")
        self._columns = _address_columns(topics)
        self._hashes = [each.transaction_hash for each in self._wire]
        _fixed(self._hashes, _WORD_TEXT)
        _check_data([each.data for each in logs])

    def __len__(self) -> int:
        return len(self._wire)

    def __getitem__(self, index: int) -> Log:
        return wire.log(self._wire[index])

    @property
    def transaction_hashes(self) -> Sequence[Hash]:
        """What emitted each."""
        return cast("list[Hash]", "\n".join(self._hashes).lower().split("\n"))

    def addresses(self, topic: int) -> Sequence[bytes]:
        """The last 20 bytes of that topic of each."""
        return self._columns[topic - 1] if 0 < topic <= len(self._columns) else [b""] * len(self)


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


def _address_columns(topics: Sequence[tuple[str, ...]]) -> Sequence[Sequence[bytes]]:
    """Topic by topic, after the first, the address in it of each log, `b""` where there is none. Raises `Malformed` where one is
    no word.
    """
    counts = set(map(len, topics))
    if len(counts) == 1:  # as the topics of every EIP-20 transfer
        _, *columns = zip(*topics, strict=True)
        return [[address for (address,) in _WORDS.iter_unpack(_fixed(column, _WORD_TEXT))] for column in columns]
    places = range(1, max(counts, default=1))
    return [[wire.data(each[at], 32)[12:] if at < len(each) else b"" for each in topics] for at in places]


def _addresses(texts: Sequence[str]) -> list[bytes]:
    return [address for (address,) in _ADDRESSES.iter_unpack(_fixed(texts, _ADDRESS_TEXT))]


def _fixed(texts: Sequence[str], length: int) -> bytes:
    """The data of all of `texts`, each of which has `length` characters; its 0x becomes a byte of zeros."""
    joined, count = "".join(texts), len(texts)
    begins = joined[::length] == "0" * count and joined[1::length] == "x" * count == "x" * joined.count("x")
    if not begins or any(each != length for each in set(map(len, texts))):
        raise Malformed("data has another form or length than it must have")
    return _from_hex(joined.replace("x", "0"))


def _check_data(texts: Sequence[str]) -> None:
    """Each of `texts` is data of some length. A word, in every EIP-20 transfer; else blanks are skipped between bytes alone, so
    that an odd length is noticed.
    """
    if set(map(len, texts)) == {_WORD_TEXT}:
        _fixed(texts, _WORD_TEXT)
        return
    _from_hex(_joined(texts).replace("x", "0"), skipped=len(texts))


def _check_quantities(texts: Sequence[str]) -> None:
    lengths = set(map(len, texts))
    if lengths and max(lengths) > _WORD_TEXT:
        for text in texts:
            wire.quantity(text)
    if lengths and min(lengths) < 3:
        raise Malformed("a quantity has a digit")
    digits = _joined(texts).replace("x", "0").replace("\n", "0")
    _from_hex(digits + "0" * (len(digits) % 2))


def _joined(texts: Sequence[str]) -> str:
    """All of `texts`, each on a line of its own behind a line feed, and each beginning with the only 0x in it."""
    joined = "\n".join(("", *texts))
    if not len(texts) == joined.count("\n0x") == joined.count("x") == joined.count("\n"):
        raise Malformed("data and quantities begin with 0x")
    return joined


def _from_hex(digits: str, *, skipped: int = 0) -> bytes:
    """Their bytes. `skipped`: so many blanks and line feeds are between them, which `fromhex` passes over."""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raise Malformed("data and quantities have hexadecimal digits") from None
    if 2 * len(raw) + skipped != len(digits):
        raise Malformed("data and quantities have hexadecimal digits")
    return raw
