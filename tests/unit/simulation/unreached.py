"""The branches that no story is to take: refusals of what only a bug of the core could bring about, and what waits for features.

Each is named by the line that it leads to, so the list cannot outlive the code: `reach` fails when such a line is no more, is there
twice, or is reached after all. They are counted like all others: the gate is about all branches.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import attrs

CORE: Final = Path(__file__).parents[3] / "src" / "custody_core"


class Why(StrEnum):
    """Why nothing leads there."""

    GUARD = "a second look, for the case that its caller is wrong; unit tests see that it bites"
    NARROWS = "says to the type checker what holds by the line above"
    LATER = "waits for a feature that there is not yet"


@attrs.frozen
class Unreached:
    """A line of a module, by its text without indentation, and the one before it where that text is there more than once."""

    module: str
    text: str
    why: Why
    reason: str
    after: str | None = None


UNREACHED: Final = (
    # The signer's own look at what it is handed. Whoever calls it makes both kinds of values only; a compromised caller may not.
    Unreached(
        "domain/authorisation",
        "case _:",
        Why.GUARD,
        "no caller hands the signer anything but an authorised payment or cancellation",
    ),
    # Double entry: who posts makes groups that sum to zero, by `moves`.
    Unreached(
        "domain/ledger",
        "raise ValueError(f\"an account of kind {self.kind} {'needs' if self.wallet_id is None else 'has no'} wallet\")",
        Why.GUARD,
        "accounts are made by `WalletAccounts`, which knows their kinds",
    ),
    Unreached(
        "domain/ledger",
        'raise ValueError("a posting changes an account of its group\'s chain")',
        Why.GUARD,
        "`moves` leaves out what changes nothing, and every group is about one chain's accounts",
    ),
    Unreached(
        "domain/fees",
        'raise ValueError("the tip lies between 0 and the maximum fee")',
        Why.GUARD,
        "fees come from a quote that was checked, cut to a cap, or from a signed transaction that a chain took",
    ),
    # The tables of states. Each caller selects by state first; one that does not would be a bug.
    Unreached(
        "domain/deposit",
        'raise IllegalTransition(f"{deposit.id} is {deposit.state}: {type(fact).__name__} has no edge there")',
        Why.GUARD,
        "deposits are selected by their state",
    ),
    Unreached(
        "domain/lifecycle",
        'raise IllegalTransition(f"{transaction.id} is {transaction.state}: {type(fact).__name__} has no edge there")',
        Why.GUARD,
        "sends are selected by their state, and a version keeps what was selected",
    ),
    Unreached(
        "domain/lifecycle",
        'raise IllegalTransition(f"{transaction.id}: {newest.id} has its bytes, and they never change")',
        Why.GUARD,
        "a plan that holds bytes is not signed",
    ),
    Unreached(
        "domain/lifecycle",
        'raise IllegalTransition(f"{transaction.id}: {newest.id} has no bytes that could have been sent")',
        Why.GUARD,
        "only attempts with bytes are sent",
    ),
    Unreached(
        "domain/lifecycle",
        'raise IllegalTransition(f"{transaction.id}: {attempt_id} is not its newest attempt")',
        Why.GUARD,
        "a version keeps the attempt that was signed or sent the newest",
    ),
    # What the types do not tell.
    Unreached(
        "domain/matching",
        'raise ValueError("a contract creation pays nobody")',
        Why.NARROWS,
        "a transaction is matched by its recipient",
    ),
    Unreached(
        "services/ingest",
        'raise AssertionError("a confirming transaction has the block that holds it")',
        Why.NARROWS,
        "`SeenInBlock` sets the inclusion, and no attempt is ever taken away",
    ),
    Unreached(
        "services/sights",
        'raise AssertionError("a confirming transaction has the block that holds it")',
        Why.NARROWS,
        "`SeenInBlock` sets the inclusion, and no attempt is ever taken away",
    ),
    Unreached(
        "services/outgoing",
        'raise AssertionError("a transaction was found by a hash that it does not have")',
        Why.NARROWS,
        "it was looked up by that hash",
    ),
    Unreached(
        "services/comparing",
        'raise NotFound(f"{chain_text(chain.chain_id)} is not followed")',
        Why.NARROWS,
        "who compares has just read the chain's row, and none is ever taken away",
    ),
    Unreached(
        "services/comparing",
        'raise NotFound(f"{chain_text(self._chain.chain_id)} is not followed")',
        Why.NARROWS,
        "the chain's row was read before the nodes were asked, and none is ever taken away",
    ),
    # Approvals.
    Unreached("domain/lifecycle", "return attrs.evolve(transaction, due_at=now)", Why.LATER, "approvals", after="case Approved():"),
    Unreached("domain/lifecycle", "return transaction", Why.LATER, "approvals", after="case ApprovalExpired():"),
)


def line_of(unreached: Unreached) -> int:
    """Its number, from 1. Raises `LookupError` unless it is there exactly once."""
    found = list(_places(unreached))
    if len(found) != 1:
        raise LookupError(f"{unreached.module} has this line {len(found)} times: {unreached.text}")
    return found[0]


def _places(unreached: Unreached) -> Iterator[int]:
    lines = [line.strip() for line in (CORE / f"{unreached.module}.py").read_text().splitlines()]
    for number, line in enumerate(lines, 1):
        if line == unreached.text and unreached.after in {None, lines[number - 2]}:
            yield number
