"""Bugs in what is taken for final, and in what is done when a final block changes."""

from __future__ import annotations

from typing import Final

from custody_core.domain import chain
from custody_core.services import accepting, chains, following, sending
from tests.unit.simulation.zoo.bug import Bug

HALTING: Final = (
    Bug(
        "a depth is one block less deep",
        chain,
        "final_number",
        "head - confirmations + 1",
        "head - confirmations + 2",
        peer="OpenZeppelin, peatio: done after a few blocks",
    ),
    Bug(
        "a final block is taken back like any other",
        following.Follower,
        "_rewind",
        "first=state.final.number, last=state.cursor.number",
        "first=max(state.final.number - 9, 0), last=state.cursor.number",
    ),
    Bug(
        "a halted chain is followed",
        following.Follower,
        "round",
        "if state.halted_reason is not None:",
        "if False:",
    ),
    Bug("a halted chain is sent on", sending.Sender, "_claim", "state.halted_reason is None and ", ""),
    Bug(
        "a chain is let go on from its beginning",
        chains.Chains,
        "resume",
        "halted_reason=None, version",
        "halted_reason=None, final=unit.headers(chain_id, first=0, last=0)[0].ref, version",
    ),
    Bug(
        "a chain is halted and nobody is told",
        following.Follower,
        "_halt",
        'raise_alarm(self._kit, unit, now=now, code="finality-breached", object_id=object_id, detail=reason)',
        "pass",
    ),
    Bug(
        "who asks of a halted chain is never answered",
        accepting.Desk,
        "_require_may_send",
        "raise ChainHalted(",
        "raise NodeUnavailable(",
    ),
)
