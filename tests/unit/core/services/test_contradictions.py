"""What a node says about our own transactions is checked against their bytes."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from custody_app import open_in_memory
from custody_core import TransactionState, ether
from custody_core.domain.chain import Hash, Receipt
from custody_core.ports import Answer, Found
from custody_memory.chain import MemoryChain
from custody_memory.clock import ManualClock
from tests.unit.core.services.bench import Bench


class ExaggeratingChain(MemoryChain):
    """Says, for as long as it is told to, that transactions cost more than they can."""

    exaggerates = ""

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes)
        return [Found(self._exaggerated(each.value)) if isinstance(each, Found) else each for each in answers]

    def _exaggerated(self, receipt: Receipt) -> Receipt:
        match self.exaggerates:
            case "gas":
                return attrs.evolve(receipt, gas_used=receipt.gas_used + 10**9)
            case "price":
                return attrs.evolve(receipt, effective_gas_price_wei=receipt.effective_gas_price_wei * 10**6)
            case _:
                return receipt


@pytest.mark.parametrize("field", ["gas", "price"])
def test_a_receipt_above_what_the_bytes_allow_is_waited_for_and_books_nothing(field: str) -> None:
    chain, clock = ExaggeratingChain(), ManualClock()
    with open_in_memory(chain, clock=clock) as custody:
        bench = Bench(custody, chain, clock)
        wallet = bench.wallet(wei=ether("1"))
        sent = bench.send(wallet)
        bench.rounds()
        chain.exaggerates = field
        before = custody.chains.states()[0].cursor
        bench.blocks(3)
        assert custody.chains.states()[0].cursor == before, "the block is not passed"
        assert bench.transaction(sent.id).state is TransactionState.BROADCASTING
        chain.exaggerates = ""
        bench.settle()
        assert bench.transaction(sent.id).state is TransactionState.COMPLETED
        assert custody.reconcile().ok
