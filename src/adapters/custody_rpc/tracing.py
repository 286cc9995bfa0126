"""What contracts paid in a block, from a node's traces of it.

Rules of this file

1. Two dialects: `trace_block` (OpenEthereum's; erigon, nethermind, besu, reth, anvil) tells calls one by one, each with its place
   in the tree. `debug_traceBlockByHash` with `callTracer` (geth's; most others) nests them. The first is asked for first: it costs
   less.
2. A trace is believed when it is of exactly the block that we asked about and tells of every transaction in it. What does not fit
   is unknown.
3. A refusal is of one block, until the node refuses the same method for a block that is no work (the first of the chain, or one
   that nobody has). Only then, and in both dialects, it offers no traces, and is asked for them again after a while. A refusal says
   that the method is missing or not allowed, or is an HTTP 4xx; to be asked too often (429, -32005) is trouble that passes. Of a
   node that has told, it is believed only after a minute: the machines behind one address need not be alike.
4. A block whose state is gone, or that is too much for the node or for us when it is asked about alone, has no traces: waiting
   would not bring them. One that times out has none once it has done so several times in a row: the node may have been busy.
5. Who writes a contract decides how deep its calls go. Nothing here recurses (`unnesting.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Final, Generic, TypeVar

import attrs
import msgspec

from custody_core.domain.chain import Block, BlockTransaction, Hash, InternalTransfer
from custody_core.domain.tracing import TracedCall, surviving_transfers
from custody_core.ports import Absent, Answer, Found
from custody_rpc import wire
from custody_rpc.envelopes import NoReply, Reply, Request, Result, RpcError
from custody_rpc.node import Node, Reshape
from custody_rpc.trace_errors import TraceFault, trace_fault
from custody_rpc.unnesting import unnested
from custody_rpc.wire import Malformed

T = TypeVar("T")

BLOCKS_PER_BATCH_MAX: Final = 5
"""A trace of a full block has several megabytes."""

ASKED_AGAIN_AFTER_S: Final = 600.0
"""How long a node that has said that it offers no traces is not asked for them."""

BELIEVED_AFTER_S: Final = 60.0
"""How long a node that has told of blocks must refuse all before it is taken for one that offers no traces."""

TIMEOUTS_MAX: Final = 3
"""After so many in a row, of the block alone, it is not waited for."""

TIMED_OUT_KEPT_MAX: Final = 100
"""Of so many other blocks it is remembered that they timed out."""

Traced = Sequence[InternalTransfer]


@attrs.define(eq=False)
class Tracer:
    """What one node offers, as far as it was found out. Threads may share it."""

    monotonic_s: Callable[[], float]
    offers: bool = False
    """Whether it has shown a trace, and has not refused since."""
    _asked_from_s: float = 0.0
    _preferred: int = 0
    _refused_from_s: float | None = None
    _timeouts: Mapping[Hash, int] = attrs.field(factory=dict)

    def ask(self, node: Node, blocks: Sequence[Block]) -> Sequence[Answer[Traced]]:
        """What contracts paid in each of `blocks`, by the first dialect that the node has; `Absent` where it has none."""
        if self.monotonic_s() < self._asked_from_s:
            return [Absent() for _ in blocks]
        for dialect in (self._preferred, 1 - self._preferred):
            told = _ASKING[dialect](node, blocks)
            if told is not None:
                if any(isinstance(answer, Found) for answer in told.answers):
                    self.offers, self._preferred, self._refused_from_s = True, dialect, None
                return self._unless_hopeless(blocks, told)
        now_s = self.monotonic_s()
        self._refused_from_s = now_s if self._refused_from_s is None else self._refused_from_s
        if self.offers and now_s - self._refused_from_s < BELIEVED_AFTER_S:
            return [node.unknown("refuses to trace, which it did before") for _ in blocks]
        self.offers, self._asked_from_s, self._refused_from_s = False, now_s + ASKED_AGAIN_AFTER_S, None
        return [Absent() for _ in blocks]

    def _unless_hopeless(self, blocks: Sequence[Block], told: _Told) -> Sequence[Answer[Traced]]:
        asked, before = {block.header.hash for block in blocks}, self._timeouts
        now = {each: before.get(each, 0) + 1 for each in told.timed_out}
        others = [(each, times) for each, times in before.items() if each not in asked]  # of others that ask, as witnesses do
        self._timeouts = dict(others[-TIMED_OUT_KEPT_MAX:]) | now
        return [
            Absent() if now.get(block.header.hash, 0) >= TIMEOUTS_MAX else answer
            for block, answer in zip(blocks, told.answers, strict=True)
        ]


@attrs.frozen
class _Told:
    """An answer per block, and which of them timed out although they were asked about alone."""

    answers: Sequence[Answer[Traced]]
    timed_out: Sequence[Hash]


@attrs.frozen
class _Dialect(Generic[T]):
    """One way to ask: `read` gives a block's internal transfers or raises `Malformed`, `flaw` says why an answer is none. `no_work`
    asks what costs the node nothing to answer, or to say that it has no such block.
    """

    request: Callable[[Block], Request]
    no_work: Request
    form: type[T]
    read: Callable[[Block, T], list[InternalTransfer]]
    flaw: Callable[[T], TraceFault | None] = lambda _: None
    reshape: Reshape | None = None

    def ask(self, node: Node, blocks: Sequence[Block]) -> _Told | None:
        """None where the node does not speak this dialect."""
        replies = self._replies(node, [self.request(block) for block in blocks])
        if len(blocks) > 1:
            replies = [
                self._replies(node, [self.request(block)])[0] if self._fault(reply) in _ALONE else reply
                for block, reply in zip(blocks, replies, strict=True)
            ]
        faults = [self._fault(reply) for reply in replies]
        if TraceFault.NO_TRACES in faults and self._is_missing(node, replies, faults):
            return None
        return _Told(
            [
                Absent() if fault in _HOPELESS else self._answer(node, block, reply)
                for block, reply, fault in zip(blocks, replies, faults, strict=True)
            ],
            [block.header.hash for block, fault in zip(blocks, faults, strict=True) if fault is TraceFault.TIMED_OUT],
        )

    def _is_missing(self, node: Node, replies: Sequence[Reply[T]], faults: Sequence[TraceFault | None]) -> bool:
        """Whether it is the method that was refused, and not what was asked of it."""
        told = [fault for reply, fault in zip(replies, faults, strict=True) if isinstance(reply, Result)]
        if told:
            return TraceFault.NO_TRACES in told
        return self._fault(self._replies(node, [self.no_work])[0]) is TraceFault.NO_TRACES

    def _replies(self, node: Node, requests: Sequence[Request]) -> list[Reply[T]]:
        return node.ask(requests, self.form, batch_max=BLOCKS_PER_BATCH_MAX, reshape=self.reshape, is_heavy=True)

    def _answer(self, node: Node, block: Block, reply: Reply[T]) -> Answer[Traced]:
        answer = node.answer(reply, partial(self.read, block))
        return node.unknown("answered null") if isinstance(answer, Absent) else answer

    def _fault(self, reply: Reply[T]) -> TraceFault | None:
        match reply:
            case RpcError():
                return trace_fault(reply)
            case NoReply(is_too_long=True):
                return TraceFault.NOT_THIS_BLOCK
            case NoReply(is_refused=True):
                return TraceFault.NO_TRACES
            case Result(value=value) if value is not None:
                return self.flaw(value)
            case _:
                return None


_ALONE: Final = frozenset({TraceFault.TOO_MUCH, TraceFault.TIMED_OUT})
"""What may be of a block's company."""

