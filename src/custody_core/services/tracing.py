"""Reading what contracts paid, as a part of a block's evidence."""

from __future__ import annotations

from collections.abc import Sequence

from custody_core.domain.chain import Block, InternalTransfer
from custody_core.domain.resources import chain_text
from custody_core.ports import Absent, Chain, Found
from custody_core.services.kit import Kit, Traces


class TraceReader:
    """The internal transfers of one chain's blocks, as the setting wants them. Tells once when there are none to be had."""

    def __init__(self, kit: Kit, chain: Chain) -> None:
        self._observer = kit.observer
        self._chain = chain
        self._wanted = kit.limits.traces.get(chain.chain_id, Traces.AUTO)
        self._is_told = False

    def read(self, blocks: Sequence[Block]) -> list[tuple[Block, Sequence[InternalTransfer]]]:
        """Each block with its internal transfers, up to the first of which the node should tell and does not. Nobody is asked about
        a block without transactions.
        """
        asked = [block for block in blocks if block.transactions] if self._wanted is not Traces.OFF else []
        told = self._chain.internal_transfers(asked) if asked else ()
        answers = dict(zip([block.header.hash for block in asked], told, strict=True))
        read: list[tuple[Block, Sequence[InternalTransfer]]] = []
        for block in blocks:
            match answers.get(block.header.hash, Found(())):
                case Found(value=transfers):
                    self._is_told = self._is_told and not block.transactions
                    read.append((block, transfers))
                case Absent() if self._wanted is Traces.AUTO:
                    self._tell(block)
                    read.append((block, ()))
                case _:
                    break
        return read

    def _tell(self, block: Block) -> None:
        if not self._is_told:
            chain = chain_text(self._chain.chain_id)
            self._observer.trouble(
                "traces-missing",
                f"{chain}: no node tells what contracts paid in block {block.header.number}; "
                "while that is so, internal transfers are not credited but end in suspense",
            )
        self._is_told = True
