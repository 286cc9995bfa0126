"""What one unit knows about a set of requests to send: read in sets, weighed one by one, written in sets.

Each request sees what those before it in the set took, so a set is accepted exactly as its requests would be one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

import attrs

from custody_core.domain import lifecycle
from custody_core.domain.addresses import require_recipient
from custody_core.domain.funds import require_funds
from custody_core.domain.ids import IdPrefix, is_id
from custody_core.domain.ledger import Account, WalletAccounts, net_by_account
from custody_core.domain.policy import Decision, Evaluation, Policy, PolicyInput, Verdict, evaluate
from custody_core.domain.resources import chain_text, transaction_resource
from custody_core.domain.tokens import NATIVE_ALIAS, Asset, Token
from custody_core.domain.transaction import State, Transaction
from custody_core.domain.wallet import Wallet, WalletState
from custody_core.errors import ChainHalted, Conflict, CustodyError, ExternalIdExists, NodeUnavailable, NotFound, WalletFrozen
from custody_core.ports import IdempotencyRecord, Unit
from custody_core.services import idempotency
from custody_core.services.call_requests import require_callable, token_at
from custody_core.services.estimating import Estimate, Wanted
from custody_core.services.kit import Kit, record_accepted
from custody_core.services.outcomes import outcome_of
from custody_core.services.send_requests import SendRequest, asset_of, tokens_for
from custody_core.services.users import require_enabled

ROUTE = "POST /transactions"
BATCH_ROUTE = "POST /transactions/batch"


@attrs.frozen
class BatchKey:
    """What a batch was asked for under, and the digest of all of it."""

    key: str
    digest: bytes


@attrs.frozen
class Asked:
    """A request as somebody made it: under which key, whose wallets they may name (None: anybody's), and who they are, where that
    is not the owner. `batch` is the one that it is a part of.
    """

    request: SendRequest
    key: str
    owner_id: str | None = None
    actor: str | None = None
    batch: BatchKey | None = None

    @property
    def route(self) -> str:
        """Where its key counts."""
        return ROUTE if self.batch is None else BATCH_ROUTE

    @property
    def fingerprint(self) -> bytes:
        """What its key is bound to."""
        return idempotency.fingerprint_of(
            self.request.body if self.batch is None else {**self.request.body, "batch": self.batch.digest.hex()}
        )


@attrs.frozen
class Accepted:
    """A transaction as it is now, with its public form as it was when it was accepted. `replayed`: by an earlier request."""

    transaction: Transaction
    answer: Mapping[str, object]
    replayed: bool


@attrs.frozen
class _New:
    """What one accepted request writes."""

    change: lifecycle.Change
    actor: str
    decision: Decision
    records: tuple[IdempotencyRecord, ...]


class Desk:
    """A set of requests in one unit. With `lock` their wallets are locked before anything else is read; without
    `wait` those that somebody else holds are refused with `Conflict`.
    """

    def __init__(self, kit: Kit, unit: Unit, asked: Sequence[Asked], *, lock: bool = False, wait: bool = True) -> None:
        self._kit = kit
        self._unit = unit
        requests = [each.request for each in asked]
        wallet_ids = {each.wallet_id for each in requests if is_id(each.wallet_id, IdPrefix.WALLET)}
        self._wallets = unit.wallets_by_id(wallet_ids, lock=lock, wait=wait)
        self._may_be_held = not wait
        owners = {id_: wallet.owner_id or "" for id_, wallet in self._wallets.items()}
        self._users = unit.users_by_id(sorted({*owners.values()}))
        self._chains = {state.chain_id: state for state in unit.chains()}
        self._tokens = tokens_for(unit, requests)
        called = {each.to for each in requests if each.is_call}
        self._managed = unit.wallets_by_address(called) if called else {}
        named = [(owners[each.request.wallet_id], each) for each in asked if each.request.wallet_id in owners]
        keys = {(idempotency.scope_of(owner, each.route), key) for owner, each in named for key in _keys(each)}
        self._records = dict(unit.idempotency_records(keys))
        self._made = dict(unit.transactions_by_id([record.object_id for record in self._records.values()]))
        external_ids = {(owner, each.request.external_id) for owner, each in named if each.request.external_id is not None}
        self._external = dict(unit.transactions_by_external_id(external_ids))
        accounts = {account for _, each in named for account in _accounts(each.request, self._tokens)}
        self._available = dict(unit.balances_of(accounts))
        self._new: list[_New] = []
        self._ids: list[str] = []
        self._ids_needed = len(asked)

    def look(self, asked: Asked) -> Accepted | Wanted | CustodyError:
        """What can be said before the node is asked: the earlier answer, a cheap refusal, or what to ask the node about."""
        return outcome_of(partial(self._look, asked))

    def accept(self, asked: Asked, estimate: Estimate, policies: Sequence[Policy], now: datetime) -> Accepted | CustodyError:
        """Weighs the request with all that the unit holds; `write` keeps what came of it."""
        return outcome_of(partial(self._accept, asked, estimate, policies, now))

    def write(self, now: datetime) -> None:
        """Keeps what was accepted: rows, holds, decisions, keys with their answers, audit rows and events."""
        if not self._new:
            return
        record_accepted(self._kit, self._unit, [(each.change, each.actor) for each in self._new], now=now)
        self._unit.add_decisions([each.decision for each in self._new])
        self._unit.add_idempotency([record for each in self._new for record in each.records])

    def _look(self, asked: Asked) -> Accepted | Wanted:
        request, wallet = asked.request, self._visible(asked)
        earlier = self._earlier(asked, wallet)
        if earlier is not None:
            return earlier
        asset = asset_of(request, self._tokens)
        require_recipient(request.to, sender=wallet.address, token=asset.contract)
        self._require_may_send(request, wallet)
        token = self._called_token(request)
        if request.is_call:
            require_callable(request.to, request.data, managed=self._managed, token=token)
        require_funds(request.amount, 0, asset, *self._funds(wallet, asset))
        return Wanted(request, asset, wallet.address)

    def _accept(self, asked: Asked, estimate: Estimate, policies: Sequence[Policy], now: datetime) -> Accepted:
        request, wallet = asked.request, self._visible(asked)
        earlier = self._earlier(asked, wallet)
        if earlier is not None:
            return earlier
        self._require_may_send(request, wallet)
        asset = asset_of(request, self._tokens)  # a token may have been disabled while the node was asked
        token = self._called_token(request)
        if request.is_call:  # again: it may have been listed while the node was asked
            require_callable(request.to, request.data, managed=self._managed, token=token)
        evaluation = evaluate(policies, policy_inputs(request, wallet, asset, token))
        transaction = _transaction(self._fresh_id(now), request, wallet, asset, estimate, evaluation, now)
        if transaction.state is not State.REJECTED:
            require_funds(request.amount, transaction.fee_hold_wei, asset, *self._funds(wallet, asset))
        return self._keep(asked, transaction, evaluation, now)

    def _keep(self, asked: Asked, transaction: Transaction, evaluation: Evaluation, now: datetime) -> Accepted:
        """Notes what is to be written, and lets the requests after this one see it."""
        change, answer = lifecycle.accept(transaction, now), transaction_resource(transaction)
        record = IdempotencyRecord(
            scope=idempotency.scope_of(transaction.owner_id, asked.route),
            key=asked.key,
            fingerprint=asked.fingerprint,
            object_id=transaction.id,
            created_at=now,
            answer=answer,
        )
        decision = _decision(self._kit, transaction, evaluation, now)
        self._new.append(_New(change, asked.actor or transaction.owner_id, decision, (record,)))
        self._records[record.scope, record.key] = record
        if asked.batch is not None:
            self._keep_batch(record, asked.batch)
        self._made[transaction.id] = transaction
        if transaction.external_id is not None:
            self._external[transaction.owner_id, transaction.external_id] = transaction
        for account, delta in net_by_account(change.postings).items():
            if account in self._available:
                self._available[account] += delta
        return Accepted(transaction, answer, replayed=False)

    def _fresh_id(self, now: datetime) -> str:
        """The next id. Nonces follow ids, and chance alone would order those of one millisecond: they ascend in the set's order."""
        if not self._ids:
            self._ids = sorted((self._kit.new_id(IdPrefix.TRANSACTION, now) for _ in range(self._ids_needed)), reverse=True)
        return self._ids.pop()

    def _keep_batch(self, first: IdempotencyRecord, batch: BatchKey) -> None:
        """A batch's own key is used once one of its items was accepted."""
        if (first.scope, batch.key) not in self._records:
            record = attrs.evolve(first, key=batch.key, fingerprint=batch.digest, answer={})
            self._records[record.scope, record.key] = record
            self._new[-1] = attrs.evolve(self._new[-1], records=(*self._new[-1].records, record))

    def _visible(self, asked: Asked) -> Wallet:
        wallet = self._wallets.get(asked.request.wallet_id)
        if wallet is None and self._may_be_held:
            raise Conflict("another piece of work holds this wallet; try again")
        if wallet is None or wallet.owner_id is None or asked.owner_id not in {None, wallet.owner_id}:
            raise NotFound("no such wallet")
        return wallet

    def _earlier(self, asked: Asked, wallet: Wallet) -> Accepted | None:
        """What this key was answered, or None. Raises `ExternalIdExists` when the external id is taken by another request."""
        request, owner_id = asked.request, wallet.owner_id or ""
        scope = idempotency.scope_of(owner_id, asked.route)
        of_batch = self._records.get((scope, asked.batch.key)) if asked.batch else None
        if asked.batch is not None and of_batch is not None:
            idempotency.require_same(of_batch, asked.batch.digest)
        record = self._records.get((scope, asked.key))
        if record is not None:
            idempotency.require_same(record, asked.fingerprint)
            transaction = self._made[record.object_id]
            return Accepted(transaction, record.answer or transaction_resource(transaction), replayed=True)
        if request.external_id is not None and (owner_id, request.external_id) in self._external:
            raise ExternalIdExists("this owner has a transaction with this external id", pointer="/external_id")
        return None

    def _called_token(self, request: SendRequest) -> str | None:
        return token_at(self._tokens, request.chain_id, request.to) if request.is_call else None

    def _require_may_send(self, request: SendRequest, wallet: Wallet) -> None:
        require_enabled(self._users.get(wallet.owner_id or ""))
        if wallet.state is not WalletState.OPEN:
            raise WalletFrozen(f"the wallet is {wallet.state}: {wallet.state_reason or 'no reason given'}")
        state = self._chains.get(request.chain_id)
        if state is None:
            raise NodeUnavailable("this chain is not followed yet: its node has not answered")
        if state.halted_reason is not None:
            raise ChainHalted(f"{chain_text(request.chain_id)} is halted: {state.halted_reason}; see `custody chain status`")

    def _funds(self, wallet: Wallet, asset: Asset) -> tuple[int, int]:
        """What may be spent: of the asset, and of the native asset."""
        of_asset, native = (WalletAccounts(asset.chain_id, key, wallet.id).available for key in (asset.key, NATIVE_ALIAS))
        return self._available[of_asset], self._available[native]


def _keys(asked: Asked) -> tuple[str, ...]:
    return (asked.key,) if asked.batch is None else (asked.key, asked.batch.key)


def policy_inputs(request: SendRequest, wallet: Wallet, asset: Asset, token: str | None) -> PolicyInput:
    """What the policy is asked about a request. `token` is the alias of the token whose contract it calls."""
    return PolicyInput(
        chain_id=request.chain_id,
        type=str(request.type),
        wallet_id=wallet.id,
        owner_id=wallet.owner_id or "",
        sender=wallet.address,
        to=request.to,
        asset=asset.alias,
        contract=asset.contract,
        amount=request.amount,
        data=request.data,
        access_list=request.access_list,
        token=token,
    )


def _accounts(request: SendRequest, tokens: Sequence[Token]) -> list[Account]:
    """The accounts that a request may spend from: of its asset, where it is known, and of the native asset."""
    named = [token.asset.key for token in tokens if (token.asset.chain_id, token.asset.alias) == (request.chain_id, request.asset)]
    return [WalletAccounts(request.chain_id, key, request.wallet_id).available for key in (NATIVE_ALIAS, *named)]


def _transaction(
    id_: str, request: SendRequest, wallet: Wallet, asset: Asset, estimate: Estimate, evaluation: Evaluation, now: datetime
) -> Transaction:
    allowed = evaluation.verdict is Verdict.ALLOW
    return Transaction(
        id=id_,
        wallet_id=wallet.id,
        owner_id=wallet.owner_id or "",
        asset=asset,
        sender=wallet.address,
        to=request.to,
        amount=request.amount,
        gas_limit=estimate.gas_limit,
        fee_tier=request.tier,
        fee_per_gas_max_wei=estimate.fee_per_gas_max_wei,
        state=State.QUEUED if allowed else State.REJECTED,
        created_at=now,
        updated_at=now,
        policy_verdict=str(evaluation.verdict),
        policy_ids=evaluation.policy_ids,
        policy_rules=evaluation.rules,
        type=str(request.type),
        data=request.data,
        access_list=request.access_list,
        due_at=now if allowed else None,
        reason=None if allowed else "the policy does not allow it",
        external_id=request.external_id,
        metadata=request.metadata,
    )


def _decision(kit: Kit, transaction: Transaction, evaluation: Evaluation, now: datetime) -> Decision:
    return Decision(
        id=kit.new_id(IdPrefix.DECISION, now),
        transaction_id=transaction.id,
        evaluation=evaluation,
        nonce=None,
        fee_per_gas_max_wei=transaction.fee_per_gas_max_wei,
        gas_limit=transaction.gas_limit,
        decided_at=now,
    )
