"""One node of several, asked alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Logs, Receipt
from custody_core.ports import Answer, BlockTag, Found, Unknown, no_doubt
from custody_rpc import questions
from custody_rpc.logs_ahead import LogsAhead
from custody_rpc.logs_told import LogsTold
from custody_rpc.node import Node
from custody_rpc.tracing import Tracer


@attrs.frozen
class NodeAlone:
    """`Witness` for `node`. `distrust` says why the node is not to be asked about this chain, None where it may be."""

    node: Node
    tracer: Tracer
    distrust: Callable[[Node], Unknown | None]

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The header that it has for canonical."""
        return self.distrust(self.node) or questions.header(self.node, at)

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """The blocks that it has for canonical."""
        why = self.distrust(self.node)
        return questions.blocks(self.node, numbers) if why is None else [why] * len(numbers)

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        """Its receipts."""
        why = self.distrust(self.node)
        return questions.receipts(self.node, transaction_hashes) if why is None else [why] * len(transaction_hashes)

    def logs(self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes]) -> Sequence[Answer[Logs]]:
        """Its logs. Where it shows none, or cannot tell so many, those of its receipts."""
        why = self.distrust(self.node)
        if why is not None or not emitters:
            return [why or Found(Logs(each)) for each in block_hashes]
        told = LogsTold(LogsAhead(), topic, emitters, no_doubt)
        answers = told.ask(block_hashes, lambda some, question, _: question(self.node, some) if some else ())
        return [answers[each] for each in block_hashes]

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """What contracts paid, by its own traces."""
        why = self.distrust(self.node)
        return self.tracer.ask(self.node, blocks) if why is None else [why] * len(blocks)

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """What it shows at exactly that block."""
        why = self.distrust(self.node)
        return questions.balances(self.node, holders, at) if why is None else [why] * len(holders)
