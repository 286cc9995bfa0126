"""Workflows of payments."""

from __future__ import annotations

from custody_core import TransactionState
from custody_core.domain.fees import GWEI
from custody_core.errors import ExternalIdExists
from tests.unit.simulation.desk import APPROVE, recipient_word
from tests.unit.simulation.props import FRIEND
from tests.unit.simulation.rehearsal import Rehearsal


def send_ether(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    on.send()


def send_token(on: Rehearsal) -> None:
    on.fund(tokens=500)
    on.arm()
    on.send(asset="usdc", amount=120)


def contract_call(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    on.send(to=on.token, amount=None, data=APPROVE + recipient_word(FRIEND) + (7).to_bytes(32, "big"), value=0)


def two_sends(on: Rehearsal) -> None:
    on.fund(tokens=500)
    on.arm()
    on.send("first")
    on.send("second", asset="usdc", amount=120)


def send_asked_for_twice(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    first = on.send()
    on.rounds(2)
    assert on.send() == first


def send_with_an_id_of_its_own(on: Rehearsal) -> None:
    """Another request with the same one is refused."""
    on.fund()
    on.arm()
    on.send(external_id="invoice 7")
    try:
        on.send("other", external_id="invoice 7")
    except ExternalIdExists:
        return
    raise AssertionError("two sends have one external id")


def send_at_its_cap(on: Rehearsal) -> None:
    """It is told to be stuck, and goes on when the market falls."""
    on.fund()
    on.arm()
    sent = on.send(fee_per_gas_max_wei=4 * GWEI)
    on.until(lambda: bool(on.tree.pool))
    for _ in range(8):
        on.market(40)
        on.tree.mine_nothing()
        on.rounds(seconds=30)
    assert on.transaction(sent).stuck is not None
    on.market(1)
    on.tree.mine_nothing()
    on.rounds(4, seconds=30)
    assert on.transaction(sent).stuck is None


def send_passed_over(on: Rehearsal) -> None:
    """It offers what the market asks, and no block takes it for long."""
    on.fund()
    on.arm()
    on.send(fee_per_gas_max_wei=4 * GWEI)
    for _ in range(24):
        on.tree.mine_nothing()
        on.rounds(seconds=40)


def send_between_wallets(on: Rehearsal) -> None:
    """What leaves one wallet is another one's deposit."""
    other = on.custody.wallets.create(owner="bob", idempotency_key="other-wallet")
    on.fund()
    on.arm()
    on.send(to=other.address)


def send_what_just_arrived(on: Rehearsal) -> None:
    on.arm()
    on.fund()
    on.until(lambda: any(str(each.state) == "completed" for each in on.store.tables.deposits))
    on.send()


def send_that_reverts(on: Rehearsal) -> None:
    """Its recipient refuses it in the end, although it did not when it was asked."""
    fickle = on.contract(FRIEND)
    on.fund()
    on.arm()
    on.send(to=fickle)
    on.tree.turn_away(fickle)


def send_forgotten_by_the_pool(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    on.send()
    on.until(lambda: bool(on.tree.pool))
    on.tree.drop(on.tree.pool[0])
    on.rounds(6, seconds=30)


def send_while_fees_are_high(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = on.send()
    on.market(400)
    on.rounds(3, seconds=20)
    assert on.transaction(sent).state is not TransactionState.COMPLETED
    on.market(1)


def send_reorganised(on: Rehearsal) -> None:
    on.fund()
    sent = on.send()
    on.rounds(2)
    on.blocks(1)
    assert on.transaction(sent).state is TransactionState.CONFIRMING
    on.arm()
    on.tree.reorg(1, pooled=False)
    on.until(lambda: on.transaction(sent).state is TransactionState.BROADCASTING)


def send_mined_again(on: Rehearsal) -> None:
    """The block is replaced by one that holds it, too."""
    on.fund()
    sent = on.send()
    on.rounds(2)
    on.blocks(1)
    attempt = on.transaction(sent).attempts[0]
    assert attempt.hash is not None
    on.arm()
    on.tree.reorg(1, keep=[attempt.hash])
    on.rounds(2)
