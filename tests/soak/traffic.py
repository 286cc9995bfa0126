"""Sending what strangers do, and deciding what becomes of it when its blocks leave the chain."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum

import attrs
from eth_utils.crypto import keccak

from tests.soak.acts import Act, Acts
from tests.soak.strangers import Stranger
from tests.support.devnode import DevNode, NodeError


class Fate(StrEnum):
    """What a reorganisation does to a transaction."""

    AGAIN = "again"
    """It is in the new branch, in whichever block."""
    LATER = "later"
    """It is sent again, and mined above the new branch."""
    REPLACED = "replaced"
    """Its sender spends the nonce on another payment."""
    LOST = "lost"
    """Nobody ever hears of it again."""


FATES = {Fate.AGAIN: 5, Fate.LATER: 2, Fate.REPLACED: 2, Fate.LOST: 1}


@attrs.frozen
class Sent:
    """What was signed."""

    act: Act
    stranger: Stranger
    raw: str


class Traffic:
    """Makes so many deposits and look-alikes that at least `deposits` and `lookalikes` of them end up in the chain. What a
    reorganisation loses for good is done again by somebody else.
    """

    def __init__(
        self,
        node: DevNode,
        acts: Acts,
        strangers: Iterator[Stranger],
        *,
        deposits: int,
        lookalikes: int,
        chance: random.Random,
    ) -> None:
        self._node, self._acts, self._strangers, self._chance = node, acts, strangers, chance
        self._deposits, self._lookalikes = deposits, lookalikes
        self._plan = deque(acts.planned(deposits=deposits, lookalikes=lookalikes))
        self._lock = threading.Lock()
        self._alive: dict[str, Sent] = {}
        self._later: list[str] = []
        self.fates: Counter[str] = Counter()

    @property
    def deposits(self) -> int:
        """How many there are, or are to be, in the chain."""
        return sum(each.act.pays for each in list(self._alive.values()))

    @property
    def lookalikes(self) -> int:
        """How many there are, or are to be, in the chain."""
        return sum(each.act.resembles for each in list(self._alive.values()))

    @property
    def is_left(self) -> bool:
        """Whether anything is still to be sent, as far as is known."""
        return bool(self._plan or self._later) or self.deposits < self._deposits or self.lookalikes < self._lookalikes

    def send(self, count: int) -> None:
        """The next few, and what a reorganisation has left to be sent again."""
        with self._lock:
            if not self._plan:
                deposits, lookalikes = self._deposits - self.deposits, self._lookalikes - self.lookalikes
                self._plan.extend(self._acts.planned(deposits=deposits, lookalikes=lookalikes))
            for _ in range(min(count, len(self._plan))):
                self._send(self._signed(self._plan.popleft(), next(self._strangers)))
            for raw in self._later:
                self._offer(raw)
            self._later.clear()

    def unmined(self) -> int:
        """Sends again what is in no block, as wallets do; how much of it there is."""
        missing = [(hash_, sent) for hash_, sent in list(self._alive.items()) if self._node.receipt(hash_) is None]
        for _, sent in missing:
            self._offer(sent.raw)
        return len(missing)

    def highest_block(self) -> int:
        """The height of the newest block that holds something of this."""
        receipts = [self._node.receipt(hash_) for hash_ in list(self._alive)]
        return max(int(each["blockNumber"], 16) for each in receipts if each)

    def mined_again(self, depth: int) -> list[tuple[str, int]]:
        """What the next branch of `depth` blocks holds of what the old one held, or in place of it."""
        with self._lock:
            head = self._node.head()
            blocks = [self._node.block(number) for number in range(head - depth + 1, head + 1)]
            ours = [hash_ for block in blocks for hash_ in block["transactions"] if hash_ in self._alive]
            return [(raw, self._chance.randrange(depth)) for hash_ in ours if (raw := self._decided(hash_)) is not None]

    def _decided(self, hash_: str) -> str | None:
        sent = self._alive[hash_]
        (fate,) = self._chance.choices(list(FATES), weights=list(FATES.values()))
        self.fates[fate] += 1
        match fate:
            case Fate.AGAIN:
                return sent.raw
            case Fate.LATER:
                self._later.append(sent.raw)
            case Fate.REPLACED:
                del self._alive[hash_]
                other = self._signed(self._acts.deposit() if sent.act.pays else self._acts.lookalike(), sent.stranger)
                if self._chance.random() < 0.5:
                    return self._kept(other)
                self._later.append(self._kept(other))
            case Fate.LOST:
                del self._alive[hash_]
                self._plan.append(sent.act)
        return None

    def _send(self, sent: Sent) -> None:
        self._kept(sent)
        self._node.raw("eth_sendRawTransaction", sent.raw)

    def _offer(self, raw: str) -> None:
        """Again. It may be in the pool, or in a block, be it one that is just being replaced: then `unmined` finds it."""
        with suppress(NodeError):
            self._node.raw("eth_sendRawTransaction", raw)

    def _kept(self, sent: Sent) -> str:
        self._alive[_hash_of(sent.raw)] = sent
        return sent.raw

    def _signed(self, act: Act, stranger: Stranger) -> Sent:
        return Sent(act, stranger, stranger.signed(self._node.chain_id, act))


def _hash_of(raw: str) -> str:
    return "0x" + keccak(hexstr=raw).hex()
