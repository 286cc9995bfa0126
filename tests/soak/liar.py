"""A node that lies: a proxy before an honest one, whose mood changes by seeded chance."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.soak.branches import Branch, Invention, newest
from tests.soak.moods import Broken, Elsewhere, Forgetful, Forging, Generous, Hasty, Honest, Mood, Stubborn
from tests.soak.starting import FINAL_DEPTH
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Fault

MOODS = {
    "honest": 8,
    "forgetful": 3,
    "broken": 1,
    "hasty": 2,
    "forging": 2,
    "generous": 2,
    "late": 3,
    "inventing": 3,
    "stubborn": 1,
}
"""By their weights. One that is broken is soon left alone, and then has nobody to lie to."""

OF_A_BRANCH = frozenset({"late", "inventing", "stubborn"})

MOOD_S = (0.5, 6.0)
"""How long a mood lasts."""

OWN_BRANCH_BLOCKS = (FINAL_DEPTH + 2, 2 * FINAL_DEPTH)
"""How long a branch of its own gets, at the speed of the chain: some of it is old enough to be final."""


class LyingProxy(FaultProxy):
    """Before `node`. `told` counts the lies by kind."""

    def __init__(
        self, node: DevNode, *, wallets: Sequence[str], token: str, amount_wei: int, block_time_s: float, chance: random.Random
    ) -> None:
        super().__init__(node.rpc_url, remembers=False)
        self._node, self._chance, self._block_time_s = node, chance, block_time_s
        self._wallets, self._token, self._amount_wei = wallets, token, amount_wei
        self._mood_lock = threading.Lock()
        self._mood: Mood = Honest()
        self._mood_ends_s = 0.0
        self._is_lying = False
        self.told: Counter[str] = Counter()

    def be_a_liar(self) -> None:
        """From now on."""
        self._is_lying = True

    def be_honest(self) -> None:
        """From now on."""
        self._is_lying = False

    def faults_for(self, method: str, params: list[Any]) -> tuple[Fault, ...]:
        """What befalls one call."""
        if not self._is_lying:
            return ()
        with self._mood_lock:
            if time.monotonic() > self._mood_ends_s:
                self._mood, lasts_s = self._next_mood()
                self._mood_ends_s = time.monotonic() + lasts_s
            lie = self._mood.lie(method, params)
            if lie is None:
                return ()
            self.told[lie[0]] += 1
            return (lie[1],)

    def _next_mood(self) -> tuple[Mood, float]:
        """And for how many seconds it lasts."""
        (name,) = self._chance.choices(list(MOODS), weights=list(MOODS.values()))
        lasts_s = self._chance.uniform(*MOOD_S)
        branch = newest(self._node, FINAL_DEPTH) if name in OF_A_BRANCH else None
        match name, branch:
            case "forgetful", None:
                return Forgetful(self._chance), lasts_s
            case "broken", None:
                return Broken(self._chance), lasts_s
            case "hasty", None:
                return Hasty(self._node), lasts_s
            case "forging", None:
                return Forging(self._wallets, self._token, self._chance), lasts_s
            case "generous", None:
                return Generous(), lasts_s
            case "late", Branch():
                return Elsewhere("another fork", branch), lasts_s
            case "inventing", Branch():
                return self._inventing(branch), lasts_s
            case "stubborn", Branch():
                return self._stubborn(branch), self._chance.uniform(*OWN_BRANCH_BLOCKS) * self._block_time_s
            case _:
                return Honest(), lasts_s

    def _inventing(self, branch: Branch) -> Mood:
        pays = self._chance.random() < 0.7
        below = max(branch.top - self._chance.randint(0, 4), min(branch.blocks))
        count, is_final = self._chance.randint(5, 9), self._chance.random() < 0.5
        invented = branch.with_invented(below, count, self._invention(pays=pays), is_final=is_final)
        return Elsewhere("invented deposits" if pays else "invented blocks", invented)

    def _stubborn(self, branch: Branch) -> Mood:
        """It pays nobody: a payment would keep it from becoming final."""
        mined = branch.with_invented(branch.top, OWN_BRANCH_BLOCKS[1] + 2, self._invention(pays=False), is_final=False)
        return Stubborn(self._node, mined, branch.top, self._block_time_s)

    def _invention(self, *, pays: bool) -> Invention:
        return Invention(self._wallets, self._token, self._amount_wei, self._chance, pays=pays)