_HOPELESS: Final = frozenset({TraceFault.NOT_THIS_BLOCK, TraceFault.TOO_MUCH})


# Calls told one by one


class _Action(msgspec.Struct, rename="camel"):
    sender: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    value: str | None = None
    call_type: str | None = None


class _Trace(msgspec.Struct, rename="camel"):
    type: str
    action: _Action
    block_hash: str
    trace_address: list[int] = []
    transaction_hash: str | None = None
    error: str | None = None


def _read_flat(block: Block, traces: Sequence[_Trace]) -> list[InternalTransfer]:
    by_transaction: dict[str, list[_Trace]] = {each.hash: [] for each in block.transactions}
    for trace in traces:
        if wire.hash_(trace.block_hash) != block.header.hash:
            raise Malformed("traces of another block")
        if trace.type == "reward":  # of the block, or of its uncles: no transaction's
            continue
        calls = by_transaction.get((trace.transaction_hash or "").lower())
        if calls is None:
            raise Malformed("a trace of a transaction that the block does not have")
        calls.append(trace)
    return [
        transfer
        for transaction in block.transactions
        for transfer in surviving_transfers(_flat_calls(transaction, by_transaction[transaction.hash]))
    ]


def _flat_calls(transaction: BlockTransaction, traces: Sequence[_Trace]) -> list[TracedCall]:
    """The calls of one transaction in the order in which they began, which is that of their places."""
    ordered = sorted(traces, key=lambda trace: trace.trace_address)
    if not ordered or ordered[0].trace_address:
        raise Malformed("no trace of a transaction of the block")
    for before, trace in pairwise(ordered):
        place = trace.trace_address
        if place == before.trace_address or place[:-1] != before.trace_address[: len(place) - 1]:
            raise Malformed("calls that do not make a tree")
    return [
        TracedCall(
            depth=len(trace.trace_address),
            failed=trace.error is not None,
            transfer=_transfer(transaction, trace.action) if (trace.type, trace.action.call_type) == ("call", "call") else None,
        )
        for trace in ordered
    ]


