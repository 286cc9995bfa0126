"""Workflows of nodes that show different things for long, or show nothing any more: what becomes final, when, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from custody_core import DepositState, Traces
from custody_core.domain.chain import Block
from custody_core.ports import Absent
from tests.unit.simulation.props import Gone
from tests.unit.simulation.rehearsal import FINALITY_LAG, LIMITS, Rehearsal, Stage
from tests.unit.simulation.site import CHAIN_ID

ETHER: Final = 10**18
A_MINUTE: Final = 60

STAGES: Final[Mapping[str, Stage]] = {
    "disputed_by_one_of_two": Stage(views=2, limits=attrs.evolve(LIMITS, cross_check_min_wei=0)),
    "denied_by_two_of_three": Stage(views=3, limits=attrs.evolve(LIMITS, cross_check_min_wei=0)),
    "small_payments_and_a_silent_node": Stage(views=2, limits=attrs.evolve(LIMITS, cross_check_min_wei=ETHER)),
}


def disputed_by_one_of_two(on: Rehearsal) -> None:
    """One node shows a payment, the other one the same block without it. Nobody is credited before they agree."""
    on.views[1].says_of_block = _without_transactions
    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine(FINALITY_LAG + 1)
    on.arm()
    on.rounds(3, seconds=A_MINUTE)
    assert _states(on) == [DepositState.CONFIRMING]
    on.views[1].says_of_block = None
    on.until(lambda: _states(on) == [DepositState.COMPLETED])


def denied_by_two_of_three(on: Rehearsal) -> None:
    """The one that is read from says again and again what two others deny. Its word is not read again in vain, and not credited."""
    for view in on.views[1:]:
        view.says_of_block = _without_transactions
    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine(FINALITY_LAG + 1)
    on.arm()
    on.rounds(3, seconds=A_MINUTE)
    assert _states(on) == [DepositState.CONFIRMING]
    for view in on.views[1:]:
        view.says_of_block = None
    on.until(lambda: _states(on) == [DepositState.COMPLETED])


def small_payments_and_a_silent_node(on: Rehearsal) -> None:
    """A second node has gone. What is too small to need it is waited for, and then credited; what is not waits until it is back."""
    on.views[1].trouble = Gone()
    on.tree.send_ether(on.wallet.address, ETHER // 10)
    on.tree.mine(FINALITY_LAG + 1)
    on.arm()
    on.until(lambda: _states(on) == [DepositState.COMPLETED], seconds=5 * A_MINUTE)
    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine(FINALITY_LAG + 1)
    on.rounds(4, seconds=5 * A_MINUTE)
    assert _states(on) == [DepositState.COMPLETED, DepositState.CONFIRMING]
    on.views[1].trouble = on.trouble


def traces_gone_for_a_while(on: Rehearsal) -> None:
    """A node that had traces has none for a block, and has them again: after an hour of that the alarm is over."""
    on.fund()
    on.views[0].says_of_traces = Absent()
    on.arm()
    on.fund()
    on.views[0].says_of_traces = None
    for _ in range(3):
        on.tree.send_ether(on.wallet.address, ETHER)
        on.blocks()
        on.rounds(5, seconds=10 * A_MINUTE)


def traces_switched_off(on: Rehearsal) -> None:
    """A node has lost its traces, somebody is alarmed, and the operator decides to go without."""
    on.fund()
    on.views[0].says_of_traces = Absent()
    on.arm()
    on.fund()
    on.stage = attrs.evolve(on.stage, limits=attrs.evolve(on.stage.limits, traces={CHAIN_ID: Traces.OFF}))
    on.hand_over()
    on.fund()


def _without_transactions(block: Block) -> Block:
    return attrs.evolve(block, transactions=[])


def _states(on: Rehearsal) -> list[DepositState]:
    return [each.state for each in on.store.tables.deposits]
