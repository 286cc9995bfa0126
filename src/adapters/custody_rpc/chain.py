"""The `Chain` port over Ethereum JSON-RPC.

Rules of this file

1. A node's answer is compared with the question: the height, the hash, the contract, the topic that we asked for. What does not
   fit is unknown.
2. Null is absent, and only where the protocol says so. An error is unknown, and so is silence.
3. Several nodes are asked in their order: the next one only for what the one before left unknown. Answers are never mixed within
   one question.
4. Signed bytes may reach a node although its answer did not reach us.
5. A node is asked nothing about a chain before it has said, once, that it is on that chain: one that was silent at the start may
   be of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Block, BlockRef, Hash, Header, Log, Receipt
from custody_core.domain.fees import FeeHistory
from custody_core.ports import (
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
from custody_rpc.node import Node
from custody_rpc.transport import InvalidNodeUrl, Limits, Transport, Waiting

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


class RpcChain:
    """`Chain` through the nodes at `urls`, the first of which is preferred. Safe to share between threads.

    Plain http is refused for nodes elsewhere than on this machine unless `allow_http`. Raises `InvalidNodeUrl`.
    """

    def __init__(
        self,
        chain_id: int,
        urls: Sequence[str],
        *,
        allow_http: bool = False,
        limits: Limits | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        if not urls:
            raise InvalidNodeUrl("a chain needs the URL of at least one node")
        self._chain_id = chain_id
        used = (limits or Limits(), waiting or Waiting())
        self._nodes = [Node(Transport(url, limits=used[0], waiting=used[1], allow_http=allow_http)) for url in urls]
        self._verified: set[Node] = set()

    @property
    def chain_id(self) -> int:
        """The configured chain id."""
        return self._chain_id

    def close(self) -> None:
        """Lets go of connections."""
        for node in self._nodes:
            node.close()

    def node_chain_id(self) -> Answer[int]:
        """The chain id that the first node which answers claims."""
        answer: Answer[int] = Unknown("no node was asked")
        for node in self._nodes:
            answer = self._claimed(node)
            if not isinstance(answer, Unknown):
                break
        return answer

    def node_chain_ids(self) -> Sequence[Answer[int]]:
        """The chain id that each node claims, in the order of the URLs."""
        return [self._claimed(node) for node in self._nodes]

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

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        """The receipts."""
        return self._each(transaction_hashes, questions.receipts)

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """Nonce and balance. A block may be mined between the two: with `LATEST` they can be of neighbouring blocks."""
        return self._one(lambda node: questions.account(node, address, at))

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """Balances at exactly that block."""
        return self._each(holders, lambda node, some: questions.balances(node, some, at))

    def fee_history(self) -> Answer[FeeHistory]:
        """Recent fees."""
        return self._one(questions.fee_history)

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        """The gas of each call on top of the newest block."""
        return self._each(calls, questions.estimate_gas)

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """Offers signed bytes, batched. The next node gets those of which the one before left it unknown whether it has them."""
        return self._ask(
            raws,
            questions.broadcast,
            lambda answer: answer.outcome is BroadcastOutcome.UNKNOWN,
            lambda why: BroadcastAnswer(BroadcastOutcome.UNKNOWN, why.reason),
        )

    def _one(self, question: Callable[[Node], Answer[R]]) -> Answer[R]:
        return self._each([None], lambda node, _: [question(node)])[0]

    def _each(self, items: Sequence[T], question: Callable[[Node, Sequence[T]], Sequence[Answer[R]]]) -> Sequence[Answer[R]]:
        return self._ask(items, question, lambda answer: isinstance(answer, Unknown), lambda why: why)

    def _ask(
        self,
        items: Sequence[T],
        question: Callable[[Node, Sequence[T]], Sequence[A]],
        is_unknown: Callable[[A], bool],
        unasked: Callable[[Unknown], A],
    ) -> Sequence[A]:
        """An answer per item, of the first node that has one. `unasked` is the answer of a node that may be of another chain."""
        answers: dict[int, A] = {}
        left = list(range(len(items)))
        for node in self._nodes:
            if not left:
                break
            why = self._distrust(node)
            asked = [items[index] for index in left]
            answers |= zip(left, question(node, asked) if why is None else [unasked(why) for _ in asked], strict=True)
            left = [index for index in left if is_unknown(answers[index])]
        return [answers[index] for index in range(len(items))]

    def _claimed(self, node: Node) -> Answer[int]:
        answer = questions.chain_id(node)
        if answer == Found(self._chain_id):
            self._verified.add(node)
        return answer

    def _distrust(self, node: Node) -> Unknown | None:
        """Why `node` is not to be asked about this chain; None once it has said that it is on it."""
        if node in self._verified:
            return None
        match self._claimed(node):
            case Found(value=claimed):
                return None if claimed == self._chain_id else node.unknown(f"is on chain {claimed}, not on {self._chain_id}")
            case Unknown() as silent:
                return silent
            case _:
                return node.unknown("has no chain id")
