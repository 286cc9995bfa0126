"""Giving a cleared transaction its nonce and its first attempt.

Everything that could still say no is asked first: the signer opens the wallet's key, the node tells the fees, the policy in force
is evaluated again, under the wallet's lock. Only then is a nonce reserved, because a reserved nonce has to be used: the wallet's
later sends wait behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.facts import NonceReserved, Refused
from custody_core.domain.fees import FeeQuote, first_fees, payment_cap
from custody_core.domain.ids import IdPrefix
from custody_core.domain.lifecycle import decide
from custody_core.domain.nonce import IN_FLIGHT_MAX, NonceLine, open_line, reserve
from custody_core.domain.policy import Decision, Evaluation, Policy, PolicyInput, Verdict, evaluate
from custody_core.domain.transaction import Attempt, AttemptKind, State, Transaction
from custody_core.domain.wallet import Wallet, WalletState
from custody_core.errors import CustodyError, FeeUnavailable, KeyIntegrity, WalletFrozen
from custody_core.ports import BlockTag, Chain, Found, Keys, Unit
from custody_core.services.kit import Kit
from custody_core.services.market import market_now
from custody_core.services.rounds import Outcome, Parked, save_step


@attrs.frozen
class _Outside:
    """What was learned outside of any unit: fees, first nonces, and who cannot go on."""

    chain_id: int
    market: FeeQuote | None
    mined_counts: Mapping[Address, int]
    problems: Mapping[str, CustodyError]
    """Wallet id → what is wrong with its key."""


def reserve_nonces(kit: Kit, keys: Keys, chain: Chain, queued: Sequence[Transaction]) -> list[Transaction]:
    """Reserves in one unit for every transaction of `queued` that may still go out. Returns those that have a nonce now."""
    if not queued:
        return []
    outside = _ask(kit, keys, chain, queued)
    changed = save_step(kit, queued, lambda unit, fresh, now: _Reservation(kit, unit, outside, now).run(fresh))
    return [each for each in changed if each.state is State.PENDING_SIGNATURE]


def _ask(kit: Kit, keys: Keys, chain: Chain, queued: Sequence[Transaction]) -> _Outside:
    wallet_ids, senders = {each.wallet_id for each in queued}, {each.sender for each in queued}

    with kit.store.reading() as unit:
        sealed = unit.sealed_keys(sorted(wallet_ids))
        without_line = sorted(senders - unit.nonce_lines(chain.chain_id, sorted(senders)).keys())
    problems: dict[str, CustodyError] = {}
    for wallet_id in sorted(wallet_ids):
        try:
            if wallet_id not in sealed:
                raise KeyIntegrity("the wallet's key is missing")
            keys.verify(sealed[wallet_id])
        except CustodyError as problem:
            problems[wallet_id] = problem
    answers = {sender: chain.account(sender, BlockTag.LATEST) for sender in without_line}
    counts = {sender: answer.value.nonce for sender, answer in answers.items() if isinstance(answer, Found)}
    try:
        market = market_now(chain)
    except FeeUnavailable:
        market = None
    return _Outside(chain.chain_id, market, counts, problems)


class _Reservation:
    """One unit's work: what the batch has reserved so far is in here, for the database does not show it before it is saved."""

    def __init__(self, kit: Kit, unit: Unit, outside: _Outside, now: datetime) -> None:
        self._kit, self._unit, self._outside, self._now = kit, unit, outside, now
        self._in_flight: Counter[str] = Counter()
        self._stored_lines: Mapping[Address, NonceLine] = {}
        self._lines: dict[Address, NonceLine] = {}
        self._decisions: list[Decision] = []
        self._disabled: set[str] = set()

    def run(self, queued: Sequence[Transaction]) -> list[Outcome]:
        # The locks come first: while they are held nobody else reserves, so what is read next about these wallets stays true.
        wallets = self._unit.wallets_by_id({each.wallet_id for each in queued}, lock=True)
        self._in_flight = Counter(self._unit.in_flight_of(self._outside.chain_id, wallets))
        self._stored_lines = self._unit.nonce_lines(self._outside.chain_id, {each.sender for each in queued})
        policies = self._unit.active_policies()
        owners = self._unit.users_by_id(sorted({each.owner_id for each in queued}))
        self._disabled = {user.id for user in owners.values() if user.disabled_at is not None}
        outcomes = [self._one(each, wallets.get(each.wallet_id), policies) for each in queued]
        self._unit.put_nonce_lines(list(self._lines.values()))
        self._unit.add_decisions(self._decisions)
        return outcomes

    def _one(self, transaction: Transaction, wallet: Wallet | None, policies: Sequence[Policy]) -> Outcome:
        if wallet is None or wallet.state is WalletState.CLOSED:
            return decide(transaction, Refused("the wallet is closed"), self._now)
        if transaction.owner_id in self._disabled:
            return decide(transaction, Refused("the owner is disabled"), self._now)
        if wallet.state is WalletState.FROZEN:
            return Parked(transaction, WalletFrozen.code, "its wallet is frozen")
        evaluation = evaluate(policies, _policy_inputs(transaction))
        if evaluation.verdict is not Verdict.ALLOW:
            return decide(transaction, Refused("the policy in force does not allow it"), self._now)
        parked = self._obstacle(transaction)
        return parked or self._reserve(transaction, evaluation)

    def _obstacle(self, transaction: Transaction) -> Parked | None:
        problem = self._outside.problems.get(transaction.wallet_id)
        if problem is not None:
            return Parked(transaction, problem.code, problem.detail)
        if self._outside.market is None:
            return Parked(transaction, FeeUnavailable.code, "the node gives no fees that make sense")
        if self._in_flight[transaction.wallet_id] >= IN_FLIGHT_MAX:
            return Parked(transaction, "in-flight-limit", "earlier sends of this wallet come first")
        if self._line(transaction) is None:
            return Parked(transaction, "node-unavailable", "the node does not say which nonce is next")
        return None

    def _reserve(self, transaction: Transaction, evaluation: Evaluation) -> Outcome:
        line, market = self._line(transaction), self._outside.market
        if line is None or market is None:
            raise AssertionError("an obstacle was overlooked")
        nonce, self._lines[transaction.sender] = reserve(line)
        self._in_flight[transaction.wallet_id] += 1
        decision = Decision(
            id=self._kit.new_id(IdPrefix.DECISION, self._now),
            transaction_id=transaction.id,
            evaluation=evaluation,
            nonce=nonce,
            fee_per_gas_max_wei=transaction.fee_per_gas_max_wei,
            gas_limit=transaction.gas_limit,
            decided_at=self._now,
        )
        self._decisions.append(decision)
        fees = first_fees(market, transaction.fee_tier, cap_wei=payment_cap(transaction.fee_per_gas_max_wei))
        attempt = Attempt(self._kit.new_id(IdPrefix.ATTEMPT, self._now), AttemptKind.PAYMENT, fees, self._now)
        return decide(transaction, NonceReserved(nonce, decision.id, attempt), self._now)

    def _line(self, transaction: Transaction) -> NonceLine | None:
        sender = transaction.sender
        if sender not in self._lines:
            line = self._stored_lines.get(sender)
            if line is None and sender in self._outside.mined_counts:
                line = open_line(transaction.chain_id, sender, mined_count=self._outside.mined_counts[sender])
            if line is None:
                return None
            self._lines[sender] = line
        return self._lines[sender]


def _policy_inputs(transaction: Transaction) -> PolicyInput:
    """What the policy is asked about an accepted transaction."""
    return PolicyInput(
        chain_id=transaction.chain_id,
        type=transaction.type,
        wallet_id=transaction.wallet_id,
        owner_id=transaction.owner_id,
        sender=transaction.sender,
        to=transaction.to,
        asset=transaction.asset.alias,
        contract=transaction.asset.contract,
        amount=transaction.amount,
    )
