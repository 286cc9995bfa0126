"""Whether the books hold exactly what the chain paid: each deposit once, in the right account, told once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence

import attrs

from tests.soak.ending import every_event
from tests.soak.oracle import ETHER, Movement
from tests.soak.receiving_site import DUST_WEI, Site

SHOWN_MAX = 20
"""How many differences of one sort are printed."""

TRANSACTION = "transaction."
"""How the events begin that tell of a deposit. An alarm may be about one, too."""

A_DEPOSITS_LIFE = re.compile(r"confirming( orphaned confirming)* (completed|quarantined|orphaned)")

CREDITS = {"completed": ("deposit-credited", "available"), "quarantined": ("deposit-quarantined", "quarantined")}
"""By state: what the posting is called, and the account that it goes to."""


@attrs.frozen
class Found:
    """A deposit of the books."""

    id: str
    movement: Movement
    state: str


@attrs.frozen
class Credited:
    """How many deposits are in each state."""

    completed: int
    quarantined: int
    orphaned: int


def require_credited(site: Site, expected: Sequence[Movement], balances: Mapping[tuple[str, str], int]) -> Credited:
    """Compares what the chain says with deposits, ledger, balances and events. Raises `AssertionError`: what differs."""
    found = _deposits(site)
    problems = [
        *_differences("deposit", Counter(map(_as_expected, expected)), Counter(map(_as_found, _kept(found)))),
        *_differences("posting", Counter(map(_posting_for, _kept(found))), Counter(_postings(site))),
        *_differences("balance", Counter(balances), Counter(_balances(site))),
        *_untold(site, found),
    ]
    if problems:
        raise AssertionError("the books are not what the chain says:\n" + "\n".join(problems))
    states = Counter(each.state for each in found)
    return Credited(states["completed"], states["quarantined"], states["orphaned"])


def _as_expected(movement: Movement) -> tuple[Movement, str]:
    is_dust = movement.asset == ETHER and movement.amount < DUST_WEI
    return movement, "quarantined" if is_dust else "completed"


def _as_found(deposit: Found) -> tuple[Movement, str]:
    return deposit.movement, deposit.state


def _kept(found: Sequence[Found]) -> list[Found]:
    """All but those whose block left the chain for good."""
    return [each for each in found if each.state != "orphaned"]


def _deposits(site: Site) -> list[Found]:
    rows = site.database.rows('SELECT id, state, transaction_hash, kind, asset, sender, "to", amount, ordinal FROM deposits')
    return [
        Found(id_, Movement(hash_, kind, asset.lower(), sender.lower(), to.lower(), int(amount), ordinal), state)
        for id_, state, hash_, kind, asset, sender, to, amount, ordinal in rows
    ]


def _posting_for(deposit: Found) -> tuple[str, str, str, str, int]:
    reason, account = CREDITS[deposit.state]
    return deposit.id, reason, account, deposit.movement.to, deposit.movement.amount


def _postings(site: Site) -> Iterator[tuple[str, str, str, str, int]]:
    """All that ever went into an account because of a deposit: (deposit, reason, account, address, amount)."""
    rows = site.database.rows(
        "SELECT reference, reason, accounts.kind, wallets.address, delta FROM postings"
        " JOIN accounts ON accounts.id = account_id JOIN wallets ON wallets.id = accounts.wallet_id"
        " WHERE reason LIKE 'deposit%' OR accounts.kind = 'suspense'"
    )
    for reference, reason, account, address, delta in rows:
        yield reference, reason, account, address.lower(), int(delta)


def _balances(site: Site) -> Mapping[tuple[str, str], int]:
    """What the books hold for each address and asset, in all its accounts together."""
    rows = site.database.rows(
        "SELECT wallets.address, asset, sum(balance) FROM accounts JOIN wallets ON wallets.id = wallet_id GROUP BY 1, 2"
    )
    return {(address.lower(), asset.lower()): int(amount) for address, asset, amount in rows if amount}


def _untold(site: Site, found: Sequence[Found]) -> Iterator[str]:
    """What is wrong with the events of the deposits."""
    events = list(every_event(site.custody))
    if [event.sequence for event in events] != list(range(1, len(events) + 1)):
        yield "events: their numbers have gaps"
    told: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.type.startswith(TRANSACTION):
            told[event.object_id].append(event.type.removeprefix(TRANSACTION))
    for each in found:
        life = " ".join(told[each.id])
        if not A_DEPOSITS_LIFE.fullmatch(life) or not life.endswith(each.state):
            yield f"events: {each} was told as {life!r}"


def _differences(what: str, expected: Counter[Hashable], found: Counter[Hashable]) -> Iterator[str]:
    for name, some in ((f"{what} missing", expected - found), (f"{what} too many", found - expected)):
        for thing, count in list(some.items())[:SHOWN_MAX]:
            yield f"{name}: {count} x {thing}"
        if len(some) > SHOWN_MAX:
            yield f"{name}: {len(some) - SHOWN_MAX} more"
