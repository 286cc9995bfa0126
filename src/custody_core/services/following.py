"""Following one chain: what to read next, and when to stand still.

One process leads per chain (a lease); the chain row's version fences it, so that a leader that was paused cannot save over its
successor.

A round asks the node for its final block, its head and the blocks after our cursor, and then does one of four things:

* the blocks link to the cursor: reads all that they need (traces, receipts, logs), and commits them as one (`ingest.py`);
* they do not link: finds the newest header that we and the node agree on, and takes back what lies above it;
* the node disagrees at or below our final block: halts the chain; nothing is reversed by itself;
* anything is unknown, contradictory or behind us: does nothing, and asks again next round. A block that cannot be read whole
  stops the cursor; it is never skipped. Where that lasts, a person is told (`stalling.py`). What contracts paid is the one thing
  that a block may be read without (`tracing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import attrs

from custody_core.domain.chain import (
    Block,
    BlockRef,
    ChainState,
    Header,
    common_ancestor,
    final_number,
    links,
)
from custody_core.domain.corroboration import NODES_NEEDED
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.tokens import Asset
from custody_core.errors import Conflict
from custody_core.ports import Answer, BlockTag, Found, Unit, Unknown
from custody_core.services.cross_check import CrossCheck, hashes_shown
from custody_core.services.evidence import EvidenceReader, learn_addresses
from custody_core.services.finality import FinalityWatch
from custody_core.services.ingest import Ingest
from custody_core.services.kit import Kit, lease_of, raise_alarm, record_audit
from custody_core.services.outgoing import ContradictoryReceipt, ForgedSender, StrangersSeen
from custody_core.services.stalling import StallWatch
from custody_core.services.tracing import TraceReader


class Round(StrEnum):
    """What one round came to."""

    NOT_LEADING = "not-leading"
    HALTED = "halted"
    WAITING = "waiting"
    IDLE = "idle"
    ADVANCED = "advanced"
    REWOUND = "rewound"


class Follower:
    """Follows one chain. Keeps the managed addresses in memory between rounds; everything else is in the store."""

    def __init__(self, kit: Kit, chain_id: int, *, holder: str) -> None:
        self._kit = kit
        self._chain = kit.chain(chain_id)
        self._holder = holder
        self._traces = TraceReader(kit, self._chain, gives_up=True)
        self._evidence = EvidenceReader(kit, self._chain)
        self._managed = ManagedAddresses()
        self._cross_check = CrossCheck(kit, self._chain, self._managed)
        self._finality = FinalityWatch(kit, chain_id)
        self._stall = StallWatch(kit, chain_id)
        self._waits_for = ""
        self._last_ends: tuple[Header | None, Header | None] = None, None
        self._has_led = False

    def follow(self) -> Round:
        """Rounds until the head is reached or nothing can be done; what the last one came to."""
        while (outcome := self.round()) in {Round.ADVANCED, Round.REWOUND}:
            pass
        return outcome

    def round(self) -> Round:
        """One step forward or back, in one commit."""
        state = self._lead()
        if state is None:
            self._traces.forget()
            return Round.NOT_LEADING
        if state.halted_reason is not None:
            return Round.HALTED
        try:
            outcome = self._step(state)
        except Conflict:
            # Another thread of ours, or a successor, moved the chain's row meanwhile: it leads, and nothing of this round was kept.
            self._kit.observer.trouble(Conflict.code, f"eip155:{self._chain.chain_id}: somebody else leads")
            return Round.NOT_LEADING
        except Exception as problem:
            self._stall.stands(state.cursor, f"it fails with {type(problem).__name__}")  # its text may hold anything
            raise
        if outcome is Round.WAITING:
            self._stall.stands(state.cursor, self._waits_for)
        elif outcome is not Round.HALTED:
            self._stall.goes_on()
        return outcome

    def step_down(self) -> None:
        """Ends our lease now, where we had one; another's is left alone."""
        now = self._kit.clock.now()
        if self._has_led:
            self._kit.write(lambda unit: unit.take_lease(self._lease, holder=self._holder, now=now, until=now))
        self._has_led = False

    @property
    def _lease(self) -> str:
        return lease_of(self._chain.chain_id)

    def _lead(self) -> ChainState | None:
        now = self._kit.clock.now()
        until = now + self._kit.limits.lease

        def work(unit: Unit) -> tuple[bool, ChainState | None]:
            leads = unit.take_lease(self._lease, holder=self._holder, now=now, until=until)
            return leads, unit.chain(self._chain.chain_id) if leads else None

        leads, state = self._kit.write(work)
        self._has_led = self._has_led or leads
        return state

    def _step(self, state: ChainState) -> Round:
        if (below_wrong := self._below_wrong(state)) is not None:
            return self._go_back(state, below_wrong)
        tip, final = self._ends(state)
        if tip is None:
            return self._wait("the node does not say where its head is")
        if tip.number <= state.cursor.number:
            return self._at_or_behind(state, tip, final)
        self._stall.is_below(state.cursor, tip.number)
        last = min(tip.number, state.cursor.number + self._kit.limits.blocks_per_commit_max)
        answers = self._chain.blocks(range(state.cursor.number + 1, last + 1))
        blocks = self._linked(state.cursor, answers)
        if blocks is None:
            return self._rewind(state)
        if not blocks:
            return self._wait(f"the node does not show the next block{_because(answers[0])}")
        return self._commit(state, blocks, tip, final)

    def _ends(self, state: ChainState) -> tuple[Header | None, Header | None]:
        """The node's head, and its final block where it says. They are not asked for again after a round that went forward while
        more blocks than one commit takes are known to lie ahead: nothing becomes final before we are there.
        """
        (known, final), self._last_ends = self._last_ends, (None, None)
        if known is None or known.number - state.cursor.number <= self._kit.limits.blocks_per_commit_max:
            head, tagged = self._ask_for_ends()
            known, final = (answer.value if isinstance(answer, Found) else None for answer in (head, tagged))
        return known, final

    def _ask_for_ends(self) -> tuple[Answer[Header], Answer[Header] | None]:
        """The second is None where a depth says what is final."""
        if self._kit.limits.confirmations.get(self._chain.chain_id) is not None:
            return self._chain.header(BlockTag.LATEST), None
        return self._chain.ends()

    def _at_or_behind(self, state: ChainState, tip: Header, final: Header | None) -> Round:
        """The node's head is not above our cursor: the same block, an older one that we know (it is late), or another branch."""
        known = self._kit.read(lambda unit: unit.headers(self._chain.chain_id, first=tip.number, last=tip.number))
        if not known or known[0].hash != tip.hash:
            return self._rewind(state)
        if self._final_ref(state, [], final) == state.final:
            return Round.IDLE
        return self._commit(state, [], tip, final)

    def _linked(self, cursor: BlockRef, answers: Sequence[Answer[Block]]) -> list[Block] | None:
        """The blocks that were found and link on from `cursor`, up to the first that was not; None when the first is of
        another branch.
        """
        blocks: list[Block] = []
        for answer in answers:
            if not isinstance(answer, Found):
                break
            block = answer.value
            if not links(cursor, block.header):
                return blocks or None
            blocks.append(block)
            cursor = block.header.ref
        return blocks

    def _commit(self, state: ChainState, blocks: Sequence[Block], tip: Header, final: Header | None) -> Round:
        """Reads what the blocks need and saves them with all that follows from them. Again, where an address was born or a token
        listed meanwhile.
        """
        traced = self._traces.read(blocks)
        if blocks and not traced:
            return self._wait(
                f"the node does not tell yet what contracts paid in block {blocks[0].header.number}: {self._traces.why}"
            )
        while True:
            tokens = self._tokens()
            learn_addresses(self._kit, self._managed)
            evidence, managed = self._evidence.read(traced, tokens, self._managed)
            if blocks and not evidence:
                why = self._evidence.why or "what the node shows of it is not all there, or does not fit"
                return self._wait(f"block {blocks[0].header.number} cannot be read whole yet: {why}")
            read = [each.matches.block for each in evidence]
            advanced = attrs.evolve(
                state,
                cursor=read[-1].header.ref if read else state.cursor,
                final=self._final_ref(state, [block.header for block in read], final),
                version=state.version + 1,
            )
            ingest = Ingest(
                self._kit,
                managed,
                {asset.key: asset for asset in tokens},
                state=advanced,
                evidence=evidence,
                uncorroborated=self._cross_check.put_aside,
            )
            saved = self._save(ingest, advanced.cursor)
            if isinstance(saved, Unknown):
                return self._wait(saved.reason)
            if saved:
                ingest.outgoing.wake_overlooked()
                self._kit.observer.progress(f"chain eip155:{state.chain_id}", done=advanced.cursor.number, total=tip.number)
                if advanced.cursor.number < tip.number:
                    self._last_ends = tip, final
                    return Round.ADVANCED
                self._finality.look(advanced)
                # At the head there is nothing to ask again for: what came meanwhile is the next turn's.
                return Round.IDLE

    def _save(self, ingest: Ingest, newest: BlockRef) -> bool | Unknown:
        """Whether it was saved: False where an address was born meanwhile. `Unknown` where the node lacks what it takes.

        What somebody else sent from an address of ours stops a wallet, so one node of several does not get to say it alone.
        """
        while True:
            try:
                return self._kit.write(ingest.run)
            except StrangersSeen as seen:
                if self._cross_check.is_contradicted(newest):
                    return Unknown(f"one node alone shows {', '.join(seen.hashes)}, sent from addresses of ours")
                signed = self._evidence.signed(seen.hashes)
                if signed is None:
                    return Unknown(f"the node does not show {', '.join(seen.hashes)}, sent from addresses of ours")
                ingest.outgoing.take_bytes(signed)
            except ContradictoryReceipt as problem:
                return Unknown(f"the receipt of {problem} says that it cost more than it may")
            except ForgedSender as problem:
                return Unknown(f"the node says that an address of ours sent {problem}, and its bytes say otherwise")

    def _rewind(self, state: ChainState) -> Round:
        """Takes back what lies above the newest block that we and the node agree on; halts when that would be below the final
        one.
        """
        chain_id = self._chain.chain_id
        stored = self._kit.read(lambda unit: unit.headers(chain_id, first=state.final.number, last=state.cursor.number))
        answers = self._chain.headers([header.number for header in stored])
        if not isinstance(answers[0], Found) or any(isinstance(answer, Unknown) for answer in answers):
            return self._wait("the node does not show all of the blocks that may have to be taken back")
        canonical = {answer.value.number: answer.value.hash for answer in answers if isinstance(answer, Found)}
        ancestor = common_ancestor(stored, canonical)
        if ancestor is None:
            return self._halt(state, canonical[state.final.number])
        if ancestor.number == state.cursor.number:
            return self._wait("the node contradicts itself about our newest block")
        return self._go_back(state, ancestor)

    def _below_wrong(self, state: ChainState) -> Header | None:
        """The block below the lowest that the nodes show otherwise than our books have it."""
        number = self._cross_check.look(state)
        return None if number is None else self._stored(number - 1)

    def _go_back(self, state: ChainState, ancestor: Header) -> Round:
        rewound = attrs.evolve(state, cursor=ancestor.ref, version=state.version + 1)
        ingest = Ingest(self._kit, self._managed, {}, state=rewound, evidence=())
        self._kit.write(lambda unit: ingest.take_back(unit, state.cursor))
        return Round.REWOUND

    def _halt(self, state: ChainState, seen: str) -> Round:
        """Stops following and sending until a person has looked. One node's word is not enough where there are several."""
        if len(self._chain.witnesses) >= NODES_NEEDED:
            shown = hashes_shown(self._chain, state.final.number)
            if len(shown) - shown.count(state.final.hash) < NODES_NEEDED:
                return self._wait(f"one node shows another final block {state.final.number} than ours, and no second one does")
        reason = f"final block {state.final.number} is {state.final.hash} in our books and {seen} on the node"
        halted = attrs.evolve(state, halted_reason=reason, version=state.version + 1)

        def work(unit: Unit) -> None:
            now = self._kit.clock.now()
            unit.save_chain(halted)
            object_id = f"eip155:{state.chain_id}"
            record_audit(
                self._kit, unit, now=now, actor="system", action="chain.halted", object_id=object_id, detail={"reason": reason}
            )
            raise_alarm(self._kit, unit, now=now, code="finality-breached", object_id=object_id, detail=reason)

        self._kit.write(work)
        return Round.HALTED

    def _final_ref(self, state: ChainState, new: Sequence[Header], tagged: Header | None) -> BlockRef:
        """Our final block after `new`: never backward, and only one that the node agrees with by hash.

        A tag above our cursor finalises nothing yet: the node that set it may have another branch between there and here. While
        catching up, finality therefore comes when the tag is reached.
        """
        cursor = new[-1].ref if new else state.cursor
        depth = self._kit.limits.confirmations.get(self._chain.chain_id)
        number = final_number(tagged=tagged.number if tagged else None, head=cursor.number, confirmations=depth)
        if number is None or number <= state.final.number:
            return state.final
        if number > cursor.number:
            return state.final
        ours = next((header for header in reversed(new) if header.number == number), None) or self._stored(number)
        if ours is None:
            return state.final
        if tagged is not None and tagged.number == number and tagged.hash != ours.hash:
            self._kit.observer.trouble("node-disagreement", f"block {number} is final as {tagged.hash}, and {ours.hash} to us")
            return state.final
        return self._agreed_on(state, ours)

    def _agreed_on(self, state: ChainState, wanted: Header) -> BlockRef:
        """The newest block up to `wanted` that may be final as far as the nodes agree about it, and about what is in the blocks."""
        number = self._cross_check.final_number(state, wanted.number)
        agreed = wanted if number == wanted.number else self._stored(number)
        if agreed is None or agreed.number <= state.final.number:
            return state.final
        if self._cross_check.is_contradicted(agreed.ref):
            self._kit.observer.trouble("node-disagreement", f"a node shows another block {agreed.number} than {agreed.hash}")
            return state.final
        return agreed.ref

    def _stored(self, number: int) -> Header | None:
        found = self._kit.read(lambda unit: unit.headers(self._chain.chain_id, first=number, last=number))
        return found[0] if found else None

    def _tokens(self) -> list[Asset]:
        return [token.asset for token in self._kit.read(lambda unit: unit.tokens(self._chain.chain_id))]

    def _wait(self, why: str) -> Round:
        self._waits_for = why
        self._kit.observer.trouble("chain-waiting", f"eip155:{self._chain.chain_id}: {why}")
        return Round.WAITING


def _because(answer: Answer[Block]) -> str:
    return f": {answer.reason}" if isinstance(answer, Unknown) else ""
