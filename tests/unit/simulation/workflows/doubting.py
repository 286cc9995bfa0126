"""Workflows with nodes that say what cannot be, contradict themselves or each other, or do not say why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import attrs

from custody_core import Custody, DepositState, TransactionState
from custody_core.domain.addresses import address_from_bytes, address_to_bytes
from custody_core.domain.chain import Hash, Receipt
from custody_core.ports import Absent, BroadcastOutcome, SignedBytes
from custody_memory.world import OUTSIDER
from tests.unit.simulation.operators import resume
from tests.unit.simulation.props import FRIEND, with_one_changed
from tests.unit.simulation.rehearsal import FINALITY_LAG, LIMITS, Rehearsal, Stage
from tests.unit.simulation.site import CHAIN_ID
from tests.unit.simulation.views import REFUSALS
from tests.unit.simulation.virtual_time import MICROSECONDS

ETHER: Final = 10**18
FEE_CAPPED: Final = REFUSALS.index(BroadcastOutcome.FEE_CAPPED)
A_MINUTE: Final = timedelta(minutes=1).total_seconds()

STAGES: Final[Mapping[str, Stage]] = {
    "traced_by_one_node": Stage(views=2, limits=attrs.evolve(LIMITS, cross_check_min_wei=0)),
    "shown_by_one_node_alone": Stage(views=2),
    "left_out_by_one_node": Stage(views=2, limits=attrs.evolve(LIMITS, cross_check_min_wei=0)),
    "halted_by_one_node_alone": Stage(views=2),
    "payment_to_a_look_alike": Stage(is_tiny=True),
}


def revert_without_a_reason(on: Rehearsal) -> None:
    """Why a send reverted is not told; that it did is."""
    fickle = on.contract(FRIEND)
    on.fund()
    on.send(to=fickle)
    on.tree.turn_away(fickle)
    on.until(lambda: bool(on.tree.pool))
    on.tree.fail_next("try_call", 1)
    on.tree.mine()
    on.arm()
    on.rounds()


def head_of_a_branch_that_is_gone(on: Rehearsal) -> None:
    """The node tells of a head that is not on the branch which it then shows."""
    on.tree.send_ether(on.wallet.address, ETHER)
    on.blocks(1)
    on.tree.reorg(1)
    on.rounds(1)
    on.arm()
    on.trouble.plan["node-stale"] = [1]
    on.rounds(2)


def silent_about_its_head(on: Rehearsal) -> None:
    """Without a head nothing is read; it is asked for again."""
    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine()
    on.arm()
    on.meanwhile("ends", lambda _: on.trouble.plan["node-silent"].append(True))
    on.rounds(2)


def silent_about_how_far_a_wallet_is(on: Rehearsal) -> None:
    """No nonce is reserved before the node has said which one is next."""
    on.fund()
    sent = on.send()
    on.arm()
    on.meanwhile("known_nonces", lambda _: on.trouble.plan["node-silent"].append(True))
    on.rounds()
    on.until(lambda: on.transaction(sent).nonce is not None)


def silent_about_what_to_take_back(on: Rehearsal) -> None:
    """The branch has changed, and the node does not say where from: nothing is taken back on a guess."""
    on.tree.send_ether(on.wallet.address, ETHER)
    on.blocks(1)
    on.tree.reorg(1)
    on.arm()
    on.meanwhile("headers", lambda _: on.trouble.plan["node-silent"].append(True))
    on.rounds()
    on.trouble.plan["node-silent"].clear()
    on.rounds(2)


def listed_although_it_has_no_amounts(on: Rehearsal) -> None:
    """A contract whose things have numbers was listed as a token: its events have another shape, and are nobody's money."""
    on.arm()
    on.tree.send_numbered(on.token, on.wallet.address, 7)
    on.tree.send_token(on.token, on.wallet.address, 77)
    on.blocks(FINALITY_LAG + 1)


def somebody_else_tells_of_it_first(on: Rehearsal) -> None:
    """A receipt holds another contract's event, of the same shape, before the token's own. Only the token's word counts."""
    on.fund(tokens=500)

    def say(receipt: Receipt) -> Receipt:
        strange = [attrs.evolve(each, emitter=OUTSIDER) for each in receipt.logs]
        return attrs.evolve(receipt, logs=(*strange, *receipt.logs))

    on.views[0].says_of_receipt = say
    on.arm()
    on.send(asset="usdc", amount=70)


def fees_above_what_a_node_passes_on(on: Rehearsal) -> None:
    """It says so again and again, and somebody is told once."""
    on.fund()
    on.trouble.plan["node-refuses"] = [FEE_CAPPED] * 3
    on.arm()
    on.send()
    on.rounds(4, seconds=20)


