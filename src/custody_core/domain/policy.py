"""Policy: what may be signed.

Rules of this file

1. No rule that allows, no signature. One matching `deny` wins over any number of `allow`.
2. Every matching rule counts; the order of rules means nothing. Layers narrow: each active document must allow.
3. A document that cannot be read completely denies everything; one that cannot be read is not published in the first place.
4. An evaluation records all of its inputs, so that anyone can run it again and get the same answer.
5. Nothing is signed that is not one of the types of `authorisation.py`, which are made from a decision that allows.
6. A contract call is allowed only by a rule that names it (`calls.py`). What cannot be read of it is unknown: it does not allow,
   and it denies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import assert_never

import attrs

from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.calls import call_holds, names_call, parse_call, require_named
from custody_core.domain.encoding import AccessList
from custody_core.domain.money import parse_base_units
from custody_core.domain.transaction import TransactionType
from custody_core.errors import CustodyError, ValidationFailed

POLICY_VERSION = 1

STARTER_DOCUMENT: Mapping[str, object] = {
    "version": POLICY_VERSION,
    "rules": [{"id": "allow-transfers", "when": {"type": "transfer"}, "then": {"allow": True}}],
}
"""What a new service starts with: users may send ether and listed tokens."""

COMPARISONS = ("lt", "lte", "gt", "gte", "eq")

NESTING_MAX = 8
"""How deep `not` may stand in `not`. Deeper is no rule that anybody reads, and Python's own limit is no answer."""

_CHAIN = re.compile(r"eip155:[1-9][0-9]{0,19}", re.ASCII)


class Layer(StrEnum):
    """Whom a document binds: everybody, one owner, one wallet."""

    GLOBAL = "global"
    OWNER = "owner"
    WALLET = "wallet"


@attrs.frozen
class Policy:
    """A published document. `subject` is None for the global layer, else the owner's or wallet's id."""

    id: str
    layer: Layer
    subject: str | None
    document: Mapping[str, object]
    published_at: datetime


@attrs.frozen
class PolicyInput:
    """All that a rule may look at. `asset` is the alias that rules name, `contract` the identity; amounts are base units.

    Of a contract call `amount` is the ether that it carries, `to` the contract, and `token` the alias of the token whose contract
    that is, if it is one.
    """

    chain_id: int
    type: str
    wallet_id: str
    owner_id: str
    sender: Address
    to: Address
    asset: str
    contract: Address | None
    amount: int
    data: bytes = b""
    access_list: AccessList = ()
    token: str | None = None


class Verdict(StrEnum):
    """The answer. There is no default: what was not evaluated has none."""

    ALLOW = "allow"
    NEEDS_APPROVAL = "needs_approval"
    DENY = "deny"


@attrs.frozen
class Evaluation:
    """A verdict with the rules that led to it (all that matched) and the policies that they stand in."""

    verdict: Verdict
    rules: tuple[str, ...]
    policy_ids: tuple[str, ...]
    inputs: PolicyInput


@attrs.frozen
class Decision:
    """An evaluation, kept. `nonce` is None for the one at acceptance; the one at the nonce's reservation is what a signature
    rests on.
    """

    id: str
    transaction_id: str
    evaluation: Evaluation
    nonce: int | None
    fee_per_gas_max_wei: int
    gas_limit: int
    decided_at: datetime


@attrs.frozen
class Rule:
    """One rule, read."""

    id: str
    when: Mapping[str, object]
    allow: bool
    deny: bool


def parse_document(document: object) -> tuple[Rule, ...]:
    """The rules of a document. Raises `ValidationFailed` with a pointer at what cannot be read."""
    if not isinstance(document, Mapping):
        raise ValidationFailed("a policy is an object with a version and rules", pointer="")
    _only(document, {"version", "rules"}, "")
    version = document.get("version")
    if type(version) is not int or version != POLICY_VERSION:  # True is 1, and no version
        raise ValidationFailed(f"this service reads policy version {POLICY_VERSION}", pointer="/version")
    rules = document.get("rules")
    if not isinstance(rules, Sequence) or isinstance(rules, str) or not rules:
        raise ValidationFailed("a policy has a list of rules", pointer="/rules")
    parsed = tuple(_parse_rule(rule, f"/rules/{index}") for index, rule in enumerate(rules))
    if len({rule.id for rule in parsed}) != len(parsed):
        raise ValidationFailed("two rules have the same id", pointer="/rules")
    return parsed


def evaluate(policies: Sequence[Policy], inputs: PolicyInput) -> Evaluation:
    """The verdict of all active policies that bind this input. Pure: same policies and inputs, same verdict."""
    verdicts: list[Verdict] = []
    matched: list[str] = []
    binding = [policy for policy in policies if _binds(policy, inputs)]
    for policy in binding:
        verdict, rules = _evaluate_one(policy, inputs)
        verdicts.append(verdict)
        matched.extend(rules)
    allowed = bool(verdicts) and all(verdict is Verdict.ALLOW for verdict in verdicts)
    return Evaluation(
        verdict=Verdict.ALLOW if allowed else Verdict.DENY,
        rules=tuple(matched),
        policy_ids=tuple(policy.id for policy in binding),
        inputs=inputs,
    )


