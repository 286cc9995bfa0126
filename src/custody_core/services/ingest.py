"""What blocks do to us, in one commit: headers, deposits, our own transactions, finality, books, events, cursor.

Nothing in here asks the node. The evidence was read before, is of exactly these blocks (hashes compared), and is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from custody_core.domain import deposit as deposits
from custody_core.domain import facts, lifecycle, outflow
from custody_core.domain.addresses import address_from_bytes, address_to_bytes
from custody_core.domain.chain import BlockRef, BlockTransaction, ChainState, Hash, Log, Receipt, Reorganisation
from custody_core.domain.deposit import Deposit, DepositKey, DepositState
from custody_core.domain.ids import IdPrefix
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import BlockMatches, internal_keys, native_key, read_transfer, token_keys
from custody_core.domain.nonce import ForeignUse, moved_past, open_line
from custody_core.domain.recognition import recognise
from custody_core.domain.tokens import NATIVE_ALIAS, Asset, TokenState, native_asset
from custody_core.domain.transaction import Attempt, AttemptKind, Inclusion, State, Transaction
from custody_core.domain.wallet import Wallet
from custody_core.ports import SignedBytes, Unit
from custody_core.services.doubts import costs_too_much
from custody_core.services.foreign_use import give_up_queued, stop_wallet
from custody_core.services.kit import (
    Kit,
    record_changes,
    record_deposit_notices,
    record_deposits,
)
from custody_core.services.outflows import book_outflows, keep_outflows
from custody_core.services.reorganisations import record_reorganisation
from custody_core.services.rounds import WOKEN


@attrs.frozen
class BlockEvidence:
    """A block with everything that was needed to judge it: receipts of the transactions that concern us, logs of the listed
    tokens.
    """

    matches: BlockMatches
    receipts: Mapping[Hash, Receipt]
    logs: tuple[Log, ...]
    reverts: Mapping[Hash, str] = attrs.field(factory=dict)
    """Of our own transactions that failed: why, where the node could say."""


class ForgedSender(Exception):
    """A block says that one of our addresses sent a transaction which somebody else signed: the node made it up."""


class ContradictoryReceipt(Exception):
    """A receipt says that a transaction of ours cost more than its bytes allow. The node is wrong, so nothing is concluded."""


class StrangersSeen(Exception):
    """Managed addresses sent transactions that the books do not know. Nothing is saved before their bytes were read."""

    def __init__(self, hashes: Sequence[Hash]) -> None:
        super().__init__(*hashes)
        self.hashes = hashes


class Ingest:
    """One commit of the follower. `state` is the chain row as it will be; `tokens` maps contract to asset."""

    def __init__(
        self,
        kit: Kit,
        managed: ManagedAddresses,
        tokens: Mapping[str, Asset],
        *,
        state: ChainState,
        evidence: Sequence[BlockEvidence],
    ) -> None:
        self._kit = kit
        self._strangers: dict[Hash, SignedBytes | None] = {}
        self._managed = managed
        self._tokens = tokens
        self._state = state
        self._evidence = evidence
        self._with_room: set[str] = set()

    def run(self, unit: Unit) -> bool:
        """Saves the blocks. False, and nothing is written, when an address was born, or a token listed, that they were not matched
        against: whoever adds one waits for the pool, or for the chain's row, as this does.

        Raises `ContradictoryReceipt`, `StrangersSeen`; nothing is written then either.
        """
        unit.lock_pool()
        unit.chain(self._state.chain_id, lock=True)
        if unit.addresses_after(self._managed.sequence, 1):
            return False
        if {token.asset.key for token in unit.tokens(self._state.chain_id)} - self._tokens.keys():
            return False
        now = self._kit.clock.now()
        unit.save_chain(self._state)
        unit.add_headers(self._state.chain_id, [each.matches.block.header for each in self._evidence])
        self.take_in(unit, now)
        return True

    def take_in(self, unit: Unit, now: datetime) -> None:
        """Saves what follows from the blocks for wallets. What was taken in before is left as it is, so that blocks may be read
        again. Raises `ContradictoryReceipt`, `StrangersSeen`.
        """
        self._require_bytes(unit)
        self._see_deposits(unit, now)
        for evidence in self._evidence:
            self._see_sent(unit, evidence, now)
        self._finalise(unit, now)
        self._settle_foreign(unit, now)
        book_outflows(self._kit, unit, self._state, now)

    def take_bytes(self, strangers: Mapping[Hash, SignedBytes | None]) -> None:
        """Transactions that `StrangersSeen` told of, as they were signed, None for one of a type that this service never signs."""
        self._strangers |= strangers

    def wake_overlooked(self) -> None:
        """After `run` is committed: whoever counted what was in flight before that, and parked the next send while it was being
        saved, was not found by it. They in turn look again after they have parked, so one of the two finds it.
        """
        if self._with_room:
            now = self._kit.clock.now()
            self._kit.write(lambda unit: unit.wake_queued(self._state.chain_id, self._with_room, parked_for=WOKEN, now=now))

    def take_back(self, unit: Unit, newest: BlockRef) -> None:
        """Saves a reorganisation: the cursor goes back from `newest`, and what lay above it is undone row by row."""
        now, chain_id, ancestor = self._kit.clock.now(), self._state.chain_id, self._state.cursor
        unit.save_chain(self._state)
        unit.remove_headers(chain_id, above=ancestor.number)
        unit.remove_foreign_uses(chain_id, above=ancestor.number)
        unit.remove_outflows(chain_id, above=ancestor.number)
        orphaned = unit.confirming_deposits(chain_id, above=ancestor.number)
        changes = [deposits.decide(each, deposits.Orphaned(), now) for each in orphaned]
        record_deposits(self._kit, unit, changes, now=now, owners=_owners(unit, orphaned), head=ancestor)
        dropped = unit.confirming_transactions(chain_id, above=ancestor.number)
        reorged = [lifecycle.decide(each, facts.DroppedByReorg(), now) for each in dropped]
        record_changes(self._kit, unit, reorged, now=now, head=ancestor)
        reorganisation = Reorganisation(
            id=self._kit.new_id(IdPrefix.REORGANISATION, now),
            chain_id=chain_id,
            found_at=now,
            cursor=newest,
            ancestor=ancestor,
            deposit_ids=tuple(each.id for each in orphaned),
            transaction_ids=tuple(each.id for each in dropped),
            events=len(changes) + sum(change.event is not None for change in reorged),
        )
        record_reorganisation(self._kit, unit, reorganisation)

    def _require_bytes(self, unit: Unit) -> None:
        """All blocks at once, so that the node is asked once, and nothing that was begun is thrown away for it."""
        sent = [each.hash for evidence in self._evidence for each in evidence.matches.outgoing]
        known = unit.transactions_by_hash(self._state.chain_id, sent) if sent else {}
        if unread := [each for each in sent if each not in known and each not in self._strangers]:
            raise StrangersSeen(unread)

    def _see_sent(self, unit: Unit, evidence: BlockEvidence, now: datetime) -> None:
        block = evidence.matches.block.header.ref
        ours = self._see_own(unit, evidence, block, now) if evidence.matches.outgoing else {}
        foreign = [each for each in evidence.matches.outgoing if each.hash not in ours]
        self._see_foreign(unit, foreign, block, now)
        moved = [(each.hash, *taken) for each in foreign for taken in outflow.spent_by(each, evidence.receipts[each.hash])]
        moved += outflow.tokens_moved(evidence.logs, self._managed, ours)
        keep_outflows(unit, self._state.chain_id, block, outflow.numbered(moved))

    def _see_deposits(self, unit: Unit, now: datetime) -> None:
        """Those of all blocks at once. A deposit is in one of them: its transaction is mined once."""
        blocks = {
            key: each.matches.block.header.ref
            for each in self._evidence
            for key in deposit_keys(self._state.chain_id, each, self._managed)
        }
        if not blocks:
            return
        wallets = unit.wallets_by_address({key.to for key in blocks})
        known = unit.deposits_by_key(list(blocks))
        fresh = [self._new_deposit(key, wallets[key.to], block, now) for key, block in blocks.items() if key not in known]
        unit.add_deposits(fresh)
        owners = {wallet.id: wallet.owner_id for wallet in wallets.values()}
        told = [(deposit, "confirming") for deposit in fresh]
        record_deposit_notices(self._kit, unit, told, now=now, owners=owners, head=self._state.cursor)
        back = [each for each in known.values() if each.state is DepositState.ORPHANED]
        changes = [deposits.decide(each, deposits.SeenAgain(blocks[each.key]), now) for each in back]
        record_deposits(self._kit, unit, changes, now=now, owners=owners, head=self._state.cursor)

    def _new_deposit(self, key: DepositKey, wallet: Wallet, block: BlockRef, now: datetime) -> Deposit:
        asset = native_asset(key.chain_id) if key.asset == NATIVE_ALIAS else self._tokens[key.asset]
        return Deposit(
            id=self._kit.new_id(IdPrefix.TRANSACTION, now),
            key=key,
            asset=asset,
            wallet_id=wallet.id,
            state=DepositState.CONFIRMING,
            block=block,
            created_at=now,
            updated_at=now,
        )

    def _see_own(self, unit: Unit, evidence: BlockEvidence, block: BlockRef, now: datetime) -> Mapping[Hash, Transaction]:
        """Attempts of ours among the transactions from managed addresses, those that the books had lost included, by hash."""
        outgoing = evidence.matches.outgoing
        known = unit.transactions_by_hash(self._state.chain_id, [each.hash for each in outgoing])
        ours = {**known, **self._find_again(unit, [each for each in outgoing if each.hash not in known], now)}
        changes = [
            _seen(ours[each.hash], evidence, evidence.receipts[each.hash], block, now)
            for each in outgoing
            if each.hash in ours and ours[each.hash].state is State.BROADCASTING
        ]
        record_changes(self._kit, unit, changes, now=now, head=self._state.cursor)
        with_room = {change.transaction.wallet_id for change in changes}
        unit.wake_queued(self._state.chain_id, with_room, parked_for=WOKEN, now=now)
        self._with_room |= with_room
        return ours

    def _find_again(self, unit: Unit, strangers: Sequence[BlockTransaction], now: datetime) -> Mapping[Hash, Transaction]:
        """Those of `strangers` that are attempts which restored books have lost, as what they are attempts of, by hash."""
        for each in strangers:
            signed = self._strangers[each.hash]
            if signed is not None and signed.signer != address_from_bytes(each.sender):
                raise ForgedSender(each.hash)
        at = {(address_from_bytes(each.sender), each.nonce): each.hash for each in strangers}
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

    def _see_foreign(self, unit: Unit, foreign: Sequence[BlockTransaction], block: BlockRef, now: datetime) -> None:
        """Somebody else signed with a managed key: its wallet stops at once. Our own send at that nonce waits for finality."""
        if not foreign:
            return
        chain_id = self._state.chain_id
        known = unit.known_foreign_uses(chain_id, [each.hash for each in foreign])
        uses = [
            ForeignUse(chain_id, address_from_bytes(each.sender), each.nonce, each.hash, block)
            for each in foreign
            if each.hash not in known
        ]
        unit.put_foreign_uses(uses)
        wallets = dict(unit.wallets_by_address({use.address for use in uses}))
        for use in uses:
            detail = f"{use.hash} uses nonce {use.nonce} of {use.address} and was not signed by this service"
            wallets[use.address] = stop_wallet(self._kit, unit, wallets[use.address], chain_id, detail=detail, now=now)

    def _settle_foreign(self, unit: Unit, now: datetime) -> None:
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

    def _finalise(self, unit: Unit, now: datetime) -> None:
        final, chain_id = self._state.final, self._state.chain_id
        arrived = unit.confirming_deposits(chain_id, up_to=final.number)
        wallets = unit.wallets_by_id({each.wallet_id for each in arrived})
        users = unit.users_by_id([wallet.owner_id for wallet in wallets.values() if wallet.owner_id])
        tokens = unit.tokens(chain_id)
        listed = frozenset(token.asset.key for token in tokens if token.state is TokenState.LISTED) | {NATIVE_ALIAS}
        dust = {token.asset.key: token.dust for token in tokens} | {NATIVE_ALIAS: self._kit.limits.dust_wei}
        reasons = [
            deposits.quarantine_reason(
                each,
                wallet=(wallet := wallets.get(each.wallet_id)),
                owner=users.get(wallet.owner_id or "") if wallet else None,
                is_listed=each.asset.key in listed,
                dust=dust.get(each.asset.key, 0),
            )
            for each in arrived
        ]
        changes = [deposits.decide(each, deposits.Finalised(reason), now) for each, reason in zip(arrived, reasons, strict=True)]
        owners = {wallet_id: wallet.owner_id for wallet_id, wallet in wallets.items()}
        record_deposits(self._kit, unit, changes, now=now, owners=owners, head=self._state.cursor)
        settled = unit.confirming_transactions(chain_id, up_to=final.number)
        record_changes(self._kit, unit, [_settled(each, now) for each in settled], now=now, head=self._state.cursor)


def deposit_keys(chain_id: int, evidence: BlockEvidence, managed: ManagedAddresses) -> list[DepositKey]:
    """The identities of what one block pays to managed addresses."""
    native = [
        native_key(chain_id, each)
        for each in evidence.matches.incoming
        if evidence.receipts[each.hash].succeeded and each.sender != each.recipient
    ]
    internal = [each for each in evidence.matches.internal if evidence.receipts[each.transaction_hash].succeeded]
    return [*native, *internal_keys(chain_id, internal), *token_keys(chain_id, evidence.logs, managed)]


def _owners(unit: Unit, of: Sequence[Deposit]) -> dict[str, str | None]:
    wallets = unit.wallets_by_id({each.wallet_id for each in of})
    return {wallet_id: wallet.owner_id for wallet_id, wallet in wallets.items()}


def _seen(transaction: Transaction, evidence: BlockEvidence, receipt: Receipt, block: BlockRef, now: datetime) -> lifecycle.Change:
    attempt = transaction.attempt_by_hash(receipt.transaction_hash)
    if attempt is None:
        raise AssertionError("a transaction was found by a hash that it does not have")
    if costs_too_much(receipt, transaction, attempt):
        raise ContradictoryReceipt(receipt.transaction_hash)
    problem = _problem(transaction, attempt, evidence, receipt)
    inclusion = Inclusion(
        attempt_id=attempt.id,
        block=block,
        succeeded=problem is None,
        gas_used=receipt.gas_used,
        effective_gas_price_wei=receipt.effective_gas_price_wei,
        problem=problem,
    )
    return lifecycle.decide(transaction, facts.SeenInBlock(inclusion), now)


def _problem(transaction: Transaction, attempt: Attempt, evidence: BlockEvidence, receipt: Receipt) -> str | None:
    """Why the attempt did not do what was asked for, None where it did.

    A token's `transfer` may fail without reverting (EIP-20 lets it return false) and may return nothing at all: what it did is
    told by its `Transfer` event, which the receipt holds.
    """
    if not receipt.succeeded:
        return evidence.reverts.get(receipt.transaction_hash, "it reverted; the node does not say why")
    contract = transaction.asset.contract
    if contract is None or attempt.kind is AttemptKind.CANCELLATION:
        return None
    emitter, sender, to = (address_to_bytes(each) for each in (contract, transaction.sender, transaction.to))
    for log in receipt.logs:
        transfer = read_transfer(log) if log.emitter == emitter else None
        if transfer is not None and (transfer.sender, transfer.to) == (sender, to) and transfer.amount:
            return None
    return "the token's contract reported success and moved nothing"


def _settled(transaction: Transaction, now: datetime) -> lifecycle.Change:
    """The final fact of a transaction whose block is final."""
    inclusion = transaction.inclusion
    mined = next((each for each in transaction.attempts if inclusion and each.id == inclusion.attempt_id), None)
    if inclusion is None or mined is None:
        raise AssertionError("a confirming transaction has the block that holds it")
    if mined.kind is AttemptKind.CANCELLATION:
        return lifecycle.decide(transaction, facts.FinalCancellation(), now)
    fact = facts.FinalSuccess() if inclusion.succeeded else facts.FinalRevert()
    return lifecycle.decide(transaction, fact, now)
