"""Requests that are wrong. Whatever else is going on, none of them may be accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from custody_core import Custody, Wallet
from custody_core.domain.addresses import Address
from custody_core.domain.encoding import erc20_transfer_calldata
from custody_core.errors import NotFound
from tests.unit.simulation.failures import require
from tests.unit.simulation.requests import Intent

TOO_MUCH: Final = 2**128
HEAVY: Final = [{"address": f"0x{index:040x}", "storageKeys": [f"0x{key:064x}" for key in range(10)]} for index in range(1, 80)]
"""An access list that costs more gas than a call may use here."""

MISTAKES: Final = (
    "nothing",
    "to itself",
    "too much",
    "no token",
    "no address",
    "somebody else's",
    "cap too low",
    "no chain",
    "by the back door",
    "too heavy",
    "too much allowed",
)

INTRUSIONS: Final = ("cancel", "cancel", "speed up", "look", "freeze", "see")
"""What somebody asks for who has no right to it."""


def ask_wrongly(custody: Custody, wallet: Wallet, mistake: str, key: str, token: Address) -> None:
    """Asks, and raises what it is refused with."""
    custody.transactions.send(wallet.id, **_request(wallet, mistake, token), idempotency_key=key)
    require(False, "refusals", f"{mistake} was accepted")


def intrude(custody: Custody, intent: Intent, how: str, stranger: str) -> None:
    """Somebody else asks about a send or its wallet. INV-24: what is not theirs is not there."""
    send, wallet = intent.id, intent.wallet.id
    if send is None:
        return
    acts: dict[str, Callable[[], object]] = {
        "cancel": lambda: custody.transactions.cancel(send, owner_id=stranger),
        "speed up": lambda: custody.transactions.speed_up(send, owner_id=stranger),
        "look": lambda: custody.transactions.get(send, owner_id=stranger),
        "freeze": lambda: custody.wallets.freeze(wallet, reason="a stranger's", owner_id=stranger),
        "see": lambda: custody.wallets.get(wallet, owner_id=stranger),
    }
    try:
        acts[how]()
    except NotFound:
        return
    require(False, "INV-24", f"{stranger} may {how} {send}, which is of {wallet}")


def _request(wallet: Wallet, mistake: str, token: Address) -> Mapping[str, Any]:
    request: dict[str, Any] = {"to": token, "amount": 1}
    call: dict[str, Any] = {"to": token, "value": 0}
    allowance = bytes.fromhex("095ea7b3") + bytes(31) + b"\x07"
    match mistake:
        case "nothing":
            return request | {"amount": 0}
        case "to itself":
            return request | {"to": wallet.address}
        case "too much":
            return request | {"to": f"0x{TOO_MUCH:040x}", "amount": TOO_MUCH}
        case "no token":
            return request | {"asset": "unheard-of"}
        case "no address":
            return request | {"to": "0x12"}
        case "somebody else's":
            return request | {"owner_id": "usr_somebody-else"}
        case "cap too low":
            return request | {"to": f"0x{TOO_MUCH:040x}", "fee_per_gas_max_wei": 2}
        case "no chain":
            return request | {"chain_id": 1}
        case "by the back door":
            return call | {"data": erc20_transfer_calldata(bytes(20), 5)}
        case "too heavy":
            return call | {"data": allowance + bytes(31) + b"\x07", "access_list": HEAVY}
        case _:
            return call | {"data": allowance + b"\x7f" * 32}
