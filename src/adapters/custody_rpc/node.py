"""One node: calls in, replies out, batched so that no request or answer grows without bound, and its health kept.

Rules of this file

1. What is too much for the node at once, be it by what it says, by the size of the answer or by the time, is asked for in parts,
   down to single calls; the next batches are as small (`pace.py`).
2. A batch that only took too long may be too much, or the node may be dead. Its first call, asked alone, tells which: if that takes
   too long as well, the rest is not asked for. So a dead node costs one wait more than its own, and not one for each part.
   Of heavy questions, each of which may be too much by itself, the second one is asked alone before that, and they have a pace of
   their own.
3. The node's health is judged by answers to what it can be expected to answer: a batch that is asked for in parts is none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import attrs

from custody_core.ports import Absent, Answer, Found, Unknown
from custody_rpc import error_words
from custody_rpc.circuit import Circuit
from custody_rpc.envelopes import NOT_JSON, NoReply, Reply, Request, Result, RpcError, decode, encode
from custody_rpc.pace import Pace
from custody_rpc.read_errors import ReadFault, read_fault
from custody_rpc.transport import Failure, Transport
from custody_rpc.wire import Malformed

Reshape = Callable[[bytes | bytearray], bytes | bytearray]
"""Done to the body of an answer before it is read. Raises `Malformed`."""

T = TypeVar("T")
R = TypeVar("R")

REQUEST_BYTES_MAX: Final = 1_000_000
"""What a batch is split above. Servers and proxies commonly refuse bodies of more than a mebibyte (HTTP 413)."""


@attrs.define
class _Form(Generic[T]):
    """How a question is asked, and its answers are read. `size_max` is what a batch of it may have, as far as was found out."""

    result_type: type[T]
    reshape: Reshape | None
    repeatable: bool
    batch_max: int
    size_max: int
    is_heavy: bool
    pace: Pace

    def read(self, body: bytes | bytearray, ids: Sequence[int]) -> list[Reply[T]]:
        try:
            return decode(self.reshape(body) if self.reshape else body, ids, self.result_type)
        except Malformed:
            return [NOT_JSON for _ in ids]


class Node:
    """What `transport` reaches, as a thing that can be asked. A patient one waits out trouble that may pass soon."""

    def __init__(
        self, transport: Transport, circuit: Circuit, *, is_patient: bool = True, paces: tuple[Pace, Pace] | None = None
    ) -> None:
        self._transport = transport
        self._paces = paces or (Pace(), Pace())
        self._is_patient = is_patient
        self.circuit = circuit

    @property
    def name(self) -> str:
        """What may be shown of its URL."""
        return self._transport.name

    @property
    def hasty(self) -> Node:
        """The same node, asked once: for where another one can be asked instead."""
        return Node(self._transport, self.circuit, is_patient=False, paces=self._paces)

    def ask(
        self,
        requests: Sequence[Request],
        result_type: type[T],
        *,
        batch_max: int = 100,
        repeatable: bool = True,
        reshape: Reshape | None = None,
        is_heavy: bool = False,
    ) -> list[Reply[T]]:
        """A reply per request, in that order, asked in batches of at most `batch_max`. Of what is `repeatable` several batches may
        be on their way at once.
        """
        pace = self._paces[is_heavy]
        size = pace.batch_max(batch_max)
        form = _Form(result_type, reshape, repeatable, batch_max, size, is_heavy, pace)
        batches = [requests[start : start + size] for start in range(0, len(requests), size)]
        if repeatable:
            answered = pace.each(lambda batch: self._batch(batch, form), batches)
        else:
            answered = [self._batch(batch, form) for batch in batches]
        return [reply for replies in answered for reply in replies]

    def ask_one(self, request: Request, result_type: type[T]) -> Reply[T]:
        """The reply to one request."""
        return self.ask([request], result_type)[0]

    def answer(self, reply: Reply[T], convert: Callable[[T], R]) -> Answer[R]:
        """A reply as an answer: null is absent, an error unknown, and so is a result that `convert` finds malformed."""
        match reply:
            case Result(value=value):
                try:
                    return Absent() if value is None else Found(convert(value))
                except Malformed as malformed:
                    return self.unknown(f"sent a malformed value: {malformed}")
            case RpcError():
                return self.unknown(f"refused: {self.shown(reply.message)}")
            case NoReply():
                return self.unknown(reply.reason)

    def unknown(self, reason: str) -> Unknown:
        """`Unknown`, naming this node."""
        return Unknown(f"{self._transport.name} {reason}")

    def shown(self, text: str) -> str:
        """The node's own text, fit for people and without our secrets."""
        return error_words.shown(self._transport.redacted(text))

    def close(self) -> None:
        """Lets go of connections and threads."""
        for pace in self._paces:
            pace.close()
        self._transport.close()

    def _batch(self, requests: Sequence[Request], form: _Form[T]) -> list[Reply[T]]:
        if len(requests) > form.size_max:
            return self._in_parts(requests, form, form.size_max)
        body, ids = encode(requests)
        is_many = len(requests) > 1
        if is_many and len(body) > REQUEST_BYTES_MAX:
            return self._in_parts(requests, form, len(requests) // 2)
        answer = self._transport.post(body, repeatable=form.repeatable and self._is_patient, divisible=is_many)
        if isinstance(answer, Failure):
            if is_many and (answer.is_too_much or answer.is_too_long):
                return self._in_halves(requests, form)
            if is_many and answer.is_too_slow and form.repeatable:
                return self._after_first(requests, form)
            return self._without(requests, answer)
        replies = form.read(answer, ids)
        self._note(replies)
        if is_many and all(_is_too_much(reply) for reply in replies):
            return self._in_halves(requests, form)
        form.pace.was_taken()
        return replies

    def _in_halves(self, requests: Sequence[Request], form: _Form[T]) -> list[Reply[T]]:
        """Once all of them together were too much."""
        form.pace.was_too_much(len(requests), of=form.batch_max)
        form.size_max = min(form.size_max, len(requests) // 2)
        return self._in_parts(requests, form, form.size_max)

    def _after_first(self, requests: Sequence[Request], form: _Form[T]) -> list[Reply[T]]:
        """Once all of them together took too long: the first alone, and the others unless that takes too long, too; of
        heavy questions, unless the second does as well.
        """
        alone = self._batch(requests[:1], form)
        if form.is_heavy and _is_too_slow(alone[-1]):
            alone += self._batch(requests[1:2], form)
        if _is_too_slow(alone[-1]):
            return alone[:1] * len(requests)
        form.pace.was_too_slow(len(requests), of=form.batch_max)
        form.size_max = min(form.size_max, len(requests) // 2)
        return alone + self._in_parts(requests[len(alone) :], form, form.size_max)

    def _in_parts(self, requests: Sequence[Request], form: _Form[T], size: int) -> list[Reply[T]]:
        replies: list[Reply[T]] = []
        while left := requests[len(replies) :]:
            replies += self._batch(left[: min(size, form.size_max)], form)
        return replies

    def _without(self, requests: Sequence[Request], failure: Failure) -> list[Reply[T]]:
        """No replies, which counts against the node's health unless it is the question that was wrong."""
        if not failure.is_too_much:
            self.circuit.failed(failure.reason, wait_s=failure.wait_s)
        none = NoReply(
            failure.reason, is_too_long=failure.is_too_long, is_too_slow=failure.is_too_slow, is_refused=failure.is_refused
        )
        return [none for _ in requests]

    def _note(self, replies: Sequence[Reply[T]]) -> None:
        """One usable reply, be it an error, is a sign of life."""
        none = [reply for reply in replies if isinstance(reply, NoReply)]
        if len(none) < len(replies):
            self.circuit.succeeded()
        elif none:
            self.circuit.failed(none[0].reason)


def _is_too_slow(reply: Reply[T]) -> bool:
    return isinstance(reply, NoReply) and reply.is_too_slow


def _is_too_much(reply: Reply[T]) -> bool:
    return isinstance(reply, RpcError) and read_fault(reply) is ReadFault.TOO_MUCH
