"""The logs of blocks that were read ahead, by the question that was asked about logs last.

A block's hash names its logs for good, so an answer does not grow old. It stays one node's: it is given out where that node would
be asked, once, and whatever is asked of an answer is asked of this one.
"""

from __future__ import annotations

from collections.abc import Sequence

from custody_core.domain.chain import Block, Hash, Logs
from custody_core.domain.matching import bloom_admits
from custody_core.ports import Answer, Found
from custody_rpc import questions
from custody_rpc.circuit import Circuit
from custody_rpc.node import Node


class LogsAhead:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._wanted: tuple[bytes, Sequence[bytes]] | None = None
        self._read: dict[Hash, tuple[Circuit, bytes, Sequence[bytes], Found[Logs]]] = {}

    def read(self, node: Node, blocks: Sequence[Block]) -> None:
        """Asks about `blocks` what was asked about others before."""
        if self._wanted is None:
            return
        topic, emitters = self._wanted
        hashes = [each.header.hash for each in blocks if bloom_admits(each.logs_bloom, topic=topic, emitters=emitters)]
        answers = questions.logs(node, hashes, topic, emitters)
        self._read = {
            block_hash: (node.circuit, topic, emitters, answer)
            for block_hash, answer in zip(hashes, answers, strict=True)
            if isinstance(answer, Found)
        }

    def answers(self, node: Node, hashes: Sequence[Hash], topic: bytes, emitters: Sequence[bytes]) -> list[Answer[Logs]]:
        """An answer per block, read before or asked for now."""
        self._wanted = topic, emitters
        read = {block_hash: self._read.pop(block_hash, None) for block_hash in hashes}
        ready: dict[Hash, Answer[Logs]] = {
            block_hash: each[3] for block_hash, each in read.items() if each and each[:3] == (node.circuit, topic, emitters)
        }
        left = [each for each in hashes if each not in ready]
        ready |= zip(left, questions.logs(node, left, topic, emitters) if left else (), strict=True)
        return [ready[each] for each in hashes]
