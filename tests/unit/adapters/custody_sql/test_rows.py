"""Rows that older versions wrote, read by this one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import attrs

from custody_sql.rows.records import decision_row, to_decision
from tests.support import factories


def test_a_decision_from_before_contract_calls_is_read_as_one_about_a_transfer() -> None:
    decision = factories.decision(factories.transaction(), nonce=3)
    row = decision_row(decision)
    assert set(row["inputs"]).isdisjoint({"data", "access_list", "token"}), "a transfer is kept as it always was"
    assert to_decision(cast("Any", SimpleNamespace(**row))) == decision


def test_what_a_decision_says_about_a_call_is_text() -> None:
    call = factories.transaction(type="contract_call", data=b"\x01\x02\x03\x04", access_list=((b"\x02" * 20, (bytes(32),)),))
    decision = factories.decision(call)
    inputs = attrs.evolve(decision.evaluation.inputs, token="usdc")
    row = decision_row(attrs.evolve(decision, evaluation=attrs.evolve(decision.evaluation, inputs=inputs)))
    assert row["inputs"]["data"] == "0x01020304"
    assert row["inputs"]["access_list"] == [["0x" + "02" * 20, ["0x" + "00" * 32]]]
    assert row["inputs"]["token"] == "usdc"
