"""Replies are read in many threads, and whatever text they hold besides what is wanted."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_rpc.envelopes import MALFORMED, NOT_JSON, Result, decode
from tests.support.threads import run_at_once

READING = """
import msgspec
from custody_rpc.envelopes import Result, decode

def prepared(number):
    fields = [(f"field{each}", int | str | None, None) for each in range(12)]
    wanted = msgspec.defstruct(f"Wanted{number}", fields)

    def work():
        (reply,) = decode(b'{"id": 1, "result": {"field0": 1, "field5": "x", "field11": null}}', [1], wanted)
        assert isinstance(reply, Result)

    return work
"""


def test_threads_that_meet_a_type_for_the_first_time_at_once_all_read_it() -> None:
    ended = run_at_once(READING, rounds=200)
    assert (ended.returncode, ended.stderr) == (0, "")


class Wanted(msgspec.Struct):
    value: int


HALVES = ["\ud800", "\udfff", "\ud83d and \ude00", "\ude00\ud83d", "\\\ud800", "\ud83d\ud83d\ude00", "\\\\\udc00"]


def body(*replies: dict[str, Any]) -> bytes:
    return json.dumps(replies).encode()


@pytest.mark.parametrize("text", HALVES)
def test_half_of_a_surrogate_pair_in_a_field_that_is_not_read_hides_no_reply(text: str) -> None:
    good = {"id": 1, "result": {"value": 5, "name": text, text: 1}}
    assert decode(body(good, {"id": 2, "result": {"value": 6}}), [1, 2], Wanted) == [Result(Wanted(5)), Result(Wanted(6))]
    malformed = {"id": 2, "result": {"value": text}}
    assert decode(body(malformed, good), [1, 2], Wanted) == [Result(Wanted(5)), MALFORMED]
    assert decode(body(good, malformed), [1, 2], Wanted) == [Result(Wanted(5)), MALFORMED]


@given(st.text(st.characters(exclude_categories=[]) | st.sampled_from('\\"u\ud800\udc00\ud83d'), max_size=8))
def test_whatever_stands_beside_it_text_is_read_as_it_is_but_for_half_pairs(text: str) -> None:
    whole = json.loads(json.dumps(text))  # which joins the halves that stand beside each other
    read = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in whole)
    assert decode(body({"id": 1, "result": text}), [1], str) == [Result(read)]


@pytest.mark.parametrize("text", [b'{"id":1,"result":"\\ud8"}', b'{"id":1,"result":"\\ud800', b'{"id":1,\\ud800"result":1}'])
def test_what_is_no_json_is_none_with_half_a_pair_in_it_either(text: bytes) -> None:
    assert decode(text, [1], str) == [NOT_JSON]
