"""Bugs in replacements and cancellations."""

from __future__ import annotations

from typing import Final

from custody_core.domain import fees
from custody_core.services import replacing
from tests.unit.simulation.zoo.bug import Bug

REPLACING: Final = (
    Bug(
        "one fee field is raised",
        fees,
        "replacement_fees",
        "tip = max(floor_tip, wanted.max_priority_fee_per_gas_wei)",
        "tip = wanted.max_priority_fee_per_gas_wei",
        peer="engine TS: cancel raises one field only",
    ),
    Bug(
        "a replacement costs 9 % more",
        fees,
        "_raised",
        "-(-fee_wei * REPLACEMENT_NUMERATOR // REPLACEMENT_DENOMINATOR)",
        "-(-fee_wei * 109 // 100)",
        peer="chainlink #5861: refused as underpriced",
    ),
    Bug(
        "a replacement is another payment",
        replacing,
        "_kind",
        "AttemptKind.CANCELLATION if",
        "AttemptKind.PAYMENT if",
        flow="cancel_after_nonce",
        peer="engine-core: a bump turns into something else",
    ),
    Bug(
        "a replacement offers what the market asks",
        fees,
        "replacement_fees",
        "    tip = max(floor_tip, wanted.max_priority_fee_per_gas_wei)\n"
        "    return Fees(max(floor_max, wanted.max_fee_per_gas_wei, tip), tip)",
        "    return wanted",
        peer="engine-core, rrelayer: bumped from the estimate, not from the attempt before",
    ),
    Bug(
        "what cannot be made dearer is not sent again",
        replacing,
        "replace_waiting",
        "return planned, [*unchanged, *(each for each in changed if not _is_planned(each))]",
        "return planned, []",
        peer="OpenZeppelin #808: at its cap a send is stuck for ever",
    ),
)
