"""Workflows of replacements and cancellations."""

from __future__ import annotations

from contextlib import suppress

from custody_core import InvalidStateTransition, TransactionState
from custody_core.domain.transaction import AttemptKind
from tests.unit.simulation.rehearsal import Rehearsal


def bump(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    on.send()
    on.rounds(2)
    on.market(2)
    on.tree.mine_nothing()
    on.rounds(4, seconds=40)


def speed_up(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = _in_the_pool(on)
    on.ask(lambda custody: custody.transactions.speed_up(sent))
    on.until(lambda: _is_replaced(on, sent, attempts=2))


def speed_up_twice(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = _in_the_pool(on)
    for attempts in (2, 3):
        on.ask(lambda custody: custody.transactions.speed_up(sent))
        on.until(lambda attempts=attempts: _is_replaced(on, sent, attempts=attempts))  # type: ignore[misc]


def speed_up_then_cancel(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = _in_the_pool(on)
    on.ask(lambda custody: custody.transactions.speed_up(sent))
    on.ask(lambda custody: custody.transactions.cancel(sent))
    on.until(lambda: _is_cancelling(on, sent))


def reorg_of_replacement(on: Rehearsal) -> None:
    on.fund()
    sent = _in_the_pool(on)
    on.custody.transactions.speed_up(sent)
    on.until(lambda: _is_replaced(on, sent, attempts=2))
    on.blocks(1)
    assert on.transaction(sent).state is TransactionState.CONFIRMING
    on.arm()
    on.tree.reorg(1, pooled=False)
    on.rounds(2)


def cancel_before_nonce(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = on.send()
    on.ask(lambda custody: custody.transactions.cancel(sent))


def cancel_after_nonce(on: Rehearsal) -> None:
    on.fund()
    on.arm()
    sent = on.send()
    on.until(lambda: on.transaction(sent).nonce is not None)
    on.ask(lambda custody: custody.transactions.cancel(sent))
    on.until(lambda: _is_cancelling(on, sent))


def cancel_of_tokens(on: Rehearsal) -> None:
    on.fund(tokens=500)
    on.arm()
    sent = _in_the_pool(on, asset="usdc", amount=120)
    on.ask(lambda custody: custody.transactions.cancel(sent))
    on.until(lambda: _is_cancelling(on, sent))


def cancel_too_late(on: Rehearsal) -> None:
    """It is mined already, and nobody knows yet."""
    on.fund()
    on.arm()
    sent = _in_the_pool(on)
    on.tree.mine()

    with suppress(InvalidStateTransition):
        on.ask(lambda custody: custody.transactions.cancel(sent))


def _in_the_pool(on: Rehearsal, **request: object) -> str:
    sent = on.send(**request)  # type: ignore[arg-type]
    on.until(lambda: bool(on.tree.pool))
    on.rounds()
    return sent


def _is_replaced(on: Rehearsal, sent: str, *, attempts: int) -> bool:
    transaction = on.transaction(sent)
    newest = transaction.newest_attempt
    is_sent = newest is not None and newest.first_sent_at is not None
    return transaction.is_final or (len(transaction.attempts) >= attempts and is_sent)


def _is_cancelling(on: Rehearsal, sent: str) -> bool:
    transaction = on.transaction(sent)
    newest = transaction.newest_attempt
    is_sent = newest is not None and newest.kind is AttemptKind.CANCELLATION and newest.first_sent_at is not None
    return transaction.is_final or is_sent
