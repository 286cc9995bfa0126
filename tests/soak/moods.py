"""The ways in which a node lies, or fails: each for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from tests.soak.branches import Branch, invented_log
from tests.support.devnode import DevNode
from tests.support.faults import DropRequest, Edit, Error, Fault, ForwardThenDropReply, Http, Null, Truncate, without_logs

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


@attrs.frozen
class Stubborn:
    """Goes on mining a branch of its own, a block every `every_s` above the one at height `below`, and calls it final, too."""

    node: DevNode
    branch: Branch
    below: int
    every_s: float
    began_s: float = attrs.field(factory=time.monotonic)

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:
        """About everything above `below`."""
        top = self.below + 1 + int((time.monotonic() - self.began_s) / self.every_s)
        final = int(self.node.block("finalized")["number"], 16) - 1
        said = self.branch.up_to(min(top, self.branch.top), final=final).says(method, params)
        return None if said is None else ("a branch of its own", said)


class Forging:
    """Adds a transfer to the logs of real blocks."""

    def __init__(self, wallets: Sequence[str], token: str, chance: random.Random) -> None:
        self._wallets, self._token, self._chance = wallets, token, chance

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:  # noqa: ARG002 - of the protocol
        """About logs."""
        if method != "eth_getLogs":
            return None
        return "forged log", Edit(lambda logs: [*logs, *(self._forged(log) for log in logs[:1])])

    def _forged(self, log: dict[str, Any]) -> dict[str, Any]:
        hash_ = log["transactionHash"] if self._chance.random() < 0.5 else "0x" + self._chance.randbytes(32).hex()
        return {**log, **invented_log(self._token, self._chance.choice(self._wallets)), "transactionHash": hash_}


@attrs.frozen
class Generous:
    """Shows a little more than everybody has."""

    def lie(self, method: str, params: Sequence[Any]) -> tuple[str, Fault] | None:  # noqa: ARG002 - of the protocol
        """About balances."""
        match method:
            case "eth_getBalance":
                return "balance too high", Edit(lambda balance: hex(int(balance, 16) + 1))
            case "eth_call":
                return "balance too high", Edit(lambda balance: f"0x{int(balance, 16) + 1:064x}")
            case _:
                return None


def _without_logs(result: Any) -> Any:
    """Of all receipts of a block, too."""
    if isinstance(result, list) and any("logs" in each for each in result):
        return [without_logs(each) for each in result]
    return without_logs(result) if result is not None else None
