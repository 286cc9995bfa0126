"""The worker that carries accepted transactions to the chain.

Order, by irreversibility, and what each order survives:

1. reserve the nonce and plan the attempt, commit (`reserving.py`): a crash after this signs that same plan;
2. sign, store the bytes and their hash, commit (`signing.py`): a crash before the commit signs the same bytes again; nothing was
   sent;
3. only then broadcast: a crash, or an answer that is lost, sends the same bytes again, which is always safe;
4. what became of it, the chain says: the follower (`scanning.py`) sees the attempt in a block. No answer to a broadcast is a
   failure.

Every step takes a batch and saves it in one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs

from custody_core.domain.facts import AttemptSent
from custody_core.domain.lifecycle import Act, Change, decide, next_act
from custody_core.domain.transaction import Transaction
from custody_core.ports import BroadcastAnswer, BroadcastOutcome, Chain, Keys, Unit
from custody_core.services.foreign_use import stop_overtaken
from custody_core.services.kit import Kit, raise_alarm
from custody_core.services.replacing import PROVIDER_FEE_CAP, replace_waiting
from custody_core.services.reserving import reserve_nonces
from custody_core.services.rounds import Outcome, save_step
from custody_core.services.signing import sign_planned

_LOOK_AGAIN_AFTER = timedelta(seconds=10)

BATCH_MAX = 200
"""Transactions carried through one round."""

_IN_THE_POOL = frozenset({BroadcastOutcome.ACCEPTED, BroadcastOutcome.KNOWN, BroadcastOutcome.NONCE_TOO_LOW})


class Sender:
    """Carries due transactions of one chain, round by round. Any number of processes may run one."""

    def __init__(self, kit: Kit, keys: Keys) -> None:
        self._kit = kit
        self._keys = keys
        self._look_at: dict[int, datetime] = {}

    def advance(self, chain_id: int) -> int:
        """One round: claims what is due, reserves, signs, sends. How many transactions it took up.

        The first one begins with a look whether these books are older than the chain. Where nobody answers, it is had later: no
        nonce is reserved before its own wallet was looked at.
        """
        chain, now = self._kit.chain(chain_id), self._kit.clock.now()
        if self._look_at.get(chain_id, now) <= now:
            looked = stop_overtaken(self._kit, chain)
            self._look_at[chain_id] = datetime.max.replace(tzinfo=UTC) if looked else now + _LOOK_AGAIN_AFTER
        claimed = self._claim(chain_id, now)
        by_act: dict[Act | None, list[Transaction]] = {act: [] for act in (*Act, None)}
        for transaction in claimed:
            by_act[next_act(transaction, now)].append(transaction)
        reserved = reserve_nonces(self._kit, self._keys, chain, by_act[Act.RESERVE])
        replaced, unchanged = replace_waiting(self._kit, chain, by_act[Act.REPLACE])
        planned = [*by_act[Act.SIGN], *reserved, *replaced]
        signed = sign_planned(self._kit, self._keys, planned)
        unsigned = {each.id: each for each in planned} | {each.id: None for each in signed}
        self._broadcast(chain, [*by_act[Act.SEND], *unchanged, *signed], held_up=[each for each in unsigned.values() if each])
        return len(claimed)

    def _claim(self, chain_id: int, now: datetime) -> Sequence[Transaction]:
        def look(unit: Unit) -> bool:
            state = unit.chain(chain_id)
            return state is not None and state.halted_reason is None and unit.has_due(chain_id, now=now)

        if not self._kit.read(look):  # most often; a unit that writes would hold up others for nothing
            return []
        until = now + self._kit.limits.lease
        return self._kit.write(lambda unit: unit.claim_due(chain_id=chain_id, now=now, until=until, limit=BATCH_MAX))

    def _broadcast(self, chain: Chain, signed: Sequence[Transaction], *, held_up: Sequence[Transaction]) -> None:
        """Sends the newest bytes of each, then notes that it tried. What the node said decides nothing.

        `held_up`: what could not be signed anew (its wallet is frozen, the signer is away). The bytes that it has had before are on
        their way, and are kept there.
        """
        in_order = sorted(signed, key=lambda each: (each.sender, each.nonce or 0))  # a pool may refuse what comes before its turn
        sendable = [(each, attempt) for each in in_order if (attempt := each.newest_attempt) and attempt.raw]
        kept = [raw for each in held_up for raw in _earlier(each)]
        if not sendable:
            if kept:
                chain.broadcast(kept)
            return
        newest = [attempt.raw for _, attempt in sendable if attempt.raw]
        # Where a node passes on no fee as high as the newest attempt's, an earlier one may still be mined when the market falls.
        earlier = [raw for each, _ in sendable if each.parked_reason == PROVIDER_FEE_CAP for raw in _earlier(each)]
        answers = chain.broadcast([*newest, *earlier, *kept])[: len(newest)]
        for (transaction, _), answer in zip(sendable, answers, strict=True):
            if answer.outcome not in _IN_THE_POOL:
                self._kit.observer.trouble(f"broadcast-{answer.outcome}", f"{transaction.id} is sent again later: {answer.detail}")
        attempt_ids = {transaction.id: attempt.id for transaction, attempt in sendable}
        capped = {transaction.id: _fee_cap(answer) for (transaction, _), answer in zip(sendable, answers, strict=True)}

        def step(unit: Unit, fresh: Sequence[Transaction], now: datetime) -> list[Outcome]:
            return [self._sent(unit, each, attempt_ids[each.id], capped.get(each.id), now) for each in fresh]

        save_step(self._kit, [transaction for transaction, _ in sendable], step)

    def _sent(self, unit: Unit, transaction: Transaction, attempt_id: str, capped: str | None, now: datetime) -> Change:
        """Notes that it was sent. Where no node passes on fees as high as its own, a person has to know, once."""
        change = decide(transaction, AttemptSent(attempt_id), now)
        if capped is None:
            return change
        if transaction.parked_reason != PROVIDER_FEE_CAP:
            raise_alarm(self._kit, unit, now=now, code="provider-fee-cap", object_id=transaction.id, detail=capped)
        return attrs.evolve(change, transaction=attrs.evolve(change.transaction, parked_reason=PROVIDER_FEE_CAP))


def _fee_cap(answer: BroadcastAnswer) -> str | None:
    """What a node says that passes on no fee as high, where no other node is known to. A silent one may have the bytes."""
    return answer.detail if answer.outcome is BroadcastOutcome.FEE_CAPPED else answer.fee_cap


def _earlier(transaction: Transaction) -> list[bytes]:
    """The bytes of the attempt before the newest."""
    return [attempt.raw for attempt in transaction.attempts[-2:-1] if attempt.raw]
