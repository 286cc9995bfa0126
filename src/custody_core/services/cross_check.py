"""Asking a second node about large deposits before their block is final to us (`CROSS_CHECK_MIN_WEI`).

The final height waits below the first such deposit that two nodes do not agree about, and with it everything that comes later: if
one of them invented the deposit, it invented the block as well, and nothing that stands on that block may become irreversible. A
deposit that only itself was kept back would leave our final block on a branch which an honest node contradicts.
"""

from __future__ import annotations

from collections.abc import Sequence

from custody_core.domain.chain import Block, ChainState, Receipt
from custody_core.domain.corroboration import corroborates, needs_corroboration
from custody_core.domain.deposit import Deposit, DepositKind
from custody_core.ports import Answer, Chain, Found, Unit, Witness
from custody_core.services.kit import Kit, raise_alarm

NODES_NEEDED = 2

_DEPOSITS_PER_ROUND = 50


class CrossCheck:
    """The cross-check of one chain. Remembers what it has raised an alarm about, so that a round does not raise it again."""

    def __init__(self, kit: Kit, chain: Chain) -> None:
        self._kit = kit
        self._chain = chain
        self._told: set[str] = set()

    def final_number(self, state: ChainState, wanted: int) -> int:
        """The height up to `wanted` that may become final now. With a minimum set it is at most the stored cursor: a block's
        deposits are in the books before they are asked about.
        """
        minimum_wei = self._kit.limits.cross_check_min_wei
        if minimum_wei is None:
            return wanted
        height = min(wanted, state.cursor.number)
        due = [each for each in self._arriving(height) if needs_corroboration(each, minimum_wei=minimum_wei)]
        asked, later = due[:_DEPOSITS_PER_ROUND], due[_DEPOSITS_PER_ROUND:]
        missing = [*self._not_agreed(asked), *later]
        return max(min([height, *(each.block.number - 1 for each in missing)]), state.final.number)

    def _arriving(self, height: int) -> Sequence[Deposit]:
        return self._kit.read(lambda unit: unit.confirming_deposits(self._chain.chain_id, up_to=height))

    def _not_agreed(self, deposits: Sequence[Deposit]) -> list[Deposit]:
        if not deposits:
            return []
        said = [_ask(witness, deposits) for witness in self._chain.witnesses]
        missing: list[Deposit] = []
        for deposit, words in zip(deposits, zip(*said, strict=True), strict=True):
            if sum(word is True for word in words) >= NODES_NEEDED:
                continue
            missing.append(deposit)
            if False in words:
                self._tell(deposit)
            else:
                self._kit.observer.trouble("cross-check-waiting", f"no second node shows {deposit.id} yet, so it is not final")
        return missing

    def _tell(self, deposit: Deposit) -> None:
        """Raises the alarm, once."""
        if deposit.id in self._told:
            return
        self._told.add(deposit.id)
        detail = (
            f"the nodes do not agree about {deposit.key.transaction_hash} in block {deposit.block.number} ({deposit.block.hash}): "
            "nothing becomes final from there on"
        )

        def work(unit: Unit) -> None:
            now = self._kit.clock.now()
            raise_alarm(self._kit, unit, now=now, code="node-disagreement", object_id=deposit.id, detail=detail)

        self._kit.write(work)


def _ask(witness: Witness, deposits: Sequence[Deposit]) -> list[bool | None]:
    """For each deposit whether that node shows it; None where it does not say, or does not have the block."""
    numbers = list(dict.fromkeys(each.block.number for each in deposits))
    hashes = list(dict.fromkeys(each.key.transaction_hash for each in deposits))
    blocks = dict(zip(numbers, witness.blocks(numbers), strict=True))
    receipts = dict(zip(hashes, witness.receipts(hashes), strict=True))
    return [_word(witness, each, blocks[each.block.number], receipts[each.key.transaction_hash]) for each in deposits]


def _word(witness: Witness, deposit: Deposit, block: Answer[Block], receipt: Answer[Receipt]) -> bool | None:
    if not isinstance(block, Found):
        return None
    if block.value.header.hash != deposit.block.hash:
        return False
    if not isinstance(receipt, Found):
        return None
    if deposit.key.kind is not DepositKind.INTERNAL:
        return corroborates(deposit, block.value, receipt.value)
    (traced,) = witness.internal_transfers([block.value])
    return corroborates(deposit, block.value, receipt.value, traced.value) if isinstance(traced, Found) else None
