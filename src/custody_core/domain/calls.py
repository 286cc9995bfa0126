"""What a policy says about contract calls: `call: {to | token, method, args}`.

Rules of this file

1. A rule allows a contract call only by naming it: the contract and the method, in its own `call`. A rule that does not, however
   broad, allows none.
2. What gives others a right to the wallet's assets (`APPROVALS`) is allowed only by a rule that bounds it as well: the amount, or,
   where there is none, who gets the right.
3. A condition on calldata that cannot be read neither holds nor fails: it is unknown. An unknown rule does not allow, and denies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.calldata import MalformedMethod, Method, parse_method, value_range
from custody_core.errors import ValidationFailed

ORDERINGS = ("lt", "lte", "gt", "gte")
"""The comparisons that make sense for numbers only."""

APPROVALS: Mapping[str, int] = {
    "approve(address,uint256)": 1,
    "increaseAllowance(address,uint256)": 1,
    "increaseApproval(address,uint256)": 1,
    "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)": 2,
    "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)": 1,
    "approve(address,address,uint160,uint48)": 2,
    "approveAndCall(address,uint256)": 1,
    "approveAndCall(address,uint256,bytes)": 1,
    "setApprovalForAll(address,bool)": 0,
    "authorizeOperator(address)": 0,
}
"""Methods that let somebody else move what the caller has, with the argument that a rule has to bound: the amount, or else who.

EIP-20, EIP-2612, EIP-721 and EIP-1155, EIP-777, EIP-1363; DAI's `permit`, Permit2's `approve`, OpenZeppelin's additions.
"""

TRANSFERS = frozenset({"transfer(address,uint256)", "transferFrom(address,address,uint256)"})
"""Methods that move a token at once (EIP-20)."""

_APPROVALS_BY_SELECTOR = {parse_method(signature).selector: signature for signature in APPROVALS}
_TRANSFER_SELECTORS = frozenset(parse_method(signature).selector for signature in TRANSFERS)

_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,77}", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})+", re.ASCII)
_INDEX = re.compile(r"0|[1-9][0-9]{0,3}", re.ASCII)
_COMPARED = frozenset({*ORDERINGS, "eq"})


def moves_token(data: bytes) -> bool:
    """Whether calldata is for a method that moves the caller's tokens at once."""
    return data[:4] in _TRANSFER_SELECTORS


def parse_call(condition: object, pointer: str) -> None:
    """Raises `ValidationFailed` with a pointer at what cannot be read."""
    if not isinstance(condition, Mapping) or not condition:
        raise ValidationFailed("a call is named, as in {to: 0x…, method: …}", pointer=pointer)
    _only(condition, {"to", "token", "method", "args"}, pointer)
    if "to" in condition and "token" in condition:
        raise ValidationFailed("a call names its contract once, by `to` or by `token`", pointer=f"{pointer}/token")
    if "to" in condition:
        parse_address(condition["to"], pointer=f"{pointer}/to")
    if not isinstance(condition.get("token", ""), str):
        raise ValidationFailed("a token is named by its alias", pointer=f"{pointer}/token")
    method = _parse_method(condition["method"], f"{pointer}/method") if "method" in condition else None
    if "args" in condition:
        _parse_arguments(condition["args"], method, f"{pointer}/args")


def require_named(condition: object, pointer: str) -> None:
    """For a rule that allows: raises `ValidationFailed` unless its `call`, which `parse_call` has read, names contract and method,
    and bounds what it has to.
    """
    if not names_call(condition):
        raise ValidationFailed("a rule that allows a call names its contract (`to` or `token`) and its `method`", pointer=pointer)
    call = _mapping(condition)
    method = _method_of(call)
    approval = _APPROVALS_BY_SELECTOR.get(method.selector)
    if approval is None:
        return
    if method.signature != approval:
        raise ValidationFailed(f"this has the selector of {approval}; name that one", pointer=f"{pointer}/method")
    index = APPROVALS[approval]
    if not _is_bounded(method.arguments[index].type, _conditions(call).get(index, {})):
        raise ValidationFailed(
            f"a rule that allows {approval} bounds its argument {index}: with lt, lte, eq or in, below half of its range",
            pointer=f"{pointer}/args",
        )


def names_call(condition: object) -> bool:
    """Whether `call` says which contract and which method."""
    return isinstance(condition, Mapping) and "method" in condition and not {"to", "token"}.isdisjoint(condition)


def call_holds(condition: object, *, to: Address, token: str | None, data: bytes) -> bool | None:
    """Whether a contract call is the one that `condition` names. `token` is the alias of the token whose contract is called.

    None where the method is the same and the arguments cannot be read.
    """
    call = _mapping(condition)
    if "to" in call and parse_address(call["to"]) != to:
        return False
    if "token" in call and call["token"] != token:
        return False
    if "method" not in call:
        return True
    method = _method_of(call)
    if data[:4] != method.selector:
        return False
    values = method.read(data)
    if values is None:
        return None
    conditions = _conditions(call).items()
    return all(_holds(method.arguments[index].type, comparisons, values[index]) for index, comparisons in conditions)


def _parse_method(signature: object, pointer: str) -> Method:
    if not isinstance(signature, str):
        raise ValidationFailed('a method is named as in "approve(address,uint256)"', pointer=pointer)
    try:
        return parse_method(signature)
    except MalformedMethod as problem:
        raise ValidationFailed(f'a method is named as in "approve(address,uint256)": {problem}', pointer=pointer) from None


