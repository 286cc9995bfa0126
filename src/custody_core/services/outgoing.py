"""What blocks show of transactions from managed addresses: attempts of ours, and what somebody else signed.

All blocks of a commit are looked at together, so that many cost as many statements as one. No two of them hold the same nonce of
one address: they are of one chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from custody_core.domain import facts, lifecycle, outflow
from custody_core.domain.addresses import Address, address_from_bytes, address_to_bytes
from custody_core.domain.chain import BlockRef, BlockTransaction, ChainState, Hash, Receipt
from custody_core.domain.ids import IdPrefix
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import read_transfer
from custody_core.domain.nonce import ForeignUse, moved_past, open_line
from custody_core.domain.recognition import is_at_another_nonce, recognise
from custody_core.domain.transaction import AttemptKind, Inclusion, State, Transaction
from custody_core.ports import SignedBytes, Unit
from custody_core.services.block_evidence import BlockEvidence
from custody_core.services.doubts import costs_too_much
from custody_core.services.foreign_use import give_up_queued, stop_wallet
from custody_core.services.kit import Kit, record_changes
from custody_core.services.outflows import keep_outflows
from custody_core.services.rounds import WOKEN


class ForgedSender(Exception):
    """A block says that one of our addresses sent a transaction which somebody else signed, or which was signed for another nonce:
    the node made it up.
    """


class ContradictoryReceipt(Exception):
    """A receipt says that a transaction of ours cost more than its bytes allow. The node is wrong, so nothing is concluded."""


class StrangersSeen(Exception):
    """Managed addresses sent transactions that the books do not know. Nothing is saved before their bytes were read."""

    def __init__(self, hashes: Sequence[Hash]) -> None:
        super().__init__(*hashes)
        self.hashes = hashes


class Outgoing:
    """What one commit of the follower saves about them. `state` is the chain row as it will be."""

    def __init__(self, kit: Kit, managed: ManagedAddresses, state: ChainState, evidence: Sequence[BlockEvidence]) -> None:
        self._kit = kit
        self._managed = managed
        self._state = state
        self._evidence = evidence
        self._sent = [(each, held) for held in evidence for each in held.matches.outgoing]
        self._strangers: dict[Hash, SignedBytes | None] = {}
        self._with_room: set[str] = set()

    def take_bytes(self, strangers: Mapping[Hash, SignedBytes | None]) -> None:
        """Transactions that `StrangersSeen` told of, as they were signed, None for one of a type that this service never signs."""
        self._strangers |= strangers

    def known(self, unit: Unit) -> Mapping[Hash, Transaction]:
        """What the books know of them, by hash. Raises `StrangersSeen` before anything is written, so that the node is asked once
        and nothing that was begun is thrown away for it.
        """
        hashes = [each.hash for each, _ in self._sent]
        known = unit.transactions_by_hash(self._state.chain_id, hashes) if hashes else {}
        if unread := [each for each in hashes if each not in known and each not in self._strangers]:
            raise StrangersSeen(unread)
        return known

    def see(self, unit: Unit, known: Mapping[Hash, Transaction], now: datetime) -> None:
        """Saves what the blocks say. Raises `ContradictoryReceipt`, `ForgedSender`."""
        ours = {**known, **self._find_again(unit, [each for each, _ in self._sent if each.hash not in known], now)}
        self._see_own(unit, ours, now)
        foreign = [(each, held) for each, held in self._sent if each.hash not in ours]
        self._see_foreign(unit, [(each, held.block) for each, held in foreign], now)
        movements = [(held.block, movements_of(held, self._managed, ours)) for held in self._evidence]
        keep_outflows(unit, self._state.chain_id, movements)

    def wake_overlooked(self) -> None:
        """After the commit: whoever counted what was in flight before it, and parked the next send while it was being saved, was
        not found by it. They in turn look again after they have parked, so one of the two finds it.
        """
        if self._with_room:
            now = self._kit.clock.now()
            self._kit.write(lambda unit: unit.wake_queued(self._state.chain_id, self._with_room, parked_for=WOKEN, now=now))

    def settle_foreign(self, unit: Unit, now: datetime) -> None:
        """A nonce that somebody else has used for good: ours at it can never be mined, and no later one is reserved below it."""
        chain_id = self._state.chain_id
        uses = unit.unsettled_foreign_uses(chain_id, up_to=self._state.final.number)
        if not uses:
            return
        ours = unit.transactions_by_nonce(chain_id, [(use.address, use.nonce) for use in uses])
        lost = [(ours[use.address, use.nonce], use) for use in uses if (use.address, use.nonce) in ours]
        changes = [lifecycle.decide(each, facts.NonceTakenForGood(use.hash), now) for each, use in lost]
        record_changes(self._kit, unit, changes, now=now, head=self._state.cursor)
        addresses = {use.address for use in uses}
        lines = {address: open_line(chain_id, address) for address in addresses} | dict(unit.nonce_lines(chain_id, addresses))
        give_up_queued(self._kit, unit, chain_id, addresses, now)
        for use in uses:
            lines[use.address] = moved_past(lines[use.address], use)
        unit.put_nonce_lines(list(lines.values()))
        unit.settle_foreign_uses(chain_id, [use.hash for use in uses])

    def _find_again(self, unit: Unit, strangers: Sequence[BlockTransaction], now: datetime) -> Mapping[Hash, Transaction]:
        """Those of `strangers` that are attempts which restored books have lost, as what they are attempts of, by hash."""
        for each in strangers:
            signed = self._strangers[each.hash]
            if signed is not None and (
                signed.signer != address_from_bytes(each.sender) or is_at_another_nonce(signed.raw, each.nonce)
            ):
                raise ForgedSender(each.hash)
        at = {(address_from_bytes(each.sender), each.nonce): each.hash for each in strangers}
        if not at:
            return {}
        changes: dict[Hash, lifecycle.Change] = {}
        for place, transaction in unit.transactions_by_nonce(self._state.chain_id, list(at)).items():
            signed = self._strangers[at[place]]
            if signed is None or facts.AttemptFound not in lifecycle.TRANSITIONS[transaction.state]:
                continue
            attempt = recognise(transaction, signed.raw, attempt_id=self._kit.new_id(IdPrefix.ATTEMPT, now), now=now)
            if attempt is not None:
                changes[at[place]] = lifecycle.decide(transaction, facts.AttemptFound(attempt), now)
        record_changes(self._kit, unit, list(changes.values()), now=now, head=self._state.cursor)
        return {hash_: change.transaction for hash_, change in changes.items()}

    def _see_own(self, unit: Unit, ours: Mapping[Hash, Transaction], now: datetime) -> None:
        changes = [
            _seen(ours[each.hash], held, held.receipts[each.hash], now)
            for each, held in self._sent
            if each.hash in ours and ours[each.hash].state is State.BROADCASTING
        ]
        if not changes:
            return
        record_changes(self._kit, unit, changes, now=now, head=self._state.cursor)
        with_room = {change.transaction.wallet_id for change in changes}
        unit.wake_queued(self._state.chain_id, with_room, parked_for=WOKEN, now=now)
        self._with_room |= with_room

    def _see_foreign(self, unit: Unit, foreign: Sequence[tuple[BlockTransaction, BlockRef]], now: datetime) -> None:
        """Somebody else signed with a managed key: its wallet stops at once. Our own send at that nonce waits for finality."""
        if not foreign:
            return
        chain_id = self._state.chain_id
        known = unit.known_foreign_uses(chain_id, [each.hash for each, _ in foreign])
        uses = [
            ForeignUse(chain_id, address_from_bytes(each.sender), each.nonce, each.hash, block)
            for each, block in foreign
            if each.hash not in known
        ]
        unit.put_foreign_uses(uses)
        wallets = dict(unit.wallets_by_address({use.address for use in uses}))
        for use in uses:
            detail = f"{use.hash} uses nonce {use.nonce} of {use.address} and was not signed by this service"
            wallets[use.address] = stop_wallet(self._kit, unit, wallets[use.address], chain_id, detail=detail, now=now)


def movements_of(held: BlockEvidence, managed: ManagedAddresses, ours: Mapping[Hash, Transaction]) -> list[outflow.Movement]:
    """What left managed addresses in a block unasked, given which of its transactions are `ours`, by hash."""
    return outflow.numbered([*_spent(held, ours), *outflow.tokens_moved(held.logs, managed, ours)])


def _spent(held: BlockEvidence, ours: Mapping[Hash, Transaction]) -> list[tuple[Hash, Address, str, int]]:
    """What transactions of a block that are not `ours` took from managed addresses."""
    foreign = [each for each in held.matches.outgoing if each.hash not in ours]
    return [(each.hash, *taken) for each in foreign for taken in outflow.spent_by(each, held.receipts[each.hash])]


def _seen(transaction: Transaction, evidence: BlockEvidence, receipt: Receipt, now: datetime) -> lifecycle.Change:
    attempt = transaction.attempt_by_hash(receipt.transaction_hash)
    if attempt is None:
        raise AssertionError("a transaction was found by a hash that it does not have")
    if costs_too_much(receipt, transaction, attempt):
        raise ContradictoryReceipt(receipt.transaction_hash)
    problem = problem_of(transaction, evidence, receipt)
    inclusion = Inclusion(
        attempt_id=attempt.id,
        block=evidence.block,
        succeeded=problem is None,
        gas_used=receipt.gas_used,
        effective_gas_price_wei=receipt.effective_gas_price_wei,
        problem=problem,
    )
    return lifecycle.decide(transaction, facts.SeenInBlock(inclusion), now)


def problem_of(transaction: Transaction, evidence: BlockEvidence, receipt: Receipt) -> str | None:
    """Why the attempt that `receipt` is of did not do what was asked for, None where it did.

    A token's `transfer` may fail without reverting (EIP-20 lets it return false) and may return nothing at all: what it did is
    told by its `Transfer` event, which the receipt holds.
    """
    if not receipt.succeeded:
        return evidence.reverts.get(receipt.transaction_hash, "it reverted; the node does not say why")
    contract, attempt = transaction.asset.contract, transaction.attempt_by_hash(receipt.transaction_hash)
    if contract is None or attempt is None or attempt.kind is AttemptKind.CANCELLATION:
        return None
    emitter, sender, to = (address_to_bytes(each) for each in (contract, transaction.sender, transaction.to))
    for log in receipt.logs:
        transfer = read_transfer(log) if log.emitter == emitter else None
        if transfer is not None and (transfer.sender, transfer.to) == (sender, to) and transfer.amount:
            return None
    return "the token's contract reported success and moved nothing"
