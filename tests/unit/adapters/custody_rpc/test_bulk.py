"""What is checked by the column is exactly what would be refused one by one, and what is made later is what was sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.chain import Hash
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_rpc import bulk, wire
from custody_rpc.wire import Malformed, WireLog, WireTransaction

BLOCK_HASH, HASH = Hash("0x" + "bb" * 32), Hash("0x" + "0d" * 32)
EMITTER = bytes.fromhex("c0" * 20)
TOPIC = "0x" + ERC20_TRANSFER_TOPIC.hex()
GOOD = {
    "hash": HASH,
    "from": "0x" + "A1" * 20,
    "to": "0x" + "b2" * 20,
    "nonce": "0x0",
    "value": "0xDe0",
}
TEXTS = st.sampled_from(
    [
        None,
        "",
        "0x",
        "0X0",
        "0x0",
        "0x00",
        "0x1f",
        "1f",
        "0x0x1f",
        "0x1\n0x2",
        "\n0x12",
        "0x1_0",
        "0x 1",
        "0x-1",
        "0x\u0661",
        "0xg1",
        "0x" + "f" * 64,
        "0x" + "f" * 65,
        "0x" + "0" * 70 + "1",
        "0x" + "f" * 40,
        "0x" + "F" * 39,
        "0x" + "f" * 38 + " f",
        "f" * 42,
        "0x" + "0" * 38 + "0x",
        HASH,
    ]
)


def transactions(rows: list[dict[str, Any]]) -> list[WireTransaction]:
    return msgspec.convert(rows, list[WireTransaction])


def log(**changes: Any) -> WireLog:
    fields = {
        "blockHash": BLOCK_HASH,
        "transactionHash": HASH,
        "logIndex": "0x0",
        "address": "0x" + EMITTER.hex(),
        "topics": [TOPIC, "0x" + "00" * 12 + "11" * 20, "0x" + "00" * 12 + "22" * 20],
        "data": "0x" + "00" * 31 + "05",
    }
    return msgspec.convert({**fields, **changes}, WireLog)


def logs(*found: WireLog) -> bulk.BlockLogs:
    return bulk.BlockLogs(found, BLOCK_HASH, ERC20_TRANSFER_TOPIC, {EMITTER})


@given(st.sampled_from(list(GOOD)), TEXTS, st.sampled_from(list(GOOD)), TEXTS)
def test_a_block_is_refused_exactly_where_one_of_its_transactions_would_be(one: str, text: str, two: str, other: str) -> None:
    rows: list[dict[str, Any]] = [GOOD, {**GOOD, one: text}, {**GOOD, two: other}]
    try:
        found = transactions(rows)
    except msgspec.ValidationError:
        return  # null where there must be a text
    try:
        expected = [wire.transaction(each) for each in found]
    except Malformed:
        with pytest.raises(Malformed):
            bulk.BlockTransactions(found)
        return
    made = bulk.BlockTransactions(found)
    assert list(made) == expected
    assert list(made.senders) == [each.sender for each in expected]
    assert list(made.recipients) == [each.recipient for each in expected]


def test_a_block_of_nothing() -> None:
    made = bulk.BlockTransactions([])
    assert (len(made), list(made), list(made.senders), list(made.recipients)) == (0, [], [], [])
    assert (len(logs()), list(logs()), list(logs().addresses(2))) == (0, [], [])


@given(st.sampled_from(["transactionHash", "logIndex", "data"]), TEXTS.filter(lambda text: text is not None))
def test_logs_are_refused_exactly_where_one_of_them_would_be(name: str, text: str) -> None:
    found = [log(), log(**{"logIndex": "0x1", name: text})]
    try:
        expected = {each.log_index: each for each in map(wire.log, found)}
    except Malformed:
        with pytest.raises(Malformed):
            logs(*found)
        return
    if len(expected) < 2 and wire.log(found[0]) != wire.log(found[1]):
        with pytest.raises(Malformed):
            logs(*found)
        return
    made = logs(*found)
    assert list(made) == [expected[index] for index in sorted(expected)]
    assert list(made.transaction_hashes) == [each.transaction_hash for each in made]


@given(TEXTS.filter(lambda text: text is not None))
def test_a_topic_that_is_no_word_spoils_the_answer(text: str) -> None:
    spoiled = log(topics=[TOPIC, text])
    if len(text) == 66:
        assert list(logs(spoiled)) == [wire.log(spoiled)]
    else:
        with pytest.raises(Malformed):
            logs(spoiled)


def test_logs_with_other_numbers_of_topics_have_no_address_there() -> None:
    found = [log(), log(logIndex="0x1", topics=[TOPIC]), log(logIndex="0x2", topics=[TOPIC, *[HASH] * 3])]
    made = logs(*found)
    assert made.addresses(1) == [b"\x11" * 20, b"", b"\x0d" * 20]
    assert made.addresses(2) == [b"\x22" * 20, b"", b"\x0d" * 20]
    assert logs(found[0], found[2]).addresses(2) == [b"\x22" * 20, b"\x0d" * 20]
