"""Asking a second node about every block before it is final to us (`CROSS_CHECK_MIN_WEI`).

Each stored block is read once more from each node alone, soon after it was saved, and compared with our books. Up to the first
block that two nodes do not show as our books have it, blocks may become final, and no further: whoever invented a payment invented
its block as well, and nothing that stands on that block may become irreversible. A deposit that only itself was kept back would
leave our final block on a branch which an honest node contradicts.

Where two nodes have that very block, and show it otherwise than our books, the books were misled: the blocks from there on are
taken back and read again, as soon as reading them comes out otherwise.

Two kinds of silence do not last for ever (`silence.py`). A block is done without a second word after some minutes when it holds
nothing large. And a large payment by a contract which two nodes show except for its trace is put aside for an operator, so that it
holds up nobody else.

Whatever the minimum, a block is not final to us while a node shows another one in its place, or none, unless two nodes show ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import assert_never

from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.chain import BlockRef, ChainState, Hash, Header
from custody_core.domain.corroboration import NODES_NEEDED, Sight, Unseen, Verdict, Word, is_shown_by_two, verdict, word
from custody_core.domain.deposit import Deposit
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.tokens import Asset
from custody_core.ports import Answer, BlockTag, Chain, Found, Unknown, Witness
from custody_core.services.disagreement import Disagreement
from custody_core.services.evidence import learn_addresses
from custody_core.services.kit import Kit
from custody_core.services.sights import Booked, SightReader, booked, deposits_only
from custody_core.services.silence import Silence

_TOLD_AFTER = timedelta(minutes=1)
"""How long a block waits until somebody is told: a second node may be a moment late."""

_READ_AGAIN_FIRST, _READ_AGAIN_MAX = timedelta(seconds=5), timedelta(hours=1)
"""How long it takes until the same block is read again for the same reason; each time twice as long. A node that goes on misleading
us by turns does not make blocks go and come back all the time.
"""

_KEEPS_UP_WITHIN = timedelta(minutes=5)
"""A node whose newest block is older than this stands still: what it does not have says nothing."""


class CrossCheck:
    """The cross-check of one chain. It holds in memory how far the nodes agree: whoever takes over asks them again."""

    def __init__(self, kit: Kit, chain: Chain, managed: ManagedAddresses) -> None:
        self._kit = kit
        self._chain = chain
        self._managed = managed
        self._sights = SightReader(kit, chain)
        self._disagreement = Disagreement(kit, chain.chain_id)
        self._agreed: BlockRef | None = None
        self._has_advanced = True
        self._disputed: tuple[BlockRef, frozenset[Hash]] | None = None
        self._silence = Silence()
        self._put_aside: dict[str, BlockRef] = {}
        self._read_again: dict[BlockRef, tuple[datetime, timedelta]] = {}

    @property
    def put_aside(self) -> Collection[str]:
        """The ids of deposits that no second node could trace for so long that their blocks may become final without it."""
        return self._put_aside.keys()

    def look(self, state: ChainState) -> int | None:
        """Asks the nodes about stored blocks that they were not agreed about yet, some at a time. The lowest of them that is to be
        read again, None where none is.
        """
        minimum_wei = self._kit.limits.cross_check_min_wei
        if minimum_wei is None:
            self._disagreement.end_unchecked()
            return None
        self._note(state)
        before = self._agreed = self._still_agreed(state)
        self._disputed = None
        blocks = self._next(before, state.cursor, minimum_wei)
        wrong = self._judge(blocks, self._seen(blocks)) if blocks else None
        self._has_advanced = self._agreed != before
        self._disagreement.settle(self._agreed)
        return wrong

    def final_number(self, state: ChainState, wanted: int) -> int:
        """The height up to `wanted` that may become final now. With a minimum set it is at most the stored cursor: a block is in
        the books before it is asked about.
        """
        if self._kit.limits.cross_check_min_wei is None:
            return wanted
        if self._disputed is not None and self._disputed[0].number <= wanted:  # above, it may be a fork that goes by itself
            self._disagreement.tell(*self._disputed)
        return max(min(wanted, self._still_agreed(state).number), state.final.number)

    def agreed(self, deposits: Sequence[Deposit]) -> bool:
        """Whether two nodes show each of `deposits` that they have to agree about."""
        minimum_wei = self._kit.limits.cross_check_min_wei
        if minimum_wei is None:
            return True
        by_block: dict[BlockRef, list[Deposit]] = {}
        for deposit in deposits:
            by_block.setdefault(deposit.block, []).append(deposit)
        blocks = [deposits_only(ref, each, minimum_wei=minimum_wei) for ref, each in by_block.items()]
        blocks = [each for each in blocks if each.large]
        if not blocks:
            return True
        recipients = {address_to_bytes(deposit.key.to) for each in blocks for deposit in each.large}
        managed = ManagedAddresses.exactly(recipients, sequence=0)
        seen = [self._sights.seen_by(witness, blocks, self._tokens(), managed) for witness in self._chain.witnesses]
        return all(
            is_shown_by_two(deposit, of_block)
            for block, of_block in zip(blocks, zip(*seen, strict=True), strict=True)
            for deposit in block.large
        )

    # Block by block

    def _note(self, state: ChainState) -> None:
        """Takes in how far the books have come. What is final is done with."""
        self._silence.note(state, self._kit.clock.now())
        final = state.final.number
        self._put_aside = {id_: block for id_, block in self._put_aside.items() if block.number > final}
        self._read_again = {block: again for block, again in self._read_again.items() if block.number > final}

    def _still_agreed(self, state: ChainState) -> BlockRef:
        """The newest block up to which the nodes agree, as far as it still is ours and was not taken back."""
        agreed = self._agreed
        if agreed is None or agreed.number <= state.final.number:
            return state.final
        if agreed.number > state.cursor.number:
            return state.final
        stored = self._kit.read(lambda unit: unit.canonical_hashes(state.chain_id, [agreed.number]))
        return agreed if stored.get(agreed.number) == agreed.hash else state.final

    def _next(self, agreed: BlockRef, cursor: BlockRef, minimum_wei: int) -> list[Booked]:
        """The next blocks to ask about. After a round that came to nothing it is one: the others would be asked about in vain."""
        count = self._kit.limits.blocks_per_commit_max if self._has_advanced else 1
        first, last = agreed.number + 1, min(agreed.number + count, cursor.number)
        if first > last:
            return []
        return self._kit.read(lambda unit: booked(unit, self._chain.chain_id, first, last, minimum_wei=minimum_wei))

    def _seen(self, blocks: Sequence[Booked]) -> Mapping[Hash, list[Sight | Unseen]]:
        """What each node shows of each of `blocks`. A third one is asked only about what two did not show as it is."""
        learn_addresses(self._kit, self._managed)
        tokens = self._tokens()
        seen: dict[Hash, list[Sight | Unseen]] = {each.block.hash: [] for each in blocks}
        for witness in self._chain.witnesses:
            left = [each for each in blocks if _verdict(each, seen[each.block.hash]) is not Verdict.AGREED]
            if not left:
                break
            for each, sight in zip(left, self._sights.seen_by(witness, left, tokens, self._managed), strict=True):
                seen[each.block.hash].append(sight)
        return seen

    def _judge(self, blocks: Sequence[Booked], seen: Mapping[Hash, list[Sight | Unseen]]) -> int | None:
        """Moves on over `blocks`, up to the first that has to wait; its number where it is to be read again now."""
        now = self._kit.clock.now()
        verdicts = [_verdict(each, seen[each.block.hash]) for each in blocks]
        for each, said in zip(blocks, verdicts, strict=True):  # those above the first that waits have begun to wait as well
            self._silence.asked(each.block, now, is_lacking=said in {Verdict.OPEN, Verdict.UNTRACED})
        for each, said in zip(blocks, verdicts, strict=True):
            sights = seen[each.block.hash]
            if said is Verdict.OPEN:
                self._silence.goes_on(now)
            else:
                self._silence.ends()
            match said:
                case Verdict.AGREED:
                    for deposit in each.large:
                        self._put_aside.pop(deposit.id, None)
                case Verdict.OPEN if not each.large and self._silence.is_waited_out(each.block, now):
                    self._trouble(each, "is compared with no second node; nothing large is in it, so it is done without")
                case Verdict.UNTRACED if self._silence.is_trace_waited_out(each.block, each.untraced, now):
                    # From now on the block may become final, and its untraced deposits are quarantined in that commit.
                    self._put_aside |= {deposit.id: each.block for deposit in each.untraced}
                case Verdict.WRONG:
                    return self._wrong(each, sights, now)
                case Verdict.CONTRADICTED:
                    self._disputed = each.block, _in_question(each, sights)
                    return None
                case Verdict.OPEN | Verdict.UNTRACED:
                    self._tell_waiting(each, now)
                    return None
                case _:
                    assert_never(said)
            self._agreed = each.block
        return None

    def _wrong(self, block: Booked, sights: Sequence[Sight | Unseen], now: datetime) -> int | None:
        """Its number where it is to be read again. Nothing is taken back to be read as wrong as before."""
        due, waited = self._read_again.get(block.block, (now, _READ_AGAIN_FIRST / 2))
        is_otherwise = now >= due and word(block.sight, self._sights.seen_now(block, self._tokens(), self._managed)) is Word.DENIES
        if block.block in self._read_again or not is_otherwise:
            self._disputed = block.block, _in_question(block, sights)
        if not is_otherwise:
            return None
        wait = min(2 * waited, _READ_AGAIN_MAX)
        self._read_again[block.block] = now + wait, wait
        return block.block.number

    def _tell_waiting(self, block: Booked, now: datetime) -> None:
        if self._silence.lasts(block.block, now) >= _TOLD_AFTER:
            self._trouble(block, "is not shown whole by a second node yet, so nothing is final from there on")

    def _trouble(self, block: Booked, what: str) -> None:
        self._kit.observer.trouble("cross-check-waiting", f"block {block.block.number} {what}")

    def _tokens(self) -> list[Asset]:
        return [token.asset for token in self._kit.read(lambda unit: unit.tokens(self._chain.chain_id))]

    # Whatever the minimum

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


def _is_of(answer: Answer[Header], ref: BlockRef) -> bool:
    return isinstance(answer, Found) and answer.value.hash == ref.hash


def _verdict(block: Booked, sights: Sequence[Sight | Unseen]) -> Verdict:
    return verdict([word(block.sight, each) for each in sights])


def _in_question(block: Booked, sights: Sequence[Sight | Unseen]) -> frozenset[Hash]:
    """The transactions that some show and others do not, or show otherwise; what contracts paid only where it was asked for."""
    ours = block.sight
    found: set[Hash] = set()
    for each in sights:
        if isinstance(each, Sight):
            found |= {key.transaction_hash for key in (each.payments ^ ours.payments) | (ours.internal - each.internal)}
            found |= {hash_ for hash_, *_ in (each.outcomes ^ ours.outcomes) | (each.taken ^ ours.taken)}
    return frozenset(found)


def hashes_shown(chain: Chain, number: int) -> list[Hash]:
    """The hash of the block at that height by each node that shows one."""
    answers = [answer for witness in chain.witnesses for answer in witness.blocks([number])]
    return [answer.value.header.hash for answer in answers if isinstance(answer, Found)]
