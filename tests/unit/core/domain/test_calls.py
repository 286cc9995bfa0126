"""Policy on contract calls: one that no rule names is denied, approvals have a bound, and what cannot be read does not pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.addresses import Address
from custody_core.domain.calldata import parse_method, value_range
from custody_core.domain.calls import APPROVALS, moves_token
from custody_core.domain.policy import Layer, Policy, PolicyInput, Verdict, evaluate, parse_document
from custody_core.errors import ValidationFailed
from tests.support import factories

Json = Any

CONTRACT, OTHER, SPENDER = factories.address(1), factories.address(2), factories.address(3)
APPROVE = "approve(address,uint256)"
DEPOSIT = "deposit(uint256,address)"
UNLIMITED = 2**256 - 1
BROAD: Json = {"id": "broad", "when": {}, "then": {"allow": True}}


def calldata(signature: str, *values: object) -> bytes:
    method = parse_method(signature)
    return method.selector + abi_encode([each.type for each in method.arguments], values)


def asked(data: bytes, *, to: Address = CONTRACT, token: str | None = None, **changes: Any) -> PolicyInput:
    """A contract call, as policy sees it."""
    made = PolicyInput(
        chain_id=1,
        type="contract_call",
        wallet_id="wal_1",
        owner_id="usr_1",
        sender=factories.address(9),
        to=to,
        asset="eth",
        contract=None,
        amount=0,
        data=data,
        token=token,
    )
    return attrs.evolve(made, **changes)


def rule(id_: str, when: Mapping[str, Json], outcome: str = "allow") -> dict[str, Json]:
    return {"id": id_, "when": dict(when), "then": {outcome: True}}


def verdict(inputs: PolicyInput, *rules: Mapping[str, Json]) -> Verdict:
    document = {"version": 1, "rules": list(rules)}
    parse_document(document)
    return evaluate([Policy("pol_1", Layer.GLOBAL, None, document, factories.NOW)], inputs).verdict


def refused(when: Mapping[str, Json], outcome: str = "allow") -> ValidationFailed:
    with pytest.raises(ValidationFailed) as refusal:
        parse_document({"version": 1, "rules": [rule("r", when, outcome)]})
    return refusal.value


def named(**call: Json) -> dict[str, Json]:
    return {"call": {"to": CONTRACT, **call}}


# What allows a call


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"type": "contract_call"},
        {"asset": "eth"},
        {"amount": {"lte": "1"}},
        {"to": {"in": [CONTRACT]}},
        {"not": {"type": "transfer"}},
        {"not": {"call": {"to": OTHER}}},
        {"not": {"not": {"call": {"to": CONTRACT, "method": DEPOSIT}}}},
    ],
    ids=str,
)
def test_a_rule_that_does_not_name_the_call_allows_none_however_broad_it_is(when: dict[str, Json]) -> None:
    inputs = asked(calldata(DEPOSIT, 1, SPENDER))
    assert verdict(inputs, rule("broad", when)) is Verdict.DENY
    assert verdict(inputs, rule("broad", when), rule("named", named(method=DEPOSIT))) is Verdict.ALLOW


def test_a_rule_for_transfers_is_none_for_calls_and_the_other_way_round() -> None:
    call, transfer = asked(calldata(DEPOSIT, 1, SPENDER)), asked(b"", type="transfer", amount=5)
    assert verdict(call, rule("transfers", {"type": "transfer"} | named(method=DEPOSIT))) is Verdict.DENY
    assert verdict(transfer, rule("named", named(method=DEPOSIT))) is Verdict.DENY
    assert verdict(transfer, BROAD, rule("no-calls-there", {"call": {"to": CONTRACT}}, "deny")) is Verdict.ALLOW


@pytest.mark.parametrize("when", [{"to": CONTRACT}, {"token": "usdc"}, {"method": DEPOSIT}], ids=str)
def test_an_allowance_that_names_half_a_call_is_not_published(when: dict[str, Json]) -> None:
    assert refused({"call": when}).pointer == "/rules/0/when/call"
    parse_document({"version": 1, "rules": [rule("r", {"call": when}, "deny")]})


def test_another_contract_another_method_another_token_is_another_call() -> None:
    by_address, by_alias = rule("a", named(method=DEPOSIT)), rule("b", {"call": {"token": "usdc", "method": DEPOSIT}})
    data = calldata(DEPOSIT, 1, SPENDER)
    assert verdict(asked(data), by_address) is Verdict.ALLOW
    assert verdict(asked(data, to=OTHER), by_address) is Verdict.DENY
    assert verdict(asked(calldata("deposit(uint256)", 1)), by_address) is Verdict.DENY
    assert verdict(asked(data, token="usdc"), by_alias) is Verdict.ALLOW
    assert verdict(asked(data, token="dai"), by_alias) is Verdict.DENY
    assert verdict(asked(data, token=None), by_alias) is Verdict.DENY


def test_the_ether_that_a_call_carries_is_an_amount_like_any_other() -> None:
    rules = (rule("named", named(method=DEPOSIT)), rule("cap", {"asset": "eth", "amount": {"gt": "10"}}, "deny"))
    assert verdict(asked(calldata(DEPOSIT, 1, SPENDER), amount=10), *rules) is Verdict.ALLOW
    assert verdict(asked(calldata(DEPOSIT, 1, SPENDER), amount=11), *rules) is Verdict.DENY


# Arguments


@given(st.integers(0, 2000), st.sampled_from(["lt", "lte", "gt", "gte", "eq"]), st.integers(0, 2000), st.booleans())
def test_arguments_are_compared_as_numbers(value: int, comparison: str, bound: int, of_yaml: bool) -> None:
    expected = {"lt": value < bound, "lte": value <= bound, "gt": value > bound, "gte": value >= bound, "eq": value == bound}
    args: Json = {0 if of_yaml else "0": {comparison: str(bound)}}
    one = verdict(asked(calldata(DEPOSIT, value, SPENDER)), rule("r", named(method=DEPOSIT, args=args)))
    assert one is (Verdict.ALLOW if expected[comparison] else Verdict.DENY)


def test_every_elementary_type_is_compared_in_its_own_notation() -> None:
    signature = "f(address,bool,bytes4,int16,uint8)"
    data = calldata(signature, SPENDER, True, b"\xab\xcd\xef\x01", -7, 200)
    matching: dict[str, Json] = {
        "0": {"in": [OTHER, SPENDER.lower()]},
        "1": {"eq": "true"},
        "2": {"eq": "0xABcdef01"},
        "3": {"lt": "-6", "gte": "-7"},
        "4": {"in": ["1", "200"], "gt": "100"},
    }
    others: dict[str, Json] = {
        "0": {"eq": OTHER},
        "1": {"eq": "false"},
        "2": {"in": ["0xabcdef02"]},
        "3": {"gt": "-7"},
        "4": {"in": ["199"]},
    }
    assert verdict(asked(data), rule("r", named(method=signature, args=matching))) is Verdict.ALLOW
    for place, comparison in others.items():
        altered = matching | {place: comparison}
        assert verdict(asked(data), rule("r", named(method=signature, args=altered))) is Verdict.DENY


UNREADABLE = {
    "cut": calldata(APPROVE, SPENDER, 5)[:-1],
    "no arguments": calldata(APPROVE, SPENDER, 5)[:4],
    "something behind": calldata(APPROVE, SPENDER, 5) + b"\0" * 32,
    "an address of more than 20 bytes": parse_method(APPROVE).selector + abi_encode(["uint256", "uint256"], [2**160, 5]),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_not_allowed_and_is_denied(data: bytes) -> None:
    inputs, small = asked(data), named(method=APPROVE, args={"1": {"lte": "10"}})
    everything = rule("all", named(method=DEPOSIT))
    assert verdict(inputs, rule("small", small), everything) is Verdict.DENY
    deny_huge = {"version": 1, "rules": [rule("huge", named(method=APPROVE, args={"1": {"gt": "10"}}), "deny")]}
    evaluation = evaluate([Policy("pol_1", Layer.GLOBAL, None, deny_huge, factories.NOW)], inputs)
    assert evaluation.rules == ("huge",)
    deny_others = {"version": 1, "rules": [rule("others", {"not": named(method=APPROVE, args={"1": {"gt": "10"}})}, "deny")]}
    evaluation = evaluate([Policy("pol_1", Layer.GLOBAL, None, deny_others, factories.NOW)], inputs)
    assert evaluation.rules == ("others",), "the opposite of what is unknown is unknown"


def test_unknown_does_not_outlast_a_condition_that_fails() -> None:
    deny = rule("huge", {**named(method=APPROVE, args={"1": {"gt": "10"}}), "chain": "eip155:10"}, "deny")
    document = {"version": 1, "rules": [deny]}
    evaluation = evaluate([Policy("pol_1", Layer.GLOBAL, None, document, factories.NOW)], asked(UNREADABLE["cut"]))
    assert evaluation.rules == ("no-rule-allows",)


@given(st.binary(max_size=120))
def test_no_calldata_makes_an_evaluation_fall_over(data: bytes) -> None:
    rules = (rule("a", named(method=DEPOSIT)), rule("b", named(method="f(bytes,uint8)", args={"1": {"lt": "3"}}), "deny"))
    for each in (data, parse_method("f(bytes,uint8)").selector + data, parse_method(DEPOSIT).selector + data):
        whole = len(each) == 68 and each[:4] == parse_method(DEPOSIT).selector and not any(each[36:48])
        assert verdict(asked(each), *rules) is (Verdict.ALLOW if whole else Verdict.DENY)


# S-27: approvals


def bounded(signature: str, bound: Json = None) -> dict[str, Json]:
    """A rule that allows an approval as it has to be written; `bound` in place of its usual one."""
    index = APPROVALS[signature]
    is_amount = parse_method(signature).arguments[index].type.startswith("uint")
    usual = {"lte": "1000"} if is_amount else {"eq": SPENDER}
    return named(method=signature, args={str(index): bound or usual})


def approval_of(signature: str, amount: int) -> bytes:
    """Calldata that approves `SPENDER` for an amount, where there is one."""
    values: list[Any] = []
    for place, argument in enumerate(parse_method(signature).arguments):
        if argument.type == "address":
            values.append(SPENDER)
        elif argument.type == "bool":
            values.append(True)
        elif argument.type.startswith("bytes"):
            values.append(bytes(32) if argument.type == "bytes32" else b"")
        else:
            values.append(amount if place == APPROVALS[signature] else 1)
    return calldata(signature, *values)


def test_s_27_the_usual_approvals_are_known_by_their_selectors() -> None:
    selectors = {parse_method(signature).selector.hex() for signature in APPROVALS}
    assert {"095ea7b3", "39509351", "d505accf", "8fcbaf0c", "a22cb465"} <= selectors


@pytest.mark.parametrize("signature", APPROVALS)
def test_s_27_an_approval_is_denied_unless_a_rule_names_it_with_a_bound(signature: str) -> None:
    type_ = parse_method(signature).arguments[APPROVALS[signature]].type
    most = value_range(type_)[1]
    small, large = asked(approval_of(signature, 1000)), asked(approval_of(signature, most if type_ != "address" else 0))
    broad = [BROAD, rule("calls", {"type": "contract_call"}), rule("deposits", named(method=DEPOSIT))]
    assert verdict(small, *broad) is Verdict.DENY
    assert verdict(small, *broad, rule("named", bounded(signature))) is Verdict.ALLOW
    if type_ == "address":
        assert verdict(small, rule("named", bounded(signature, {"eq": OTHER}))) is Verdict.DENY
    else:
        assert verdict(large, *broad, rule("named", bounded(signature))) is Verdict.DENY


@pytest.mark.parametrize("signature", APPROVALS)
def test_s_27_a_rule_that_would_allow_an_unbounded_approval_is_not_published(signature: str) -> None:
    index = APPROVALS[signature]
    type_ = parse_method(signature).arguments[index].type
    assert refused(named(method=signature)).pointer == "/rules/0/when/call/args"
    if type_ == "address":
        return
    most = value_range(type_)[1]
    for bound in ({"lte": str(most)}, {"gt": "5"}, {"eq": str(most)}, {"in": ["5", str(most)]}, {"lt": str(most)}):
        assert refused(bounded(signature, bound)).pointer == "/rules/0/when/call/args"
    parse_document({"version": 1, "rules": [rule("r", bounded(signature, {"gt": "1000"}), "deny")]})


def test_s_27_a_method_that_only_shares_the_selector_of_an_approval_is_not_the_way_around() -> None:
    """Anybody can find a name whose hash begins like that of `approve`; this one is published in selector collections."""
    collision = "watch_tg_invmru_2f69f1b(address,address)"
    assert parse_method(collision).selector == parse_method(APPROVE).selector
    assert refused(named(method=collision)).pointer == "/rules/0/when/call/method"


@given(st.integers(0, UNLIMITED), st.integers(1, 2**255 - 1))
def test_s_27_what_is_allowed_never_exceeds_the_bound(amount: int, bound: int) -> None:
    allowed = verdict(asked(calldata(APPROVE, SPENDER, amount)), rule("r", bounded(APPROVE, {"lte": str(bound)})))
    assert allowed is (Verdict.ALLOW if amount <= bound else Verdict.DENY)


def test_token_transfers_are_told_from_other_calls() -> None:
    assert moves_token(calldata("transfer(address,uint256)", SPENDER, 1))
    assert moves_token(calldata("transferFrom(address,address,uint256)", SPENDER, SPENDER, 1)[:10])
    assert not moves_token(calldata(APPROVE, SPENDER, 1))


# Conditions that cannot be read

MISREAD: dict[str, tuple[Json, str]] = {
    "text": (APPROVE, ""),
    "nothing": ({}, ""),
    "an unknown member": ({"to": CONTRACT, "selector": "0x095ea7b3"}, "/selector"),
    "two contracts": ({"to": CONTRACT, "token": "usdc"}, "/token"),
    "a wrong address": ({"to": "0x12"}, "/to"),
    "a token that is a number": ({"token": 5}, "/token"),
    "a method that is a selector": ({"method": "0x095ea7b3"}, "/method"),
    "a method that is a list": ({"method": [APPROVE]}, "/method"),
    "a method not in its canonical form": ({"method": "approve(address, uint)"}, "/method"),
    "arguments of no method": ({"to": CONTRACT, "args": {"0": {"eq": "1"}}}, "/args"),
    "arguments in a list": ({"method": APPROVE, "args": [{"eq": "1"}]}, "/args"),
    "no arguments": ({"method": APPROVE, "args": {}}, "/args"),
    "an argument that is not there": ({"method": APPROVE, "args": {"2": {"eq": "1"}}}, "/args/2"),
    "an argument by name": ({"method": APPROVE, "args": {"amount": {"eq": "1"}}}, "/args/amount"),
    "an argument by another number": ({"method": APPROVE, "args": {"01": {"eq": "1"}}}, "/args/01"),
    "an argument that is true": ({"method": APPROVE, "args": {True: {"eq": "1"}}}, "/args/True"),
    "an argument twice": ({"method": APPROVE, "args": {"1": {"eq": "1"}, 1: {"eq": "2"}}}, "/args"),
    "a comparison that is none": ({"method": APPROVE, "args": {"1": "5"}}, "/args/1"),
    "an empty comparison": ({"method": APPROVE, "args": {"1": {}}}, "/args/1"),
    "an unknown comparison": ({"method": APPROVE, "args": {"1": {"below": "5"}}}, "/args/1/below"),
    "a number as a number": ({"method": APPROVE, "args": {"1": {"lt": 5}}}, "/args/1/lt"),
    "a number in hexadecimal": ({"method": APPROVE, "args": {"1": {"lt": "0x5"}}}, "/args/1/lt"),
    "a number that the type does not have": ({"method": "f(uint8)", "args": {"0": {"gt": "256"}}}, "/args/0/gt"),
    "less than an unsigned number can be": ({"method": APPROVE, "args": {"1": {"gte": "-1"}}}, "/args/1/gte"),
    "an order of addresses": ({"method": APPROVE, "args": {"0": {"lt": SPENDER}}}, "/args/0/lt"),
    "an address with a wrong checksum": (
        {"method": APPROVE, "args": {"0": {"eq": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"}}},
        "/args/0/eq",
    ),
    "a bool that is one": ({"method": "f(bool)", "args": {"0": {"eq": True}}}, "/args/0/eq"),
    "a bool in other words": ({"method": "f(bool)", "args": {"0": {"eq": "yes"}}}, "/args/0/eq"),
    "bytes of another length": ({"method": "f(bytes4)", "args": {"0": {"eq": "0xabcdef"}}}, "/args/0/eq"),
    "bytes without 0x": ({"method": "f(bytes4)", "args": {"0": {"eq": "abcdef01"}}}, "/args/0/eq"),
    "text compared": ({"method": "f(string)", "args": {"0": {"eq": "a"}}}, "/args/0"),
    "a list compared": ({"method": "f(uint256[])", "args": {"0": {"eq": "1"}}}, "/args/0"),
    "an array of one compared": ({"method": "f(uint256[1])", "args": {"0": {"eq": "1"}}}, "/args/0"),
    "in without a list": ({"method": APPROVE, "args": {"1": {"in": "5"}}}, "/args/1/in"),
    "in with nothing": ({"method": APPROVE, "args": {"1": {"in": []}}}, "/args/1/in"),
    "in with a number": ({"method": APPROVE, "args": {"1": {"in": ["5", 6]}}}, "/args/1/in/1"),
}


@pytest.mark.parametrize("outcome", ["allow", "deny"])
@pytest.mark.parametrize(("call", "pointer"), MISREAD.values(), ids=MISREAD)
def test_a_call_that_cannot_be_read_is_refused_with_a_pointer(call: Json, pointer: str, outcome: str) -> None:
    assert refused({"call": call}, outcome).pointer == f"/rules/0/when/call{pointer}"