def _evaluate_one(policy: Policy, inputs: PolicyInput) -> tuple[Verdict, tuple[str, ...]]:
    try:
        rules = parse_document(policy.document)
    except CustodyError:
        return Verdict.DENY, ("unreadable-policy",)
    matches = [(rule, _matches(rule.when, inputs)) for rule in rules]
    denying = tuple(rule.id for rule, match in matches if rule.deny and match is not False)
    if denying:
        return Verdict.DENY, denying
    is_call = inputs.type == TransactionType.CONTRACT_CALL
    allowing = tuple(
        rule.id for rule, match in matches if rule.allow and match and (not is_call or names_call(rule.when.get("call")))
    )
    return (Verdict.ALLOW, allowing) if allowing else (Verdict.DENY, ("no-rule-allows",))


def _binds(policy: Policy, inputs: PolicyInput) -> bool:
    match policy.layer:
        case Layer.GLOBAL:
            return True
        case Layer.OWNER:
            return policy.subject == inputs.owner_id
        case Layer.WALLET:
            return policy.subject == inputs.wallet_id
        case _:
            assert_never(policy.layer)


def _parse_rule(rule: object, pointer: str) -> Rule:
    if not isinstance(rule, Mapping):
        raise ValidationFailed("a rule is an object", pointer=pointer)
    _only(rule, {"id", "when", "then"}, pointer)
    identifier, when, then = rule.get("id"), rule.get("when"), rule.get("then")
    if not isinstance(identifier, str) or not identifier:
        raise ValidationFailed("a rule has an id", pointer=f"{pointer}/id")
    if not isinstance(when, Mapping):
        raise ValidationFailed("a rule says when it applies; {} is always", pointer=f"{pointer}/when")
    if not isinstance(then, Mapping):
        raise ValidationFailed("a rule says what follows", pointer=f"{pointer}/then")
    _only(then, {"allow", "deny"}, f"{pointer}/then")
    if len(then) != 1 or next(iter(then.values())) is not True:
        raise ValidationFailed("what follows is {allow: true} or {deny: true}", pointer=f"{pointer}/then")
    _parse_when(when, f"{pointer}/when", NESTING_MAX)
    if "allow" in then and "call" in when:
        require_named(when["call"], f"{pointer}/when/call")
    return Rule(identifier, when, allow="allow" in then, deny="deny" in then)


def _parse_when(when: Mapping[str, object], pointer: str, depth: int) -> None:
    if depth == 0:
        raise ValidationFailed(f"conditions are nested at most {NESTING_MAX} deep", pointer=pointer)
    _only(when, {"type", "chain", "asset", "amount", "to", "call", "not"}, pointer)
    for name, condition in when.items():
        at = f"{pointer}/{name}"
        match name:
            case "amount":
                _parse_comparisons(condition, at)
            case "to":
                _parse_recipients(condition, at)
            case "call":
                parse_call(condition, at)
            case "not":
                if not isinstance(condition, Mapping):
                    raise ValidationFailed("`not` holds conditions", pointer=at)
                _parse_when(condition, at, depth - 1)
            case "chain":
                # A name that no chain has would never match: a `deny` that never denies.
                if not isinstance(condition, str) or _CHAIN.fullmatch(condition) is None:
                    raise ValidationFailed("a chain is named as in eip155:1 (CAIP-2)", pointer=at)
            case _:
                if not isinstance(condition, str):
                    raise ValidationFailed("this condition is a string", pointer=at)


def _parse_comparisons(condition: object, pointer: str) -> None:
    if not isinstance(condition, Mapping) or not condition:
        raise ValidationFailed('an amount is compared, as in {lte: "1000"}', pointer=pointer)
    _only(condition, set(COMPARISONS), pointer)
    for name, bound in condition.items():
        parse_base_units(bound, pointer=f"{pointer}/{name}", minimum=0)


def _parse_recipients(condition: object, pointer: str) -> None:
    listed = condition.get("in") if isinstance(condition, Mapping) and set(condition) == {"in"} else None
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise ValidationFailed("recipients are listed, as in {in: [0x…]}", pointer=pointer)
    for index, address in enumerate(listed):
        parse_address(address, pointer=f"{pointer}/in/{index}")


def _matches(when: Mapping[str, object], inputs: PolicyInput) -> bool | None:
    """Whether all conditions hold; None (unknown) where none fails and one of them cannot be told."""
    held = {_condition_holds(name, condition, inputs) for name, condition in when.items()}
    if False in held:
        return False
    return None if None in held else True


def _condition_holds(name: str, condition: object, inputs: PolicyInput) -> bool | None:
    match name, condition:
        case "type", _:
            return condition == inputs.type
        case "chain", _:
            return condition == f"eip155:{inputs.chain_id}"
        case "asset", _:
            return condition == inputs.asset
        case "amount", Mapping():
            return all(_compares(comparison, inputs.amount, int(str(bound))) for comparison, bound in condition.items())
        case "to", Mapping():
            return any(parse_address(address) == inputs.to for address in condition["in"])
        case "call", _:
            is_call = inputs.type == TransactionType.CONTRACT_CALL
            return is_call and call_holds(condition, to=inputs.to, token=inputs.token, data=inputs.data)
        case "not", Mapping():
            inner = _matches(condition, inputs)
            return None if inner is None else not inner
        case _:
            raise ValidationFailed(f"this version knows no condition {name!r}")


def _compares(comparison: str, amount: int, bound: int) -> bool:
    match comparison:
        case "lt":
            return amount < bound
        case "lte":
            return amount <= bound
        case "gt":
            return amount > bound
        case "gte":
            return amount >= bound
        case _:
            return amount == bound


def _only(given: Mapping[str, object], known: set[str], pointer: str) -> None:
    unknown = sorted(str(name) for name in set(given) - known)
    if unknown:
        raise ValidationFailed(f"this version knows no {unknown[0]!r} here", pointer=f"{pointer}/{unknown[0]}")
