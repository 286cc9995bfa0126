"""Bugs in what is taken for what was asked for, decided on, or ours."""

from __future__ import annotations

from typing import Final

from custody_core.domain import authorisation, recognition
from custody_core.services import accepting, evidence
from tests.unit.simulation.zoo.bug import Bug

ASKING: Final = (
    Bug(
        "what was decided on is not compared with what is signed",
        authorisation,
        "_covered_nonce",
        "and (inputs.to, inputs.amount) == (transaction.to, transaction.amount)",
        "",
        flow="paid_to_somebody_else",
    ),
    Bug(
        "a cancellation needs nobody who asks for it",
        authorisation,
        "_cancellation",
        "if transaction.cancel_requested_at is None:",
        "if False:",
        flow="cancelled_by_nobody",
    ),
    Bug(
        "the key of a batch is not kept",
        accepting.Desk,
        "_keep",
        "if asked.batch is not None:",
        "if False:",
        flow="payouts",
    ),
    Bug(
        "what begins as an address of ours is ours",
        evidence.EvidenceReader,
        "_confirmed",
        "if managed.is_exact:",
        "if True:",
        flow="payment_to_a_look_alike",
    ),
    Bug(
        "any bytes at a send's nonce are that send",
        recognition,
        "kind_of",
        "if said == (to, transaction.call_value_wei, transaction.call_data, transaction.access_list):",
        "if True:",
        flow="another_send_at_its_nonce",
    ),
)
