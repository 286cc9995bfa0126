"""Outgoing transactions, their attempts, nonces and decisions: INV-6, 7, 9 to 13, 16 and 17."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from custody_core.domain.addresses import Address
from custody_core.domain.encoding import MalformedSignature, MalformedTransaction, decode_signed
from custody_core.domain.fees import REPLACEMENT_DENOMINATOR, REPLACEMENT_NUMERATOR
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.policy import Decision, Policy, Verdict, evaluate
from custody_core.domain.recognition import kind_of
from custody_core.domain.resources import chain_text
from custody_core.domain.transaction import AttemptState, State, Transaction, TransactionType
from custody_core.ports import EVERY_MOVEMENT, Unit
from custody_core.services.verdicts.ledger import PAGE, Finals
from custody_core.services.verdicts.verdict import Progress, Verdicts


def check_transactions(unit: Unit, verdicts: Verdicts, progress: Progress, finals: Finals) -> None:
    """Every outgoing transaction, with its attempts and its decision."""
    before: str | None = None
    while page := unit.transactions(EVERY_MOVEMENT, limit=PAGE, before_id=before):
        before = page[-1].id
        decisions = unit.decisions([each.decision_id for each in page if each.decision_id])
        policies = unit.policies_by_id({id_ for each in decisions.values() for id_ in each.evaluation.policy_ids})
        for each in page:
            for id_, rule in RULES.items():
                verdicts.add(id_, rule(each))
            verdicts.add("INV-11", _without_final_block(each, finals))
            decision = decisions.get(each.decision_id or "")
            verdicts.add("INV-16", _without_decision(each, decision))
            if decision is not None:
                verdicts.add("INV-17", _decided_otherwise(decision, policies))
        progress.add(len(page))


def check_nonces(unit: Unit, verdicts: Verdicts, finals: Finals) -> None:
    """Every reserved nonce, by sender and number."""
    for chain_id in finals:
        last: tuple[Address, int] = (Address(""), -1)
        while page := unit.used_nonces(chain_id, after=last, limit=PAGE):
            verdicts.add("INV-9", _gaps(chain_id, [last, *page]))
            last = page[-1]


def _gaps(chain_id: int, line: list[tuple[Address, int]]) -> Iterator[str]:
    for (before, used), (sender, nonce) in pairwise(line):
        if sender == before and nonce != used + 1:
            yield f"{chain_text(chain_id)}: {sender} used nonce {nonce} after {used}"


def _no_amount(each: Transaction) -> Iterator[str]:
    lowest = 0 if each.type == TransactionType.CONTRACT_CALL else 1
    if type(each.amount) is not int or not lowest <= each.amount <= UINT256_MAX:
        yield f"{each.id}: {each.amount!r}"


def _another_payment(each: Transaction) -> Iterator[str]:
    for attempt in each.attempts:
        if attempt.raw is None:
            continue
        try:
            unsigned, *_ = decode_signed(attempt.raw)
        except (MalformedTransaction, MalformedSignature):
            yield f"{attempt.id} of {each.id} holds bytes that are no transaction"
            continue
        if kind_of(unsigned, each) is not attempt.kind:
            yield f"{attempt.id} of {each.id} is not the {attempt.kind} that it should be"


def _sent_unstored(each: Transaction) -> Iterator[str]:
    for attempt in each.attempts:
        if attempt.state is not AttemptState.PLANNED and (attempt.raw is None or attempt.hash is None):
            yield f"{attempt.id} of {each.id} is {attempt.state} without its bytes"
    if each.attempts and each.nonce is None:
        yield f"{each.id} has attempts and no nonce"


def _too_dear_or_too_close(each: Transaction) -> Iterator[str]:
    for attempt in each.attempts:
        if attempt.fees.max_fee_per_gas_wei > each.fee_cap_wei(attempt.kind):
            yield f"{attempt.id} of {each.id} offers more per gas than was held"
    for before, after in pairwise(each.attempts):
        if AttemptState.FOUND in {before.state, after.state}:
            continue  # planned when the books did not know the other one
        fields = (
            (before.fees.max_fee_per_gas_wei, after.fees.max_fee_per_gas_wei),
            (before.fees.max_priority_fee_per_gas_wei, after.fees.max_priority_fee_per_gas_wei),
        )
        if any(new * REPLACEMENT_DENOMINATOR < old * REPLACEMENT_NUMERATOR for old, new in fields):
            yield f"{after.id} of {each.id} does not raise both fee fields by 12.5 %"


def _unbound(each: Transaction) -> Iterator[str]:
    for attempt in each.attempts:
        try:
            bound = attempt.raw is None or decode_signed(attempt.raw)[0].chain_id == each.chain_id
        except (MalformedTransaction, MalformedSignature):
            bound = False
        if not bound:
            yield f"{attempt.id} of {each.id} is not bound to {chain_text(each.chain_id)}"


RULES: Mapping[str, Callable[[Transaction], Iterator[str]]] = {
    "INV-6": _no_amount,
    "INV-7": _another_payment,
    "INV-10": _sent_unstored,
    "INV-12": _too_dear_or_too_close,
    "INV-13": _unbound,
}
"""What a transaction shows by itself."""


def _without_final_block(each: Transaction, finals: Finals) -> Iterator[str]:
    on_chain = each.state in {State.COMPLETED, State.REVERTED} or (each.state is State.CANCELLED and each.nonce is not None)
    if on_chain and (each.inclusion is None or each.inclusion.block.number > finals[each.chain_id].number):
        yield f"{each.id} is {each.state} without a final block"


def _without_decision(each: Transaction, decision: Decision | None) -> Iterator[str]:
    if each.nonce is None:
        return
    allows = decision is not None and decision.evaluation.verdict is Verdict.ALLOW and decision.nonce == each.nonce
    if not allows or decision is None or decision.transaction_id != each.id:
        yield f"{each.id} holds nonce {each.nonce} without a decision that allows it"


def _decided_otherwise(decision: Decision, policies: Mapping[str, Policy]) -> Iterator[str]:
    kept = decision.evaluation
    missing = [id_ for id_ in kept.policy_ids if id_ not in policies]
    if missing:
        yield f"{decision.id} names policy {missing[0]}, which is not there"
        return
    again = evaluate([policies[id_] for id_ in kept.policy_ids], kept.inputs)
    if (again.verdict, sorted(again.rules)) != (kept.verdict, sorted(kept.rules)):
        yield f"{decision.id} is {kept.verdict} by {', '.join(kept.rules)}, and its policies say {again.verdict}"
