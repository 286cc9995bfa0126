"""The nodes of one chain: which of them are asked, in which order, and whose answer counts.

Rules of this file

1. Several nodes are asked in their order: the next one for what those before did not have, or got wrong as far as the caller can
   tell. Their answers become one by the rules of `several.py`. Only the last one is asked again while its trouble may pass.
2. A node is asked nothing about a chain before it has said, once, that it is on that chain: one that was silent at the start may
   be of another.
3. A node that failed several times in a row rests: the others do without it. Where all rest, the one that is due first is asked.
   Its health is tried out beside the questions, so that none of them waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import attrs

from custody_core.domain.chain import Header
from custody_core.ports import Absent, Answer, Doubt, Found, Unknown, no_doubt
from custody_rpc import questions, several
from custody_rpc.broadcasting import Courier
from custody_rpc.circuit import Circuit, NodeState, Resting
from custody_rpc.node import Node
from custody_rpc.transport import Transport, Waiting

T = TypeVar("T")
R = TypeVar("R")

Trouble = Callable[[str, str], None]
"""Of the form of `Observer.trouble`."""


class Nodes:
    """Those of chain `chain_id`, the first of which is preferred. Safe to share between threads."""

    def __init__(
        self, chain_id: int, transports: Sequence[Transport], *, resting: Resting, waiting: Waiting, trouble: Trouble
    ) -> None:
        self._chain_id = chain_id
        self._trouble = trouble
        self.all = [Node(each, Circuit(each.name, resting, waiting, self._tell_health)) for each in transports]
        self._couriers = {node: Courier(node.name) for node in self.all}
        self._verified: set[Circuit] = set()
        self._foreign: dict[Circuit, str] = {}

    @property
    def states(self) -> Sequence[NodeState]:
        """As they are now, in the order of their URLs. Nobody is asked for this."""
        return [self._state(node.circuit) for node in self.all]

    def close(self) -> None:
        """Lets go of connections and threads."""
        for node in self.all:
            self._couriers[node].close()
            node.close()

    def beside(self, node: Node, work: Callable[[], R]) -> Future[R] | None:
        """Has something done with one of `all` while others are asked; None where it has too much to do already."""
        return self._couriers[node].give(work)

    def one(self, question: Callable[[Node], Answer[R]], doubt: Doubt[R] = no_doubt) -> Answer[R]:
        """The answer of the first node that has one which `doubt` lets pass."""
        return self.each([None], lambda node, _: [question(node)], doubt)[0]

    def each(
        self, items: Sequence[T], question: Callable[[Node, Sequence[T]], Sequence[Answer[R]]], doubt: Doubt[R] = no_doubt
    ) -> Sequence[Answer[R]]:
        """An answer per item, of the first node that has one which `doubt` lets pass."""
        answers: dict[int, Answer[R]] = {}
        doubted: dict[int, str] = {}
        left = list(range(len(items)))
        for node in self.in_turn() if items else ():
            # Whoever comes after an answer, be it that there is nothing, is not waited for.
            asked = node.hasty if all(isinstance(answers.get(index), Absent) for index in left) else node
            why = self.distrust(asked)
            given = question(asked, [items[index] for index in left]) if why is None else [why for _ in left]
            for index, answer in zip(left, given, strict=True):
                wrong = doubt(answer.value) if isinstance(answer, Found) else None
                if wrong is not None:
                    doubted[index] = f"{node.name}: {wrong}"
                answers[index] = several.better(answers.get(index), answer if wrong is None else node.unknown(f"is wrong: {wrong}"))
            left = [index for index in left if not isinstance(answers[index], Found)]
            if not left:
                break
        for detail in {detail for index, detail in doubted.items() if isinstance(answers[index], Found)}:
            self._trouble("node-disagreement", f"another node's answer was taken instead of that of {detail}")
        return [answers[index] for index in range(len(items))]

    def linked(
        self,
        numbers: Sequence[int],
        question: Callable[[Node, Sequence[int]], Sequence[Answer[R]]],
        header_of: Callable[[R], Header],
    ) -> Sequence[Answer[R]]:
        """As `each`, of blocks or headers at `numbers`: those of two nodes are put together only where they link."""
        found: dict[int, Header] = {}
        return self.each(numbers, lambda node, some: several.linking(node, some, question(node, some), header_of, found))

    def of_all(self, question: Callable[[Node], Answer[R]]) -> dict[str, Answer[R]]:
        """Every node's own answer, by its position and name. Once one has answered, the others are not waited for."""
        answers: dict[str, Answer[R]] = {}
        for node in self.in_turn():
            asked = node.hasty if any(not isinstance(answer, Unknown) for answer in answers.values()) else node
            answers[self.key(node)] = self.distrust(asked) or question(asked)
        return answers

    def key(self, node: Node) -> str:
        """Its position and name."""
        return f"{self._position(node)} {node.name}"

    # Which nodes are asked

    def in_turn(self) -> Sequence[Node]:
        """Those to ask, one after another: all but the last without waiting for trouble to pass."""
        *earlier, last = self.awake()
        return [*(node.hasty for node in earlier), last]

    def _position(self, node: Node) -> int:
        return next(index for index, each in enumerate(self.all, 1) if each.circuit is node.circuit)

    def awake(self) -> Sequence[Node]:
        """Those that do not rest, else the least bad one. Whoever's rest is over is tried, beside the question."""
        if len(self.all) == 1:
            return self.all
        for node in self.all:
            if node.circuit.takes_try():
                self.beside(node, partial(self.claimed, node.hasty))
        awake = [node for node in self.all if not node.circuit.is_resting]
        return awake or [min(self.all, key=lambda node: node.circuit.rests_until_s)]

    def claimed(self, node: Node) -> Answer[int]:
        """The chain id that it claims, which decides whether it is asked anything else."""
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

    def distrust(self, node: Node) -> Unknown | None:
        """Why `node` is not to be asked about this chain; None once it has said that it is on it."""
        if node.circuit in self._verified:
            return None
        answer = self.claimed(node)
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
