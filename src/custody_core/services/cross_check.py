"""Asking a second node about large deposits before their block is final to us (`CROSS_CHECK_MIN_WEI`).

The final height waits below the first such deposit that two nodes do not agree about, and with it everything that comes later: if
one of them invented the deposit, it invented the block as well, and nothing that stands on that block may become irreversible. A
deposit that only itself was kept back would leave our final block on a branch which an honest node contradicts.

A deposit may also have been added to a block that everybody has. Where two nodes have that very block without it, it is taken back
with the blocks from there on, which are read again.

Whatever the minimum, a block is not final to us while a node shows another one in its place, or none, unless two nodes show ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

from custody_core.domain.chain import Block, BlockRef, ChainState, Hash, Header, Receipt
from custody_core.domain.corroboration import corroborates, needs_corroboration
from custody_core.domain.deposit import Deposit, DepositKind
from custody_core.ports import Answer, BlockTag, Chain, Found, Unit, Unknown, Witness
from custody_core.services.kit import Kit, raise_alarm

NODES_NEEDED = 2

_DEPOSITS_PER_ROUND = 50

_READ_AGAIN_FIRST, _READ_AGAIN_MAX = timedelta(seconds=5), timedelta(minutes=1)
"""How long it takes until the same blocks are read again because of the same deposit; each time twice as long. A node that goes on
adding it does not make them go and come back all the time.
"""


_KEEPS_UP_WITHIN = timedelta(minutes=5)
"""A node whose newest block is older than this stands still: what it does not have says nothing."""


class _Word(Enum):
    """What one node says of a deposit."""

    SHOWS = auto()
    DENIES = auto()
    """It has the very block, and the deposit is not in it."""
    ELSEWHERE = auto()
    """It has another block, or the transaction in another one."""
    SILENT = auto()


class CrossCheck:
    """The cross-check of one chain. Remembers what it has raised an alarm about, so that a round does not raise it again."""

    def __init__(self, kit: Kit, chain: Chain) -> None:
        self._kit = kit
        self._chain = chain
        self._told: set[str] = set()
        self._denied: list[Deposit] = []
        self._read_again: dict[str, tuple[datetime, timedelta]] = {}

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

    def agreed(self, deposits: Sequence[Deposit]) -> bool:
        """Whether two nodes show each of `deposits` that they have to agree about."""
        minimum_wei = self._kit.limits.cross_check_min_wei
        if minimum_wei is None:
            return True
        due = [each for each in deposits if needs_corroboration(each, minimum_wei=minimum_wei)]
        return all(_is_enough(words) for _, words in self._words(due))

    def _words(self, deposits: Sequence[Deposit]) -> Iterable[tuple[Deposit, Sequence[_Word]]]:
        """What each node says about each of `deposits`."""
        if not deposits:
            return ()
        said = [_ask(witness, deposits) for witness in self._chain.witnesses]
        return zip(deposits, zip(*said, strict=True), strict=True)

    def _arriving(self, height: int) -> Sequence[Deposit]:
        return self._kit.read(lambda unit: unit.confirming_deposits(self._chain.chain_id, up_to=height))

    def _not_agreed(self, deposits: Sequence[Deposit]) -> list[Deposit]:
        missing: list[Deposit] = []
        for deposit, words in self._words(deposits):
            if _is_enough(words):
                continue
            missing.append(deposit)
            if words.count(_Word.DENIES) >= NODES_NEEDED and _Word.SHOWS not in words:
                self._denied.append(deposit)
            if _Word.DENIES in words or _Word.ELSEWHERE in words:
                self._tell(deposit)
            else:
                self._kit.observer.trouble("cross-check-waiting", f"no second node shows {deposit.id} yet, so it is not final")
        return missing

    def first_denied(self) -> int | None:
        """The lowest block with a deposit that two nodes which have the block deny, as far as it is time to read it again."""
        now, denied = self._kit.clock.now(), self._denied
        self._denied = []
        due = [each for each in denied if each.id not in self._read_again or now >= self._read_again[each.id][0]]
        for each in due:
            _, waited = self._read_again.get(each.id, (now, _READ_AGAIN_FIRST / 2))
            wait = min(2 * waited, _READ_AGAIN_MAX)
            self._read_again[each.id] = now + wait, wait
        return min((each.block.number for each in due), default=None)

    def is_contradicted(self, ref: BlockRef) -> bool:
        """Whether a node shows another block at that height, or has not come so far although it keeps up with the time, and no two
        show this one. A node alone is believed, and so is one whose fellows are silent or stand still.
        """
        witnesses = self._chain.witnesses
        if len(witnesses) < NODES_NEEDED:
            return False
        said = [witness.header(ref.number) for witness in witnesses]
        if sum(_is_of(answer, ref) for answer in said) >= NODES_NEEDED:
            return False
        return any(self._denies(witness, answer, ref) for witness, answer in zip(witnesses, said, strict=True))

    def _denies(self, witness: Witness, answer: Answer[Header], ref: BlockRef) -> bool:
        if isinstance(answer, Found):
            return not _is_of(answer, ref)
        if isinstance(answer, Unknown):
            return False
        newest = witness.header(BlockTag.LATEST)
        return isinstance(newest, Found) and newest.value.timestamp >= self._kit.clock.now() - _KEEPS_UP_WITHIN

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


def _is_of(answer: Answer[Header], ref: BlockRef) -> bool:
    return isinstance(answer, Found) and answer.value.hash == ref.hash


def _is_enough(words: Sequence[_Word]) -> bool:
    return words.count(_Word.SHOWS) >= NODES_NEEDED


def hashes_shown(chain: Chain, number: int) -> list[Hash]:
    """The hash of the block at that height by each node that shows one."""
    answers = [answer for witness in chain.witnesses for answer in witness.blocks([number])]
    return [answer.value.header.hash for answer in answers if isinstance(answer, Found)]


def _ask(witness: Witness, deposits: Sequence[Deposit]) -> list[_Word]:
    """What that node says of each deposit."""
    numbers = list(dict.fromkeys(each.block.number for each in deposits))
    hashes = list(dict.fromkeys(each.key.transaction_hash for each in deposits))
    blocks = dict(zip(numbers, witness.blocks(numbers), strict=True))
    receipts = dict(zip(hashes, witness.receipts(hashes), strict=True))
    return [_word(witness, each, blocks[each.block.number], receipts[each.key.transaction_hash]) for each in deposits]


def _word(witness: Witness, deposit: Deposit, block: Answer[Block], receipt: Answer[Receipt]) -> _Word:
    if not isinstance(block, Found):
        return _Word.SILENT
    if block.value.header.hash != deposit.block.hash:
        return _Word.ELSEWHERE
    if all(each.hash != deposit.key.transaction_hash for each in block.value.transactions):
        return _Word.DENIES
    if not isinstance(receipt, Found):
        return _Word.SILENT
    if receipt.value.block_hash != deposit.block.hash:
        return _Word.ELSEWHERE
    if deposit.key.kind is not DepositKind.INTERNAL:
        return _shown(corroborates(deposit, block.value, receipt.value))
    (traced,) = witness.internal_transfers([block.value])
    return _shown(corroborates(deposit, block.value, receipt.value, traced.value)) if isinstance(traced, Found) else _Word.SILENT


def _shown(is_shown: bool) -> _Word:
    return _Word.SHOWS if is_shown else _Word.DENIES
