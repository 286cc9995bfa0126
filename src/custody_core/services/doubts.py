"""When a node's answer cannot be right, by what is known already: the block, and the bytes of our own transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import attrs

from custody_core.domain.chain import Hash, Logs, Receipt
from custody_core.domain.matching import BlockMatches, transfers_agree
from custody_core.domain.transaction import Attempt, Transaction
from custody_core.ports import Answer, Doubt, Found, Unit, Unknown, Witness, no_doubt

T = TypeVar("T")


class Source(Protocol):
    """Whoever is asked for receipts and logs, and asks again where an answer is doubted: a chain's nodes together, or one alone."""

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """As `Chain.receipts`."""
        ...

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        """As `Chain.logs`."""
        ...


@attrs.frozen
class Alone:
    """`Source` of one node, for which no other one steps in: what is doubted is unknown."""

    witness: Witness

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """Its receipts."""
        return [_undoubted(each, doubt) for each in self.witness.receipts(transaction_hashes)]

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        """Its logs."""
        return [_undoubted(each, doubt) for each in self.witness.logs(block_hashes, topic=topic, emitters=emitters)]


def _undoubted(answer: Answer[T], doubt: Doubt[T]) -> Answer[T]:
    why = doubt(answer.value) if isinstance(answer, Found) else None
    return answer if why is None else Unknown(why)


def costs_too_much(receipt: Receipt, transaction: Transaction, attempt: Attempt) -> bool:
    """Whether a receipt says that an attempt of ours cost more than its bytes allow."""
    return receipt.gas_used > transaction.gas_limit or receipt.effective_gas_price_wei > attempt.fees.max_fee_per_gas_wei


def receipts_doubted(unit: Unit, chain_id: int, matches: Sequence[BlockMatches]) -> Doubt[Receipt]:
    """Doubts receipts that are of another block than the one which holds the transaction, or that cost more than they may."""
    blocks = {hash_: each.block.header.hash for each in matches for hash_ in each.transaction_hashes}
    outgoing = [each.hash for match in matches for each in match.outgoing]
    ours = unit.transactions_by_hash(chain_id, outgoing) if outgoing else {}
    return lambda receipt: _receipt_doubted(receipt, blocks, ours)


def _receipt_doubted(receipt: Receipt, blocks: Mapping[Hash, Hash], ours: Mapping[Hash, Transaction]) -> str | None:
    hash_ = receipt.transaction_hash
    if receipt.block_hash != blocks[hash_]:
        return f"the receipt of {hash_} is of another block"
    transaction = ours.get(hash_)
    attempt = transaction.attempt_by_hash(hash_) if transaction else None
    if transaction and attempt and costs_too_much(receipt, transaction, attempt):
        return f"the receipt of {hash_} says that it cost more than it may"
    return None


def logs_doubted(receipts: Mapping[Hash, Mapping[Hash, Receipt]], emitters: Sequence[bytes]) -> Doubt[Logs]:
    """Doubts a block's `Transfer` logs that are not those of its receipts, as far as these were read: block → transaction →
    receipt.
    """

    def doubt(logs: Logs) -> str | None:
        read = receipts[logs.block_hash]
        own = [logs[index] for index, hash_ in enumerate(logs.transaction_hashes) if hash_ in read] if read else []
        return None if transfers_agree(own, read.values(), emitters) else "the block's logs are not those of its receipts"

    return doubt
