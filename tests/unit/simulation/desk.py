"""Those who use the service: they ask, ask again when nobody answered, ask twice, ask wrongly, cancel and change their minds.

They live outside of every process, so what they were answered survives any crash, and they notice when two answers do not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

import attrs

from custody_core import Custody, Transaction, TransactionState, Wallet
from custody_core.domain.addresses import Address, address_from_bytes
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
from tests.unit.simulation.failures import require

OWNERS: Final = ("alice", "bob", "carol")
WALLETS_MAX: Final = 5
INTENTS_MAX: Final = 400
FREEZES: Final = 0.02
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


@attrs.frozen
class Request:
    """Something that is asked of the service, and again until it is answered."""

    name: str
    act: Callable[[Custody], None]


class Desk:
    """Where the web processes take their requests from."""

    def __init__(self, chance: Random, *, token: str, token_address: Address) -> None:
        self._chance = chance
        self._token = token
        self.token_address = token_address
        self._waiting: list[Request] = []
        self._asked = 0
        self.wallets: dict[str, Wallet] = {}
        self.intents: list[Intent] = []
        self.is_open = True

    @property
    def unanswered(self) -> int:
        """Requests that have to be asked again."""
        return len(self._waiting)

    def next(self) -> Request | None:
        """What is asked next; an unanswered request first, as often as not."""
        if self._waiting and (not self.is_open or self._chance.random() < 0.5):
            return self._waiting.pop(0)
        return self._anew() if self.is_open else None

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

    def _anew(self) -> Request | None:
        if len(self.wallets) < WALLETS_MAX and (not self.wallets or self._chance.random() < 0.1):
            return self._wallet()
        kinds = (self._send, self._send, self._send, self._twice, self._otherwise, self._cancel, self._cancel, self._speed_up)
        if self._chance.random() < FREEZES:
            return self._freeze()
        kind = self._chance.choice(kinds)
        if kind == self._send:
            return self._send() if len(self.intents) < INTENTS_MAX else None
        return kind() if self.intents else self._send()

    def _wallet(self) -> Request:
        self._asked += 1
        key, owner = f"wallet-{self._asked}", self._chance.choice(OWNERS)

        def create(custody: Custody) -> None:
            wallet = custody.wallets.create(owner=owner, idempotency_key=key)
            known = self.wallets.setdefault(key, wallet)
            require(known.id == wallet.id, "INV-8", f"{key} made {known.id} and {wallet.id}")

        return Request(f"{key} for {owner}", create)

    def _send(self) -> Request:
        number = len(self.intents)
        wallet = self._chance.choice(list(self.wallets.values()))
        recipient = address_from_bytes(b"\xee" * 12 + number.to_bytes(8, "big"))
        others = [each.address for each in self.wallets.values() if each.address != wallet.address]
        if others and self._chance.random() < 0.2:
            recipient = self._chance.choice(others)
        asset, data, amount = "eth", None, self._chance.choice((1, 10**15, 10**17, self._chance.randrange(1, 3 * 10**17)))
        kind = self._chance.random()
        if kind < 0.3:
            asset, amount = self._token, self._chance.randrange(1, 1_000)
        elif kind < 0.4:
            recipient, data, amount = self.token_address, APPROVE + recipient_word(recipient) + number.to_bytes(32, "big"), 0
        intent = Intent(f"send-{number}", wallet, recipient, amount, asset, data)
        self.intents.append(intent)
        return Request(
            f"{intent.key}: {amount} {asset} from {wallet.address[:8]} to {recipient[:8]}", lambda custody: ask(custody, intent)
        )

    def _twice(self) -> Request:
        intent = self._chance.choice(self.intents)
        return Request(f"{intent.key} again", lambda custody: ask(custody, intent))

    def _otherwise(self) -> Request:
        intent = self._chance.choice(self.intents)

        def ask_otherwise(custody: Custody) -> None:
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

        return Request(f"{intent.key} with another body", ask_otherwise)

    def _cancel(self) -> Request:
        cap = self._chance.choice((None, None, 20 * 10**9))
        return self._change("cancel", lambda custody, id_: custody.transactions.cancel(id_, fee_per_gas_max_wei=cap))

    def _speed_up(self) -> Request:
        return self._change("speed up", lambda custody, id_: custody.transactions.speed_up(id_))

    def _freeze(self) -> Request:
        """An owner freezes a wallet, and lifts that some time later."""
        wallet = self._chance.choice(list(self.wallets.values()))

        def freeze(custody: Custody) -> None:
            custody.wallets.freeze(wallet.id, reason=FROZEN_BECAUSE, owner_id=wallet.owner_id)
            self.again(Request(f"{wallet.id} unfrozen", unfreeze))

        def unfreeze(custody: Custody) -> None:
            custody.wallets.unfreeze(wallet.id, owner_id=wallet.owner_id)

        return Request(f"{wallet.id} frozen", freeze)

    def _change(self, name: str, act: Callable[[Custody, str], Transaction]) -> Request:
        intent = self._chance.choice(self.intents[-5:])

        def change(custody: Custody) -> None:
            if intent.id is None:
                return
            try:
                act(custody, intent.id)
            except InvalidStateTransition:
                found = custody.transactions.get(intent.id)
                require(found.state is not TransactionState.QUEUED or name == "speed up", "lifecycle", "a queued send is cancelled")

        return Request(f"{name} {intent.key}", change)


def ask(custody: Custody, intent: Intent) -> None:
    """Asks for the payment. The same key has to give the same one."""
    if intent.data is None:
        made = custody.transactions.send(
            intent.wallet.id, to=intent.to, amount=intent.amount, asset=intent.asset, idempotency_key=intent.key
        )
    else:
        made = custody.transactions.send(
            intent.wallet.id, to=intent.to, data=intent.data, value=intent.amount, idempotency_key=intent.key
        )
    require(intent.id in {None, made.id}, "INV-8", f"{intent.key} made {intent.id} and {made.id}")
    intent.id = made.id


def recipient_word(address: Address) -> bytes:
    """An address as an argument of a call."""
    return bytes(12) + bytes.fromhex(address[2:])
