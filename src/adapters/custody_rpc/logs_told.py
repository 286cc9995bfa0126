"""The logs of blocks, as several nodes tell them.

Rules of this file

1. None at all are believed where the receipts of the block agree (geth issue 24078), or no node offers these: a bloom admits
   what is not there.
2. Where they are more than a node tells at once, the receipts tell them. Without these they are unknown, and never none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from custody_core.domain.chain import Hash, Logs
from custody_core.ports import Absent, Answer, Doubt, Found, Unknown
from custody_rpc import questions
from custody_rpc.logs_ahead import LogsAhead
from custody_rpc.node import Node

Question = Callable[[Node, Sequence[Hash]], Sequence[Answer[Logs]]]
AskEach = Callable[[Sequence[Hash], Question, Doubt[Logs]], Sequence[Answer[Logs]]]
"""An answer per block, of the first node that has one which is not doubted."""


@attrs.define
class LogsTold:
    """One question about logs, put to several nodes. `empty` are the blocks of which nodes showed none, with the nodes' names;
    `crowded` those of which a node did not tell so many.
    """

    _ahead: LogsAhead
    _topic: bytes
    _emitters: Sequence[bytes]
    _doubt: Doubt[Logs]
    empty: dict[Hash, list[str]] = attrs.field(factory=dict)
    crowded: set[Hash] = attrs.field(factory=set)

    def ask(self, block_hashes: Sequence[Hash], each: AskEach) -> dict[Hash, Answer[Logs]]:
        """The answer for each block."""
        answers = dict(zip(block_hashes, each(block_hashes, self._some, self._doubt), strict=True))
        untold = [one for one in block_hashes if one in {*self.empty, *self.crowded} and not isinstance(answers[one], Found)]
        told = each(untold, lambda node, some: questions.logs_of_receipts(node, some, self._topic, self._emitters), self._doubt)
        for block_hash, answer in zip(untold, told, strict=True):
            answers[block_hash] = self._without_receipts(block_hash) if isinstance(answer, Absent) else answer
        return answers

    def _some(self, node: Node, hashes: Sequence[Hash]) -> list[Answer[Logs]]:
        answers = self._ahead.answers(node, hashes, self._topic, self._emitters)
        for index, (block_hash, answer) in enumerate(zip(hashes, answers, strict=True)):
            if isinstance(answer, Found) and not answer.value:
                self.empty.setdefault(block_hash, []).append(node.name)
                answers[index] = node.unknown(f"shows none of the logs that block {block_hash} may have")
            elif isinstance(answer, Absent):
                self.crowded.add(block_hash)
                answers[index] = node.unknown(f"does not tell at once as many logs as block {block_hash} has")
        return answers

    def _without_receipts(self, block_hash: Hash) -> Answer[Logs]:
        none = Logs(block_hash)
        if block_hash in self.crowded:
            return Unknown(f"no node tells at once as many logs as block {block_hash} has, or its receipts")
        why = self._doubt(none)
        return Found(none) if why is None else Unknown(why)
