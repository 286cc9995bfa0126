"""The `Chain` port over Ethereum JSON-RPC.

Rules of this file

1. A node's answer is compared with the question: the height, the hash, the contract, the topic that we asked for. What does not
   fit is unknown.
2. Null is absent, and only where the protocol says so. An error is unknown, and so is silence.
3. Several nodes are asked in their order: the next one only for what the one before left unknown. Answers are never mixed within
   one question. Only the last one is asked again while its trouble may pass.
4. Signed bytes go to all of them, and may reach a node although its answer did not reach us.
5. A node is asked nothing about a chain before it has said, once, that it is on that chain: one that was silent at the start may
   be of another.
6. A node that failed several times in a row rests: the others do without it. Where all rest, the one that is due first is asked.
   Its health is tried out beside the questions, so that none of them waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Log, Receipt
from custody_core.domain.fees import FeeHistory
from custody_core.ports import (
    Absent,
    AccountState,
    Answer,
    BlockTag,
    BroadcastAnswer,
    BroadcastOutcome,
    Call,
    Found,
    Reverted,
    Unknown,
)
from custody_rpc import questions
from custody_rpc.broadcasting import Courier, Offered, combined, disputed, fee_capped, gathered
from custody_rpc.circuit import Circuit, NodeState, Resting
from custody_rpc.node import Node
from custody_rpc.tracing import Tracer
from custody_rpc.transport import InvalidNodeUrl, Limits, Transport, Waiting

T = TypeVar("T")
R = TypeVar("R")


def _silence(_what: str, _detail: str) -> None:
    """Nobody listens."""


class RpcChain:
    """`Chain` through the nodes at `urls`, the first of which is preferred. Safe to share between threads.

    Plain http is refused for nodes elsewhere than on this machine unless `allow_http`. Raises `InvalidNodeUrl`.

    `trouble`, of the form of `Observer.trouble`, is told, from any thread: `node-out` and `node-back` when a node falls out and
    comes back, `provider-fee-cap` when one passes on no fees as high as ours, `broadcast-disputed` when one refuses what another
    took.
    """

    def __init__(
        self,
        chain_id: int,
        urls: Sequence[str],
        *,
        allow_http: bool = False,
        limits: Limits | None = None,
        waiting: Waiting | None = None,
        resting: Resting | None = None,
        trouble: Callable[[str, str], None] = _silence,
    ) -> None:
        if not urls:
            raise InvalidNodeUrl("a chain needs the URL of at least one node")
        self._chain_id = chain_id
        self._trouble = trouble
        limits, waiting, resting = limits or Limits(), waiting or Waiting(), resting or Resting()
        transports = [Transport(url, limits=limits, waiting=waiting, allow_http=allow_http) for url in urls]
        self._nodes = [Node(each, Circuit(each.name, resting, waiting, self._tell_health)) for each in transports]
        self._couriers = {node: Courier(node.name) for node in self._nodes}
        self._tracers = {node.circuit: Tracer(waiting.monotonic_s) for node in self._nodes}
        self._verified: set[Circuit] = set()
        self._foreign: dict[Circuit, str] = {}

    @property
    def chain_id(self) -> int:
        """The configured chain id."""
        return self._chain_id

    @property
    def nodes(self) -> Sequence[NodeState]:
        """The nodes as they are now, in the order of their URLs. Nobody is asked for this."""
        return [self._state(node.circuit) for node in self._nodes]

    def close(self) -> None:
        """Lets go of connections and threads."""
        for node in self._nodes:
            self._couriers[node].close()
            node.close()

    def node_chain_id(self) -> Answer[int]:
        """The chain id that the first node which answers claims."""
        answer: Answer[int] = Unknown("no node was asked")
        for node in self._in_turn():
            answer = self._claimed(node)
            if not isinstance(answer, Unknown):
                break
        return answer

    def node_chain_ids(self) -> Sequence[Answer[int]]:
        """The chain id that each node claims, in the order of the URLs."""
        is_only = len(self._nodes) == 1
        return [self._claimed(node if is_only else node.hasty) for node in self._nodes]

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The canonical header at a height or tag."""
        return self._one(lambda node: questions.header(node, at))

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        """The canonical headers at `numbers`. Of two neighbours that do not link, the upper one is unknown."""
        return self._each(numbers, questions.headers)

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """The canonical blocks at `numbers`. Of two neighbours that do not link, the upper one is unknown."""
        return self._each(numbers, questions.blocks)

    def logs(self, block_hash: Hash, *, topic: bytes, emitters: Sequence[bytes]) -> Answer[Sequence[Log]]:
        """The logs of exactly this block."""
        if not emitters:
            return Found(())  # to a node, no emitters would mean all of them
        return self._one(lambda node: questions.logs(node, block_hash, topic, emitters))

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """What contracts paid, by the first node that tells. `Absent` where all say so, and none that has told before is away."""
        away = [node for node in self._nodes if node.circuit.is_resting and self._tracers[node.circuit].offers]
        answers: list[Answer[Sequence[InternalTransfer]]]
        answers = [away[0].unknown("has traces, and does not answer") if away else Absent() for _ in blocks]
        for node in self._in_turn():
            left = [index for index, answer in enumerate(answers) if not isinstance(answer, Found)]
            if not left:
                break
            why = self._distrust(node)
            asked = [blocks[index] for index in left]
            told = self._tracers[node.circuit].ask(node, asked) if why is None else [why for _ in asked]
            for index, answer in zip(left, told, strict=True):
                answers[index] = answers[index] if isinstance(answer, Absent) else answer
        return answers

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        """The receipts."""
        return self._each(transaction_hashes, questions.receipts)

    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[bytes]]:
        """The signed bytes of mined transactions. They prove themselves: they have the hash that was asked for."""
        return self._each(hashes, questions.signed_transactions)

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """Nonce and balance. A block may be mined between the two: with `LATEST` they can be of neighbouring blocks."""
        return self._one(lambda node: questions.account(node, address, at))

    def known_nonces(self, addresses: Sequence[Address]) -> Sequence[Answer[int]]:
        """Mined transactions, and those that are next in the node's pool."""
        return self._each(addresses, questions.known_nonces)

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """Balances at exactly that block."""
        return self._each(holders, lambda node, some: questions.balances(node, some, at))

    def fee_history(self) -> Answer[FeeHistory]:
        """Recent fees."""
        return self._one(questions.fee_history)

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        """The gas of each call on top of the newest block."""
        return self._each(calls, questions.estimate_gas)

    def try_call(self, call: Call, *, on_top_of: int) -> Answer[bytes | Reverted]:
        """What `call` would have returned on top of that block."""
        return self._one(lambda node: questions.try_call(node, call, on_top_of))

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """Offers signed bytes, batched, to every node that does not rest. One node that takes them is enough."""
        if not raws:
            return []
        awake = self._awake()
        if len(awake) == 1:
            offers = [offered for offered in [self._offer(awake[0], raws)] if offered]
        else:
            given = [self._couriers[node].give(partial(self._offer, node, raws)) for node in awake]
            offers = gathered([future for future in given if future])
        if not offers:
            why = "; ".join(f"{state.name} {state.last_failure or 'is busy'}" for state in self.nodes)
            return [BroadcastAnswer(BroadcastOutcome.UNKNOWN, f"no node could be asked: {why}") for _ in raws]
        for what, detail in (("provider-fee-cap", fee_capped(offers)), ("broadcast-disputed", disputed(offers))):
            if detail:
                self._trouble(what, detail)
        return combined(offers)

    def _offer(self, node: Node, raws: Sequence[bytes]) -> Offered | None:
        """None where nothing was sent, since the node may be of another chain."""
        return None if self._distrust(node.hasty) else Offered(node.name, questions.broadcast(node, raws))

    def _one(self, question: Callable[[Node], Answer[R]]) -> Answer[R]:
        return self._each([None], lambda node, _: [question(node)])[0]

    def _each(self, items: Sequence[T], question: Callable[[Node, Sequence[T]], Sequence[Answer[R]]]) -> Sequence[Answer[R]]:
        """An answer per item, of the first node that has one."""
        answers: dict[int, Answer[R]] = {}
        left = list(range(len(items)))
        for node in self._in_turn() if items else ():
            why = self._distrust(node)
            asked = [items[index] for index in left]
            answers |= zip(left, question(node, asked) if why is None else [why for _ in asked], strict=True)
            left = [index for index in left if isinstance(answers[index], Unknown)]
            if not left:
                break
        return [answers[index] for index in range(len(items))]

    # Which nodes are asked

    def _in_turn(self) -> Sequence[Node]:
        """Those to ask, one after another: all but the last without waiting for trouble to pass."""
        *earlier, last = self._awake()
        return [*(node.hasty for node in earlier), last]

    def _awake(self) -> Sequence[Node]:
        """Those that do not rest, else the least bad one. Whoever's rest is over is tried, beside the question."""
        if len(self._nodes) == 1:
            return self._nodes
        for node in self._nodes:
            if node.circuit.takes_try():
                self._couriers[node].give(partial(self._claimed, node.hasty))
        awake = [node for node in self._nodes if not node.circuit.is_resting]
        return awake or [min(self._nodes, key=lambda node: node.circuit.rests_until_s)]

    def _claimed(self, node: Node) -> Answer[int]:
        answer = questions.chain_id(node)
        match answer:
            case Found(value=claimed) if claimed == self._chain_id:
                self._verified.add(node.circuit)
                self._foreign.pop(node.circuit, None)
            case Found(value=claimed):
                self._verified.discard(node.circuit)
                self._foreign[node.circuit] = f"is on chain {claimed}, not on {self._chain_id}"
            case _:
                pass
        return answer

    def _distrust(self, node: Node) -> Unknown | None:
        """Why `node` is not to be asked about this chain; None once it has said that it is on it."""
        if node.circuit in self._verified:
            return None
        answer = self._claimed(node)
        if isinstance(answer, Unknown):
            return answer
        foreign = self._foreign.get(node.circuit)
        return node.unknown(foreign) if foreign else None

    # Who is told

    def _state(self, circuit: Circuit) -> NodeState:
        foreign = self._foreign.get(circuit)
        return attrs.evolve(circuit.state, is_healthy=False, last_failure=foreign) if foreign else circuit.state

    def _tell_health(self, state: NodeState) -> None:
        if state.is_healthy:
            self._trouble("node-back", f"{state.name} answers again")
        else:
            self._trouble(
                "node-out", f"{state.name} is left alone for a while: it {state.last_failure} (failures in a row: {state.failures})"
            )
