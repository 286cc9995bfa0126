"""What comes in is read strictly: not well-formed is one answer, refused by the schema another (A-10, A-11, A-12, S-22)."""

from __future__ import annotations

import contextlib
import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.errors import CustodyError, InvalidRequest, ValidationFailed
from custody_http import schemas
from custody_http.errors import BodyTooLarge, UnsupportedMediaType
from custody_http.parse import BODY_BYTES_MAX, convert, read_body, read_chain, read_json, read_query, require_decodable

JSON = "application/json"


class Echo(schemas.Schema):
    """Takes one string and one list."""

    text: str = ""
    nested: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    rows: list[schemas.FeeWish] = msgspec.field(default_factory=list)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"amount":"1","amount":"1000"}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\\u0000"}',
        b'{"\\u0000":1}',
        b'{"a":"\\ud800"}',
        b'{"a":"tab\there"}',
        b'{"a":1,}',
        b"{'a':1}",
        b"{} {}",
        b"",
        b'{"a":' + b"1" * 5000 + b"}",
        b"[" * 17 + b"]" * 17,
        b"[" * 10_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_is_not_well_formed_is_an_invalid_request(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_json(raw)
    assert type(refusal.value) is InvalidRequest


@pytest.mark.parametrize(
    "raw", [b"[" * 60_000, b"[]" * 30_000, b'{"a":"' + b'\\"' * 30_000 + b'"}', b'"' * 60_000, b'{"a":' * 12_000]
)
def test_no_body_of_the_largest_size_takes_long(raw: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(InvalidRequest):
        read_json(raw)
    assert time.process_time() - began < 0.1


def test_brackets_in_a_string_are_no_nesting() -> None:
    assert read_json(json.dumps({"a": '\\"[' * 40}).encode()) == {"a": '\\"[' * 40}
    assert read_json(b"[" * 16 + b"]" * 16)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=8,
    )
)
def test_any_json_is_read_as_python_reads_it_or_refused(value: object) -> None:
    try:
        read = read_json(json.dumps(value).encode())
    except InvalidRequest:
        return
    assert read == value


@pytest.mark.parametrize(
    ("content_type", "refusal"),
    [
        (None, UnsupportedMediaType),
        ("text/plain", UnsupportedMediaType),
        ("application/json; charset=latin-1", UnsupportedMediaType),
        ("application/jsonx", UnsupportedMediaType),
        ("application/x-www-form-urlencoded", UnsupportedMediaType),
    ],
)
def test_a_body_is_declared_as_json(content_type: str | None, refusal: type[CustodyError]) -> None:
    with pytest.raises(refusal):
        read_body(b"{}", content_type, Echo)


def test_json_may_name_its_charset_and_an_action_needs_no_body() -> None:
    assert read_body(b'{"text":"\xc3\xa9"}', 'Application/JSON; charset="UTF-8"', Echo).text == "é"
    assert read_body(b"", None, schemas.Nothing) == schemas.Nothing()
    assert read_body(b"{}", JSON, schemas.Nothing) == schemas.Nothing()


def test_a_body_has_a_largest_size() -> None:
    with pytest.raises(BodyTooLarge):
        read_body(b" " * (BODY_BYTES_MAX + 1), JSON, Echo)


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"text":1}', "/text"),
        (b'{"text":1.5}', "/text"),
        (b'{"text":true}', "/text"),
        (b'{"text":null}', "/text"),
        (b'{"tenant_id":"x"}', "/tenant_id"),
        (b'{"a/b~c":"x"}', "/a~1b~0c"),
        (b'{"rows":[{},{"tier":"fastest"}]}', "/rows/1/tier"),
        (b'{"rows":[{"role":"admin"}]}', "/rows/0/role"),
        (b"[]", ""),
        (b"null", ""),
    ],
)
def test_what_the_schema_refuses_is_pointed_at(raw: bytes, pointer: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        read_body(raw, JSON, Echo)
    assert refusal.value.pointer == pointer


def test_a_missing_field_is_pointed_at() -> None:
    with pytest.raises(ValidationFailed, match="wallet_id") as refusal:
        read_body(b"{}", JSON, schemas.NewTransaction)
    assert refusal.value.pointer == "/wallet_id"


@pytest.mark.parametrize("amount", [1, 1.5, True, None, [], {}, 10**80])
def test_an_amount_is_text(amount: object) -> None:
    body = {"wallet_id": "w", "to": "0x", "amount": amount}
    with pytest.raises(ValidationFailed) as refusal:
        read_body(json.dumps(body).encode(), JSON, schemas.NewTransaction)
    assert refusal.value.pointer == "/amount"


def test_parameters_come_once_and_are_known() -> None:
    assert read_query({"limit": ["7"]}, schemas.PageQuery).limit == 7
    with pytest.raises(InvalidRequest):
        read_query({"limit": ["7", "8"]}, schemas.PageQuery)
    for name, text in (("limit", "0"), ("limit", "201"), ("limit", "x"), ("limit", "1.5"), ("owner", "usr_1")):
        with pytest.raises(ValidationFailed) as refusal:
            read_query({name: [text]}, schemas.PageQuery)
        assert refusal.value.pointer == f"/{name}"


@pytest.mark.parametrize("text", ["1e2", "010", "+5", " 5", "5.0", "1_0", "", "\u0665", "0x5", "9" * 30])
def test_a_whole_number_in_a_query_is_written_in_digits(text: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        read_query({"limit": [text]}, schemas.TransactionsQuery)
    assert refusal.value.pointer == "/limit"


@pytest.mark.parametrize("query", [b"a=%", b"a=%z1", b"a=%4", b"%", b"a=%ff", b"a=%c3", b"a=\xff", b"a=%00", b"a=%ed%a0%80"])
def test_a_query_is_encoded_as_it_must_be(query: bytes) -> None:
    with pytest.raises(InvalidRequest):
        require_decodable(query)


def test_a_query_in_any_language_is_well_formed() -> None:
    for query in (b"", b"a=%C3%A9&b=100%25", "a=é".encode(), b"created_at%5Bgte%5D=2027-01-31T00:00:00%2B01:00"):
        require_decodable(query)


@pytest.mark.parametrize(
    ("body", "schema", "detail"),
    [
        ({"label": 3}, schemas.WalletChange, "Expected a string or null, got a whole number"),
        ({"metadata": []}, schemas.WalletChange, "Expected an object, got a list"),
        ({"name": "x", "scopes": "a"}, schemas.NewApiKey, "Expected a list, got a string"),
    ],
)
def test_a_refusal_speaks_of_json_and_not_of_python(body: object, schema: type[schemas.Schema], detail: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        convert(body, schema)
    assert refusal.value.detail == detail


def test_a_chain_is_named_as_in_caip_2() -> None:
    assert read_chain("eip155:31337") == 31337
    assert read_chain(None) is None
    for text in ("31337", "eip155:", "eip155:01", "EIP155:1", "eip155:1 ", "eip155:\u0661"):
        with pytest.raises(ValidationFailed):
            read_chain(text)
