"""Signing planned attempts and storing the bytes before anything leaves.

The signer gets a value that only a decision which allows can make (`authorisation.py`), and opens nothing else. Between signing
and storing the bytes are in this process alone: a crash there signs again, and since signatures are deterministic (RFC 6979) the
bytes are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from custody_core.domain.authorisation import NotAuthorised, authorise
from custody_core.domain.facts import BytesStored
from custody_core.domain.lifecycle import decide
from custody_core.domain.policy import Decision
from custody_core.domain.transaction import AttemptKind, Transaction
from custody_core.domain.wallet import SealedKey, Wallet, WalletState
from custody_core.errors import CustodyError, WalletFrozen
from custody_core.ports import Keys, SignedTransaction, Unit
from custody_core.services.kit import Kit
from custody_core.services.rounds import Outcome, Parked, save_step


def sign_planned(kit: Kit, keys: Keys, planned: Sequence[Transaction]) -> list[Transaction]:
    """Signs the newest attempt of each and stores the bytes of all in one commit. Returns those that may be broadcast now."""
    if not planned:
        return []
    with kit.store.reading() as unit:
        sealed = unit.sealed_keys([each.wallet_id for each in planned])
        decisions = unit.decisions([each.decision_id for each in planned if each.decision_id])
        wallets = unit.wallets_by_id({each.wallet_id for each in planned})
    signed = {each.id: _frozen(each, wallets.get(each.wallet_id)) or _sign(keys, each, sealed, decisions) for each in planned}

    def step(unit: Unit, fresh: Sequence[Transaction], now: datetime) -> list[Outcome]:
        # Signing takes time, and a process may sleep meanwhile: what was frozen since leaves no more, because it is not kept.
        still = unit.wallets_by_id({each.wallet_id for each in fresh})
        return [_frozen(each, still.get(each.wallet_id)) or _outcome(each, signed[each.id], now) for each in fresh]

    return save_step(kit, planned, step)


def _frozen(transaction: Transaction, wallet: Wallet | None) -> Parked | None:
    """A frozen wallet signs nothing but cancellations, which move nothing and free the nonces that its other sends wait behind."""
    attempt = transaction.newest_attempt
    if wallet is None or wallet.state is not WalletState.FROZEN or (attempt and attempt.kind is AttemptKind.CANCELLATION):
        return None
    return Parked(transaction, WalletFrozen.code, "its wallet is frozen")


def _sign(
    keys: Keys, transaction: Transaction, sealed: Mapping[str, SealedKey], decisions: Mapping[str, Decision]
) -> tuple[str, SignedTransaction] | Parked:
    key, decision = sealed.get(transaction.wallet_id), decisions.get(transaction.decision_id or "")
    attempt = transaction.newest_attempt
    if key is None or decision is None or attempt is None:
        return Parked(transaction, "not-authorised", "its key, its decision or its plan is missing")
    if attempt.raw is not None:
        return Parked(transaction, "not-authorised", "its plan holds bytes before it was signed")
    try:
        return attempt.id, keys.sign(authorise(transaction, attempt, decision), key)
    except NotAuthorised as problem:
        return Parked(transaction, "not-authorised", str(problem))
    except CustodyError as problem:
        return Parked(transaction, problem.code, problem.detail)


def _outcome(transaction: Transaction, signed: tuple[str, SignedTransaction] | Parked, now: datetime) -> Outcome:
    if isinstance(signed, Parked):
        return signed
    attempt_id, result = signed
    return decide(transaction, BytesStored(attempt_id, result.raw, result.hash), now)
