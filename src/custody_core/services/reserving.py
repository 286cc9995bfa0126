"""Giving a cleared transaction its nonce and its first attempt.

Everything that could still say no is asked first: the signer opens the wallet's key, the node tells the fees and how many
transactions of the wallet it knows, the policy in force is evaluated again, under the wallet's lock. Only then is a nonce
reserved, because a reserved nonce has to be used: the wallet's later sends wait behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.facts import NonceReserved, Refused
from custody_core.domain.fees import FeeQuote, first_fees, may_be_mined, payment_cap
from custody_core.domain.ids import IdPrefix
from custody_core.domain.lifecycle import Change, decide
from custody_core.domain.nonce import NonceLine, open_line, reserve, used_elsewhere
from custody_core.domain.policy import Decision, Evaluation, Policy, PolicyInput, Verdict, evaluate
from custody_core.domain.transaction import Attempt, AttemptKind, State, Transaction, TransactionType
from custody_core.domain.wallet import Wallet, WalletState
from custody_core.errors import CustodyError, FeeAboveCap, FeeUnavailable, KeyIntegrity, WalletFrozen
from custody_core.ports import Chain, Found, Keys, Unit
from custody_core.services.call_requests import token_at
from custody_core.services.foreign_use import stop_wallet
from custody_core.services.kit import Kit
from custody_core.services.market import market_now
from custody_core.services.rounds import IN_FLIGHT_LIMIT, WOKEN, Outcome, Parked, save_step

WOKEN_WITHIN = timedelta(minutes=10)
"""How long a transaction waits at most for its wallet's turn to come to it. A block that takes an earlier one wakes the next, and
whoever lifts a freeze the oldest.
"""


@attrs.frozen
class _Outside:
    """What was learned outside of any unit: fees, how far each sender is on the chain, and who cannot go on."""

    chain_id: int
    market: FeeQuote | None
    known_nonces: Mapping[Address, int]
    problems: Mapping[str, CustodyError]
    """Wallet id → what is wrong with its key."""


def reserve_nonces(kit: Kit, keys: Keys, chain: Chain, queued: Sequence[Transaction]) -> list[Transaction]:
    """Reserves in one unit for the wallets of `queued`, oldest transaction first. Returns those that have a nonce now."""
    if not queued:
        return []
    outside = _ask(kit, keys, chain, queued)
    full: set[str] = set()

    def step(unit: Unit, fresh: Sequence[Transaction], now: datetime) -> Sequence[Outcome]:
        outcomes = _Reservation(kit, unit, outside, now).run(fresh)
        full.update(each.transaction.wallet_id for each in outcomes if isinstance(each, Parked) and each.code == IN_FLIGHT_LIMIT)
        return outcomes

    changed = save_step(kit, queued, step)
    if full:
        _wake_overlooked(kit, outside.chain_id, full)
    return [each for each in changed if each.state is State.PENDING_SIGNATURE]


def _wake_overlooked(kit: Kit, chain_id: int, wallet_ids: Collection[str]) -> None:
    """A block may have made room after these wallets' sends were counted and before the next one was parked: whoever saved that
    block did not find it parked, and no other block may come to wake it. A block that is being saved now is not seen here; whoever
    saves it looks again afterwards.
    """

    def work(unit: Unit) -> None:
        in_flight = unit.in_flight_of(chain_id, wallet_ids)
        with_room = {id_ for id_ in wallet_ids if in_flight.get(id_, 0) < kit.limits.in_flight_max}
        unit.wake_queued(chain_id, with_room, parked_for=WOKEN, now=kit.clock.now())

    kit.write(work)


def _ask(kit: Kit, keys: Keys, chain: Chain, queued: Sequence[Transaction]) -> _Outside:
    wallet_ids, senders = sorted({each.wallet_id for each in queued}), sorted({each.sender for each in queued})
    with kit.store.reading() as unit:
        sealed = unit.sealed_keys(wallet_ids)
        lines = unit.nonce_lines(chain.chain_id, senders)
    problems: dict[str, CustodyError] = {}
    for wallet_id in wallet_ids:
        try:
            if wallet_id not in sealed:
                raise KeyIntegrity("the wallet's key is missing")
            keys.verify(sealed[wallet_id])
        except CustodyError as problem:
            problems[wallet_id] = problem
    reserved = [(lines.get(sender) or open_line(chain.chain_id, sender)).next_nonce for sender in senders]
    answers = zip(senders, chain.known_nonces(senders, reserved=reserved), strict=True)
    known = {sender: answer.value for sender, answer in answers if isinstance(answer, Found)}
    try:
        market = market_now(kit, chain)
    except FeeUnavailable:
        market = None
    return _Outside(chain.chain_id, market, known, problems)


class _Reservation:
    """One unit's work: what the batch has reserved so far is in here, for the database does not show it before it is saved."""

    def __init__(self, kit: Kit, unit: Unit, outside: _Outside, now: datetime) -> None:
        self._kit, self._unit, self._outside, self._now = kit, unit, outside, now
        self._wallets: dict[str, Wallet] = {}
        self._in_flight: Counter[str] = Counter()
        self._lines: dict[Address, NonceLine] = {}
        self._moved: set[Address] = set()
        self._decisions: list[Decision] = []
        self._disabled: set[str] = set()

    def run(self, claimed: Sequence[Transaction]) -> list[Outcome]:
        chain_id, wallet_ids = self._outside.chain_id, {each.wallet_id for each in claimed}
        # The locks come first: while they are held nobody else reserves, so what is read next about these wallets stays true.
        self._wallets = dict(self._unit.wallets_by_id(wallet_ids, lock=True))
        self._in_flight = Counter(self._unit.in_flight_of(chain_id, wallet_ids))
        self._read_lines({each.sender for each in claimed})
        policies = self._unit.active_policies()
        owners = self._unit.users_by_id(sorted({each.owner_id for each in claimed}))
        self._disabled = {user.id for user in owners.values() if user.disabled_at is not None}
        outcomes = [self._one(each, policies) for each in self._in_order(claimed)]
        self._unit.put_nonce_lines([self._lines[sender] for sender in sorted(self._moved)])
        self._unit.add_decisions(self._decisions)
        claimed_ids = {each.id for each in claimed}
        return [each for each in outcomes if isinstance(each, Change) or each.transaction.id in claimed_ids]

    def _in_order(self, claimed: Sequence[Transaction]) -> list[Transaction]:
        """What may be reserved for: the oldest of each wallet, claimed or not, as far as it has room, then the other claimed ones.

        A newer one must not overtake an older one that waits for its turn; one whose cap is below the market holds nobody up.
        """
        wallet_ids, own = {each.wallet_id for each in claimed}, {each.id: each for each in claimed}
        chain_id = self._outside.chain_id
        oldest = self._unit.queued_of(chain_id, wallet_ids, first=self._kit.limits.in_flight_max, besides={FeeAboveCap.code})
        known = {**self._unit.transactions_by_id([id_ for id_ in oldest if id_ not in own]), **own}
        # Its owner may have cancelled one between the two reads: only what is claimed is ours alone.
        in_order = [known[id_] for id_ in [*oldest, *sorted(own.keys() - set(oldest))]]
        return [each for each in in_order if each.state is State.QUEUED]

    def _read_lines(self, senders: Collection[Address]) -> None:
        chain_id = self._outside.chain_id
        stored = self._unit.nonce_lines(chain_id, senders)
        self._lines = {sender: stored.get(sender) or open_line(chain_id, sender) for sender in senders}
        by_address = {wallet.address: wallet for wallet in self._wallets.values()}
        for sender, known in self._outside.known_nonces.items():
            wallet, line = by_address.get(sender), self._lines.get(sender)
            if wallet and line and wallet.state is WalletState.OPEN and used_elsewhere(line, count=known):
                detail = f"a node knows {known} transactions from {sender}, and {line.next_nonce} were reserved here"
                stop_wallet(self._kit, self._unit, wallet, chain_id, detail=detail, now=self._now)
                self._wallets[wallet.id] = attrs.evolve(wallet, state=WalletState.FROZEN)

    def _one(self, transaction: Transaction, policies: Sequence[Policy]) -> Outcome:
        wallet = self._wallets.get(transaction.wallet_id)
        if wallet is None or wallet.state is WalletState.CLOSED:
            return decide(transaction, Refused("the wallet is closed"), self._now)
        if transaction.owner_id in self._disabled:
            return decide(transaction, Refused("the owner is disabled"), self._now)
        if wallet.state is WalletState.FROZEN:
            return Parked(transaction, WalletFrozen.code, "its wallet is frozen", wait=WOKEN_WITHIN)
        evaluation = evaluate(policies, _policy_inputs(transaction, self._called_token(transaction)))
        if evaluation.verdict is not Verdict.ALLOW:
            return decide(transaction, Refused("the policy in force does not allow it"), self._now)
        market = self._outside.market
        if market is None:
            return Parked(transaction, FeeUnavailable.code, "the node gives no fees that make sense")
        return self._obstacle(transaction, market) or self._reserve(transaction, evaluation, market)

    def _called_token(self, transaction: Transaction) -> str | None:
        if transaction.type != TransactionType.CONTRACT_CALL:
            return None
        return token_at(self._unit.tokens(transaction.chain_id), transaction.chain_id, transaction.to)

    def _obstacle(self, transaction: Transaction, market: FeeQuote) -> Parked | None:
        problem = self._outside.problems.get(transaction.wallet_id)
        if problem is not None:
            return Parked(transaction, problem.code, problem.detail)
        if not may_be_mined(transaction.fee_per_gas_max_wei, market):
            return Parked(transaction, FeeAboveCap.code, "the market asks more per gas than it may pay; it waits without a nonce")
        if self._in_flight[transaction.wallet_id] >= self._kit.limits.in_flight_max:
            return Parked(transaction, IN_FLIGHT_LIMIT, "earlier sends of this wallet come first", wait=WOKEN_WITHIN)
        if transaction.sender not in self._outside.known_nonces:
            return Parked(transaction, "node-unavailable", "the node does not say how far this wallet is on the chain")
        return None

    def _reserve(self, transaction: Transaction, evaluation: Evaluation, market: FeeQuote) -> Outcome:
        sender = transaction.sender
        nonce, self._lines[sender] = reserve(self._lines[sender])
        self._moved.add(sender)
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


def _policy_inputs(transaction: Transaction, token: str | None) -> PolicyInput:
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
        data=transaction.data,
        access_list=transaction.access_list,
        token=token,
    )