def costs_more_than_it_may(on: Rehearsal) -> None:
    """A receipt that contradicts the transaction is not believed: the block is waited for until the node says otherwise."""
    on.fund()
    sent = on.send()
    on.until(lambda: bool(on.tree.pool))
    on.tree.mine()
    on.views[0].says_of_receipt = lambda receipt: attrs.evolve(receipt, effective_gas_price_wei=10**15)
    on.arm()
    on.rounds(2)
    assert on.transaction(sent).state is TransactionState.BROADCASTING
    on.views[0].says_of_receipt = None


def said_to_be_ours(on: Rehearsal) -> None:
    """A node names a managed address as the sender of what somebody else signed."""
    on.fund()
    hash_ = on.tree.send_ether(FRIEND, 5)
    on.tree._signed[hash_] = SignedBytes(b"", address_from_bytes(OUTSIDER))
    on.tree.mine()
    own = address_to_bytes(on.wallet.address)

    on.views[0].says_of_block = lambda block: with_one_changed(block, hash_, sender=own)
    on.arm()
    on.rounds(2)
    on.views[0].says_of_block = None
    on.send()


def shown_by_one_node_alone(on: Rehearsal) -> None:
    """One of two nodes still shows a block that holds a foreign transaction of the wallet's; the other one, none."""
    on.fund()
    on.signed_elsewhere(FRIEND, 10**16)
    on.tree.mine()
    on.tree.reorg(1, pooled=False)
    on.views[0].late_by = 1
    on.arm()
    on.rounds(2)
    on.views[0].late_by = 0
    on.adopt()  # where nobody heard the other node, the wallet was stopped


def left_out_by_one_node(on: Rehearsal) -> None:
    """The first node leaves a payment out of its block, the second one shows it: the block is taken back and read again."""
    on.views[0].may_omit = True
    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine()
    on.arm()
    on.meanwhile("blocks", lambda _: on.trouble.plan["node-omits"].append(True))
    on.rounds(3)


def halted_by_one_node_alone(on: Rehearsal) -> None:
    """One of two nodes shows another final block. It does not get to stop the service."""
    on.fund()
    on.send()
    on.rounds(2)
    before = len(on.tree.tips)
    on.arm()
    on.tree.breach(FINALITY_LAG + 1)
    on.views[1].late_by = len(on.tree.tips) - before
    on.rounds(2)
    on.tree.return_to(on.tree.pasts[0])
    on.views[1].late_by = 0
    on.ask(resume)


def final_block_of_another_branch(on: Rehearsal) -> None:
    """What a node tags is not on the branch that it shows."""
    on.fund()
    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine()
    on.views[0].says_of_final = lambda header: attrs.evolve(header, hash=Hash("0x" + "ab" * 32))
    on.arm()
    on.rounds(2)
    on.views[0].says_of_final = None


def taken_back_by_another_process(on: Rehearsal) -> None:
    """Somebody who leads is slow; meanwhile the branch changes, another process leads, and takes back the very block that the first
    one was told is final. What that one would have kept is kept by nobody.
    """
    on.fund()
    on.tree.send_ether(on.wallet.address, ETHER)
    on.tree.mine()
    on.rounds()
    on.tree.mine(FINALITY_LAG)

    def lead(custody: Custody) -> None:
        on.time.us += int(A_MINUTE * MICROSECONDS)
        on.tree.breach(FINALITY_LAG + 1)
        custody._followers[CHAIN_ID].round()

    on.arm()
    on.meanwhile("blocks", lambda _: on.meanwhile("read", lead))
    on.rounds(2)


def payment_to_a_look_alike(on: Rehearsal) -> None:
    """Its address begins as one of ours, and it is somebody else's."""
    for name in ("second", "third"):
        on.custody.wallets.create(owner="bob", idempotency_key=name)
    own = address_to_bytes(on.wallet.address)
    look_alike = address_from_bytes(own[:8] + bytes(12))
    on.arm()
    on.tree.send_ether(look_alike, ETHER)
    on.tree.send_token(on.token, look_alike, 77)
    on.tree.send_ether(on.wallet.address, ETHER)


def traced_by_one_node(on: Rehearsal) -> None:
    """What a contract paid is held back for a while, and then for an operator to give."""
    on.views[1].says_of_traces = Absent()
    on.tree.send_ether(on.contract(on.wallet.address), ETHER)
    on.blocks(FINALITY_LAG + 1)
    on.rounds(10, seconds=A_MINUTE)
    on.arm()
    on.until(lambda: any(each.state is DepositState.QUARANTINED for each in on.store.tables.deposits), seconds=A_MINUTE)
    (quarantined,) = list(on.store.tables.deposits)
    on.release(quarantined.id)
