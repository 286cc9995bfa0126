"""What a signer may be asked to sign.

Rules of this file

1. A signer accepts the two types below and nothing else. There is no way to say "sign these 32 bytes".
2. A payment rests on one decision that allows, made for this transaction and this nonce; a cancellation on the request it follows.
3. Every field is recomputed from the transaction and its decision; a caller's word for any of them is not taken.
4. Both are bound to their chain (EIP-155) and capped by the fee that was held.
"""

from __future__ import annotations

import attrs

from custody_core.domain.addresses import Address, address_from_bytes, address_to_bytes
from custody_core.domain.encoding import FeeMarketTransaction
from custody_core.domain.policy import Decision, Verdict
from custody_core.domain.transaction import Attempt, AttemptKind, Transaction
from custody_core.domain.wallet import SealedKey


class NotAuthorised(Exception):
    """The decision does not cover what was to be signed: a bug, or somebody changed a row."""


@attrs.frozen
class AuthorisedPayment:
    """One payment attempt that a decision allows. `sender` is the address whose nonce it takes."""

    wallet_id: str
    sender: Address
    decision_id: str
    unsigned: FeeMarketTransaction


@attrs.frozen
class AuthorisedCancellation:
    """A transfer of nothing to oneself, at the nonce of a transaction that is to be cancelled."""

    wallet_id: str
    sender: Address
    transaction_id: str
    unsigned: FeeMarketTransaction


Authorised = AuthorisedPayment | AuthorisedCancellation


def authorise(transaction: Transaction, attempt: Attempt, decision: Decision) -> Authorised:
    """The authorisation to sign `attempt`. Raises `NotAuthorised` unless `decision` covers exactly this transaction and nonce."""
    nonce = _covered_nonce(transaction, attempt, decision)
    if attempt.kind is AttemptKind.CANCELLATION:
        cancellation = _cancellation(transaction, attempt, nonce)
        return AuthorisedCancellation(transaction.wallet_id, transaction.sender, transaction.id, cancellation)
    return AuthorisedPayment(transaction.wallet_id, transaction.sender, decision.id, _payment(transaction, attempt, nonce))


def transaction_to_sign(authorised: object, key: SealedKey) -> FeeMarketTransaction:
    """What a signer may sign with `key`: its own look at what it was handed. Raises `NotAuthorised`."""
    match authorised:
        case AuthorisedPayment(wallet_id=wallet_id, sender=sender, unsigned=unsigned):
            is_payment = True
        case AuthorisedCancellation(wallet_id=wallet_id, sender=sender, unsigned=unsigned):
            is_payment = False
        case _:
            raise NotAuthorised("a signer takes an authorised payment or cancellation, and nothing else")
    # Exactly this type: a subclass could say one thing to these checks and another to the encoder.
    is_of_key = (wallet_id, sender) == (key.wallet_id, key.address)
    if type(unsigned) is not FeeMarketTransaction or unsigned.chain_id < 1 or not is_of_key:
        raise NotAuthorised(f"this is no transaction that was authorised for {key.wallet_id}")
    if not is_payment and not _moves_nothing(unsigned, key.address):
        raise NotAuthorised(f"a cancellation for {key.wallet_id} sends nothing to itself, and nothing else")
    return unsigned


def _moves_nothing(unsigned: FeeMarketTransaction, own: Address) -> bool:
    to_itself = address_from_bytes(unsigned.to) == own
    return to_itself and unsigned.value == 0 and unsigned.data == b"" and unsigned.access_list == ()


def _covered_nonce(transaction: Transaction, attempt: Attempt, decision: Decision) -> int:
    inputs = decision.evaluation.inputs
    covers = (
        decision.evaluation.verdict is Verdict.ALLOW
        and decision.transaction_id == transaction.id
        and decision.nonce is not None
        and decision.nonce == transaction.nonce
        and decision.gas_limit == transaction.gas_limit
        and decision.fee_per_gas_max_wei == transaction.fee_per_gas_max_wei
        and (inputs.chain_id, inputs.wallet_id, inputs.sender) == (transaction.chain_id, transaction.wallet_id, transaction.sender)
        and (inputs.owner_id, inputs.asset) == (transaction.owner_id, transaction.asset.alias)
        and (inputs.type, inputs.contract) == (transaction.type, transaction.asset.contract)
        and (inputs.to, inputs.amount) == (transaction.to, transaction.amount)
        and (inputs.data, inputs.access_list) == (transaction.data, transaction.access_list)
        and attempt.fees.max_fee_per_gas_wei <= transaction.fee_cap_wei(attempt.kind)
    )
    if not covers or decision.nonce is None:
        raise NotAuthorised(f"decision {decision.id} does not cover attempt {attempt.id} of {transaction.id}")
    return decision.nonce


def _payment(transaction: Transaction, attempt: Attempt, nonce: int) -> FeeMarketTransaction:
    return FeeMarketTransaction(
        chain_id=transaction.chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=attempt.fees.max_priority_fee_per_gas_wei,
        max_fee_per_gas=attempt.fees.max_fee_per_gas_wei,
        gas_limit=transaction.gas_limit,
        to=address_to_bytes(transaction.call_to),
        value=transaction.call_value_wei,
        data=transaction.call_data,
        access_list=transaction.access_list,
    )


def _cancellation(transaction: Transaction, attempt: Attempt, nonce: int) -> FeeMarketTransaction:
    if transaction.cancel_requested_at is None:
        raise NotAuthorised(f"nobody asked to cancel {transaction.id}")
    return FeeMarketTransaction(
        chain_id=transaction.chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=attempt.fees.max_priority_fee_per_gas_wei,
        max_fee_per_gas=attempt.fees.max_fee_per_gas_wei,
        gas_limit=transaction.gas_limit,  # held already, and enough on every chain; what is not used costs nothing
        to=address_to_bytes(transaction.sender),
        value=0,
        data=b"",
    )
