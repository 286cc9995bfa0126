"""JSON-RPC 2.0: calls into one body, one body into a reply per call.

Rules of this file

1. Every call has an id of its own, and a reply counts only for the call whose id it bears. Order means nothing.
2. A call whose reply is missing, doubled, malformed or contradictory (neither or both of `result` and `error`) has no reply. The
   others of its batch are not harmed.
3. A batch is read in one pass straight into the wanted types. Only when that fails is it taken apart call by call.
4. Half of a surrogate pair in an escape is no text, and msgspec refuses the whole body for one, wherever it is. Contracts choose
   what nodes quote (a reason, a name), so it must not hide the rest: once reading failed, it is read as U+FFFD.
5. A type is made known to msgspec by one thread at a time: of two that do so at once, one may read what the other has not finished,
   and the process crashes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any, Final, Generic, TypeVar

import attrs
import msgspec

T = TypeVar("T")


@attrs.frozen
class Request:
    """One method with its parameters."""

    method: str
    params: Sequence[object]


@attrs.frozen
class Result(Generic[T]):
    """The node's `result`; None where it said null."""

    value: T | None


class RpcError(msgspec.Struct, frozen=True):
    """The node's `error`. Codes differ between nodes for one fault, and `data`, left unparsed, has any form and size."""

    code: int = 0
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


@attrs.frozen
class NoReply:
    """Nothing usable came for this call, although it was asked alone where its answer was longer than is read (`is_too_long`) or
    whoever took it did not finish (`is_too_slow`). `is_refused` tells that the server turned it down by its HTTP status (4xx).
    """

    reason: str
    is_too_long: bool = False
    is_too_slow: bool = False
    is_refused: bool = False


Reply = Result[T] | RpcError | NoReply

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON of the wanted type, not UTF-8, or nested beyond reason."""

MISSING: Final = NoReply("left the call without a reply")
DOUBLED: Final = NoReply("replied twice to one call")
CONTRADICTORY: Final = NoReply("sent neither or both of result and error")
MALFORMED: Final = NoReply("sent a reply that is not of the expected form")
NOT_JSON: Final = NoReply("sent something that is not a JSON-RPC answer")


class _Envelope(msgspec.Struct, Generic[T]):
    id: int | str | None = None
    result: T | msgspec.UnsetType | None = msgspec.UNSET
    error: RpcError | None = None


class _IdOnly(msgspec.Struct):
    id: int | str | None = None


_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""Whole escapes, so that a backslash which is escaped itself begins none; pairs first."""

_ids = count(1)
_encoder = msgspec.json.Encoder()
_id_decoder = msgspec.json.Decoder(_IdOnly)
_learning = threading.Lock()


def encode(requests: Sequence[Request]) -> tuple[bytes, list[int]]:
    """The body (a bare object for one call, since some providers count or refuse batches) and the calls' ids."""
    ids = [next(_ids) for _ in requests]
    calls = [
        {"jsonrpc": "2.0", "id": id_, "method": request.method, "params": request.params}
        for id_, request in zip(ids, requests, strict=True)
    ]
    return _encoder.encode(calls if len(calls) > 1 else calls[0]), ids


def decode(body: bytes | bytearray, ids: Sequence[int], result_type: type[T]) -> list[Reply[T]]:
    """A reply for each of `ids`, in that order."""
    try:
        answer = _decoder(result_type).decode(body)
    except (msgspec.ValidationError, UnicodeDecodeError):
        replies = _replies_apart(_mended(body), result_type)
    except UNREADABLE:
        mended = _mended(body)
        return decode(mended, ids, result_type) if mended != body else [NOT_JSON for _ in ids]
    else:
        envelopes: list[_Envelope[T]] = answer if isinstance(answer, list) else [answer]
        replies = [(envelope.id, _reply(envelope)) for envelope in envelopes]
    return _by_id(replies, ids)


def _mended(body: bytes | bytearray) -> bytes | bytearray:
    """`body` with U+FFFD in place of each half of a surrogate pair that stands alone."""
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found["half"] else found[0], body)


def _decoder(result_type: object) -> msgspec.json.Decoder[Any]:
    return _decoders(result_type)


@cache
def _decoders(result_type: Any) -> msgspec.json.Decoder[Any]:
    with _learning:
        one = _Envelope[result_type]
        return msgspec.json.Decoder(list[one] | one)


def _reply(envelope: _Envelope[T]) -> Reply[T]:
    result = None if envelope.result is msgspec.UNSET else envelope.result
    if envelope.error is not None:
        return envelope.error if result is None else CONTRADICTORY
    return CONTRADICTORY if envelope.result is msgspec.UNSET else Result(result)


def _by_id(replies: Sequence[tuple[object, Reply[T]]], ids: Sequence[int]) -> list[Reply[T]]:
    if len(replies) == 1 and replies[0][0] is None and isinstance(replies[0][1], RpcError):
        return [replies[0][1] for _ in ids]  # the node could not, or would not, read the request at all
    wanted, found = set(ids), dict[int, Reply[T]]()
    for id_, reply in replies:
        if type(id_) is int and id_ in wanted:
            found[id_] = DOUBLED if id_ in found else reply
    return [found.get(id_, MISSING) for id_ in ids]


def _replies_apart(body: bytes | bytearray, result_type: type[T]) -> list[tuple[object, Reply[T]]]:
    """Each reply by itself, so that one which is malformed harms no other."""
    try:
        parts = msgspec.json.decode(body, type=list[msgspec.Raw])
    except UNREADABLE:
        parts = [msgspec.Raw(body)]
    replies: list[tuple[object, Reply[T]]] = []
    for part in parts:
        try:
            envelope = _id_decoder.decode(part)
        except UNREADABLE:
            continue  # it bears no id: it is nobody's reply
        replies.append((envelope.id, _reply_apart(part, result_type)))
    return replies


def _reply_apart(part: msgspec.Raw, result_type: type[T]) -> Reply[T]:
    try:
        envelope = _decoder(result_type).decode(part)
    except UNREADABLE:
        return MALFORMED
    return MALFORMED if isinstance(envelope, list) else _reply(envelope)
