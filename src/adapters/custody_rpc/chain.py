"""The `Chain` port over Ethereum JSON-RPC.

Rules of this file

1. A node's answer is compared with the question: the height, the hash, the contract, the topic that we asked for. What does not
   fit is unknown.
2. Null is absent, and only where the protocol says so. An error is unknown, and so is silence.
3. Which of several nodes is asked, and whose answer counts, `nodes.py` says.
4. Signed bytes go to all of them, and may reach a node although its answer did not reach us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Logs, Receipt
from custody_core.domain.fees import FeeHistory
from custody_core.ports import (
    Absent,
    AccountState,
    Answer,
    BlockTag,
    BroadcastAnswer,
    BroadcastOutcome,
    Call,
    Doubt,
    Found,
    Reverted,
    SignedBytes,
    Unknown,
    Witness,
    no_doubt,
)
from custody_rpc import questions, several
from custody_rpc.broadcasting import Offered, combined, disputed, fee_capped, gathered
from custody_rpc.circuit import NodeState, Resting
from custody_rpc.header_fields import HeaderFields
from custody_rpc.logs_ahead import LogsAhead
from custody_rpc.logs_told import LogsTold
from custody_rpc.node import Node
from custody_rpc.nodes import Nodes, Trouble
from custody_rpc.read_ahead import ReadAhead
from custody_rpc.tracing import Tracer
from custody_rpc.transport import InvalidNodeUrl, Limits, Transport, Waiting
from custody_rpc.witness import NodeAlone


def _silence(_what: str, _detail: str) -> None:
    """Nobody listens."""


class RpcChain:
    """`Chain` through the nodes at `urls`, the first of which is preferred. Safe to share between threads.

    Plain http is refused for nodes elsewhere than on this machine unless `allow_http`. Raises `InvalidNodeUrl`.

    `trouble` is told, from any thread: `node-out` and `node-back` when a node falls out and
    comes back, `provider-fee-cap` when one passes on no fees as high as ours, `broadcast-disputed` when one refuses what another
    took, `node-disagreement` when one's answer was not used because it cannot be right and another one's can,
    `unknown-header-field` once for each field of the newest block that this version does not know.
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
        trouble: Trouble = _silence,
    ) -> None:
        if not urls:
            raise InvalidNodeUrl("a chain needs the URL of at least one node")
        self._chain_id = chain_id
        self._trouble = trouble
        limits, waiting = limits or Limits(), waiting or Waiting()
        transports = [Transport(url, limits=limits, waiting=waiting, allow_http=allow_http) for url in urls]
        self._nodes = Nodes(chain_id, transports, resting=resting or Resting(), waiting=waiting, trouble=trouble)
        self._tracers = {node.circuit: Tracer(waiting.monotonic_s) for node in self._nodes.all}
        self._ahead = ReadAhead(self._read_blocks, self._read_logs)
        self._logs_ahead = LogsAhead()
        self._fields = HeaderFields(chain_id, trouble)
        self._heads: dict[str, int] = {}

    @property
    def chain_id(self) -> int:
        """The configured chain id."""
        return self._chain_id

    @property
    def nodes(self) -> Sequence[NodeState]:
        """The nodes as they are now, in the order of their URLs. Nobody is asked for this."""
        return self._nodes.states

    @property
    def unknown_header_fields(self) -> Sequence[str]:
        """What the newest blocks had that this version does not know, by name."""
        return sorted(self._fields.unknown)

    @property
    def witnesses(self) -> Sequence[Witness]:
        """The nodes one by one, each asked once."""
        return [NodeAlone(node.hasty, self._tracers[node.circuit], self._nodes.distrust) for node in self._nodes.all]

    def close(self) -> None:
        """Lets go of connections and threads."""
        self._ahead.close()
        self._nodes.close()

    def node_chain_id(self) -> Answer[int]:
        """The chain id that the first node which answers claims."""
        answer: Answer[int] = Unknown("no node was asked")
        for node in self._nodes.in_turn():
            answer = self._nodes.claimed(node)
            if not isinstance(answer, Unknown):
                break
        return answer

    def node_chain_ids(self) -> Sequence[Answer[int]]:
        """The chain id that each node claims, in the order of the URLs."""
        is_only = len(self._nodes.all) == 1
        return [self._nodes.claimed(node if is_only else node.hasty) for node in self._nodes.all]

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The canonical header at a height or tag."""
        if not isinstance(at, BlockTag):
            return self._nodes.one(lambda node: questions.header(node, at))
        if at is BlockTag.FINALIZED:
            return self._final(self._nodes.of_all(lambda node: questions.tagged(node, [at], self._fields.look)[0]))
        return self._head(self._nodes.of_all(lambda node: questions.tagged(node, [at], self._fields.look)[0]))

    def ends(self) -> tuple[Answer[Header], Answer[Header]]:
        """The head and the final block, asked for in one request."""
        finals: dict[str, Answer[Header]] = {}

        def head(node: Node) -> Answer[Header]:
            latest, finals[self._nodes.key(node)] = questions.tagged(node, [BlockTag.LATEST, BlockTag.FINALIZED], self._fields.look)
            return latest

        return self._head(self._nodes.of_all(head)), self._final(finals)

    def _head(self, answers: Mapping[str, Answer[Header]]) -> Answer[Header]:
        self._heads = {name: answer.value.number for name, answer in answers.items() if isinstance(answer, Found)}
        return several.highest(answers)

    def _final(self, answers: Mapping[str, Answer[Header]]) -> Answer[Header]:
        return several.lowest_in_time(answers, self._heads)

    def synced_head(self) -> Answer[Header]:
        """The newest header of those nodes that do not say they are still syncing."""
        return several.highest(self._nodes.of_all(questions.synced_head))

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        """The canonical headers at `numbers`. Of two neighbours that do not link, only one is found."""
        return self._nodes.linked(numbers, questions.headers, lambda header: header)

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """The canonical blocks at `numbers`. Of two neighbours that do not link, only one is found. Those after many are read while
        the caller works on these.
        """
        return self._ahead.answers(numbers)

    def _read_blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return self._nodes.linked(numbers, questions.blocks, lambda block: block.header)

    def _read_logs(self, answers: Sequence[Answer[Block]]) -> None:
        """Of blocks that were read ahead."""
        first, *_ = self._nodes.in_turn()
        if self._nodes.distrust(first) is None:
            self._logs_ahead.read(first, [answer.value for answer in answers if isinstance(answer, Found)])

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        """For each block the logs of exactly that one; see `logs_told.py`."""
        if not emitters:
            return [Found(Logs(each)) for each in block_hashes]  # to a node, no emitters would mean all of them
        told = LogsTold(self._logs_ahead, topic, emitters, doubt)
        answers = told.ask(block_hashes, self._nodes.each)
        for block_hash, names in told.empty.items():
            answer = answers[block_hash]
            if isinstance(answer, Found) and answer.value:
                self._trouble("node-disagreement", f"{', '.join(names)} left out logs of block {block_hash}")
        return [answers[each] for each in block_hashes]

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """What contracts paid, by the first node that tells. `Absent` where all say so, and none that has told before is away."""
        away = [node for node in self._nodes.all if node.circuit.is_resting and self._tracers[node.circuit].offers]
        answers: list[Answer[Sequence[InternalTransfer]]]
        answers = [away[0].unknown("has traces, and does not answer") if away else Absent() for _ in blocks]
        for node in self._nodes.in_turn():
            left = [index for index, answer in enumerate(answers) if not isinstance(answer, Found)]
            if not left:
                break
            why = self._nodes.distrust(node)
            asked = [blocks[index] for index in left]
            told = self._tracers[node.circuit].ask(node, asked) if why is None else [why for _ in asked]
            for index, answer in zip(left, told, strict=True):
                answers[index] = answers[index] if isinstance(answer, Absent) else answer
        return answers

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """The receipts."""
        return self._nodes.each(transaction_hashes, questions.receipts, doubt)

    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[SignedBytes]]:
        """Mined transactions as they were signed. They prove themselves: the bytes have the hash that was asked for."""
        return self._nodes.each(hashes, questions.signed_transactions)

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """Nonce and balance. A block may be mined between the two: with `LATEST` they can be of neighbouring blocks."""
        return self._nodes.one(lambda node: questions.account(node, address, at))

    def known_nonces(self, addresses: Sequence[Address], *, reserved: Sequence[int]) -> Sequence[Answer[int]]:
        """Mined transactions, and those that are next in a pool. More than `reserved` takes two nodes, where there are several."""
        answers = list(self._nodes.each(addresses, questions.known_nonces))
        above = [index for index, answer in enumerate(answers) if isinstance(answer, Found) and answer.value > reserved[index]]
        if len(self._nodes.all) == 1 or not above:
            return answers
        heard = self._nodes.of_all(lambda node: questions.known_nonces_at_head(node, [addresses[index] for index in above]))
        for position, index in enumerate(above):
            counts = several.counts_in(heard, position)
            answers[index] = several.vouched_count(counts, reserved=reserved[index])
            if answers[index] != Found(max((each.count for each in counts), default=0)):
                told = ", ".join(f"{each.node} knows {each.count}" for each in counts)
                self._trouble("node-disagreement", f"transactions of {addresses[index]}: {told}")
        return answers

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """Balances at exactly that block."""
        return self._nodes.each(holders, lambda node, some: questions.balances(node, some, at))

    def fee_history(self) -> Answer[FeeHistory]:
        """Recent fees."""
        return self._nodes.one(questions.fee_history)

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        """The gas of each call on top of the newest block."""
        return self._nodes.each(calls, questions.estimate_gas)

    def try_call(self, call: Call, *, on_top_of: int) -> Answer[bytes | Reverted]:
        """What `call` would have returned on top of that block."""
        return self._nodes.one(lambda node: questions.try_call(node, call, on_top_of))

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """Offers signed bytes, batched, to every node that does not rest. One node that takes them is enough."""
        if not raws:
            return []
        awake = self._nodes.awake()
        if len(awake) == 1:
            offers = [offered for offered in [self._offer(awake[0], raws)] if offered]
        else:
            given = [self._nodes.beside(node, partial(self._offer, node, raws)) for node in awake]
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
        return None if self._nodes.distrust(node.hasty) else Offered(node.name, questions.broadcast(node, raws))
