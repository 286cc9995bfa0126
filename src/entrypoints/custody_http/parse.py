"""Text from outside, turned into values or refused.

Rules of this file

1. Not well-formed is 400: no UTF-8, no JSON, a name twice, NaN or a number without a finite value, nested too deep, NUL or half a
surrogate
   pair in a string. Python's parser forgives each of these; two parsers that read one body differently are how checks are evaded.
2. What the schema refuses is 422, with a JSON pointer (RFC 6901) at it: an unknown or missing member, a number where text belongs.
3. Schemas are msgspec structs, so what validates is what the OpenAPI document is made of.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, NoReturn, TypeVar, cast
from urllib.parse import unquote_to_bytes

import msgspec
import msgspec.inspect

from custody_core.errors import InvalidRequest, ValidationFailed
from custody_http.errors import BodyTooLarge, UnsupportedMediaType

BODY_BYTES_MAX: Final = 64 * 1024
DEPTH_MAX: Final = 16

_MEDIA_TYPE = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?\s*', re.ASCII | re.IGNORECASE)
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)
_NOT_ENCODED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_CHAIN = re.compile(r"eip155:([1-9][0-9]{0,18})", re.ASCII)
_AT = re.compile(r"(?P<text>.*?)(?: - at `(?P<key>key in )?\$?(?P<path>[^`]*)`)?", re.DOTALL)
_FIELD = re.compile(r"(?:unknown|required) field `(?P<name>.*)`", re.DOTALL)
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|\.([^.\[]+)")
_TYPES = re.compile(r"`([^`]*)`")
_TYPE_NAMES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "object": "an object",
    "array": "a list",
    "bool": "true or false",
}

S = TypeVar("S", bound=msgspec.Struct)

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_learning = threading.Lock()


def read_body(raw: bytes, content_type: str | None, schema: type[S]) -> S:
    """The body of a request, as its schema. No body at all is an empty object, for routes that ask for nothing.

    Raises `UnsupportedMediaType`, `BodyTooLarge`, `InvalidRequest`, `ValidationFailed`.
    """
    if len(raw) > BODY_BYTES_MAX:
        raise BodyTooLarge("a request body has at most 64 KB")
    if not raw and content_type is None:
        return convert({}, schema)
    if content_type is None or _MEDIA_TYPE.fullmatch(content_type) is None:
        raise UnsupportedMediaType("send the body as application/json")
    return convert(read_json(raw), schema) if raw else convert({}, schema)


def read_json(raw: bytes) -> object:
    """Strict JSON (RFC 8259, and I-JSON's rule of unique names, RFC 7493). Raises `InvalidRequest`."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8") from None
    _require_shallow(text)
    try:
        value: object = json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):  # also a whole number of thousands of digits
        raise InvalidRequest("the body is not JSON") from None
    _require_sendable(value)
    return value


def convert(value: object, schema: type[S], *, from_text: bool = False) -> S:
    """`value` as its schema; with `from_text`, from the strings of a query. Raises `ValidationFailed` with a pointer."""
    _learn(schema)
    try:
        return msgspec.convert(value, schema, strict=not from_text)
    except msgspec.ValidationError as refusal:
        detail, pointer = _explained(str(refusal))
        raise ValidationFailed(detail, pointer=pointer) from None


@cache
def _learn(schema: type[msgspec.Struct]) -> None:
    """Makes `schema` known to msgspec. Of two threads that do so at once, one may read what the other has not finished, and the
    process crashes.
    """
    with _learning:
        msgspec.json.Decoder(schema)


def require_decodable(query: bytes) -> None:
    """Raises `InvalidRequest` unless every `%` begins an encoded byte, and the bytes are UTF-8. Other parsers guess."""
    try:
        text = unquote_to_bytes(query).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("the query is not UTF-8") from None
    if _NOT_ENCODED.search(query) or _UNSENDABLE.search(text):
        raise InvalidRequest("the query is not well-formed")


