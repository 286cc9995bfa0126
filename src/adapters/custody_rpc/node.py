"""One node: calls in, replies out, batched so that no request or answer grows without bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from custody_core.ports import Absent, Answer, Found, Unknown
from custody_rpc import node_errors
from custody_rpc.envelopes import NoReply, Reply, Request, Result, RpcError, decode, encode
from custody_rpc.node_errors import ReadFault
from custody_rpc.transport import Failure, Transport
from custody_rpc.wire import Malformed

T = TypeVar("T")
R = TypeVar("R")


class Node:
    """What `transport` reaches, as a thing that can be asked."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def ask(
        self, requests: Sequence[Request], result_type: type[T], *, batch_max: int = 100, repeatable: bool = True
    ) -> list[Reply[T]]:
        """A reply per request, in that order, asked in batches of at most `batch_max`."""
        replies: list[Reply[T]] = []
        for start in range(0, len(requests), batch_max):
            replies += self._batch(requests[start : start + batch_max], result_type, repeatable=repeatable)
        return replies

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
        """Lets go of connections."""
        self._transport.close()

    def _batch(self, requests: Sequence[Request], result_type: type[T], *, repeatable: bool) -> list[Reply[T]]:
        body, ids = encode(requests)
        answer = self._transport.post(body, repeatable=repeatable)
        if isinstance(answer, Failure):
            return [NoReply(answer.reason) for _ in requests]
        replies = decode(answer, ids, result_type)
        if len(requests) > 1 and all(_is_too_much(reply) for reply in replies):
            half = len(requests) // 2
            parts = (requests[:half], requests[half:])
            return [reply for part in parts for reply in self._batch(part, result_type, repeatable=repeatable)]
        return replies


def _is_too_much(reply: Reply[T]) -> bool:
    return isinstance(reply, RpcError) and node_errors.read_fault(reply) is ReadFault.TOO_MUCH
