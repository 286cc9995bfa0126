"""Workflows of a chain of which a final block changes."""

from __future__ import annotations

from custody_core.errors import ChainHalted
from tests.unit.simulation.operators import resume
from tests.unit.simulation.rehearsal import FINALITY_LAG, Rehearsal


def breached_and_back(on: Rehearsal) -> None:
    """The chain halts, with a deposit and a send on their way; its final block is the chain's again, and an operator has looked."""
    on.fund()
    on.send()
    on.rounds(2)
    on.tree.send_ether(on.wallet.address, 10**18)
    on.blocks(1)
    on.arm()
    on.tree.breach(FINALITY_LAG + 1)
    on.until(on.is_halted)
    on.tree.return_to(on.tree.pasts[0])
    on.rounds(2)
    on.ask(resume)


def let_go_on_too_early(on: Rehearsal) -> None:
    """It is halted again."""
    on.fund()
    on.send()
    on.rounds(2)
    on.arm()
    on.tree.breach(FINALITY_LAG + 1)
    on.until(on.is_halted)
    on.ask(resume)
    on.until(on.is_halted)
    on.tree.return_to(on.tree.pasts[0])
    on.ask(resume)


def asked_while_it_is_halted(on: Rehearsal) -> None:
    """Nothing is accepted on a chain of which nobody knows what is final."""
    on.fund()
    on.rounds()
    on.arm()
    on.tree.breach(FINALITY_LAG + 1)
    on.until(on.is_halted)
    try:
        on.send()
    except ChainHalted:
        on.tree.return_to(on.tree.pasts[0])
        on.ask(resume)
        on.send()
        return
    raise AssertionError("a send was accepted on a chain that is halted")
