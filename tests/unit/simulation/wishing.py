"""What chance has people wish for, as plain JSON: nothing here asks for anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, TypeAlias

import attrs

from custody_core import Wallet
from custody_core.domain.fees import GWEI
from tests.unit.simulation.mistakes import INTRUSIONS, MISTAKES
from tests.unit.simulation.operators import Operators
from tests.unit.simulation.requests import Intent

OWNERS: Final = ("alice", "bob", "carol")
WALLETS_MAX: Final = 5
INTENTS_MAX: Final = 400
FREEZES: Final = 0.02
OPERATED: Final = 0.02
CAPPED: Final = 0.2
"""The share of payments that name a cap of their own, which may be near the market."""
NAMED: Final = 0.15
"""The share of payments that have an external id, which may be another one's."""
TOGETHER_MAX: Final = 4

Wish: TypeAlias = list[Any]
"""What is asked for: its name, then the keys and numbers that it needs."""


@attrs.define
class Wishes:
    """Draws one after the other, of the wallets and payments that there are by then."""

    _chance: Random
    _token: str
    _operators: Operators
    _wallets: Mapping[str, Wallet]
    _intents: Mapping[str, Intent]
    _asked: int = 0

    def draw(self) -> Wish | None:
        """The next one."""
        chance = self._chance
        if len(self._wallets) < WALLETS_MAX and (not self._wallets or chance.random() < 0.1):
            self._asked += 1
            return ["wallet", f"wallet-{self._asked}", chance.choice(OWNERS)]
        if chance.random() < FREEZES:
            return ["freeze", chance.choice(list(self._wallets))]
        if chance.random() < OPERATED:
            return self._operators.draw(chance, sorted({wallet.owner_id or "" for wallet in self._wallets.values()}))
        kind = chance.choice(KINDS)
        if kind == "wrong":
            return [kind, f"wrong-{len(self._intents)}", chance.choice(list(self._wallets)), chance.choice(MISTAKES)]
        if kind == "intrude" and self._intents:
            return [kind, chance.choice(list(self._intents)[-5:]), chance.choice(INTRUSIONS)]
        if kind in DRAWN or not self._intents:
            return DRAWN.get(kind, Wishes._send)(self) if len(self._intents) < INTENTS_MAX else None
        if kind == "cancel":
            return [kind, chance.choice(list(self._intents)[-5:]), chance.choice((None, None, 20 * 10**9))]
        return [kind, chance.choice(list(self._intents)[-5 if kind == "speed up" else 0 :])]

    def _send(self) -> Wish:
        chance, number = self._chance, len(self._intents)
        key = chance.choice(list(self._wallets))
        others = [other for other in self._wallets if other != key]
        to = chance.choice(others) if others and chance.random() < 0.2 else number
        asset, amount = "eth", chance.choice((1, 10**15, 10**17, chance.randrange(1, 3 * 10**17)))
        kind = chance.random()
        if kind < 0.3:
            asset, amount = self._token, chance.randrange(1, 1_000)
        elif kind < 0.4:
            asset, amount = "approval", 0
        cap_wei = chance.choice((3, 6, 60)) * GWEI if chance.random() < CAPPED else None
        name = f"name-{chance.randrange(number + 1)}" if chance.random() < NAMED else None
        return ["send", f"send-{number}", key, to, asset, amount, cap_wei, name]

    def _call(self) -> Wish:
        chance = self._chance
        listed = [[chance.randrange(1, 9), chance.randrange(3)] for _ in range(chance.randrange(3))]
        return ["call", f"send-{len(self._intents)}", chance.choice(list(self._wallets)), chance.choice((7, 10**6, 10**7)), listed]

    def _several(self, kind: str) -> Wish:
        """Payments from one wallet, or from any, each as in the wish for one."""
        chance, number = self._chance, len(self._intents)
        wallet = chance.choice(list(self._wallets))
        drawn = [self._send()[1:6] for _ in range(chance.randrange(1, TOGETHER_MAX + 1))]
        sends = [send for send in drawn if send[3] != "approval"]
        for index, send in enumerate(sends):
            send[0] = f"send-{number + index}"
            send[1] = wallet if kind == "payouts" else send[1]
            send[2] = number + index if isinstance(send[2], int) or send[2] == send[1] else send[2]
        return [kind, f"{kind}-{number}", sends]


DRAWN: Final[Mapping[str, Callable[[Wishes], Wish]]] = {
    "send": Wishes._send,
    "call": Wishes._call,
    "together": lambda wishes: wishes._several("together"),
    "payouts": lambda wishes: wishes._several("payouts"),
}
KINDS: Final = (
    *("send",) * 8,
    *("cancel",) * 5,
    *("again", "other body", "speed up") * 2,
    *DRAWN,
    "wrong",
    "intrude",
)
"""What is asked for, as often as it stands here."""
