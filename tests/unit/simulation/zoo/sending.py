"""Bugs in how a payment reaches the chain, and in what is made of it."""

from __future__ import annotations

from typing import Final

from custody_core.domain import lifecycle
from custody_core.services import ingest, outgoing, reserving, sending, signing
from tests.unit.simulation.zoo.bug import FACTS, Bug

SENDING: Final = (
    Bug(
        "sends are not taken back",
        ingest.Ingest,
        "take_back",
        "unit.confirming_transactions(chain_id, above=ancestor.number)",
        "()",
        peer="OpenZeppelin: a reverted or mined one is final at once",
    ),
    Bug(
        "the nonce is the node's",
        reserving._Reservation,
        "_reserve",
        "nonce, self._lines[sender] = reserve(self._lines[sender])",
        "nonce, self._lines[sender] = self._outside.known_nonces[sender], reserve(self._lines[sender])[1]",
        peer="web3signer, SHKeeper: the node's count for each request",
    ),
    Bug(
        "a refusal ends a send",
        sending.Sender,
        "_sent",
        "change = decide(transaction, AttemptSent(attempt_id), now)",
        f"change = decide(transaction, {FACTS}.NonceTakenForGood('0x') if transaction.parked_reason is None and capped is None "
        "and len(transaction.attempts) > 1 else AttemptSent(attempt_id), now)",
        peer="OpenZeppelin, SHKeeper: a send that failed was mined",
    ),
    Bug(
        "bytes leave before they are kept",
        signing,
        "sign_planned",
        "    return save_step(",
        "    kit.chains[planned[0].chain_id].broadcast([each[1].raw for each in signed.values() if isinstance(each, tuple)])\n"
        "    return save_step(",
        peer="thirdweb, peatio, SHKeeper: nothing is stored before the broadcast",
    ),
    Bug(
        "the first attempt is signed again after a crash",
        lifecycle,
        "next_act",
        "case State.PENDING_SIGNATURE, _:\n            return Act.SIGN",
        "case State.PENDING_SIGNATURE, _:\n            return Act.RESERVE",
        peer="engine TS: a new nonce after a crash",
    ),
    Bug(
        "an attempt is sent and never again",
        lifecycle,
        "_sent",
        "due_at=now + RESEND_AFTER",
        "due_at=None",
        peer="OpenZeppelin #808: what was evicted is never sent again",
    ),
    Bug(
        "a send is not found again after a reorganisation",
        outgoing,
        "_seen",
        "attempt = transaction.attempt_by_hash(receipt.transaction_hash)",
        "attempt = transaction.attempts[0]",
        peer="OpenZeppelin: the hash that was mined is not the one that was saved",
    ),
    Bug(
        "an answer that is lost is a no",
        sending.Sender,
        "_broadcast",
        "[self._sent(unit, each, attempt_ids[each.id], capped.get(each.id), now) for each in fresh]",
        f"[decide(each, {FACTS}.NonceTakenForGood('0x'), now)\n"
        "            if [a for (t, _), a in zip(sendable, answers) if t.id == each.id and a.outcome == BroadcastOutcome.UNKNOWN]\n"
        "            else self._sent(unit, each, attempt_ids[each.id], capped.get(each.id), now) for each in fresh]",
        peer="thirdweb, engine-core: an unknown answer is a failure, 27 of 28 paid twice",
    ),
    Bug(
        "what no receipt was seen of for long has failed",
        sending.Sender,
        "_sent",
        "change = decide(transaction, AttemptSent(attempt_id), now)",
        f"is_old = transaction.attempts[0].first_sent_at and now - transaction.attempts[0].first_sent_at > timedelta(seconds=45)\n"
        f"    change = decide(transaction, {FACTS}.NonceTakenForGood('0x') if is_old else AttemptSent(attempt_id), now)",
        peer="thirdweb, OpenZeppelin #817: no receipt in time, failed although paid",
    ),
    Bug(
        "a cancellation drops a nonce",
        lifecycle,
        "decide",
        "edge = TRANSITIONS[transaction.state].get(type(fact))",
        "edge = TRANSITIONS[State.QUEUED if transaction.state is State.PENDING_SIGNATURE and isinstance(fact, CancelAsked)\n"
        "        else transaction.state].get(type(fact))",
        peer="FireFly: a delete leaves a hole; engine TS: cancelling deletes nonces",
    ),
    Bug(
        "bytes leave within a unit",
        signing,
        "sign_planned",
        "        still = unit.",
        "        kit.chains[planned[0].chain_id].fee_history()\n        still = unit.",
        peer="peatio: the node is asked within a row lock",
    ),
    Bug(
        "sends are done at the head",
        ingest.Ingest,
        "_finalise",
        "unit.confirming_transactions(chain_id, up_to=final.number)",
        "unit.confirming_transactions(chain_id, up_to=self._state.cursor.number)",
        peer="peatio, OpenZeppelin: done after a few blocks, not when final",
    ),
)
