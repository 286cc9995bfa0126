"""Requests that are wrong. Whatever else is going on, none of them may be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from custody_core import Custody, Wallet
from custody_core.domain.addresses import Address
from custody_core.domain.encoding import erc20_transfer_calldata
from tests.unit.simulation.failures import require

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


def ask_wrongly(custody: Custody, wallet: Wallet, mistake: str, key: str, token: Address) -> None:
    """Asks, and raises what it is refused with."""
    custody.transactions.send(wallet.id, **_request(wallet, mistake, token), idempotency_key=key)
    require(False, "refusals", f"{mistake} was accepted")


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
