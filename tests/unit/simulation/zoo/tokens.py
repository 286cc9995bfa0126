"""Bugs about tokens that do not do what EIP-20 says."""

from __future__ import annotations

from typing import Final

from custody_core.domain import suspense
from custody_core.services import booking, ingest, outgoing
from tests.unit.simulation.zoo.bug import Bug

TOKENS: Final = (
    Bug(
        "a token that keeps a fee is credited by its event",
        ingest.Ingest,
        "_doubt",
        "if key.kind is DepositKind.TOKEN and",
        "if False and",
    ),
    Bug(
        "a token that says no is taken to have paid",
        outgoing,
        "problem_of",
        'return "the token\'s contract reported success and moved nothing"',
        "return None",
    ),
    Bug("what is missing of a token is not booked", booking.Booking, "run", "if difference.deficit:", "if False:"),
    Bug(
        "what grew by itself is the owner's",
        suspense,
        "found",
        "(accounts.external, accounts.suspense, amount)",
        "(accounts.external, accounts.available, amount)",
    ),
)
