"""What left a managed address although none of our transactions asked for it.

Rules of this file

1. Somebody else's transaction with a managed key, or one that restored books have forgotten, moves its value and costs its fee.
   Tokens leave by any `Transfer` that our own payment does not account for: by an allowance, or within a contract call.
2. It is booked when it is final, with its height, from what the owner has available. What the owner does not have is a hole in the
   wallet's suspense, which a person has to fill: no balance of an owner goes below zero, and the books still equal the chain.
3. It is booked once: the transaction's hash and the movement's ordinal in it name the group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import attrs

from custody_core.domain.addresses import Address, address_from_bytes, address_to_bytes
from custody_core.domain.chain import BlockRef, BlockTransaction, Hash, Log, Receipt
from custody_core.domain.ledger import PostingGroup, Reason, WalletAccounts, moves
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import read_transfer
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.domain.transaction import Transaction


@attrs.frozen
class Movement:
    """One movement out of a managed address, in base units. `ordinal` counts those of one transaction from 0."""

    transaction_hash: Hash
    ordinal: int
    address: Address
    asset: str
    amount: int


@attrs.frozen
class Outflow:
    """A movement out of a wallet, in a canonical block, that is not booked yet. `asset` is `Asset.key`."""

    chain_id: int
    transaction_hash: Hash
    ordinal: int
    wallet_id: str
    asset: str
    amount: int
    block: BlockRef

    @property
    def reference(self) -> str:
        """What its posting group is named by."""
        return f"{self.transaction_hash}/{self.ordinal}"


def spent_by(transaction: BlockTransaction, receipt: Receipt) -> list[tuple[Address, str, int]]:
    """What somebody else's transaction took from its sender: (address, asset, amount), value and fee."""
    sender = address_from_bytes(transaction.sender)
    value = transaction.value if receipt.succeeded and transaction.sender != transaction.recipient else 0
    fee = receipt.gas_used * receipt.effective_gas_price_wei
    return [(sender, NATIVE_ALIAS, amount) for amount in (value, fee) if amount]


def tokens_moved(
    logs: Sequence[Log], managed: ManagedAddresses, ours: Mapping[Hash, Transaction]
) -> list[tuple[Hash, Address, str, int]]:
    """The token transfers from managed addresses that no payment of `ours` (by hash) asked for, in log order."""
    asked = {hash_: _asked(transaction) for hash_, transaction in ours.items()}
    moved: list[tuple[Hash, Address, str, int]] = []
    for log in logs:
        transfer = read_transfer(log)
        if transfer is None or not transfer.amount or transfer.sender not in managed or transfer.sender == transfer.to:
            continue
        if asked.get(log.transaction_hash) == (log.emitter, transfer.sender, transfer.to):
            del asked[log.transaction_hash]  # the payment itself; a second one like it is not
            continue
        moved.append((log.transaction_hash, address_from_bytes(transfer.sender), address_from_bytes(log.emitter), transfer.amount))
    return moved


def numbered(moved: Iterable[tuple[Hash, Address, str, int]]) -> list[Movement]:
    """The movements of one block, each with its place among those of its transaction."""
    counts: dict[Hash, int] = {}
    movements = []
    for hash_, address, asset, amount in moved:
        ordinal = counts.get(hash_, 0)
        counts[hash_] = ordinal + 1
        movements.append(Movement(hash_, ordinal, address, asset, amount))
    return movements


def not_known(found: Sequence[Outflow], known: Sequence[Outflow]) -> list[Outflow]:
    """Those of `found` that are not among `known`, each numbered after what is known of its transaction.

    What moved is compared, not its number: a token that was listed since then puts its own movements among the others.
    """
    left = Counter((each.transaction_hash, each.wallet_id, each.asset, each.amount) for each in known)
    following = {each.transaction_hash: each.ordinal + 1 for each in sorted(known, key=lambda each: each.ordinal)}
    fresh = []
    for each in found:
        what = (each.transaction_hash, each.wallet_id, each.asset, each.amount)
        if left[what]:
            left[what] -= 1
            continue
        ordinal = following.get(each.transaction_hash, 0)
        following[each.transaction_hash] = ordinal + 1
        fresh.append(attrs.evolve(each, ordinal=ordinal))
    return fresh


def booked(outflow: Outflow, *, available: int, now: datetime) -> PostingGroup:
    """The group that takes a final outflow out of the books, given what the wallet's owner has available of the asset."""
    accounts = WalletAccounts(outflow.chain_id, outflow.asset, outflow.wallet_id)
    taken = min(outflow.amount, available)
    return PostingGroup(
        chain_id=outflow.chain_id,
        reference=outflow.reference,
        reason=Reason.MOVED_ELSEWHERE,
        posted_at=now,
        height=outflow.block.number,
        postings=moves(
            (accounts.available, accounts.external, taken), (accounts.suspense, accounts.external, outflow.amount - taken)
        ),
    )


def _asked(transaction: Transaction) -> tuple[bytes, bytes, bytes] | None:
    contract = transaction.asset.contract
    if contract is None:
        return None
    return address_to_bytes(contract), address_to_bytes(transaction.sender), address_to_bytes(transaction.to)
