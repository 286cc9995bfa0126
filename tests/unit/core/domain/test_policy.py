"""Policy: default deny, deny wins, order means nothing, and what cannot be read denies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody_core.domain.policy import (
    COMPARISONS,
    STARTER_DOCUMENT,
    Layer,
    Policy,
    PolicyInput,
    Verdict,
    evaluate,
    parse_document,
)
from custody_core.errors import ValidationFailed
from tests.support import factories
from tests.support.factories import NOW

FRIEND, STRANGER = factories.address(1), factories.address(2)
INPUT = PolicyInput(
    chain_id=1,
    type="transfer",
    wallet_id="wal_1",
    owner_id="usr_1",
    sender=factories.address(9),
    to=FRIEND,
    asset="eth",
    contract=None,
    amount=1000,
)
Json = Any


def published(document: Json, layer: Layer = Layer.GLOBAL, subject: str | None = None, id_: str = "pol_1") -> Policy:
    return Policy(id_, layer, subject, document, NOW)


def rule(id_: str, when: Mapping[str, Json], outcome: str = "allow") -> dict[str, Json]:
    return {"id": id_, "when": dict(when), "then": {outcome: True}}


def document(*rules: Mapping[str, Json]) -> dict[str, Json]:
    return {"version": 1, "rules": list(rules)}


def verdict(*rules: Mapping[str, Json], inputs: PolicyInput = INPUT) -> Verdict:
    return evaluate([published(document(*rules))], inputs).verdict


# Conditions that a document may hold, and what they mean, said a second time.

BOUNDS = st.integers(0, 2000).map(str)
COMPARED = st.dictionaries(st.sampled_from(COMPARISONS), BOUNDS, min_size=1, max_size=2)
ADDRESSES = st.lists(st.sampled_from([FRIEND, STRANGER, FRIEND.lower()]), max_size=3)
FLAT: Mapping[str, st.SearchStrategy[Json]] = {
    "type": st.sampled_from(["transfer", "contract_call"]),
    "chain": st.sampled_from(["eip155:1", "eip155:10"]),
    "asset": st.sampled_from(["eth", "usdc"]),
    "amount": COMPARED,
    "to": st.fixed_dictionaries({"in": ADDRESSES}),
}
WHEN: st.SearchStrategy[dict[str, Json]] = st.recursive(
    st.fixed_dictionaries({}, optional=dict(FLAT)),
    lambda inner: st.fixed_dictionaries({"not": inner}, optional=dict(FLAT)),
    max_leaves=2,
)
OUTCOMES = st.sampled_from(["allow", "deny"])
RULES = st.lists(st.tuples(WHEN, OUTCOMES), min_size=1, max_size=4).map(
    lambda drawn: [rule(f"r{index}", when, outcome) for index, (when, outcome) in enumerate(drawn)]
)
INPUTS = st.builds(
    lambda chain_id, to, asset, amount: attrs.evolve(INPUT, chain_id=chain_id, to=to, asset=asset, amount=amount),
    st.sampled_from([1, 10]),
    st.sampled_from([FRIEND, STRANGER]),
    st.sampled_from(["eth", "usdc"]),
    st.integers(1, 2000),
)


def holds(when: Mapping[str, Json], inputs: PolicyInput) -> bool:
    amount = inputs.amount
    truths: dict[str, Callable[[Json], bool]] = {
        "type": lambda wanted: wanted == inputs.type,
        "chain": lambda wanted: wanted == f"eip155:{inputs.chain_id}",
        "asset": lambda wanted: wanted == inputs.asset,
        "to": lambda wanted: inputs.to.lower() in {each.lower() for each in wanted["in"]},
        "not": lambda inner: not holds(inner, inputs),
        "amount": lambda bounds: all(
            {
                "lt": amount < int(b),
                "lte": amount <= int(b),
                "gt": amount > int(b),
                "gte": amount >= int(b),
                "eq": amount == int(b),
            }[name]
            for name, b in bounds.items()
        ),
    }
    return all(truths[name](condition) for name, condition in when.items())


@given(RULES, INPUTS)
def test_the_verdict_is_what_the_rules_say(rules: list[dict[str, Json]], inputs: PolicyInput) -> None:
    matching = [each for each in rules if holds(each["when"], inputs)]
    denying, allowing = ([each["id"] for each in matching if outcome in each["then"]] for outcome in ("deny", "allow"))
    evaluation = evaluate([published(document(*rules))], inputs)
    assert evaluation.verdict is (Verdict.ALLOW if allowing and not denying else Verdict.DENY)
    assert list(evaluation.rules) == (denying or allowing or ["no-rule-allows"])
    assert evaluation.policy_ids == ("pol_1",)


@settings(max_examples=25)
@given(RULES, INPUTS, st.randoms(use_true_random=False))
def test_the_order_of_rules_means_nothing(rules: list[dict[str, Json]], inputs: PolicyInput, chance: Any) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)
    one, other = (evaluate([published(document(*each))], inputs) for each in (rules, shuffled))
    assert (one.verdict, set(one.rules)) == (other.verdict, set(other.rules))


@settings(max_examples=25)
@given(RULES, INPUTS)
def test_one_more_deny_that_matches_turns_any_verdict(rules: list[dict[str, Json]], inputs: PolicyInput) -> None:
    assert verdict(*rules, rule("stop", {}, "deny"), inputs=inputs) is Verdict.DENY


@settings(max_examples=25)
@given(RULES, INPUTS)
def test_an_evaluation_can_be_run_again_from_what_it_recorded(rules: list[dict[str, Json]], inputs: PolicyInput) -> None:
    written = document(*rules)
    before = copy.deepcopy(written)
    evaluation = evaluate([published(written)], inputs)
    assert written == before
    assert evaluation.inputs == inputs
    assert evaluate([published(written)], evaluation.inputs) == evaluation


# Layers


def test_no_policy_no_signature() -> None:
    assert evaluate([], INPUT).verdict is Verdict.DENY
    only_others = [published(STARTER_DOCUMENT, Layer.OWNER, "usr_2"), published(STARTER_DOCUMENT, Layer.WALLET, "wal_2")]
    assert evaluate(only_others, INPUT).verdict is Verdict.DENY


def test_a_new_service_lets_users_transfer_and_nothing_else() -> None:
    starter = [published(STARTER_DOCUMENT)]
    assert evaluate(starter, INPUT).verdict is Verdict.ALLOW
    assert evaluate(starter, attrs.evolve(INPUT, type="contract_call")).verdict is Verdict.DENY


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(Layer), RULES), min_size=1, max_size=3), INPUTS, st.randoms(use_true_random=False))
def test_layers_only_narrow(drawn: list[tuple[Layer, list[dict[str, Json]]]], inputs: PolicyInput, chance: Any) -> None:
    subjects = {Layer.GLOBAL: None, Layer.OWNER: "usr_1", Layer.WALLET: "wal_1"}
    policies = [published(document(*rules), layer, subjects[layer], f"pol_{index}") for index, (layer, rules) in enumerate(drawn)]
    together = evaluate(policies, inputs).verdict
    each = {evaluate([policy], inputs).verdict for policy in policies}
    assert together is (Verdict.ALLOW if each == {Verdict.ALLOW} else Verdict.DENY)
    shuffled = list(policies)
    chance.shuffle(shuffled)
    assert evaluate(shuffled, inputs).verdict is together


@pytest.mark.parametrize(("layer", "subject"), [(Layer.OWNER, "usr_1"), (Layer.WALLET, "wal_1")])
def test_a_document_binds_its_own_subject_and_no_other(layer: Layer, subject: str) -> None:
    narrow = published(document(rule("stop", {}, "deny")), layer, subject, "pol_2")
    for whose, expected in ((subject, Verdict.DENY), ("somebody", Verdict.ALLOW)):
        inputs = attrs.evolve(INPUT, owner_id=whose) if layer is Layer.OWNER else attrs.evolve(INPUT, wallet_id=whose)
        assert evaluate([published(STARTER_DOCUMENT), narrow], inputs).verdict is expected


# Documents that cannot be read

ALWAYS = rule("all", {})

UNREADABLE: dict[str, tuple[Json, str]] = {
    "no version": ({"rules": [ALWAYS]}, "/version"),
    "a later version": ({"version": 2, "rules": [ALWAYS]}, "/version"),
    "a version that is true": ({"version": True, "rules": [ALWAYS]}, "/version"),
    "a version in words": ({"version": "1", "rules": [ALWAYS]}, "/version"),
    "no rules": ({"version": 1}, "/rules"),
    "an empty list of rules": ({"version": 1, "rules": []}, "/rules"),
    "rules that are text": ({"version": 1, "rules": "allow"}, "/rules"),
    "a field more": ({"version": 1, "rules": [ALWAYS], "default": "allow"}, "/default"),
    "a rule that is text": (document(ALWAYS, "allow"), "/rules/1"),  # type: ignore[arg-type]
    "a rule without an id": (document({"when": {}, "then": {"allow": True}}), "/rules/0/id"),
    "a rule with an empty id": (document(rule("", {})), "/rules/0/id"),
    "two rules of one id": (document(ALWAYS, rule("all", {}, "deny")), "/rules"),
    "a rule without when": (document({"id": "r", "then": {"allow": True}}), "/rules/0/when"),
    "a rule without then": (document({"id": "r", "when": {}}), "/rules/0/then"),
    "a rule with a field more": (document({**ALWAYS, "enabled": False}), "/rules/0/enabled"),
    "then says nothing": (document({**ALWAYS, "then": {}}), "/rules/0/then"),
    "then says both": (document({**ALWAYS, "then": {"allow": True, "deny": True}}), "/rules/0/then"),
    "then says false": (document({**ALWAYS, "then": {"allow": False}}), "/rules/0/then"),
    "then says one": (document({**ALWAYS, "then": {"allow": 1}}), "/rules/0/then"),
    "then says something later": (document({**ALWAYS, "then": {"require_approval": True}}), "/rules/0/then/require_approval"),
    "an unknown condition": (document(ALWAYS, rule("r", {"window": {"hours": 24}}, "deny")), "/rules/1/when/window"),
    "an unknown condition under not": (document(rule("r", {"not": {"weekday": "sunday"}})), "/rules/0/when/not/weekday"),
    "an unknown comparison": (document(rule("r", {"amount": {"below": "5"}})), "/rules/0/when/amount/below"),
    "an amount without a comparison": (document(rule("r", {"amount": {}})), "/rules/0/when/amount"),
    "an amount that is a number": (document(rule("r", {"amount": {"lt": 5}})), "/rules/0/when/amount/lt"),
    "an amount in ether": (document(rule("r", {"amount": {"lt": "0.5"}})), "/rules/0/when/amount/lt"),
    "recipients that are one": (document(rule("r", {"to": FRIEND})), "/rules/0/when/to"),
    "recipients that are one in a list's place": (document(rule("r", {"to": {"in": FRIEND}})), "/rules/0/when/to"),
    "recipients that are empty text": (document(rule("r", {"not": {"to": {"in": ""}}})), "/rules/0/when/not/to"),
    "a recipient with a wrong checksum": (
        document(rule("r", {"to": {"in": [STRANGER, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"]}})),
        "/rules/0/when/to/in/1",
    ),
    "a type that is a list": (document(rule("r", {"type": ["transfer"]})), "/rules/0/when/type"),
    "a chain that is a number": (document(rule("r", {"chain": 1})), "/rules/0/when/chain"),
    "a chain that no chain is called": (document(ALWAYS, rule("r", {"chain": "mainnet"}, "deny")), "/rules/1/when/chain"),
    "not without conditions": (document(rule("r", {"not": "transfer"})), "/rules/0/when/not"),
    "a list": ([ALWAYS], ""),
    "nothing": (None, ""),
    "text": ("allow", ""),
}


@pytest.mark.parametrize(("given_document", "pointer"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_with_a_pointer_and_denies_where_it_stands(given_document: Json, pointer: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        parse_document(given_document)
    assert refusal.value.pointer == pointer
    evaluation = evaluate([published(STARTER_DOCUMENT), published(given_document, id_="pol_2")], INPUT)
    assert evaluation.verdict is Verdict.DENY
    assert "unreadable-policy" in evaluation.rules


def test_conditions_nested_beyond_reason_are_refused_and_not_a_crash() -> None:
    when: dict[str, Json] = {}
    for _ in range(5_000):
        when = {"not": when}
    with pytest.raises(ValidationFailed):
        parse_document(document(rule("r", when)))
    assert evaluate([published(document(rule("r", when)))], INPUT).verdict is Verdict.DENY


JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["transfer", FRIEND, "5"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "when", "then", "in", "not", "amount", "lt", "allow", "version", "rules"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({"version": st.just(1), "rules": st.lists(JSON, max_size=3)}))
def test_no_document_makes_an_evaluation_fall_over_or_allow_without_a_rule(given_document: Json) -> None:
    try:
        parse_document(given_document)
    except ValidationFailed:
        assert evaluate([published(given_document)], INPUT).verdict is Verdict.DENY
