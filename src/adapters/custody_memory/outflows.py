"""What left a wallet although nothing in the books asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from custody_core.domain.chain import Hash
from custody_core.domain.outflow import Outflow
from custody_memory.tables import Tables

Key = tuple[int, Hash, int]


class OutflowRows:
    """The part of a unit that keeps outflows."""

    _tables: Tables

    def put_outflows(self, outflows: Sequence[Outflow]) -> None:
        for each in outflows:
            self._tables.settled_outflows.discard(_key(each))
            self._tables.outflows.put(_key(each), each)

    def outflows(self, chain_id: int, *, up_to: int) -> Sequence[Outflow]:
        found = [each for each in self._tables.outflows if each.chain_id == chain_id and each.block.number <= up_to]
        return sorted(found, key=lambda each: (each.block.number, each.transaction_hash, each.ordinal))

    def outflows_of(self, chain_id: int, transaction_hashes: Iterable[Hash]) -> Sequence[Outflow]:
        hashes = set(transaction_hashes)
        kept = (*self._tables.outflows, *self._tables.settled_outflows)
        found = [each for each in kept if each.chain_id == chain_id and each.transaction_hash in hashes]
        return sorted(found, key=lambda each: (each.transaction_hash, each.ordinal))

    def settle_outflows(self, outflows: Sequence[Outflow]) -> None:
        for each in outflows:
            self._tables.outflows.discard(_key(each))
            self._tables.settled_outflows.put(_key(each), each)

    def remove_outflows(self, chain_id: int, *, above: int) -> None:
        for each in list(self._tables.outflows):
            if each.chain_id == chain_id and each.block.number > above:
                self._tables.outflows.discard(_key(each))


def _key(outflow: Outflow) -> Key:
    return (outflow.chain_id, outflow.transaction_hash, outflow.ordinal)
