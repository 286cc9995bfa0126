"""Workflows of books that are older than the chain, and of keys that somebody else has, too."""

from __future__ import annotations

from custody_core import TransactionState
from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.encoding import erc20_transfer_calldata
from tests.unit.simulation.operators import in_turn
from tests.unit.simulation.props import FRIEND
from tests.unit.simulation.rehearsal import Rehearsal


def restored_before_it_was_signed(on: Rehearsal) -> None:
    """The books know its nonce, the chain its bytes."""
    on.fund()
    sent = _waiting_for_the_signer(on)
    backup = on.backup()
    on.signer.is_away = False
    on.until(lambda: bool(on.tree.pool))
    on.tree.mine()
    on.restart_from(backup)
    on.arm()
    on.until(lambda: on.transaction(sent).state is TransactionState.CONFIRMING)


def restored_before_its_cancellation(on: Rehearsal) -> None:
    on.fund()
    sent = on.send()
    on.until(lambda: bool(on.tree.pool))
    backup = on.backup()
    on.custody.transactions.cancel(sent)
    on.until(lambda: len(on.transaction(sent).attempts) == 2 and on.transaction(sent).attempts[1].first_sent_at is not None)
    on.tree.mine()
    on.restart_from(backup)
    on.arm()
    on.rounds()


def restored_before_it_was_sent(on: Rehearsal) -> None:
    """What is found on the chain is dearer than what the books have, which never left; then its block goes."""
    on.fund()
    on.send_again_after_a_backup()
    on.arm()
    on.rounds()
    on.tree.reorg(1, pooled=False)
    on.rounds(2)
    on.market(30)
    on.tree.mine_nothing()
    on.rounds(2, seconds=100)
    on.market(1)


def restored_before_others_were_asked_for(on: Rehearsal) -> None:
    """The chain's nodes know one more of the wallet's than the books: it is stopped before anything is reserved."""
    on.fund()
    on.send("first")
    on.settle()
    backup = on.backup()
    lost = on.custody.transactions.send(on.wallet.id, to=FRIEND, amount=10**16, idempotency_key="lost").id
    on.until(lambda: bool(on.tree.pool))
    attempt = on.transaction(lost).attempts[0]
    assert attempt.hash is not None
    on.restart_from(backup)
    on.is_not_ours(attempt.hash, 1)
    on.arm()
    on.rounds()
    on.adopt()
    on.send("late")


def another_send_at_its_nonce(on: Rehearsal) -> None:
    """The books gave a nonce to another send than the chain did: what was signed for one is not taken for the other."""
    on.fund()
    backup = on.backup()
    on.custody.transactions.send(on.wallet.id, to=FRIEND, amount=10**16, idempotency_key="lost")
    on.until(lambda: bool(on.tree.pool))
    pooled = on.waits_for_a_block()
    on.tree.drop(pooled.hash)
    on.restart_from(backup)
    on.tree.drop_broadcasts(1)
    other = on.send("other")
    on.until(lambda: on.transaction(other).state is TransactionState.BROADCASTING)
    on.is_not_ours(pooled.hash, 0)
    on.tree.put_back(pooled)
    on.tree.mine()
    on.arm()
    on.adopt()
    assert on.transaction(other).state is TransactionState.FAILED


def nonce_taken_before_it_was_signed(on: Rehearsal) -> None:
    on.fund()
    sent = _waiting_for_the_signer(on)
    on.signed_elsewhere(FRIEND, 10**16)
    on.tree.mine()
    on.arm()
    on.rounds()
    on.signer.is_away = False
    on.adopt()
    assert on.transaction(sent).state is TransactionState.FAILED


def nonce_taken_before_it_was_mined(on: Rehearsal) -> None:
    """What waits behind it fails, too: it may be the very payment that somebody else made. The node shows it late."""
    on.fund()
    sent = on.send()
    on.until(lambda: bool(on.tree.pool))
    on.tree.drop(on.tree.pool[0])
    on.signed_elsewhere(FRIEND, 10**16)
    on.tree.mine()
    on.tree.fail_next("signed_transactions", 1)
    on.arm()
    on.rounds(2)
    on.adopt()
    assert on.transaction(sent).state is TransactionState.FAILED


def queued_when_a_nonce_was_used_elsewhere(on: Rehearsal) -> None:
    """It has no nonce yet, and may be the very payment that waits in the pool: its wallet is stopped before one is reserved."""
    on.fund()
    sent = on.send()
    on.signed_elsewhere(FRIEND, 10**16)
    on.arm()
    on.rounds()
    on.tree.mine()
    on.adopt()
    assert on.transaction(sent).state is TransactionState.FAILED


def tokens_taken_elsewhere(on: Rehearsal) -> None:
    """Somebody else moves the wallet's tokens; reading these blocks again finds nothing more."""
    on.fund(tokens=500)
    on.signed_elsewhere(on.token, 0, data=erc20_transfer_calldata(address_to_bytes(FRIEND), 33), gas_limit=90_000)
    on.tree.mine()
    at = on.tree.head.number
    on.arm()
    on.adopt()
    on.ask(in_turn(lambda custody: custody.scans.rescan(at)))


def _waiting_for_the_signer(on: Rehearsal) -> str:
    on.signer.is_away = True
    sent = on.send()
    on.until(lambda: on.transaction(sent).state is TransactionState.PENDING_SIGNATURE)
    return sent
