"""How a rehearsal ends: who has what, and what became of each request. Ids, hashes, fees and times are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.tokens import NATIVE_ALIAS
from tests.unit.simulation.props import FRIEND

if TYPE_CHECKING:
    from tests.unit.simulation.rehearsal import Rehearsal

BusinessState = Mapping[str, object]
"""Texts, numbers, lists and mappings of texts, so that it reads the same from a file."""

ENDS: Final = frozenset(
    f"transaction.{state}" for state in ("completed", "reverted", "cancelled", "failed", "rejected", "quarantined")
)
"""The events that tell of an end."""


def business_state(on: Rehearsal) -> BusinessState:
    """As it is now: equal for every crash."""
    tables, friend = on.store.tables, bytes.fromhex(FRIEND[2:])
    aliases = {NATIVE_ALIAS: NATIVE_ALIAS} | {token.asset.key: token.asset.alias for token in tables.tokens}
    owners = {wallet.id: tables.users.rows[wallet.owner_id].subject for wallet in tables.wallets if wallet.owner_id}
    deposits = [(str(each.key.kind), each.key.asset, each.key.amount, str(each.state)) for each in tables.deposits]
    ended = Counter(str(event.type) for event in on.store._histories["events"]._committed if event.type in ENDS)
    friends = [on.tree.held(asset, friend, on.tree.head.number) for asset in (None, bytes.fromhex(on.token[2:]))]
    held = [(account, amount) for account, amount in _balances(on, owners).items() if amount]
    balances = [(f"{owner} {aliases[asset]} {kind}", _text(asset, amount)) for (owner, asset, kind), amount in held]
    return {
        "balances": dict(sorted(balances)),
        "sends": {key: str(tables.transactions.rows[id_].state) for key, id_ in sorted(on.sends.items())},
        "every send": len(tables.transactions.rows),
        "deposits": [f"{kind} {_text(asset, amount)} {aliases[asset]} {state}" for kind, asset, amount, state in sorted(deposits)],
        "friend": [_text(NATIVE_ALIAS, friends[0]), _text(on.token, friends[1])],
        "wallets": sorted(f"{owners[each.id]} {each.state}" for each in tables.wallets if each.owner_id),
        "events": dict(sorted(ended.items())),
    }


def _balances(on: Rehearsal, owners: Mapping[str, str]) -> Counter[tuple[str, str, str]]:
    """By owner, asset and kind of account. What gas has cost is given back, because it differs from run to run."""
    tables = on.store.tables
    balances = Counter[tuple[str, str, str]]()
    for sent in tables.transactions:
        balances[owners[sent.wallet_id], NATIVE_ALIAS, "available"] += sent.inclusion.fee_wei if sent.inclusion else 0
    for hash_, (sender, _) in on.oracle.foreign.items():
        owner = owners[tables.wallet_by_address.rows[address_from_bytes(sender)]]
        for used, height in on.oracle.mined([hash_]).items():
            balances[owner, NATIVE_ALIAS, "available"] += on.oracle.fee(used, height)[1]
    for account, amount in tables.balances.rows.items():
        if account.wallet_id is not None:
            balances[owners[account.wallet_id], account.asset, str(account.kind)] += amount
    return balances


def _text(asset: str, amount: int) -> str:
    """Ether, or base units of a token."""
    return f"{Decimal(amount) / 10**18:f}" if asset == NATIVE_ALIAS else f"{amount}"
