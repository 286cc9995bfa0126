"""Nested calls become one list, whatever is in them and however deep they go."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_rpc.unnesting import unnested
from custody_rpc.wire import Malformed

DEPTH = 5_000
"""Beyond what the EVM allows, and what a parser that recurses can read."""

TEXTS = st.sampled_from(['"', "\\", '"calls":[', "[", "]}", "calls", "ü"]) | st.text(max_size=5)
FIELDS = st.dictionaries(st.sampled_from(["type", "input", "ünicode"]), TEXTS | st.integers() | st.none(), min_size=1)
CALLS = st.recursive(
    FIELDS, lambda calls: st.builds(lambda fields, below: {**fields, "calls": below, "z": 1}, FIELDS, st.lists(calls, max_size=3))
)


def listed(calls: list[dict[str, Any]], depth: int = 1) -> list[dict[str, Any]]:
    """The same by recursion."""
    found = []
    for call in calls:
        found.append({**call, "depth": depth} | ({"calls": None} if "calls" in call else {}))
        found += listed(call.get("calls", []), depth + 1)
    return found


@given(st.lists(CALLS, max_size=3), st.sampled_from([None, 1]), st.booleans())
def test_calls_within_calls_become_one_list(tops: list[dict[str, Any]], indent: int | None, ascii_only: bool) -> None:
    answer = [{"id": 1, "result": [{"txHash": "0x1", "result": top} for top in tops]}]
    body = json.dumps(answer, indent=indent, ensure_ascii=ascii_only).encode()
    wanted = [{**top, "calls": listed(top["calls"])} if "calls" in top else top for top in tops]
    assert [each["result"] for each in json.loads(unnested(body))[0]["result"]] == wanted


def test_a_stranger_cannot_go_too_deep() -> None:
    body = b'{"type":"CALL","calls":[' * DEPTH + b'{"type":"CALL"}' + b"]}" * DEPTH
    calls = json.loads(unnested(body))["calls"]
    assert [call["depth"] for call in calls] == list(range(1, DEPTH + 1))


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":, calsx\\', max_size=60).map(str.encode))
def test_whatever_comes_is_refused_or_left_for_the_parser(body: bytes) -> None:
    with suppress(Malformed):
        unnested(body)


@pytest.mark.parametrize(
    "body", [b'{"calls":[1]}', b'{"calls":[{}, null]}', b'{"calls":["x"]}', b'{"calls":[[]]}', b'{"calls":[{}', b'{"a":1}}', b"]"]
)
def test_calls_that_are_no_list_of_objects_are_malformed(body: bytes) -> None:
    try:
        json.loads(unnested(body))
    except ValueError:
        return
    pytest.fail("it was read")
