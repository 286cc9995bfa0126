"""What a rehearsal plays with: nodes that say what they are told to, a signer that may be away, and a gate that strikes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs

from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.domain.authorisation import Authorised
from custody_core.domain.chain import Block, BlockRef, Hash, Header, Receipt
from custody_core.domain.wallet import SealedKey
from custody_core.errors import SignerUnavailable
from custody_core.ports import Answer, BlockTag, Doubt, Found, SignedBytes, SignedTransaction, Unknown, no_doubt
from custody_memory.blocks import MinedBlock
from custody_memory.chain import SILENCE
from tests.unit.simulation import keys
from tests.unit.simulation.gate import Fate, Killed
from tests.unit.simulation.views import View, doubted
from tests.unit.simulation.virtual_time import MICROSECONDS, VirtualTime

T = TypeVar("T")

FRIEND: Final = address_from_bytes(b"\xee" * 20)
"""Whom the workflows pay."""


def with_one_changed(block: Block, hash_: Hash, **changes: object) -> Block:
    """The block as a node shows it that says something else of one of its transactions."""
    shown = [attrs.evolve(each, **changes) if each.hash == hash_ else each for each in block.transactions]  # type: ignore[arg-type]
    return attrs.evolve(block, transactions=shown)


@attrs.define
class PlannedView(View):
    """A node that says of blocks and receipts what it is told to say, as long as that is set."""

    says_of_block: Callable[[Block], Block] | None = None
    says_of_receipt: Callable[[Receipt], Receipt] | None = None
    says_of_final: Callable[[Header], Header] | None = None
    says_of_balance: Callable[[int], int | None] | None = None
    """None where it does not say."""
    shows_bytes: bool = True

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The header on its own branch."""
        answer, say = super().header(at), self.says_of_final
        return Found(say(answer.value)) if say and at is BlockTag.FINALIZED and isinstance(answer, Found) else answer

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """Of its own branch."""
        if (say := self.says_of_receipt) is None:
            return super().receipts(transaction_hashes, doubt=doubt)
        answers = super().receipts(transaction_hashes)
        return [doubted(say(each.value), doubt) if isinstance(each, Found) else each for each in answers]

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """At exactly that block."""
        answers, say = super().balances(holders, at), self.says_of_balance
        if say is None:
            return answers
        said = [say(each.value) if isinstance(each, Found) else None for each in answers]
        return [Unknown(SILENCE) if each is None else Found(each) for each in said]

    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[SignedBytes]]:
        """What was signed."""
        return super().signed_transactions(hashes) if self.shows_bytes else [Unknown(SILENCE)] * len(hashes)

    def _shown(self, mined: MinedBlock) -> Block:
        block = super()._shown(mined)
        return self.says_of_block(block) if self.says_of_block else block


class PlannedTrouble:
    """What goes wrong with the nodes: for each kind, what its next chances come to, None where nothing does."""

    def __init__(self) -> None:
        self.plan: defaultdict[str, list[Any]] = defaultdict(list)

    def roll(self, kind: str) -> bool:
        """Whether that kind strikes now."""
        return self.strike(kind, lambda: True) is not None

    def strike(self, kind: str, draw: Callable[[], T]) -> T | None:  # noqa: ARG002  it is planned
        """How that kind strikes now."""
        return self.plan[kind].pop(0) if self.plan[kind] else None


class Gone(PlannedTrouble):
    """The node answers nothing."""

    def roll(self, kind: str) -> bool:
        """Whether that kind strikes now."""
        return kind == "node-silent"


class FickleSigner(keys.FakeCurveKeys):
    """Keys whose machine may be away."""

    is_away = False

    def sign(self, authorised: Authorised, key: SealedKey) -> SignedTransaction:
        """As long as it is there."""
        if self.is_away:
            raise SignerUnavailable("the signer does not answer")
        return super().sign(authorised, key)


class StrikingGate:
    """Counts the calls that pass once it is armed, and strikes at some of them."""

    def __init__(self, time: VirtualTime, strikes: Mapping[int, Fate]) -> None:
        self._time = time
        self._strikes = strikes
        self._is_dead = False
        self.is_armed = False
        self.landed = 0
        """How many of the strikes came to something: a process that does less after the first may never meet the second."""
        self.calls: list[str] = []
        self.meanwhile: dict[str, Callable[[], None]] = {}
        """What somebody else does just before the next call of that name."""

    def enter(self, call: str) -> Fate:
        """The call's fate."""
        if self._is_dead:
            raise Killed
        if call in self.meanwhile:
            self.meanwhile.pop(call)()
        if not self.is_armed:
            return Fate.DONE
        self.calls.append(call)
        fate = self._strikes.get(len(self.calls), Fate.DONE)
        if fate is Fate.KILLED_BEFORE:
            self.landed += 1
            self.die()
        return fate

    def leave(self, fate: Fate) -> None:
        """Dies here, if that is the fate."""
        self.landed += fate is not Fate.DONE
        if fate is Fate.KILLED_AFTER:
            self.die()

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self._time.us += int(seconds * MICROSECONDS)

    def die(self) -> None:
        """Dies now."""
        self._is_dead = True
        raise Killed

    def live_again(self) -> None:
        """The next process passes the same gate."""
        self._is_dead = False