def read_query(given: Mapping[str, Sequence[str]], schema: type[S]) -> S:
    """The query parameters as their schema. Raises `InvalidRequest` for one that comes twice, `ValidationFailed`."""
    for name, values in given.items():
        if len(values) != 1:
            raise InvalidRequest(f"the parameter {_shown(name)} comes more than once")
        if name in _whole_numbers(schema) and _DIGITS.fullmatch(values[0]) is None:
            raise ValidationFailed("this is a whole number, in digits", pointer=f"/{name}")
    return convert({name: values[0] for name, values in given.items()}, schema, from_text=True)


@cache
def _whole_numbers(schema: type[msgspec.Struct]) -> frozenset[str]:
    """The parameters that are whole numbers. msgspec would take `1e2` for one."""
    _learn(schema)
    described = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(schema))
    types = {field.encode_name: field.type for field in described.fields}
    bare = {name: type_.type if isinstance(type_, msgspec.inspect.Metadata) else type_ for name, type_ in types.items()}
    return frozenset(name for name, type_ in bare.items() if isinstance(type_, msgspec.inspect.IntType))


def read_chain(text: str | None) -> int | None:
    """The chain id of a CAIP-2 name such as `eip155:11155111`. Raises `ValidationFailed`."""
    if text is None:
        return None
    match = _CHAIN.fullmatch(text)
    if match is None:
        raise ValidationFailed("a chain is named as in CAIP-2: eip155:11155111", pointer="/chain")
    return int(match[1])


def read_moment(text: str | None, *, pointer: str) -> datetime | None:
    """The time of a query parameter, which never is a number or `null`. Raises `ValidationFailed`."""
    try:
        return None if text is None else msgspec.convert(text, _Moment)
    except msgspec.ValidationError:
        raise ValidationFailed("a time is written as in RFC 3339, with its zone: 2027-01-31T00:00:00Z", pointer=pointer) from None


def _require_shallow(text: str) -> None:
    """Counted before parsing, so that no nesting ever reaches the parser's own recursion."""
    depth = 0
    for found in _STRUCTURE.finditer(text):
        if found[0] in {"[", "{"}:
            depth += 1
        elif found[0] in {"]", "}"}:
            depth -= 1
        if depth > DEPTH_MAX:
            raise InvalidRequest(f"the body is nested more than {DEPTH_MAX} deep")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidRequest("the body names a member twice")
    return members


def _no_constant(_text: str) -> NoReturn:
    raise InvalidRequest("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    """A fraction is well-formed, and every schema refuses it. One without a finite value is not even that."""
    number = float(text)
    if not math.isfinite(number):
        raise InvalidRequest("the body has a number that is out of range")
    return number


def _require_sendable(value: object) -> None:
    if isinstance(value, str):
        if _UNSENDABLE.search(value):
            raise InvalidRequest("a string has a character that cannot be stored")
    elif isinstance(value, dict):
        for name, member in value.items():
            _require_sendable(name)
            _require_sendable(member)
    elif isinstance(value, list):
        for each in value:
            _require_sendable(each)


def _explained(refusal: str) -> tuple[str, str]:
    """Msgspec's sentence, as one for people and a JSON pointer."""
    match = _AT.fullmatch(refusal)
    text, path = (match["text"], match["path"] or "") if match else (refusal, "")
    steps = [index or name for index, name in _STEP.findall(path)]
    field = _FIELD.search(text)
    if field:
        steps.append(field["name"])
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps if step != "...")
    return _sentence(text, field["name"] if field else None), pointer[:200]


def _sentence(text: str, field: str | None) -> str:
    if field is not None:
        return f"there is no field {_shown(field)} here" if "unknown" in text else f"the field {_shown(field)} is missing"
    return _TYPES.sub(_plain_types, text)[:200]


def _plain_types(found: re.Match[str]) -> str:
    """`str | null`, as people say it. What is no type, such as a length or a pattern, stays."""
    return " or ".join(_TYPE_NAMES.get(name, name) for name in found[1].split(" | "))


def _shown(name: str) -> str:
    """A name of the client's own, as far as it can be repeated to it."""
    return name if name.isprintable() and len(name) <= 40 else "of that name"
