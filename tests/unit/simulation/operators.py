"""What operators do while others pay: they publish policies, stop owners and tokens for a while, and release what is quarantined.

Whatever they stop, they let go on some time later.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Final

from custody_core import Custody, InvalidStateTransition, Token
from custody_core.errors import ChainHalted, Conflict
from tests.unit.simulation.requests import Request

POLICY: Final[dict[str, Any]] = {
    "version": 1,
    "rules": [
        {"id": "transfers", "when": {"type": "transfer"}, "then": {"allow": True}},
        {
            "id": "approvals",
            "when": {"call": {"token": "usdc", "method": "approve(address,uint256)", "args": {"1": {"lte": "1000000"}}}},
            "then": {"allow": True},
        },
    ],
}
LEFT_OUT: Final = ("transfers", "approvals")
RELEASED_AT_ONCE_MAX: Final = 5


class Operators:
    """What they do. `again` takes what is to be asked later."""

    def __init__(self, again: Callable[[Request], None]) -> None:
        self._again = again

    def draw(self, chance: Random, owners: list[str]) -> list[Any]:
        """What chance has one do: a name, then what it is about."""
        match chance.randrange(7):
            case 0:
                return ["operator", "policy", chance.choice(LEFT_OUT)]
            case 1:
                return ["operator", "owner", chance.choice(owners)]
            case 2:
                return ["operator", "token", chance.choice((0, 5))]
            case 3:
                return ["operator", "rescan", chance.choice((1, 3, 9))]
            case 4:
                return ["operator", "reconcile", 0]
            case 5:
                return ["operator", "adopt", 0]
            case _:
                return ["operator", "release", 0]

    def request(self, what: str, about: Any) -> Request:
        """That, as a request."""
        acts: dict[str, Callable[[Any], Callable[[Custody], None]]] = {
            "policy": self._policy,
            "owner": self._owner,
            "token": self._token,
            "release": lambda _: _release,
            "rescan": lambda blocks: partial(_rescan, blocks),
            "reconcile": lambda _: _reconcile,
            "adopt": lambda _: _adopt,
        }
        return Request(f"{what} {about} by an operator", acts[what](about))

    def _policy(self, left_out: str) -> Callable[[Custody], None]:
        def publish(custody: Custody) -> None:
            custody.policies.publish({**POLICY, "rules": [rule for rule in POLICY["rules"] if rule["id"] != left_out]})
            self._later("the policy as before", lambda custody: custody.policies.publish(POLICY))

        return publish

    def _owner(self, owner_id: str) -> Callable[[Custody], None]:
        def disable(custody: Custody) -> None:
            custody.users.disable(owner_id)
            self._later(f"{owner_id} enabled", lambda custody: custody.users.enable(owner_id))

        return disable

    def _token(self, dust: int) -> Callable[[Custody], None]:
        def disable(custody: Custody) -> None:
            (token,) = [each for each in custody.tokens.list() if each.asset.alias == "usdc"]
            custody.tokens.set_dust(token.id, dust)
            custody.tokens.disable(token.id)
            self._later("usdc listed again", lambda custody: _list_again(custody, token))

        return disable

    def _later(self, name: str, act: Callable[[Custody], object]) -> None:
        def run(custody: Custody) -> None:
            act(custody)

        self._again(Request(name, run))


def _list_again(custody: Custody, token: Token) -> None:
    custody.tokens.add(
        chain_id=token.asset.chain_id, address=token.asset.contract or "", alias=token.asset.alias, decimals=token.asset.decimals
    )


def _release(custody: Custody) -> None:
    for each in custody.transactions.list(direction="incoming", state="quarantined", limit=RELEASED_AT_ONCE_MAX):
        with suppress(InvalidStateTransition, ChainHalted):
            custody.transactions.release(each.id, note="looked at")


def _rescan(blocks: int, custody: Custody) -> None:
    """Blocks that are or are about to become final."""
    (state,) = custody.chains.states()
    custody.scans.rescan(max(state.final.number - blocks, state.start.number + 1), min(state.final.number + 1, state.cursor.number))


def _reconcile(custody: Custody) -> None:
    custody.reconcile()


def _adopt(custody: Custody) -> None:
    for chain_id in custody.chain_ids if custody.chains.stopped_wallets() else ():
        custody.chains.adopt(chain_id)


def in_turn(act: Callable[[Custody], object]) -> Callable[[Custody], None]:
    """`act`, asked again while somebody who died in the middle of it still has the lease."""

    def run(custody: Custody) -> None:
        try:
            act(custody)
        except InvalidStateTransition:
            raise Conflict("the operator tries again later") from None

    return run


def resume(custody: Custody) -> None:
    """An operator lets a halted chain go on, once."""
    try:
        (state,) = custody.chains.states()
        custody.chains.resume(state.chain_id)
    except InvalidStateTransition:
        return  # it was, and the answer was lost
