"""Calldata against eth-abi: what an encoder writes is read back, and nothing else is read at all."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import function_signature_to_4byte_selector
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.calldata import MalformedMethod, Method, parse_method, value_range

BITS = st.integers(1, 32).map(lambda each: 8 * each)


def of_type(type_: str) -> st.SearchStrategy[Any]:
    """Values of an elementary type, as eth-abi takes them."""
    if type_ == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
    if type_ == "bool":
        return st.booleans()
    if type_ == "string":
        return st.text(max_size=40)
    if type_ == "bytes":
        return st.binary(max_size=70)
    if type_.startswith("bytes"):
        return st.binary(min_size=int(type_[5:]), max_size=int(type_[5:]))
    low, high = value_range(type_)
    return st.sampled_from([low, high]) | st.integers(low, high)


STATIC = st.sampled_from(["address", "bool"]) | BITS.map(lambda bits: f"uint{bits}") | BITS.map(lambda bits: f"int{bits}")
STATIC |= st.integers(1, 32).map(lambda length: f"bytes{length}")
ELEMENTARY = STATIC | st.sampled_from(["bytes", "string"])


@st.composite
def typed(draw: st.DrawFn, elementary: st.SearchStrategy[str], depth: int = 2) -> tuple[str, Any]:
    """A type, with a value of it; a static one where the elementary ones are."""
    shapes = ["one", "one", "many", "tuple"] if elementary is STATIC else ["one", "one", "many", "some", "tuple"]
    shape = draw(st.sampled_from(shapes)) if depth else "one"
    if shape == "tuple":
        members = draw(st.lists(typed(elementary, depth - 1), min_size=1, max_size=3))
        return f"({','.join(type_ for type_, _ in members)})", tuple(value for _, value in members)
    if shape == "one":
        type_ = draw(elementary)
        return type_, draw(of_type(type_))
    inner = draw(elementary)
    values = draw(st.lists(of_type(inner), min_size=1, max_size=3))
    return (f"{inner}[{len(values)}]" if shape == "many" else f"{inner}[]"), values


@st.composite
def called(draw: st.DrawFn, elementary: st.SearchStrategy[str] = ELEMENTARY) -> tuple[Method, list[str], list[Any], bytes]:
    """A method, its argument types, values for them, and the calldata that eth-abi makes of them."""
    drawn = draw(st.lists(typed(elementary), max_size=5))
    types, values = [type_ for type_, _ in drawn], [value for _, value in drawn]
    method = parse_method(f"doIt({','.join(types)})")
    return method, types, values, method.selector + abi_encode(types, values)


def as_integer(type_: str, value: Any) -> int | None:
    if type_ == "address":
        return int(value, 16)
    if type_ == "bool":
        return int(value)
    if type_.startswith(("uint", "int")) and not type_.endswith("]"):
        return int(value)
    return int.from_bytes(value, "big") if type_.startswith("bytes") and type_[5:].isdigit() else None


@given(called())
def test_what_an_encoder_writes_is_read_back(drawn: tuple[Method, list[str], list[Any], bytes]) -> None:
    method, types, values, data = drawn
    assert method.selector == function_signature_to_4byte_selector(method.signature)
    assert method.read(data) == tuple(as_integer(type_, value) for type_, value in zip(types, values, strict=True))


@given(called(STATIC), st.data())
def test_calldata_that_is_not_what_an_encoder_writes_has_no_meaning(
    drawn: tuple[Method, list[str], list[Any], bytes], data: st.DataObject
) -> None:
    method, types, _, encoded = drawn
    cut = data.draw(st.integers(0, max(len(encoded) - 1, 0)))
    assert method.read(encoded[:cut]) is None
    assert method.read(encoded + data.draw(st.binary(min_size=1, max_size=40))) is None
    if len(encoded) > 4:
        at = data.draw(st.integers(4, len(encoded) - 1))
        altered = encoded[:at] + bytes([encoded[at] ^ data.draw(st.integers(1, 255))]) + encoded[at + 1 :]
        try:
            other = abi_encode(types, abi_decode(types, altered[4:]))
        except (DecodingError, OverflowError):
            other = b""
        assert (method.read(altered) is not None) == (other == altered[4:]), "read exactly when encoding it again gives it"


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fall_over(data: bytes) -> None:
    for signature in ("approve(address,uint256)", "f(bytes,(int8,bool)[2],string[])", "nothing()"):
        method = parse_method(signature)
        assert method.read(method.selector + data) is None or len(data) % 32 == 0
        assert data[:4] == method.selector or method.read(data) is None


def test_a_selector_is_the_one_that_everybody_knows() -> None:
    assert parse_method("transfer(address,uint256)").selector.hex() == "a9059cbb"
    assert parse_method("approve(address,uint256)").selector.hex() == "095ea7b3"
    assert parse_method("setApprovalForAll(address,bool)").selector.hex() == "a22cb465"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "transfer",
        "transfer(",
        "transfer)",
        "transfer(address",
        "transfer(address,)",
        "transfer(,address)",
        "transfer(address uint256)",
        "transfer(address, uint256)",
        "transfer (address)",
        "transfer(address to)",
        "transfer(uint)",
        "transfer(int)",
        "transfer(uint7)",
        "transfer(uint264)",
        "transfer(uint08)",
        "transfer(uint256[0])",
        "transfer(uint256[)",
        "transfer(uint256]",
        "transfer(bytes0)",
        "transfer(bytes33)",
        "transfer(byte)",
        "transfer(())",
        "transfer(fixed128x18)",
        "transfer(function)",
        "transfer(address)x",
        "transfer(address)()",
        "1transfer(address)",
        "tränsfer(address)",
        "f(uint256[\uff11])",
        "f(uint256[9999])",
        "f(uint256[999],uint256[999])",
        "f(uint8[99][99][99][99])",
        "f" + "(" * 9 + "bool" + ")" * 9,
        "f(" + "(" * 5000,
        "f" * 513 + "()",
    ],
)
def test_a_signature_is_canonical_or_refused(signature: str) -> None:
    with pytest.raises(MalformedMethod):
        parse_method(signature)
