"""One node: calls in, replies out, batched so that no request or answer grows without bound, and its health kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import attrs

from custody_core.ports import Absent, Answer, Found, Unknown
from custody_rpc import node_errors
from custody_rpc.circuit import Circuit
from custody_rpc.envelopes import NOT_JSON, NoReply, Reply, Request, Result, RpcError, decode, encode
from custody_rpc.node_errors import ReadFault
from custody_rpc.pace import Pace
from custody_rpc.transport import Failure, Transport
from custody_rpc.wire import Malformed

Reshape = Callable[[bytes | bytearray], bytes | bytearray]
"""Done to the body of an answer before it is read. Raises `Malformed`."""

T = TypeVar("T")
R = TypeVar("R")

REQUEST_BYTES_MAX: Final = 1_000_000
"""What a batch is split above. Servers and proxies commonly refuse bodies of more than a mebibyte (HTTP 413)."""


@attrs.frozen
class _Form(Generic[T]):
    """How answers are read."""

    result_type: type[T]
    reshape: Reshape | None

    def read(self, body: bytes | bytearray, ids: Sequence[int]) -> list[Reply[T]]:
        try:
            return decode(self.reshape(body) if self.reshape else body, ids, self.result_type)
        except Malformed:
            return [NOT_JSON for _ in ids]


class Node:
    """What `transport` reaches, as a thing that can be asked. A patient one waits out trouble that may pass soon."""

    def __init__(self, transport: Transport, circuit: Circuit, *, is_patient: bool = True, pace: Pace | None = None) -> None:
        self._transport = transport
        self._pace = pace or Pace()
        self._is_patient = is_patient
        self.circuit = circuit

    @property
    def name(self) -> str:
        """What may be shown of its URL."""
        return self._transport.name

    @property
    def hasty(self) -> Node:
        """The same node, asked once: for where another one can be asked instead."""
        return Node(self._transport, self.circuit, is_patient=False, pace=self._pace)

    def ask(
        self,
        requests: Sequence[Request],
        result_type: type[T],
        *,
        batch_max: int = 100,
        repeatable: bool = True,
        reshape: Reshape | None = None,
    ) -> list[Reply[T]]:
        """A reply per request, in that order, asked in batches of at most `batch_max`. Of what is `repeatable` several batches may
        be on their way at once.
        """
        form, size = _Form(result_type, reshape), self._pace.batch_max(batch_max)
        batches = [requests[start : start + size] for start in range(0, len(requests), size)]
        if repeatable:
            answered = self._pace.each(lambda batch: self._batch(batch, form, repeatable=True), batches)
        else:
            answered = [self._batch(batch, form, repeatable=False) for batch in batches]
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
        return node_errors.shown(self._transport.redacted(text))

    def close(self) -> None:
        """Lets go of connections and threads."""
        self._pace.close()
        self._transport.close()

    def _batch(self, requests: Sequence[Request], form: _Form[T], *, repeatable: bool) -> list[Reply[T]]:
        body, ids = encode(requests)
        if len(body) > REQUEST_BYTES_MAX and len(requests) > 1:
            return self._halves(requests, form, repeatable=repeatable)
        answer = self._transport.post(body, repeatable=repeatable and self._is_patient)
        if isinstance(answer, Failure):
            if (answer.is_too_much or answer.is_too_long) and len(requests) > 1:
                self._pace.was_too_much()
                return self._halves(requests, form, repeatable=repeatable)
            if not answer.is_too_much:  # what is wrong with the question says nothing about the node
                self.circuit.failed(answer.reason, wait_s=answer.wait_s)
            return [NoReply(answer.reason, is_too_long=answer.is_too_long, is_refused=answer.is_refused) for _ in requests]
        replies = form.read(answer, ids)
        self._note(replies)
        if len(requests) > 1 and all(_is_too_much(reply) for reply in replies):
            self._pace.was_too_much()
            return self._halves(requests, form, repeatable=repeatable)
        self._pace.was_taken()
        return replies

    def _halves(self, requests: Sequence[Request], form: _Form[T], *, repeatable: bool) -> list[Reply[T]]:
        half = len(requests) // 2
        parts = (requests[:half], requests[half:])
        return [reply for part in parts for reply in self._batch(part, form, repeatable=repeatable)]

    def _note(self, replies: Sequence[Reply[T]]) -> None:
        """One usable reply, be it an error, is a sign of life."""
        none = [reply for reply in replies if isinstance(reply, NoReply)]
        if len(none) < len(replies):
            self.circuit.succeeded()
        elif none:
            self.circuit.failed(none[0].reason)


def _is_too_much(reply: Reply[T]) -> bool:
    return isinstance(reply, RpcError) and node_errors.read_fault(reply) is ReadFault.TOO_MUCH
