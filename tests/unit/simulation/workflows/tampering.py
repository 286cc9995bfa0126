"""Workflows in which somebody who can write to the database changes rows behind the service's back. Nothing is signed on those.

In the end the rows are as they were, so each send comes to its end after all.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from custody_core import Custody, DepositState, TransactionState
from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.deposit import Deposit
from custody_core.domain.transaction import AttemptKind, Transaction
from custody_core.domain.wallet import WalletState
from custody_core.errors import KeyIntegrity, NotFound
from tests.unit.simulation.props import FRIEND
from tests.unit.simulation.rehearsal import ASKED_AGAIN, FINALITY_LAG, Rehearsal

THIEF = address_from_bytes(b"\xcc" * 20)
NOT_AUTHORISED = "not-authorised"


def key_missing(on: Rehearsal) -> None:
    """No nonce is reserved for it meanwhile."""
    on.fund()
    key = on.store.tables.sealed_keys.rows[on.wallet.id]
    on.tamper("sealed_keys", on.wallet.id, None)
    on.arm()
    sent = on.send()
    on.until(lambda: on.transaction(sent).parked_reason == KeyIntegrity.code)
    on.tamper("sealed_keys", on.wallet.id, key)
    on.until(lambda: on.transaction(sent).nonce is not None)


def key_of_another_wallet(on: Rehearsal) -> None:
    """Its seal opens for its own row alone."""
    on.fund()
    other = on.custody.wallets.create(owner="bob", idempotency_key="other-wallet")
    rows = on.store.tables.sealed_keys.rows
    key = rows[on.wallet.id]
    on.tamper("sealed_keys", on.wallet.id, attrs.evolve(rows[other.id], wallet_id=on.wallet.id))
    on.arm()
    sent = on.send()
    on.until(lambda: on.transaction(sent).parked_reason == KeyIntegrity.code)
    on.tamper("sealed_keys", on.wallet.id, key)
    on.until(lambda: on.transaction(sent).nonce is not None)


def key_gone_before_it_was_signed(on: Rehearsal) -> None:
    on.fund()
    sent = _waiting_for_the_signer(on)
    key = on.store.tables.sealed_keys.rows[on.wallet.id]
    on.tamper("sealed_keys", on.wallet.id, None)
    _is_not_authorised(on, sent)
    on.tamper("sealed_keys", on.wallet.id, key)
    on.until(lambda: on.transaction(sent).state is not TransactionState.PENDING_SIGNATURE)


def paid_to_somebody_else(on: Rehearsal) -> None:
    """The row names another recipient than was decided on."""
    _tampered(on, lambda row: attrs.evolve(row, to=THIEF), lambda row: attrs.evolve(row, to=FRIEND))


def cancelled_by_nobody(on: Rehearsal) -> None:
    """The row plans a cancellation that nobody asked for."""
    _tampered(on, lambda row: _planned(row, AttemptKind.CANCELLATION), lambda row: _planned(row, AttemptKind.PAYMENT))


def paid_from_another_wallet(on: Rehearsal) -> None:
    """The row and its decision name another wallet, at the nonce and the address of this one."""
    on.fund()
    other = on.custody.wallets.create(owner="bob", idempotency_key="other-wallet").id
    sent = _waiting_for_the_signer(on)
    _of_wallet(on, sent, other)
    _is_not_authorised(on, sent)
    _of_wallet(on, sent, on.wallet.id)
    on.until(lambda: on.transaction(sent).state is not TransactionState.PENDING_SIGNATURE)


def cancelled_from_another_wallet(on: Rehearsal) -> None:
    """The row and its decision name another wallet: what cancels a send goes from a wallet to itself, whoever asks for it."""
    on.fund()
    other = on.custody.wallets.create(owner="bob", idempotency_key="other-wallet").id
    sent = _waiting_for_the_signer(on)
    on.custody.transactions.cancel(sent)
    _of_wallet(on, sent, other)
    _is_not_authorised(on, sent)
    _of_wallet(on, sent, on.wallet.id)
    on.until(lambda: on.transaction(sent).state is not TransactionState.PENDING_SIGNATURE)


def bytes_put_into_its_plan(on: Rehearsal) -> None:
    """A plan holds bytes already, which nobody signed for it. They do not leave, and other wallets' sends go on."""
    on.fund()
    sent = _waiting_for_the_signer(on)
    on.tamper("transactions", sent, _with_bytes(on.transaction(sent), b"\x02not ours"))
    _is_not_authorised(on, sent)
    assert not on.tree.pool
    on.tamper("transactions", sent, _with_bytes(on.transaction(sent), None))
    on.until(lambda: on.transaction(sent).state is not TransactionState.PENDING_SIGNATURE)


def bytes_of_another_send(on: Rehearsal) -> None:
    """A row holds what was signed for the send after it. The verdict about the books tells so; nothing is sent again meanwhile."""
    on.fund()
    sent, other = on.send("send"), on.send("other")
    on.until(lambda: len(on.tree.pool) == 2)
    row = on.transaction(sent)
    on.tamper("transactions", sent, _with_bytes(row, on.transaction(other).attempts[0].raw))
    on.arm()
    told = on.ask(lambda custody: custody.reconcile())
    assert any("is not the payment that it should be" in each for check in told.checks for each in check.violations)
    on.tamper("transactions", sent, row)