# Calls within calls


class _Frame(msgspec.Struct):
    type: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    value: str | None = None
    error: str | None = None
    depth: int = 0
    calls: list[_Frame] | None = None
    """Of the first frame: all below it, as `unnested` leaves them."""


class _TracedTransaction(msgspec.Struct, rename="camel"):
    tx_hash: str | None = None
    result: _Frame | None = None
    error: str | None = None


def _read_nested(block: Block, traced: Sequence[_TracedTransaction]) -> list[InternalTransfer]:
    if len(traced) != len(block.transactions):
        raise Malformed("another number of traces than the block has transactions")
    return [
        transfer
        for transaction, each in zip(block.transactions, traced, strict=True)
        for transfer in surviving_transfers(_nested_calls(transaction, each))
    ]


def _nested_calls(transaction: BlockTransaction, traced: _TracedTransaction) -> list[TracedCall]:
    top = traced.result
    if top is None:
        raise Malformed("no trace of a transaction of the block")
    if traced.tx_hash is None:  # nodes of some years ago do not say it
        is_its = (wire.data(top.sender or "", 20), wire.quantity(top.value or "0x0")) == (transaction.sender, transaction.value)
    else:
        is_its = wire.hash_(traced.tx_hash) == transaction.hash
    if not is_its:
        raise Malformed("traces in another order than the block's")
    return [
        TracedCall(
            depth=frame.depth,
            failed=frame.error is not None,
            transfer=_transfer(transaction, frame) if frame.type == "CALL" else None,
        )
        for frame in (top, *(top.calls or ()))
    ]


def _nested_flaw(traced: Sequence[_TracedTransaction]) -> TraceFault | None:
    if any(each.result is None and each.error is not None for each in traced):
        return TraceFault.NOT_THIS_BLOCK
    if any(each.result is not None and each.result.type is None for each in traced):
        return TraceFault.NO_TRACES  # it does not know this tracer, and has used one of its own
    return None


def _transfer(transaction: BlockTransaction, call: _Action | _Frame) -> InternalTransfer | None:
    value = wire.quantity(call.value or "0x0")
    if value == 0:
        return None
    return InternalTransfer(transaction.hash, wire.data(call.sender or "", 20), wire.data(call.to or "", 20), value)


def _flat_request(block: Block) -> Request:
    return Request("trace_block", (hex(block.header.number),))


def _nested_request(block: Block) -> Request:
    return Request("debug_traceBlockByHash", (block.header.hash, {"tracer": "callTracer"}))


_FIRST_BLOCK: Final = Request("trace_block", (hex(0),))
_NO_BLOCK: Final = Request("debug_traceBlockByHash", ("0x" + "00" * 32, {"tracer": "callTracer"}))

_ASKING: Final[tuple[Callable[[Node, Sequence[Block]], _Told | None], ...]] = (
    _Dialect(_flat_request, _FIRST_BLOCK, list[_Trace], _read_flat).ask,
    _Dialect(_nested_request, _NO_BLOCK, list[_TracedTransaction], _read_nested, _nested_flaw, unnested).ask,
)
