"""What is asked for, and how it is told from the chain alone whether exactly that was paid."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from custody_core import Custody, Wallet
from tests.soak.ending import every_event
from tests.soak.sending_site import TOKEN, Site
from tests.support.contracts import call, function
from tests.support.devnode import DevNode

AMOUNT_MAX = 10**9
TOKEN_SHARE = 0.5
"""How many of the sends of a wallet that has tokens are of tokens."""

A_SENDS_LIFE = re.compile(r"created queued broadcasting( confirming reorged)* confirming completed")
"""What is told of a send that came through; `replaced` and `stuck` may be told in between."""

UNORDERED = frozenset({"replaced", "stuck"})


@attrs.frozen
class Payment:
    """One send. Nobody else pays this recipient."""

    key: str
    wallet: Wallet
    asset: str
    to: str
    amount: int


def planned(site: Site, count: int, chance: random.Random) -> list[Payment]:
    """`count` payments, as many from each wallet, in any order; each to a recipient of its own."""
    with_tokens = {wallet.id for wallet in site.token_wallets}
    payments = [_payment(site.wallets[number % len(site.wallets)], number, with_tokens, chance) for number in range(count)]
    chance.shuffle(payments)
    return payments


def _payment(wallet: Wallet, number: int, with_tokens: set[str], chance: random.Random) -> Payment:
    is_of_tokens = wallet.id in with_tokens and chance.random() < TOKEN_SHARE
    to = f"0x{number + 1:08x}{chance.randbytes(16).hex()}"
    return Payment(f"payment-{number}", wallet, TOKEN if is_of_tokens else "eth", to, chance.randint(1, AMOUNT_MAX))


def require_paid(site: Site, payments: Sequence[Payment]) -> int:
    """Looks at nothing but the chain: every recipient has exactly what was asked for, nothing else left the wallets, and each
    wallet's nonces are gapless. How many payments are mined. Raises `AssertionError`.
    """
    node, token = site.node, site.token.lower()
    for payment in payments:
        found = node.balance(payment.to) if payment.asset != TOKEN else _tokens_of(node, site.token, payment.to)
        assert found == payment.amount, f"{payment} was paid {found}"
    mined = _mined_by_sender(node)
    expected: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments:
        expected[payment.wallet.address.lower()].append(payment)
    for wallet in site.wallets:
        own, asked = mined[wallet.address.lower()], expected[wallet.address.lower()]
        assert [int(each["nonce"], 16) for each in own] == list(range(len(asked))), f"nonces of {wallet.id}"
        assert node.nonce(wallet.address) == len(asked)
        assert Counter(_moved(each, token) for each in own) == Counter((each.asset, each.to, each.amount) for each in asked)
    return sum(len(own) for own in mined.values())


def _mined_by_sender(node: DevNode) -> Mapping[str, list[dict[str, Any]]]:
    """The transactions of each sender but the dev accounts, in the order of the chain."""
    dev_accounts = {str(address).lower() for address in node.raw("eth_accounts")}
    mined: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in range(node.head() + 1):
        for each in node.block(number, full=True)["transactions"]:
            if each["from"].lower() not in dev_accounts:
                mined[each["from"].lower()].append(each)
    return mined


def _moved(transaction: dict[str, Any], token: str) -> tuple[str, str, int]:
    """Asset, recipient and amount, read out of a mined transaction."""
    if transaction["to"].lower() != token:
        return "eth", transaction["to"].lower(), int(transaction["value"], 16)
    data = bytes.fromhex(transaction["input"].removeprefix("0x"))
    assert data[:4] == function("Good", "transfer").selector
    return TOKEN, "0x" + data[16:36].hex(), int.from_bytes(data[36:68], "big")


def _tokens_of(node: DevNode, token: str, holder: str) -> int:
    (balance,) = call(node, "Good", token, "balanceOf", holder)
    return int(balance)


@attrs.frozen
class Told:
    """How many events there are, and how many sends were told to have left the chain once or more."""

    events: int
    reorged: int


def require_told_once(custody: Custody, ids: Sequence[str]) -> Told:
    """No event is told twice or left out: of sends, of deposits, and in the numbering. Raises `AssertionError`."""
    events = list(every_event(custody))
    assert len({event.id for event in events}) == len(events)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    told: dict[str, list[str]] = defaultdict(list)
    for event in events:
        told[event.object_id].append(event.type.removeprefix("transaction."))
    reorged = sum("reorged" in told[each] for each in ids)
    for each in ids:
        life = " ".join(step for step in told.pop(each) if step not in UNORDERED)
        assert A_SENDS_LIFE.fullmatch(life), f"{each}: {life}"
    for object_id, steps in told.items():
        assert len(set(steps)) == len(steps), f"{object_id}: {steps}"
    return Told(len(events), reorged)
