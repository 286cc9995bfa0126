"""Workflows in which somebody who can write to the database changes rows behind the service's back. Nothing is signed on those.

In the end the rows are as they were, so each send comes to its end after all.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from custody_core import TransactionState
from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.transaction import AttemptKind, Transaction
from custody_core.errors import KeyIntegrity
from tests.unit.simulation.rehearsal import FRIEND, Rehearsal

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
