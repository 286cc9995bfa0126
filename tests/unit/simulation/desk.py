"""Those who use the service: they ask, ask again when nobody answered, ask twice, ask wrongly, cancel and change their minds.

They live outside of every process, so what they were answered survives any crash, and they notice when two answers do not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from custody_core import Custody, TransactionState, Wallet
from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.errors import CustodyError, IdempotencyKeyReused, InvalidStateTransition
from tests.unit.simulation.decisions import Decisions
from tests.unit.simulation.failures import InvariantBroken, require
from tests.unit.simulation.mistakes import ask_wrongly, intrude
from tests.unit.simulation.operators import Operators
from tests.unit.simulation.requests import (
    ANSWERS_THAT_MAY_PASS,
    Intent,
    Payouts,
    Request,
    ask,
    ask_for_all,
    ask_otherwise,
    ask_together,
)
from tests.unit.simulation.wishing import Wishes

FROZEN_BECAUSE: Final = "its owner wants it"
APPROVE: Final = bytes.fromhex("095ea7b3")  # approve(address,uint256)


class Desk:
    """Where the web processes take their requests from."""

    def __init__(self, chance: Random, decisions: Decisions, *, token: str, token_address: Address) -> None:
        self._chance = chance
        self._decisions = decisions
        self.token_address = token_address
        self._waiting: list[Request] = []
        self._being_served = 0
        self._keys: dict[tuple[str, str], dict[str, str]] = {}
        self.wallets: dict[str, Wallet] = {}
        self.owners: dict[str, str] = {}
        """Who asked for each wallet, by the wallet's id."""
        self.intents: dict[str, Intent] = {}
        self._operators = Operators(self.again)
        self._wishes = Wishes(chance, token, self._operators, self.wallets, self.intents)
        self.is_open = True
        self._requests: dict[str, Callable[..., Request | None]] = {
            "wallet": self._wallet,
            "send": self._send,
            "again": self._again,
            "other body": self._other_body,
            "cancel": self._cancel,
            "speed up": self._speed_up,
            "freeze": self._freeze,
            "call": self._call,
            "together": self._together,
            "payouts": self._payouts,
            "wrong": self._wrong,
            "intrude": self._intrude,
            "operator": self._operators.request,
        }

    @property
    def unanswered(self) -> int:
        """Requests that are being served, or have to be asked again."""
        return self._being_served + len(self._waiting)

    def next(self) -> Request | None:
        """What is asked next; an unanswered request first, as often as not."""
        if self._waiting and (not self.is_open or self._decisions.take("asks first", lambda: self._chance.random() < 0.5, False)):
            return self._waiting.pop(0)
        wish = self._decisions.take("asks for", self._wishes.draw, None) if self.is_open else None
        return self._requests[wish[0]](*wish[1:]) if wish else None

    def again(self, request: Request) -> None:
        """Nobody answered."""
        self._waiting.append(request)

    def serve(self, custody: Custody, request: Request) -> str:
        """Asks. What cannot be answered now is asked again; any other no is an answer."""
        self._being_served += 1
        try:
            request.act(custody)
        except ANSWERS_THAT_MAY_PASS as problem:
            self.again(request)
            return problem.code
        except CustodyError as problem:
            return problem.code
        finally:
            self._being_served -= 1
        return "ok"

    # What a wish comes to. What it speaks of may not be there, where a script leaves things out.

    def _key(self, what: str, owner: str, name: str) -> str:
        """What an owner calls it: each counts from 1, so all of them use the same keys."""
        of_theirs = self._keys.setdefault((what, owner), {})
        return of_theirs.setdefault(name, f"{what}-{len(of_theirs) + 1}")

    def _wallet(self, key: str, owner: str) -> Request:
        own_key = self._key("wallet", owner, key)

        def create(custody: Custody) -> None:
            try:
                wallet = custody.wallets.create(owner=owner, idempotency_key=own_key)
            except IdempotencyKeyReused as reused:
                raise InvariantBroken(f"INV-8: {owner} is refused {own_key} for what another owner asked for") from reused
            known = self.wallets.setdefault(key, wallet)
            require(known.id == wallet.id, "INV-8", f"{key} made {known.id} and {wallet.id}")
            before = self.owners.setdefault(wallet.id, owner)
            require(before == owner, "INV-24", f"{wallet.id} was made for {before}, and is given to {owner}")

        return Request(f"{key} for {owner}", create)

    def _send(
        self,
        key: str,
        wallet_key: str,
        to: int | str,
        asset: str,
        amount: int,
        cap_wei: int | None = None,
        external_id: str | None = None,
    ) -> Request | None:
        intent = self._intent(key, wallet_key, to, asset, amount)
        if intent is None:
            return None
        intent.cap_wei, intent.external_id = cap_wei, external_id
        if asset == "approval":
            intent.data = APPROVE + recipient_word(intent.to) + len(self.intents).to_bytes(32, "big")
            intent.to, intent.amount, intent.asset = self.token_address, 0, "eth"
        self.intents[key] = intent
        what = f"{key}: {amount} {asset} from {intent.wallet.address[:8]} to {intent.to[:8]}"
        return Request(what, lambda custody: ask(custody, intent))

    def _intent(self, key: str, wallet_key: str, to: int | str, asset: str, amount: int) -> Intent | None:
        """`to` is another wallet, or the number of a recipient of its own."""
        wallet, other = self.wallets.get(wallet_key), self.wallets.get(str(to))
        if wallet is None or (isinstance(to, str) and other is None):
            return None
        recipient = other.address if other else address_from_bytes(b"\xee" * 12 + int(to).to_bytes(8, "big"))
        own_key = self._key("send", wallet.owner_id or "", key)
        return Intent(key, wallet, recipient, amount, asset, idempotency_key=own_key)

    def _call(self, key: str, wallet_key: str, allowed: int, listed: list[list[int]]) -> Request | None:
        """A contract call with an access list: of each contract's number so many slots."""
        intent = self._intent(key, wallet_key, 0, "eth", 0)
        if intent is None:
            return None
        intent.data = APPROVE + recipient_word(intent.to) + allowed.to_bytes(32, "big")
        intent.to = self.token_address
        intent.access_list = [
            {"address": f"0x{contract:040x}", "storageKeys": [f"0x{slot:064x}" for slot in range(slots)]}
            for contract, slots in listed
        ]
        self.intents[key] = intent
        return Request(f"{key}: allows {allowed} from {intent.wallet.address[:8]}", lambda custody: ask(custody, intent))

    def _together(self, name: str, sends: list[list[Any]]) -> Request | None:
        """Payments that are asked for at the same moment. Whichever is not answered is asked for again, alone."""
        intents = [intent for send in sends if (intent := self._intent(*send)) is not None]
        self.intents.update({intent.key: intent for intent in intents})

        def act(custody: Custody) -> None:
            for left in ask_together(custody, intents):
                self.again(Request(f"{left.key} again", lambda custody, left=left: ask(custody, left)))  # type: ignore[misc]

        return Request(f"{name}: {len(intents)} together", act) if intents else None

    def _payouts(self, key: str, sends: list[list[Any]]) -> Request | None:
        """Payments under one key."""
        intents = [intent for send in sends if (intent := self._intent(*send)) is not None]
        if not intents:
            return None
        wallet = intents[0].wallet
        payouts = Payouts(self._key("payouts", wallet.owner_id or "", key), wallet, intents)
        for intent in intents:
            intent.payouts, intent.external_id = payouts, intent.key
            self.intents[intent.key] = intent
        return Request(f"{key}: {len(intents)} payouts", lambda custody: ask_for_all(custody, payouts))

    def _wrong(self, key: str, wallet_key: str, mistake: str) -> Request | None:
        wallet = self.wallets.get(wallet_key)
        if wallet is None:
            return None
        return Request(f"{key}: {mistake}", lambda custody: ask_wrongly(custody, wallet, mistake, key, self.token_address))

    def _again(self, key: str) -> Request | None:
        intent = self.intents.get(key)
        return Request(f"{key} again", lambda custody: ask(custody, intent)) if intent else None

    def _other_body(self, key: str) -> Request | None:
        intent = self.intents.get(key)
        return Request(f"{key} with another body", lambda custody: ask_otherwise(custody, intent)) if intent else None

    def _cancel(self, key: str, cap_wei: int | None) -> Request | None:
        def cancel(custody: Custody, intent: Intent, id_: str) -> None:
            intent.is_to_be_cancelled = True
            custody.transactions.cancel(id_, fee_per_gas_max_wei=cap_wei, owner_id=intent.wallet.owner_id)

        return self._change("cancel", key, cancel)

    def _speed_up(self, key: str) -> Request | None:
        def speed_up(custody: Custody, intent: Intent, id_: str) -> None:
            custody.transactions.speed_up(id_, owner_id=intent.wallet.owner_id)

        return self._change("speed up", key, speed_up)

    def _intrude(self, key: str, how: str) -> Request | None:
        """The owner of another wallet asks for what is not theirs."""
        intent = self.intents.get(key)
        others = [each.owner_id for each in self.wallets.values() if intent and each.owner_id != intent.wallet.owner_id]
        if intent is None or not others or others[0] is None:
            return None
        stranger = others[0]
        return Request(f"{key}: {how} by {stranger}", lambda custody: intrude(custody, intent, how, stranger))

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

    def _change(self, name: str, key: str, act: Callable[[Custody, Intent, str], None]) -> Request | None:
        intent = self.intents.get(key)
        if intent is None:
            return None

        def change(custody: Custody) -> None:
            if intent.id is None:
                return
            try:
                act(custody, intent, intent.id)
            except InvalidStateTransition:
                found = custody.transactions.get(intent.id)
                require(found.state is not TransactionState.QUEUED or name == "speed up", "lifecycle", "a queued send is cancelled")

        return Request(f"{name} {key}", change)


def recipient_word(address: Address) -> bytes:
    """An address as an argument of a call."""
    return bytes(12) + bytes.fromhex(address[2:])
