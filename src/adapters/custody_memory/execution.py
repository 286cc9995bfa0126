"""What a transaction does: plain transfers, tokens, contracts that refuse and contracts that pass ether on. There is no EVM here.

Gas is the intrinsic gas of a transaction (Yellow Paper, appendix G; EIP-2028, EIP-2930) and a flat price for a contract's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Final, TypeAlias

import attrs

from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC, AccessList, decode_erc20_transfer, keccak256

CONTRACT_WORK_GAS: Final = 30_000
BLOOM_LENGTH: Final = 256

_FALSE: Final = bytes(32)
_APPROVE_SELECTOR: Final = bytes.fromhex("095ea7b3")  # approve(address,uint256)
TRANSFER_FROM_SELECTOR: Final = bytes.fromhex("23b872dd")  # transferFrom(address,address,uint256)

Holding: TypeAlias = tuple[bytes | None, bytes]
"""What is held and by whom: a token's contract or None for ether, and an address of 20 bytes."""


@attrs.frozen
class TokenContract:
    """An EIP-20 contract that does what it says; approvals are taken, and whoever takes tokens is believed to have one. With a fee
    it does not: it keeps so many hundredths of what it moves, and its event does not say so. Where it `says_no`, a transfer moves
    nothing and returns false, without reverting.
    """

    fee_percent: int = 0
    says_no: bool = False


@attrs.frozen
class RevertingContract:
    """A contract that refuses every call and all ether."""

    reason: str | None = None


class Passing(Enum):
    """How a contract passes on the ether that it is sent."""

    CALL = auto()
    """By calls, which are internal transfers."""
    REVERTED = auto()
    """By a call within one that then reverts: the transaction succeeds and the ether stays."""
    SELF_DESTRUCT = auto()
    """By destroying itself: the ether moves and no call shows it."""


@attrs.frozen
class PassingContract:
    """A contract that passes ether on to an address, in equal parts; what cannot be divided stays."""

    to: bytes
    how: Passing = Passing.CALL
    parts: int = 1


Contract = TokenContract | RevertingContract | PassingContract


@attrs.frozen
class Event:
    """A log before it has a place in a block."""

    emitter: bytes
    topics: tuple[bytes, ...]
    data: bytes


@attrs.frozen
class Effect:
    """What a call does: gas, movements of holdings (from, to, amount) and events; or that it reverts, which leaves the gas.
    `internal` are those movements (from, to, wei) that calls within it make.
    """

    gas_used: int
    reverted: bool = False
    reason: str | None = None
    moves: tuple[tuple[Holding, Holding, int], ...] = ()
    events: tuple[Event, ...] = ()
    internal: tuple[tuple[bytes, bytes, int], ...] = ()
    returned: bytes = b""


def intrinsic_gas(data: bytes, access_list: AccessList = ()) -> int:
    """The gas that a transaction costs before anything runs."""
    zeros = data.count(0)
    listed = sum(2400 + 1900 * len(keys) for _, keys in access_list)
    return 21_000 + 4 * zeros + 16 * (len(data) - zeros) + listed


def run(
    contracts: Mapping[bytes, Contract],
    held: Callable[[Holding], int],
    *,
    sender: bytes,
    to: bytes,
    value: int,
    data: bytes,
    access_list: AccessList = (),
) -> Effect:
    """The effect of a call whose sender has the ether for it."""
    gas = intrinsic_gas(data, access_list)
    match contracts.get(to):
        case None:
            return Effect(gas, moves=(((None, sender), (None, to), value),))
        case RevertingContract(reason=reason):
            return Effect(gas + CONTRACT_WORK_GAS, reverted=True, reason=reason)
        case TokenContract() as token:
            effect = _run_token(held, gas + CONTRACT_WORK_GAS, token=to, sender=sender, value=value, data=data)
            return _say_no(effect) if token.says_no else _keep_fee(token, effect, contract=to)
        case PassingContract() as passing:
            return _pass_on(passing, gas + CONTRACT_WORK_GAS, contract=to, sender=sender, value=value)


def _pass_on(passing: PassingContract, gas: int, *, contract: bytes, sender: bytes, value: int) -> Effect:
    received: tuple[Holding, Holding, int] = ((None, sender), (None, contract), value)
    if passing.how is Passing.REVERTED:
        return Effect(gas, moves=(received,))
    parts = ((contract, passing.to, value // passing.parts),) * passing.parts
    passed: tuple[tuple[Holding, Holding, int], ...] = tuple(((None, source), (None, target), wei) for source, target, wei in parts)
    return Effect(gas, moves=(received, *passed), internal=parts if passing.how is Passing.CALL and value >= passing.parts else ())


def _run_token(held: Callable[[Holding], int], gas: int, *, token: bytes, sender: bytes, value: int, data: bytes) -> Effect:
    if data[:4] == _APPROVE_SELECTOR and len(data) == 68 and not value:
        return Effect(gas)
    transfer = _asked_for(sender, data)
    if transfer is None or value:
        return Effect(gas, reverted=True)
    holder, recipient, amount = transfer
    if held((token, holder)) < amount:
        return Effect(gas, reverted=True, reason="balance too low")
    topics = (ERC20_TRANSFER_TOPIC, bytes(12) + holder, bytes(12) + recipient)
    event = Event(token, topics, amount.to_bytes(32, "big"))
    return Effect(gas, moves=(((token, holder), (token, recipient), amount),), events=(event,))


def _asked_for(sender: bytes, data: bytes) -> tuple[bytes, bytes, int] | None:
    """Whose tokens go to whom, and how many, by a call of `transfer` or `transferFrom`."""
    if data[:4] == TRANSFER_FROM_SELECTOR and len(data) == 100:
        return data[16:36], data[48:68], int.from_bytes(data[68:], "big")
    transfer = decode_erc20_transfer(data)
    return (sender, *transfer) if transfer else None


def _say_no(effect: Effect) -> Effect:
    return attrs.evolve(effect, moves=(), events=(), returned=_FALSE) if effect.moves else effect


def _keep_fee(token: TokenContract, effect: Effect, *, contract: bytes) -> Effect:
    """The fee goes to the contract itself."""
    fees = tuple((to, (contract, contract), amount * token.fee_percent // 100) for _, to, amount in effect.moves)
    return attrs.evolve(effect, moves=(*effect.moves, *fees)) if token.fee_percent else effect


def logs_bloom(events: Iterable[Event]) -> bytes:
    """The 2048-bit filter of a header (Yellow Paper, 4.3.1): three bits for each emitter and topic."""
    bits = 0
    for event in events:
        for entry in (event.emitter, *event.topics):
            digest = keccak256(entry)
            for start in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") % 2048)
    return bits.to_bytes(BLOOM_LENGTH, "big")
