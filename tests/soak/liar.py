"""A node that lies: a proxy before an honest one, whose mood changes by seeded chance."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from tests.soak.branches import Branch, Invention, newest
from tests.soak.starting import FINAL_DEPTH
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import DropRequest, Edit, Error, Fault, ForwardThenDropReply, Http, Null, Truncate, without_logs

MOOD_S = (0.5, 6.0)
"""How long a mood lasts."""

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

LOGS = frozenset({"eth_getLogs", "eth_getTransactionReceipt", "eth_getBlockReceipts"})
FORGOTTEN = frozenset({"eth_getBlockByNumber", "eth_getTransactionReceipt", "eth_getLogs", "eth_getBlockReceipts", "trace_block"})

NO_ANSWERS: Sequence[tuple[str, Fault]] = (
    ("HTTP 429", Http(429, {"Retry-After": "1"})),
    ("HTTP 502", Http(502, {"Content-Type": "text/html"}, HTML)),
    ("HTML", Http(200, {"Content-Type": "text/html"}, HTML)),
    ("half an answer", Truncate(40)),
    ("hung up", DropRequest()),
    ("lost answer", ForwardThenDropReply()),
    ("internal error", Error(-32603, "Internal error")),
    ("rate limit", Error(-32005, "rate limit exceeded")),
)


class Mood(Protocol):
    """What is done with a call: the name of the lie and how it is told, None for the truth."""

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:
        """About one call."""


@attrs.frozen
class Honest:
    """Says what the node says."""

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:  # noqa: ARG002 - of the protocol
        """Never."""
        return None


@attrs.frozen
class Forgetful:
    """Leaves out all logs, or says that there is no such block, receipt or trace."""

    chance: random.Random

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:  # noqa: ARG002 - of the protocol
        """Often."""
        draw = self.chance.random()
        if method in LOGS and draw < 0.5:
            return "no logs", Edit(_without_logs)
        return ("null", Null()) if method in FORGOTTEN and draw < 0.8 else None


@attrs.frozen
class Broken:
    """Gives no usable answer."""

    chance: random.Random

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:  # noqa: ARG002 - of the protocol
        """Often."""
        return self.chance.choice(NO_ANSWERS) if self.chance.random() < 0.4 else None


@attrs.frozen
class Hasty:
    """Calls its newest block final."""

    node: DevNode

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:
        """When asked for the final block."""
        is_asked = method == "eth_getBlockByNumber" and params[0] == "finalized"
        return ("final too early", Edit(lambda _: self.node.block("latest"))) if is_asked else None


@attrs.frozen
class Elsewhere:
    """Is on a branch of its own."""

    name: str
    branch: Branch

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:
        """About everything that is in the branch."""
        said = self.branch.says(method, params)
        return None if said is None else (self.name, said)


class LyingProxy(FaultProxy):
    """Before `node`. `told` counts the lies by kind."""

    def __init__(self, node: DevNode, *, wallets: Sequence[str], token: str, amount_wei: int, chance: random.Random) -> None:
        super().__init__(node.rpc_url, remembers=False)
        self._node, self._chance = node, chance
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
                self._mood = self._next_mood()
                self._mood_ends_s = time.monotonic() + self._chance.uniform(*MOOD_S)
            lie = self._mood.lie(method, params)
            if lie is None:
                return ()
            self.told[lie[0]] += 1
            return (lie[1],)

    def _next_mood(self) -> Mood:
        draw = self._chance.random()
        if draw < 0.4:
            return Honest()
        if draw < 0.52:
            return Forgetful(self._chance)
        if draw < 0.64:
            return Broken(self._chance)
        if draw < 0.70:
            return Hasty(self._node)
        branch = newest(self._node, FINAL_DEPTH)
        if branch is None:
            return Honest()
        return Elsewhere("another fork", branch) if draw < 0.85 else self._inventing(branch)

    def _inventing(self, branch: Branch) -> Mood:
        pays = self._chance.random() < 0.7
        invention = Invention(self._wallets, self._token, self._amount_wei, self._chance, pays=pays)
        below = max(branch.top - self._chance.randint(0, 4), min(branch.blocks))
        invented = branch.with_invented(below, self._chance.randint(5, 9), invention, is_final=self._chance.random() < 0.5)
        return Elsewhere("invented deposits" if pays else "invented blocks", invented)


def _without_logs(result: Any) -> Any:
    """Of all receipts of a block, too."""
    if isinstance(result, list) and any("logs" in each for each in result):
        return [without_logs(each) for each in result]
    return without_logs(result) if result is not None else None
