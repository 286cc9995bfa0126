"""The audit chain: whatever is done to sealed rows, the first one that no longer follows is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.audit import GENESIS_HASH, AuditEvent, canonical, first_broken, seal
from tests.support import factories

COUNT = 9
POSITIONS = st.integers(1, COUNT)


def sealed(count: int = COUNT) -> list[AuditEvent]:
    rows = [factories.audit_event(object_id=f"wal_{index}") for index in range(count)]
    return list(seal(rows, last_sequence=0, last_hash=GENESIS_HASH))


def resealed(row: AuditEvent, after: AuditEvent | None) -> AuditEvent:
    """`row`, with a hash that fits it and its forerunner: the work of somebody who knows the rule."""
    (made,) = seal([row], last_sequence=(row.sequence or 0) - 1, last_hash=(after and after.hash) or GENESIS_HASH)
    return made


def test_a_link_is_what_the_rule_says() -> None:
    """h(k) = SHA-256(h(k-1) ‖ canonical(row k)), recomputed here without the code under test."""
    before = GENESIS_HASH
    for index, row in enumerate(sealed(), 1):
        fields = {
            "action": row.action,
            "actor": row.actor,
            "detail": dict(row.detail),
            "id": row.id,
            "object_id": row.object_id,
            "occurred_at": row.occurred_at.isoformat(),
            "sequence": index,
        }
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        before = hashlib.sha256(before + text.encode()).digest()
        assert (row.sequence, row.hash) == (index, before)


def test_a_sealed_chain_follows_whole_or_in_parts() -> None:
    rows = sealed()
    assert first_broken(rows) is None
    assert first_broken([]) is None
    assert first_broken(rows[4:], last_sequence=4, last_hash=rows[3].hash or b"") is None
    in_two = seal(rows[:4], last_sequence=0, last_hash=GENESIS_HASH)
    assert [*in_two, *seal(rows[4:], last_sequence=4, last_hash=in_two[-1].hash or b"")] == rows


EDITS: list[Callable[[AuditEvent], AuditEvent]] = [
    lambda row: attrs.evolve(row, actor="somebody else"),
    lambda row: attrs.evolve(row, action="wallet.unfrozen"),
    lambda row: attrs.evolve(row, object_id="wal_other"),
    lambda row: attrs.evolve(row, detail={**row.detail, "why": "another reason"}),
    lambda row: attrs.evolve(row, detail={}),
    lambda row: attrs.evolve(row, occurred_at=row.occurred_at + timedelta(microseconds=1)),
    lambda row: attrs.evolve(row, id=factories.audit_event().id),
    lambda row: attrs.evolve(row, sequence=(row.sequence or 0) + 1),
    lambda row: attrs.evolve(row, hash=bytes(32)),
    lambda row: attrs.evolve(row, hash=None),
]


@pytest.mark.parametrize("edit", EDITS)
@given(POSITIONS)
def test_k13_an_edited_row_is_named(edit: Callable[[AuditEvent], AuditEvent], at: int) -> None:
    rows = sealed()
    rows[at - 1] = edit(rows[at - 1])
    assert first_broken(rows) == at


@given(st.integers(1, COUNT - 1))
def test_k13_an_edited_row_with_a_fitting_hash_breaks_at_the_next_one(at: int) -> None:
    rows = sealed()
    rows[at - 1] = resealed(attrs.evolve(rows[at - 1], actor="somebody else"), rows[at - 2] if at > 1 else None)
    assert first_broken(rows) == at + 1


@given(st.integers(1, COUNT - 1))
def test_k13_a_row_deleted_in_the_middle_is_named(at: int) -> None:
    rows = sealed()
    del rows[at - 1]
    assert first_broken(rows) == at


@given(st.tuples(POSITIONS, POSITIONS).filter(lambda pair: pair[0] < pair[1]))
def test_k13_exchanged_rows_are_named(pair: tuple[int, int]) -> None:
    first, second = pair
    rows = sealed()
    rows[first - 1], rows[second - 1] = rows[second - 1], rows[first - 1]
    assert first_broken(rows) == first


@given(st.tuples(POSITIONS, POSITIONS).filter(lambda pair: pair[0] < pair[1]))
def test_k13_exchanged_contents_under_the_old_sequences_are_named(pair: tuple[int, int]) -> None:
    first, second = pair
    rows = sealed()
    one, other = rows[first - 1], rows[second - 1]
    rows[first - 1] = attrs.evolve(other, sequence=one.sequence, hash=one.hash)
    rows[second - 1] = attrs.evolve(one, sequence=other.sequence, hash=other.hash)
    assert first_broken(rows) == first


@given(POSITIONS)
def test_k13_an_inserted_row_breaks_the_chain_where_it_stands_or_just_behind(at: int) -> None:
    """Even one that was linked properly to the row before it: the next row's sequence is then taken."""
    rows = sealed()
    forged = attrs.evolve(factories.audit_event("forged"), sequence=at, hash=bytes(32))
    assert first_broken([*rows[: at - 1], forged, *rows[at - 1 :]]) == at
    fitting = resealed(forged, rows[at - 2] if at > 1 else None)
    assert first_broken([*rows[: at - 1], fitting, *rows[at - 1 :]]) == at + 1


def test_the_canonical_text_has_one_form() -> None:
    row = factories.audit_event(detail={"b": "2", "a": "ü"}, sequence=3)
    assert canonical(row) == canonical(attrs.evolve(row, detail={"a": "ü", "b": "2"}))
    assert canonical(row).startswith(b'{"action":"wallet.created","actor":"system","detail":{"a":"\xc3\xbc","b":"2"},"id":"aud_')


TEXT = st.text(max_size=3)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_two_different_rows_never_have_the_same_text(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    row = factories.audit_event()
    texts = [canonical(attrs.evolve(row, actor=actor, action=action, detail={"why": why})) for actor, action, why in (one, other)]
    assert (texts[0] == texts[1]) == (one == other)
