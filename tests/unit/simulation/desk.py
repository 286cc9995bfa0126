"""Those who use the service: they ask, ask again when nobody answered, ask twice, ask wrongly, cancel and change their minds.

They live outside of every process, so what they were answered survives any crash, and they notice when two answers do not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

import attrs

from custody_core import Custody, Transaction, TransactionState, Wallet
from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.domain.fees import GWEI
from custody_core.errors import (
    CustodyError,
    DatabaseUnavailable,
    FeeUnavailable,
    IdempotencyKeyReused,
    InvalidStateTransition,
    KeyPoolEmpty,
    NodeUnavailable,
    OutcomeUnknown,
    SignerUnavailable,
)
from tests.unit.simulation.decisions import Decisions
from tests.unit.simulation.failures import require

OWNERS: Final = ("alice", "bob", "carol")
WALLETS_MAX: Final = 5
INTENTS_MAX: Final = 400
FREEZES: Final = 0.02
CAPPED: Final = 0.2
"""The share of payments that name a cap of their own, which may be near the market."""
FROZEN_BECAUSE: Final = "its owner wants it"
ANSWERS_THAT_MAY_PASS: Final = (
    OutcomeUnknown,
    NodeUnavailable,
    FeeUnavailable,
    SignerUnavailable,
    DatabaseUnavailable,
    KeyPoolEmpty,
)
APPROVE: Final = bytes.fromhex("095ea7b3")  # approve(address,uint256)


Wish: TypeAlias = list[Any]
"""What is asked for, as plain JSON: its name, then the keys and numbers that it needs."""


@attrs.define
class Intent:
    """One payment that somebody wants once, under one key. Each has a recipient of its own, unless it stays inside."""

    key: str
    wallet: Wallet
    to: Address
    amount: int
    asset: str
    data: bytes | None = None
    id: str | None = None
    cap_wei: int | None = None


@attrs.frozen
class Request:
    """Something that is asked of the service, and again until it is answered."""

    name: str
    act: Callable[[Custody], None]


class Desk:
    """Where the web processes take their requests from."""

    def __init__(self, chance: Random, decisions: Decisions, *, token: str, token_address: Address) -> None:
        self._chance = chance
        self._decisions = decisions
        self._token = token
        self.token_address = token_address
        self._waiting: list[Request] = []
        self.wallets: dict[str, Wallet] = {}
        self.intents: dict[str, Intent] = {}
        self._asked = 0
        self.is_open = True
        self._wishes: dict[str, Callable[..., Request | None]] = {
            "wallet": self._wallet,
            "send": self._send,
            "again": self._again,
            "other body": self._other_body,
            "cancel": self._cancel,
            "speed up": self._speed_up,
            "freeze": self._freeze,
        }

    @property
    def unanswered(self) -> int:
        """Requests that have to be asked again."""
        return len(self._waiting)

    def next(self) -> Request | None:
        """What is asked next; an unanswered request first, as often as not."""
        if self._waiting and (not self.is_open or self._decisions.take("asks first", lambda: self._chance.random() < 0.5, False)):
            return self._waiting.pop(0)
        wish = self._decisions.take("asks for", self._draw, None) if self.is_open else None
        return self._wishes[wish[0]](*wish[1:]) if wish else None

    def again(self, request: Request) -> None:
        """Nobody answered."""
        self._waiting.append(request)

    def serve(self, custody: Custody, request: Request) -> str:
        """Asks. What cannot be answered now is asked again; any other no is an answer."""
        try:
            request.act(custody)
        except ANSWERS_THAT_MAY_PASS as problem:
            self.again(request)
            return problem.code
        except CustodyError as problem:
            return problem.code
        return "ok"

    # What chance wishes for

    def _draw(self) -> Wish | None:
        chance = self._chance
        if len(self.wallets) < WALLETS_MAX and (not self.wallets or chance.random() < 0.1):
            self._asked += 1
            return ["wallet", f"wallet-{self._asked}", chance.choice(OWNERS)]
        if chance.random() < FREEZES:
            return ["freeze", chance.choice(list(self.wallets))]
        kind = chance.choice(("send", "send", "send", "again", "other body", "cancel", "cancel", "speed up"))
        if kind == "send" or not self.intents:
            return self._draw_send() if len(self.intents) < INTENTS_MAX else None
        if kind == "cancel":
            return [kind, chance.choice(list(self.intents)[-5:]), chance.choice((None, None, 20 * 10**9))]
        return [kind, chance.choice(list(self.intents)[-5 if kind == "speed up" else 0 :])]

    def _draw_send(self) -> Wish:
        chance, number = self._chance, len(self.intents)
        key = chance.choice(list(self.wallets))
        others = [other for other in self.wallets if other != key]
        to = chance.choice(others) if others and chance.random() < 0.2 else number
        asset, amount = "eth", chance.choice((1, 10**15, 10**17, chance.randrange(1, 3 * 10**17)))
        kind = chance.random()
        if kind < 0.3:
            asset, amount = self._token, chance.randrange(1, 1_000)
        elif kind < 0.4:
            asset, amount = "approval", 0
        cap_wei = chance.choice((3, 6, 60)) * GWEI if chance.random() < CAPPED else None
        return ["send", f"send-{number}", key, to, asset, amount, cap_wei]

    # What that comes to. What it speaks of may not be there, where a script leaves things out.

    def _wallet(self, key: str, owner: str) -> Request:
        def create(custody: Custody) -> None:
            wallet = custody.wallets.create(owner=owner, idempotency_key=key)
            known = self.wallets.setdefault(key, wallet)
            require(known.id == wallet.id, "INV-8", f"{key} made {known.id} and {wallet.id}")

        return Request(f"{key} for {owner}", create)

    def _send(
        self, key: str, wallet_key: str, to: int | str, asset: str, amount: int, cap_wei: int | None = None
    ) -> Request | None:
        """`to` is another wallet, or the number of a recipient of its own."""
        wallet, other = self.wallets.get(wallet_key), self.wallets.get(str(to))
        if wallet is None or (isinstance(to, str) and other is None):
            return None
        recipient = other.address if other else address_from_bytes(b"\xee" * 12 + int(to).to_bytes(8, "big"))
        intent = Intent(key, wallet, recipient, amount, asset, cap_wei=cap_wei)
        if asset == "approval":
            data = APPROVE + recipient_word(recipient) + len(self.intents).to_bytes(32, "big")
            intent = Intent(key, wallet, self.token_address, 0, "eth", data)
        self.intents[key] = intent
        what = f"{key}: {amount} {asset} from {wallet.address[:8]} to {recipient[:8]}"
        return Request(what, lambda custody: ask(custody, intent))

    def _again(self, key: str) -> Request | None:
        intent = self.intents.get(key)
        return Request(f"{key} again", lambda custody: ask(custody, intent)) if intent else None

    def _other_body(self, key: str) -> Request | None:
        intent = self.intents.get(key)
        return Request(f"{key} with another body", lambda custody: ask_otherwise(custody, intent)) if intent else None

    def _cancel(self, key: str, cap_wei: int | None) -> Request | None:
        return self._change("cancel", key, lambda custody, id_: custody.transactions.cancel(id_, fee_per_gas_max_wei=cap_wei))

    def _speed_up(self, key: str) -> Request | None:
        return self._change("speed up", key, lambda custody, id_: custody.transactions.speed_up(id_))

    def _freeze(self, key: str) -> Request | None:
        """An owner freezes a wallet, and lifts that some time later."""
        wallet = self.wallets.get(key)
        if wallet is None:
            return None
        id_, owner = wallet.id, wallet.owner_id

        def freeze(custody: Custody) -> None:
            custody.wallets.freeze(id_, reason=FROZEN_BECAUSE, owner_id=owner)
            self.again(Request(f"{id_} unfrozen", unfreeze))

        def unfreeze(custody: Custody) -> None:
            custody.wallets.unfreeze(id_, owner_id=owner)

        return Request(f"{id_} frozen", freeze)

    def _change(self, name: str, key: str, act: Callable[[Custody, str], Transaction]) -> Request | None:
        intent = self.intents.get(key)
        if intent is None:
            return None

        def change(custody: Custody) -> None:
            if intent.id is None:
                return
            try:
                act(custody, intent.id)
            except InvalidStateTransition:
                found = custody.transactions.get(intent.id)
                require(found.state is not TransactionState.QUEUED or name == "speed up", "lifecycle", "a queued send is cancelled")

        return Request(f"{name} {key}", change)


def ask(custody: Custody, intent: Intent) -> None:
    """Asks for the payment. The same key has to give the same one."""
    if intent.data is None:
        made = custody.transactions.send(
            intent.wallet.id,
            to=intent.to,
            amount=intent.amount,
            asset=intent.asset,
            fee_per_gas_max_wei=intent.cap_wei,
            idempotency_key=intent.key,
        )
    else:
        made = custody.transactions.send(
            intent.wallet.id, to=intent.to, data=intent.data, value=intent.amount, idempotency_key=intent.key
        )
    require(intent.id in {None, made.id}, "INV-8", f"{intent.key} made {intent.id} and {made.id}")
    intent.id = made.id


def ask_otherwise(custody: Custody, intent: Intent) -> None:
    """Asks for another payment under the same key, which has to be refused."""
    other = attrs.evolve(intent, amount=intent.amount + 1, id=None)
    try:
        ask(custody, other)
    except IdempotencyKeyReused:
        return
    if intent.id is None:
        # It was never asked before: what was just said is what it stands for from now on.
        intent.amount, intent.id = other.amount, other.id
    same = (intent.amount, intent.id) == (other.amount, other.id)
    require(same, "INV-8", f"{intent.key} was taken with another body")


def recipient_word(address: Address) -> bytes:
    """An address as an argument of a call."""
    return bytes(12) + bytes.fromhex(address[2:])