def _parse_arguments(arguments: object, method: Method | None, pointer: str) -> None:
    if method is None:
        raise ValidationFailed("arguments belong to a `method`", pointer=pointer)
    if not isinstance(arguments, Mapping) or not arguments:
        raise ValidationFailed('arguments are compared by their place, as in {"1": {lte: "1000"}}', pointer=pointer)
    places = [_index(place) for place in arguments]
    if len(set(places)) != len(places):
        raise ValidationFailed("an argument stands there twice", pointer=pointer)
    for place, (name, comparisons) in zip(places, arguments.items(), strict=True):
        at = f"{pointer}/{name}"
        if place is None or place >= len(method.arguments):
            raise ValidationFailed(f"{method.signature} has arguments 0 to {len(method.arguments) - 1}", pointer=at)
        if not method.arguments[place].is_elementary:
            raise ValidationFailed(f"{method.arguments[place].type} cannot be compared", pointer=at)
        _parse_comparisons(method.arguments[place].type, comparisons, at)


def _parse_comparisons(type_: str, comparisons: object, pointer: str) -> None:
    if not isinstance(comparisons, Mapping) or not comparisons:
        raise ValidationFailed('an argument is compared, as in {lte: "1000"} or {in: ["1", "2"]}', pointer=pointer)
    _only(comparisons, _COMPARED | {"in"}, pointer)
    for name, bound in comparisons.items():
        at = f"{pointer}/{name}"
        if name in ORDERINGS and not type_.startswith(("uint", "int")):
            raise ValidationFailed(f"{type_} has no order; compare it with eq or in", pointer=at)
        if name != "in":
            parse_value(type_, bound, at)
        elif not isinstance(bound, Sequence) or isinstance(bound, str) or not bound:
            raise ValidationFailed('`in` holds a list, as in ["1", "2"]', pointer=at)
        else:
            for index, each in enumerate(bound):
                parse_value(type_, each, f"{at}/{index}")


def parse_value(type_: str, text: object, pointer: str) -> int:
    """The value of an elementary type that a document states. Raises `ValidationFailed`."""
    if type_ == "address":
        return int(parse_address(text, pointer=pointer), 16)
    if not isinstance(text, str):
        raise ValidationFailed("a value is text", pointer=pointer)
    if type_ == "bool":
        if text not in {"true", "false"}:
            raise ValidationFailed('a bool is "true" or "false"', pointer=pointer)
        return int(text == "true")
    if type_.startswith("bytes"):
        if _HEX.fullmatch(text) is None or len(text) != 2 + 2 * int(type_[5:]):
            raise ValidationFailed(f"{type_} is 0x and {2 * int(type_[5:])} hexadecimal digits", pointer=pointer)
        return int(text, 16)
    low, high = value_range(type_)
    if _NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
        raise ValidationFailed(f"{type_} is a whole number in decimal digits from {low} to {high}", pointer=pointer)
    return int(text)


def _is_bounded(type_: str, comparisons: Mapping[str, object]) -> bool:
    """Whether the comparisons leave less than half of the numbers, or name the others one by one."""
    if not type_.startswith("uint"):
        return not {"eq", "in"}.isdisjoint(comparisons)
    half = (value_range(type_)[1] + 1) // 2
    upper = [parse_value(type_, comparisons[name], "") for name in ("lt", "lte", "eq") if name in comparisons]
    if "in" in comparisons:
        upper.append(max(parse_value(type_, each, "") for each in _listed(comparisons["in"])))
    return bool(upper) and min(upper) < half


def _holds(type_: str, comparisons: Mapping[str, object], value: int | None) -> bool:
    if value is None:
        raise AssertionError("only arguments with a value are compared")
    return all(_compares(type_, name, value, bound) for name, bound in comparisons.items())


def _compares(type_: str, name: str, value: int, bound: object) -> bool:
    match name:
        case "in":
            return any(parse_value(type_, each, "") == value for each in _listed(bound))
        case "lt":
            return value < parse_value(type_, bound, "")
        case "lte":
            return value <= parse_value(type_, bound, "")
        case "gt":
            return value > parse_value(type_, bound, "")
        case "gte":
            return value >= parse_value(type_, bound, "")
        case _:
            return value == parse_value(type_, bound, "")


def _conditions(call: Mapping[str, object]) -> dict[int, Mapping[str, object]]:
    """The comparisons by the place of their argument."""
    places = {_index(place): _mapping(comparisons) for place, comparisons in _mapping(call.get("args", {})).items()}
    return {place: comparisons for place, comparisons in places.items() if place is not None}


def _index(place: object) -> int | None:
    """The place that a key means: text in JSON, a number in what was read from YAML."""
    text = str(place) if isinstance(place, str) or type(place) is int else ""
    return int(text) if _INDEX.fullmatch(text) else None


def _method_of(call: Mapping[str, object]) -> Method:
    return parse_method(str(call["method"]))


def _mapping(condition: object) -> Mapping[str, object]:
    if not isinstance(condition, Mapping):
        raise ValidationFailed("this is an object")
    return condition


def _listed(values: object) -> Sequence[object]:
    if not isinstance(values, Sequence):
        raise ValidationFailed("this is a list")
    return values


def _only(given: Mapping[str, object], known: frozenset[str] | set[str], pointer: str) -> None:
    unknown = sorted(str(name) for name in set(given) - known)
    if unknown:
        raise ValidationFailed(f"this version knows no {unknown[0]!r} here", pointer=f"{pointer}/{unknown[0]}")
