"""Workflows with a node that tells something else each time it is asked, or half of the truth. Nothing is concluded from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import pytest

from custody_core import Custody, DepositState, TransactionState
from custody_core.domain.chain import Receipt
from custody_core.errors import InvalidStateTransition, NodeUnavailable
from custody_core.ports import Unknown
from custody_memory.chain import SILENCE
from tests.unit.simulation.props import FRIEND, with_one_changed
from tests.unit.simulation.rehearsal import FINALITY_LAG, LIMITS, Rehearsal, Stage
from tests.unit.simulation.rescans import is_refused, read_again
from tests.unit.simulation.site import CHAIN_ID

ETHER: Final = 10**18
UNREADABLE: Final = "cannot be read whole"

STAGES: Final[Mapping[str, Stage]] = {
    "misled_by_turns": Stage(views=2, limits=attrs.evolve(LIMITS, cross_check_min_wei=0)),
    "nonce_made_up": Stage(views=2),
}


def nonce_made_up(on: Rehearsal) -> None:
    """Restored books do not know the second of two equal payments, and a node says that it took the first one's nonce. Its bytes
    say otherwise: neither is it taken for the first, nor does the first one fail for it.
    """
    on.fund()
    first = on.send("first")
    on.until(lambda: bool(on.tree.pool))
    backup = on.backup()
    lost = on.custody.transactions.send(on.wallet.id, to=FRIEND, amount=10**17, idempotency_key="lost").id
    on.until(lambda: len(on.tree.pool) == 2)
    hash_ = on.transaction(lost).attempts[0].hash
    assert hash_ is not None
    on.tree.mine()
    on.restart_from(backup)
    on.is_not_ours(hash_, 1)
    on.views[0].says_of_block = lambda block: with_one_changed(block, hash_, nonce=0)
    on.arm()
    on.rounds(2)
    assert on.transaction(first).state is TransactionState.BROADCASTING
    on.views[0].says_of_block = None
    on.adopt()
    on.send("late")


def found_with_a_receipt_that_cannot_be(on: Rehearsal) -> None:
    """What the books have lost is found again, with a receipt of more than it may have cost, which only its bytes can tell."""
    on.fund()
    sent = on.send_again_after_a_backup()
    on.views[0].says_of_receipt = _too_dear
    on.arm()
    on.rounds(2)
    assert len(on.transaction(sent).attempts) == 1
    on.views[0].says_of_receipt = None


def hidden_and_found_by_a_rescan(on: Rehearsal) -> None:
    """A node left a send out of its block. A rescan finds it there, and not before its receipt is one that can be."""
    on.fund()
    sent = on.send()
    on.until(lambda: bool(on.tree.pool))
    on.tree.mine()
    on.views[0].says_of_block = lambda block: attrs.evolve(block, transactions=())
    on.rounds()
    on.views[0].says_of_block = None
    newest = on.tree.newest
    on.views[0].says_of_receipt = _too_dear
    on.arm()
    is_refused(on, NodeUnavailable, UNREADABLE, newest)
    assert on.transaction(sent).state is TransactionState.BROADCASTING
    on.views[0].says_of_receipt = None
    read_again(on, newest)
    assert on.transaction(sent).state is TransactionState.CONFIRMING


def traces_not_told_to_a_rescan(on: Rehearsal) -> None:
    """What contracts paid in a block is not told for now. An operator is there to ask again, so nobody goes without."""
    on.fund()
    on.views[0].says_of_traces = Unknown(SILENCE)
    on.arm()
    is_refused(on, NodeUnavailable, UNREADABLE, 1)
    on.views[0].says_of_traces = None
    read_again(on, 1)


def traces_told_up_to_a_block(on: Rehearsal) -> None:
    """Of two blocks that are read together the first is told, and is taken in. What a contract paid in the second is waited for."""
    on.fund()
    on.tree.mine_nothing()
    on.tree.send_ether(on.contract(on.wallet.address), ETHER)
    on.tree.mine()
    first = on.tree.newest - 1
    on.views[0].says_of_traces = Unknown(SILENCE)
    on.arm()
    on.until(lambda: [each.cursor.number for each in on.store.tables.chains] == [first])
    on.rounds(2)
    assert [each.cursor.number for each in on.store.tables.chains] == [first]
    on.views[0].says_of_traces = None


def misled_by_turns(on: Rehearsal) -> None:
    """Whenever its next block is read a node leaves a payment out, and shows it when it is asked about the block again. Two nodes
    show it then, so the block is taken back, but not again at once for the same reason.
    """
    on.views[0].may_omit = True
    omits = on.trouble.plan["node-omits"]

    def omit(_: Custody) -> None:
        omits.append(True)

    def omit_twice(_: Custody) -> None:
        omits.append(True)
        on.meanwhile("ends", omit)

    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine(FINALITY_LAG + 1)
    on.arm()
    on.meanwhile("ends", omit_twice)
    on.rounds(3)
    on.views[0].may_omit = False
    on.until(lambda: [each.state for each in on.store.tables.deposits] == [DepositState.COMPLETED])


def rescanned_by_two_at_once(on: Rehearsal) -> None:
    """Another operator asks while the first one's blocks are read: it is refused, and the first one finds what there is."""
    other = on.tree.deploy_token()
    on.tree.send_token(other, on.wallet.address, 33)
    on.blocks(FINALITY_LAG + 1)
    on.counts(other)
    on.custody.tokens.add(chain_id=CHAIN_ID, address=other, alias="late", decimals=6)
    refused = list[str]()

    def ask_too(custody: Custody) -> None:
        with pytest.raises(InvalidStateTransition) as refusal:
            custody.scans.rescan(1, on.tree.final)
        refused.append(str(refusal.value))

    on.arm()
    on.meanwhile("blocks", ask_too)
    read_again(on, 1, on.tree.final)
    assert [("being read again already" in each) for each in refused] == [True]
    assert [each.state for each in on.store.tables.deposits] == [DepositState.COMPLETED]


def _too_dear(receipt: Receipt) -> Receipt:
    return attrs.evolve(receipt, effective_gas_price_wei=10**15)
