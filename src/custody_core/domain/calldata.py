"""Calldata of contract calls: for which method it is, and what its arguments are (Solidity's Contract ABI Specification).

Rules of this file

1. It is read strictly. `None` is "not of this form", never "harmless": contracts differ in what they make of calldata that is too
   long, too short or unclean, so nobody may conclude anything from it.
2. A value is an integer, whatever its type: an address is its 160 bits, a bool 0 or 1, a `bytesN` its N bytes, big-endian.
3. Only elementary static types have values here. Arrays, tuples, `bytes` and `string` may stand in a signature, and are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import attrs

from custody_core.domain.encoding import keccak256

SELECTOR_LENGTH = 4
WORD_LENGTH = 32

SIGNATURE_LENGTH_MAX = 512
HEAD_WORDS_MAX = 1024
"""Words in the head of a method's arguments. More than that fits into no request."""

_DEPTH_MAX = 8
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*", re.ASCII)
_TYPE = re.compile(r"address|bool|string|u?int([1-9][0-9]{0,2})|bytes([1-9][0-9]?)?", re.ASCII)
_ARRAY = re.compile(r"\[([1-9][0-9]{0,3})?\]", re.ASCII)
_OFFSET = "uint256"

Words = tuple[str, ...] | None
"""The elementary types that a static type is made of, in order; None for a dynamic one."""


class MalformedMethod(ValueError):
    """This is no method's signature in its canonical form, such as `transfer(address,uint256)`."""


@attrs.frozen
class Argument:
    """One argument. `head` are the types of the words that stand for it in the head; an offset for a dynamic one."""

    type: str
    head: tuple[str, ...]

    @property
    def is_elementary(self) -> bool:
        """Whether it has a value: one word, of its own type."""
        return self.head == (self.type,)


@attrs.frozen
class Method:
    """A contract's method, as its signature says it."""

    signature: str
    selector: bytes
    arguments: tuple[Argument, ...]
    is_static: bool

    def read(self, data: bytes) -> tuple[int | None, ...] | None:
        """The value of each argument, None for one that is not elementary. None in all for calldata that is not of this method,
        or has another length, or an unclean word, than an encoder gives it.
        """
        body = data[SELECTOR_LENGTH:]
        head_length = WORD_LENGTH * sum(len(each.head) for each in self.arguments)
        is_whole = len(body) == head_length if self.is_static else len(body) >= head_length and len(body) % WORD_LENGTH == 0
        if data[:SELECTOR_LENGTH] != self.selector or not is_whole:
            return None
        words = _words(body)
        values: list[int | None] = []
        for argument in self.arguments:
            read = [value_of_word(type_, next(words)) for type_ in argument.head]
            if None in read:
                return None
            values.append(read[0] if argument.is_elementary else None)
        return tuple(values)


@lru_cache(maxsize=256)
def parse_method(signature: str) -> Method:
    """The method of a canonical signature (`uint256`, not `uint`; no names, no blanks). Raises `MalformedMethod`."""
    name = _NAME.match(signature)
    if name is None or len(signature) > SIGNATURE_LENGTH_MAX:
        raise MalformedMethod("it begins with a name, and has at most 512 characters")
    members, end = _tuple(signature, name.end(), _DEPTH_MAX)
    if end != len(signature):
        raise MalformedMethod("something follows the arguments")
    arguments = tuple(Argument(type_, (_OFFSET,) if words is None else words) for type_, words in members)
    if sum(len(each.head) for each in arguments) > HEAD_WORDS_MAX:
        raise MalformedMethod("its arguments are too large")
    is_static = all(words is not None for _, words in members)
    return Method(signature, keccak256(signature.encode())[:SELECTOR_LENGTH], arguments, is_static)


def value_of_word(type_: str, word: bytes) -> int | None:
    """The value of an elementary type in a word, None where no value of that type is written like this."""
    value = int.from_bytes(word, "big")
    if type_.startswith("bytes"):
        padding = 8 * (WORD_LENGTH - int(type_[5:]))
        return value >> padding if value & ((1 << padding) - 1) == 0 else None
    if type_.startswith("int"):
        value = int.from_bytes(word, "big", signed=True)
    low, high = value_range(type_)
    return value if low <= value <= high else None


def value_range(type_: str) -> tuple[int, int]:
    """The smallest and the largest value of an elementary type."""
    if type_.startswith("int"):
        half = 1 << (int(type_[3:]) - 1)
        return -half, half - 1
    bits = {"address": 160, "bool": 1}.get(type_) or (int(type_[4:]) if type_.startswith("uint") else 8 * int(type_[5:]))
    return 0, (1 << bits) - 1


def _words(body: bytes) -> Iterator[bytes]:
    return (body[start : start + WORD_LENGTH] for start in range(0, len(body), WORD_LENGTH))


def _tuple(text: str, start: int, depth: int) -> tuple[list[tuple[str, Words]], int]:
    """The types between the brackets that begin at `start`, and where they end."""
    if depth == 0 or text[start : start + 1] != "(":
        raise MalformedMethod("arguments stand in brackets, nested at most 8 deep")
    members: list[tuple[str, Words]] = []
    if text[start + 1 : start + 2] == ")":
        return members, start + 2
    end = start
    while end == start or text[end : end + 1] == ",":
        words, after = _type(text, end + 1, depth)
        members.append((text[end + 1 : after], words))
        end = after
    if text[end : end + 1] != ")":
        raise MalformedMethod("types are separated by commas, and end with a bracket")
    return members, end + 1


def _type(text: str, start: int, depth: int) -> tuple[Words, int]:
    words: Words
    if text[start : start + 1] == "(":
        members, end = _tuple(text, start, depth - 1)
        if not members:
            raise MalformedMethod("no type is an empty tuple")
        parts = [part for _, part in members]
        words = None if None in parts else tuple(word for part in parts for word in part or ())
    else:
        words, end = _elementary(text, start)
    while suffix := _ARRAY.match(text, end):
        end = suffix.end()
        words = None if words is None or suffix[1] is None else words * int(suffix[1])
        if words is not None and len(words) > HEAD_WORDS_MAX:
            raise MalformedMethod("its arguments are too large")
    return words, end


def _elementary(text: str, start: int) -> tuple[Words, int]:
    match = _TYPE.match(text, start)
    if match is None:
        raise MalformedMethod("it names a type that does not exist")
    bits, length = match[1], match[2]
    if bits is not None and (int(bits) % 8 or int(bits) > 256):
        raise MalformedMethod("integers have 8, 16, … 256 bits")
    if length is not None and int(length) > WORD_LENGTH:
        raise MalformedMethod("bytesN has at most 32 bytes")
    return (None if match[0] in {"string", "bytes"} else (match[0],)), match.end()
