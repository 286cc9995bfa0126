"""One node: a view of the tree, which may be late, answer from an older tip, say null, or not answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeVar

import attrs

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Log, Logs, Receipt
from custody_core.ports import (
    Absent,
    AccountState,
    Answer,
    BlockTag,
    BroadcastAnswer,
    BroadcastOutcome,
    Doubt,
    Found,
    SignedBytes,
    Unknown,
    no_doubt,
)
from custody_memory.blocks import MinedBlock
from custody_memory.chain import SILENCE
from custody_memory.execution import BLOOM_LENGTH
from custody_rpc.bulk import BlockLogs
from custody_rpc.wire import Malformed, WireLog
from tests.unit.simulation.block_tree import BlockTree, Tip
from tests.unit.simulation.faults import Trouble
from tests.unit.simulation.garbled import GARBLES, Garble, garbled
from tests.unit.simulation.lies import Lies

T = TypeVar("T")

REFUSALS: Final = (BroadcastOutcome.NOT_NOW, BroadcastOutcome.UNDERPRICED, BroadcastOutcome.REFUSED, BroadcastOutcome.FEE_CAPPED)


@attrs.define
class View:
    """A node. `trouble` says what goes wrong with it, `chance` how."""

    tree: BlockTree
    trouble: Trouble
    chance: Random
    late_by: int = 0
    """How many tips it is behind."""
    may_omit: bool = False
    """Whether it leaves transactions and logs out of blocks, or says that what succeeded failed. One node of several may, where two
    have to agree.
    """
    may_lie: bool = False
    """Whether it makes up balances and counts of transactions, and leaves calls out of traces. One node of several may."""
    says_of_traces: Unknown | Absent | None = None
    """What it answers where it is asked for traces, while these fail."""
    lies: Lies = attrs.field(factory=Lies)
    """What it made up and left out, for those who judge the books."""

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The header on its own branch."""
        if self.trouble.roll("node-silent"):
            return Unknown(SILENCE)
        tip = self._tip()
        mined = self.tree.on_branch(tip, _height(tip, at))
        return Found(mined.block.header) if mined and not self.trouble.roll("node-null") else Absent()

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        """The headers of one branch, unless the branch changes meanwhile."""
        return self._at_heights(numbers, lambda mined: mined.block.header)

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """The blocks of one branch, unless the branch changes meanwhile."""
        return self._at_heights(numbers, self._shown)

    def _shown(self, mined: MinedBlock) -> Block:
        transactions = list(mined.block.transactions)
        omits = self._may_omit(mined, transactions[-1].hash if transactions else None) and self.trouble.roll("node-omits")
        block = attrs.evolve(mined.block, transactions=transactions[:-1]) if omits else mined.block
        if transactions and self.trouble.roll("bloom-zeros"):
            block = attrs.evolve(block, header=attrs.evolve(block.header, logs_bloom=bytes(BLOOM_LENGTH)))
        return block

    def _may_omit(self, mined: MinedBlock, transaction_hash: Hash | None) -> bool:
        """What contracts paid is compared with no second node unless it is known: what is left out of it is for suspense."""
        paid_by_contracts = {each.transaction_hash for each in mined.internal}
        return self.may_omit and transaction_hash is not None and transaction_hash not in paid_by_contracts

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        """Of exactly these blocks."""
        if self.trouble.roll("node-silent"):
            return [Unknown(SILENCE)] * len(block_hashes)
        tip = self._tip()

        garble: Garble | None = self.trouble.strike("logs-garbled", lambda: self.chance.choice(GARBLES))

        def wanted(mined: MinedBlock) -> list[Log]:
            return [log for log in mined.logs if log.topics[:1] == (topic,) and log.emitter in emitters]

        def told(mined: MinedBlock) -> Answer[Logs]:
            logs, block_hash = wanted(mined), mined.block.header.hash
            if garble is not None and logs:
                older = (self.tree.on_branch(tip, number) for number in range(mined.block.header.number - 1, -1, -1))
                other = next((found for each in older if each and (found := wanted(each))), [])
                return _told(garbled(logs, garble, other), block_hash, topic, emitters, doubt)
            omits = self.may_omit and self.trouble.roll("node-omits")
            return doubted(Logs(block_hash, logs[:-1] if omits else logs), doubt)

        found = [self.tree.by_hash(tip, block_hash) for block_hash in block_hashes]
        return [told(each) if each else Unknown("unknown block") for each in found]

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """Of exactly these blocks."""
        if self.trouble.roll("node-silent"):
            return [Unknown(SILENCE)] * len(blocks)
        if self.says_of_traces is not None:
            return [self.says_of_traces] * len(blocks)
        tip = self._tip()
        found = [self.tree.by_hash(tip, block.header.hash) for block in blocks]
        return [Found(self._traced(each)) if each else Unknown("unknown block") for each in found]

    def _traced(self, mined: MinedBlock) -> Sequence[InternalTransfer]:
        omits = self.may_lie and mined.internal and self.trouble.roll("traces-omitted")
        if not omits:
            return mined.internal
        self.lies.left_out_of_traces(mined, list(mined.internal[-1:]))
        return mined.internal[:-1]

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """Of its own branch."""
        if self.trouble.roll("node-silent"):
            return [Unknown(SILENCE)] * len(transaction_hashes)
        tip = self._tip()
        return [self._receipt(tip, hash_, doubt) for hash_ in transaction_hashes]

    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[SignedBytes]]:
        """The bytes of what its own branch holds."""
        return [Unknown(SILENCE)] * len(hashes) if self.trouble.roll("node-silent") else self.tree.signed_transactions(hashes)

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """Where its branch is canonical; it has pruned the rest."""
        tip = self._tip()
        mined = self.tree.on_branch(tip, _height(tip, at))
        height = self.tree.height_of(mined.block.header.hash) if mined else None
        if height is None or self.trouble.roll("node-silent"):
            return Unknown("no state of this block")
        raw = address_to_bytes(address)
        return Found(AccountState(self.tree.nonce(raw, height), self.tree.held(None, raw, height)))

    def count_known(self, addresses: Sequence[Address]) -> Answer[tuple[int, Sequence[Answer[int]]]]:
        """Its head, and how many transactions of each address it knows: mined, or next in its pool."""
        if self.trouble.roll("node-silent"):
            return Unknown(SILENCE)
        tip = self._tip()
        mined, number = tip.mined, tip.mined.block.header.number
        while self.tree.height_of(mined.block.header.hash) is None:
            number -= 1
            below = self.tree.on_branch(tip, number)
            if below is None:
                return Unknown("no state of this block")
            mined = below
        made_up = (self.trouble.strike("node-lies", lambda: 1 + self.chance.randrange(3)) if self.may_lie else None) or 0
        counts = [self._count(address_to_bytes(address), number) + made_up for address in addresses]
        return Found((tip.mined.block.header.number, [Found(count) for count in counts]))

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """At exactly that block."""
        if self.trouble.roll("node-silent") or self.tree.by_hash(self._tip(), at.hash) is None:
            return [Unknown("unknown block")] * len(holders)
        made_up = self.trouble.strike("node-lies", lambda: self.chance.randrange(10**18)) if self.may_lie else None
        if made_up is not None:
            self.lies.about_balances(at)
            return [Found(made_up + index) for index in range(len(holders))]
        return self.tree.balances(holders, at)

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """All nodes share one pool."""
        return [self._broadcast(raw) for raw in raws]

    def _broadcast(self, raw: bytes) -> BroadcastAnswer:
        refusal = self.trouble.strike("node-refuses", lambda: self.chance.randrange(len(REFUSALS)))
        if refusal is not None:
            return BroadcastAnswer(REFUSALS[refusal], "not here")
        return self.tree.broadcast([raw])[0]

    def _tip(self) -> Tip:
        """The newest block as it sees it now. Behind a load balancer that may be another one at the next question."""
        stale_by: int | None = self.trouble.strike("node-stale", lambda: 1 + self.chance.randrange(4))
        behind = self.late_by + (stale_by or 0)
        return self.tree.tips[max(-1 - behind, -len(self.tree.tips))]

    def _at_heights(self, numbers: Sequence[int], part: Callable[[MinedBlock], T]) -> list[Answer[T]]:
        if self.trouble.roll("node-silent"):
            return [Unknown(SILENCE)] * len(numbers)
        tip = self._tip()
        found = [self.tree.on_branch(tip, number) for number in numbers]
        return [Found(part(each)) if each and not self.trouble.roll("node-null") else Absent() for each in found]

    def _receipt(self, tip: Tip, transaction_hash: Hash, doubt: Doubt[Receipt]) -> Answer[Receipt]:
        if self.trouble.roll("node-null"):
            return Absent()
        for mined in self.tree.blocks_with(transaction_hash):
            if self.tree.by_hash(tip, mined.block.header.hash):
                receipt = next(each for each in mined.receipts if each.transaction_hash == transaction_hash)
                if self.trouble.roll("receipt-elsewhere"):
                    receipt = attrs.evolve(receipt, block_hash=mined.block.header.parent_hash)
                failed = self._may_omit(mined, transaction_hash) and self.trouble.roll("node-omits")
                return doubted(attrs.evolve(receipt, succeeded=False) if failed else receipt, doubt)
        return Absent()

    def _count(self, address: bytes, height: int) -> int:
        count = self.tree.nonce(address, height)
        while self.tree.is_pooled(address, count):
            count += 1
        return count


def _told(logs: Sequence[WireLog], block_hash: Hash, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs]) -> Answer[Logs]:
    """What the JSON-RPC adapter makes of such an answer."""
    if not logs:
        return Unknown("shows none of the logs that the block may have")
    try:
        return doubted(BlockLogs(logs, block_hash, topic, emitters), doubt)
    except Malformed as problem:
        return Unknown(str(problem))


def _height(tip: Tip, at: int | BlockTag) -> int:
    match at:
        case BlockTag.LATEST:
            return tip.mined.block.header.number
        case BlockTag.FINALIZED:
            return tip.final
        case _:
            return at


def doubted(value: T, doubt: Doubt[T]) -> Answer[T]:
    """What is left of an answer that may be doubted."""
    why = doubt(value)
    return Found(value) if why is None else Unknown(why)
