"""Reading what contracts paid, as a part of a block's evidence.

Rules of this file

1. A block whose traces no node has is read without them where the setting allows it, and a person is told: from there on, internal
   transfers end in suspense, until blocks are told of again. Then the block after the last that was read without is named, too.
2. A block whose traces are unknown is waited for, since a payment in it may be ours. But anybody can make a block take a node too
   long, which must not hold up every deposit: a follower's patience ends (`patience.py`).
3. Once it has given up on a block, it asks about the next one alone. If that is told, all is as before. If not, that one is not
   waited for either; and after some such in a row, the node is taken for one that tells nothing for now.
4. The alarm lasts until every block has been told of for an hour. Where blocks of which nothing comes stand between others, a
   person is told once and not of each; again only of one below the first that was named, which a reorganisation brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from custody_core.domain.chain import Block, Hash, InternalTransfer
from custody_core.domain.resources import chain_text
from custody_core.ports import Absent, Answer, Chain, Found, Unknown
from custody_core.services.kit import Kit, Traces
from custody_core.services.lasting_alarms import LastingAlarm
from custody_core.services.patience import Patience

MISSING = "traces-missing"
"""What the observer is told; and the alarm, where traces are missing that could be expected."""

OVER_AFTER: Final = timedelta(hours=1)
"""So long must every block have been told of before the alarm is cleared."""

IN_A_ROW_MAX: Final = 3
"""After giving up on so many blocks in a row, others are read without traces that were not asked about."""

Paid = Sequence[InternalTransfer]


class TraceReader:
    """The internal transfers of one chain's blocks, as the setting wants them. `gives_up`: for whoever cannot wait for ever."""

    def __init__(self, kit: Kit, chain: Chain, *, gives_up: bool = False) -> None:
        self._kit = kit
        self._chain = chain
        self._wanted = kit.limits.traces.get(chain.chain_id, Traces.AUTO)
        self._alarm = LastingAlarm(kit, MISSING, chain.chain_id) if gives_up else None
        self._is_told = False
        self._has_shown = False
        self._given_up: set[Hash] = set()
        self._patience = Patience(kit.clock)
        self._may_be_raised = True
        self._told_since: tuple[int, datetime] | None = None
        self.why = ""
        """Why the last block that was not read was not."""
        self.without = 0
        """How many blocks with transactions were last read without traces."""

    def read(self, blocks: Sequence[Block]) -> list[tuple[Block, Paid]]:
        """Each block with its internal transfers, up to the first of which the node should tell and does not. Nobody is asked about
        a block without transactions.
        """
        self.without = 0
        if self._wanted is Traces.OFF:
            self.without = sum(len(block.transactions) > 0 for block in blocks)
            self._end_alarm("nobody is asked what contracts pay any more (TRACES=off)")
            return [(block, ()) for block in blocks]
        asked = [block for block in blocks if block.transactions]
        answers = self._answers(asked)
        read: list[tuple[Block, Paid]] = []
        for block in blocks:
            match answers.get(block.header.hash, Found(())):
                case Found(value=transfers):
                    self._shown(block)
                    read.append((block, transfers))
                case Absent() if self._wanted is Traces.AUTO:
                    self._given_up.clear()
                    self._go_without(block, is_expected=self._has_shown)
                    read.append((block, ()))
                case Unknown(reason=reason) if self._is_given_up(block, is_first=not read):
                    self._give_up(block)
                    self._go_without(block, is_expected=True, why=reason)
                    read.append((block, ()))
                case answer:
                    self.why = answer.reason if isinstance(answer, Unknown) else "no node offers its traces"
                    break
        return read

    def _answers(self, asked: Sequence[Block]) -> Mapping[Hash, Answer[Paid]]:
        """By block. After giving up on one, the others are asked about only if the next one is told."""
        if not asked:
            return {}
        told = list(self._chain.internal_transfers(asked[:1] if self._given_up else asked))
        if self._given_up and not isinstance(told[0], Unknown):
            told += self._chain.internal_transfers(asked[1:]) if asked[1:] else ()
        told += [Unknown("was not asked")] * (len(asked) - len(told))
        return dict(zip([block.header.hash for block in asked], told, strict=True))

    def _is_given_up(self, block: Block, *, is_first: bool) -> bool:
        if self._alarm is None or self._wanted is not Traces.AUTO:
            return False
        if self._given_up:
            return is_first or len(self._given_up) >= IN_A_ROW_MAX
        if not is_first:
            return False
        return self._patience.is_over(block.header.hash)

    def _give_up(self, block: Block) -> None:
        """One that is read again, because nothing came of the last reading, is not another one in the row."""
        if len(self._given_up) < IN_A_ROW_MAX:
            self._given_up.add(block.header.hash)

    def forget(self) -> None:
        """Somebody else may have read blocks meanwhile."""
        self._given_up.clear()
        self._may_be_raised, self._told_since = True, None

    def _shown(self, block: Block) -> None:
        if not block.transactions:
            return
        self._has_shown, self._is_told = True, False
        self._given_up.clear()
        self._patience.was_told(block.header.hash)
        now = self._kit.clock.now()
        self._told_since = first, since = self._told_since or (block.header.number, now)
        if now - since >= OVER_AFTER:
            self._end_alarm(f"all blocks from {first} on are told of; some before it, from the one that the alarm named, are not")

    def _end_alarm(self, why: str) -> None:
        if self._alarm is not None and self._may_be_raised:
            self._alarm.end(why)
        self._may_be_raised = False

    def _go_without(self, block: Block, *, is_expected: bool, why: str = "no node has them") -> None:
        number, chain = block.header.number, chain_text(self._chain.chain_id)
        self._told_since = None
        self.without += 1
        if self._alarm is not None and is_expected:
            self._may_be_raised = True
            self._alarm.begin(
                f"what contracts paid in block {number} is not known ({why}), so it ends in suspense there; read the block again "
                "from a node that tells it",
                mark=str(number),
                tells_more=lambda first: number < int(first),
            )
        if not self._is_told:
            self._kit.observer.trouble(
                MISSING,
                f"{chain}: no node tells what contracts paid in block {number}; "
                "while that is so, internal transfers are not credited but end in suspense",
            )
        self._is_told = True
