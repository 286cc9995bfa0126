"""What blocks do to us, in one commit: headers, deposits, our own transactions, finality, books, events, cursor.

Nothing in here asks the node. The evidence was read before, is of exactly these blocks (hashes compared), and is complete.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from custody_core.domain import deposit as deposits
from custody_core.domain import facts, lifecycle
from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef, ChainState, Reorganisation
from custody_core.domain.deposit import Deposit, DepositKey, DepositKind, DepositState
from custody_core.domain.ids import IdPrefix
from custody_core.domain.ledger import WalletAccounts
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import internal_keys, native_key, token_keys
from custody_core.domain.tokens import NATIVE_ALIAS, Asset, TokenState, native_asset
from custody_core.domain.transaction import AttemptKind, Transaction
from custody_core.domain.wallet import Wallet
from custody_core.ports import Unit
from custody_core.services.block_evidence import BlockEvidence
from custody_core.services.disagreement import DEPOSIT_UNCORROBORATED
from custody_core.services.kit import (
    Kit,
    raise_alarm,
    record_changes,
    record_deposit_notices,
    record_deposits,
)
from custody_core.services.misshapen import count_misshapen
from custody_core.services.outflows import book_outflows
from custody_core.services.outgoing import Outgoing
from custody_core.services.reorganisations import record_reorganisation


class Ingest:
    """One commit of the follower. `state` is the chain row as it will be; `tokens` maps contract to asset; `uncorroborated` are
    the ids of deposits that become final on one node's word, and are therefore kept from their owners.
    """

    def __init__(
        self,
        kit: Kit,
        managed: ManagedAddresses,
        tokens: Mapping[str, Asset],
        *,
        is_second_reading: bool = False,
        state: ChainState,
        evidence: Sequence[BlockEvidence],
        uncorroborated: Collection[str] = (),
    ) -> None:
        self._kit = kit
        self.outgoing = Outgoing(kit, managed, state, evidence)
        self._managed = managed
        self._tokens = tokens
        self._is_second_reading = is_second_reading
        self._state = state
        self._evidence = evidence
        self._uncorroborated = uncorroborated

    def run(self, unit: Unit) -> bool:
        """Saves the blocks. False, and nothing is written, when an address was born, or a token listed, that they were not matched
        against: whoever adds one waits for the pool, or for the chain's row, as this does.

        Raises `ContradictoryReceipt`, `ForgedSender`, `StrangersSeen`; nothing is written then either.
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
        logs = {each.matches.block.header.number: each.logs for each in self._evidence}
        count_misshapen(self._kit, unit, self._state.chain_id, logs)
        return True

    def take_in(self, unit: Unit, now: datetime) -> None:
        """Saves what follows from the blocks for wallets. What was taken in before is left as it is, so that blocks may be read
        again. Raises as `run` does.
        """
        known = self.outgoing.known(unit)
        self._see_deposits(unit, now)
        self.outgoing.see(unit, known, now)
        self._finalise(unit, now)
        self.outgoing.settle_foreign(unit, now)
        book_outflows(self._kit, unit, self._state, now)

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

    def _see_deposits(self, unit: Unit, now: datetime) -> None:
        """Those of all blocks at once. A deposit is in one of them: its transaction is mined once."""
        seen = {key: each for each in self._evidence for key in deposit_keys(self._state.chain_id, each, self._managed)}
        if not seen:
            return
        wallets = unit.wallets_by_address({key.to for key in seen})
        known = unit.deposits_by_key(list(seen))
        back = [each for each in known.values() if each.state is DepositState.ORPHANED]
        new = [key for key in seen if key not in known]
        doubts = {key: self._doubt(unit, key, wallets[key.to], seen[key]) for key in (*new, *(each.key for each in back))}
        fresh = [self._new_deposit(key, wallets[key.to], seen[key], doubts[key], now) for key in new]
        unit.add_deposits(fresh)
        owners = {wallet.id: wallet.owner_id for wallet in wallets.values()}
        told = [(deposit, "confirming") for deposit in fresh]
        record_deposit_notices(self._kit, unit, told, now=now, owners=owners, head=self._state.cursor)
        changes = [deposits.decide(each, deposits.SeenAgain(seen[each.key].block, doubts[each.key]), now) for each in back]
        record_deposits(self._kit, unit, changes, now=now, owners=owners, head=self._state.cursor)

    def _doubt(self, unit: Unit, key: DepositKey, wallet: Wallet, evidence: BlockEvidence) -> str | None:
        """Why the deposit is not to be believed. What had not been read was in suspense, and may have been given away."""
        if key.kind is DepositKind.TOKEN and (key.to, Address(key.asset)) in evidence.short:
            return deposits.NOT_COVERED
        if not self._is_second_reading:
            return None
        suspense = WalletAccounts(key.chain_id, key.asset, wallet.id).suspense
        return deposits.BOOKED_BEFORE if unit.booked_from_suspense(suspense) else None

    def _new_deposit(self, key: DepositKey, wallet: Wallet, seen: BlockEvidence, doubt: str | None, now: datetime) -> Deposit:
        asset = native_asset(key.chain_id) if key.asset == NATIVE_ALIAS else self._tokens[key.asset]
        return Deposit(
            id=self._kit.new_id(IdPrefix.TRANSACTION, now),
            key=key,
            asset=asset,
            wallet_id=wallet.id,
            state=DepositState.CONFIRMING,
            block=seen.block,
            created_at=now,
            updated_at=now,
            reason=doubt,
        )

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
                is_corroborated=each.id not in self._uncorroborated,
            )
            for each in arrived
        ]
        changes = [deposits.decide(each, deposits.Finalised(reason), now) for each, reason in zip(arrived, reasons, strict=True)]
        owners = {wallet_id: wallet.owner_id for wallet_id, wallet in wallets.items()}
        record_deposits(self._kit, unit, changes, now=now, owners=owners, head=self._state.cursor)
        self._tell_uncorroborated(unit, changes, now)
        settled = unit.confirming_transactions(chain_id, up_to=final.number)
        record_changes(self._kit, unit, [_settled(each, now) for each in settled], now=now, head=self._state.cursor)

    def _tell_uncorroborated(self, unit: Unit, changes: Sequence[deposits.DepositChange], now: datetime) -> None:
        for deposit in [each.deposit for each in changes if each.deposit.reason == deposits.NOT_CORROBORATED]:
            detail = (
                f"{deposit.key.amount} wei that a contract paid in {deposit.key.transaction_hash} are quarantined: only one node "
                "could trace them, and two have to agree"
            )
            raise_alarm(self._kit, unit, now=now, code=DEPOSIT_UNCORROBORATED, object_id=deposit.id, detail=detail)


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