def due_although_it_is_mined(on: Rehearsal) -> None:
    """The row asks for work that there is none of: nothing is sent again."""
    on.fund()
    sent = on.send()
    on.until(lambda: bool(on.tree.pool))
    on.blocks(1)
    row = on.transaction(sent)
    assert row.state is TransactionState.CONFIRMING
    on.tamper("transactions", sent, attrs.evolve(row, due_at=row.updated_at))
    on.arm()
    on.rounds(2)
    assert on.transaction(sent).state is TransactionState.CONFIRMING


def deposit_turned_around(on: Rehearsal) -> None:
    """Its row says that less than nothing came, then that nothing came. No group of postings says so: the round fails, and whoever
    was paid has it once the row is right again.
    """
    on.tree.send_ether(on.wallet.address, 10**18)
    on.blocks(1)
    (row,) = list(on.store.tables.deposits)
    on.arm()
    for amount in (-row.key.amount, 0):
        on.tamper("deposits", row.id, _amounting(row, amount))
        on.tree.mine(FINALITY_LAG)
        _fail(on, ValueError)
        assert on.store.tables.deposits.rows[row.id].state is DepositState.CONFIRMING
    on.tamper("deposits", row.id, row)


def wallet_closed_by_nobody(on: Rehearsal) -> None:
    """What it was asked to send is refused, what it is paid is kept from its owner; an operator gives it back."""
    on.fund()
    sent = on.send()
    on.tree.send_ether(on.wallet.address, 10**18)
    _close(on, WalletState.CLOSED)
    on.arm()
    on.until(lambda: on.transaction(sent).state is TransactionState.REJECTED)
    on.tree.mine(FINALITY_LAG + 1)
    on.until(lambda: any(each.state is DepositState.QUARANTINED for each in on.store.tables.deposits))
    (kept,) = [each for each in on.store.tables.deposits if each.state is DepositState.QUARANTINED]
    _close(on, WalletState.OPEN)
    on.release(kept.id)


def wallet_gone_while_it_was_asked(on: Rehearsal) -> None:
    """Between the look at a request and its acceptance the wallet's row goes: nothing is accepted for it."""
    on.fund()
    row = on.store.tables.wallets.rows[on.wallet.id]
    on.arm()
    on.meanwhile("estimate_gas", lambda _: on.tamper("wallets", row.id, None))

    def ask(custody: Custody) -> object:
        asked = custody.transactions.ask(row.id, to=FRIEND, amount=10**17, idempotency_key="send")
        (outcome,) = custody.transactions.accept_all([asked], wait=False)
        if isinstance(outcome, ASKED_AGAIN):
            raise outcome
        return outcome

    assert isinstance(on.ask(ask), NotFound)
    on.tamper("wallets", row.id, row)
    on.send()


def _tampered(on: Rehearsal, change: Callable[[Transaction], Transaction], undo: Callable[[Transaction], Transaction]) -> None:
    on.fund()
    sent = _waiting_for_the_signer(on)
    on.tamper("transactions", sent, change(on.transaction(sent)))
    _is_not_authorised(on, sent)
    on.tamper("transactions", sent, undo(on.transaction(sent)))
    on.until(lambda: on.transaction(sent).state is not TransactionState.PENDING_SIGNATURE)


def _is_not_authorised(on: Rehearsal, sent: str) -> None:
    on.signer.is_away = False
    on.arm()
    on.until(lambda: on.transaction(sent).parked_reason == NOT_AUTHORISED)


def _planned(row: Transaction, kind: AttemptKind) -> Transaction:
    return attrs.evolve(row, attempts=tuple(attrs.evolve(each, kind=kind) for each in row.attempts))


def _waiting_for_the_signer(on: Rehearsal) -> str:
    on.signer.is_away = True
    sent = on.send()
    on.until(lambda: on.transaction(sent).state is TransactionState.PENDING_SIGNATURE)
    return sent


def _of_wallet(on: Rehearsal, sent: str, wallet_id: str) -> None:
    """The send and what was decided about it say that they are that wallet's."""
    row = on.transaction(sent)
    assert row.decision_id is not None
    decision = on.store.tables.decisions.rows[row.decision_id]
    inputs = attrs.evolve(decision.evaluation.inputs, wallet_id=wallet_id)
    on.tamper("decisions", decision.id, attrs.evolve(decision, evaluation=attrs.evolve(decision.evaluation, inputs=inputs)))
    on.tamper("transactions", sent, attrs.evolve(row, wallet_id=wallet_id))


def _fail(on: Rehearsal, problem: type[Exception]) -> None:
    """Rounds until one fails so."""
    with pytest.raises(problem):
        on.until(lambda: False)


def _with_bytes(row: Transaction, raw: bytes | None) -> Transaction:
    return attrs.evolve(row, attempts=tuple(attrs.evolve(each, raw=raw) for each in row.attempts))


def _amounting(row: Deposit, amount: int) -> Deposit:
    return attrs.evolve(row, key=attrs.evolve(row.key, amount=amount))


def _close(on: Rehearsal, state: WalletState) -> None:
    on.tamper("wallets", on.wallet.id, attrs.evolve(on.store.tables.wallets.rows[on.wallet.id], state=state))
