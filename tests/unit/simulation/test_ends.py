"""How workflows end is written for each of them; what ends otherwise is told with what differs and how to write it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.simulation import ends
from tests.unit.simulation.failures import InvariantBroken
from tests.unit.simulation.workflows import WORKFLOWS


def test_there_is_an_end_for_each_workflow_and_no_other() -> None:
    rooms = {path.stem for path in ends.FOLDER.glob("*.json")}
    assert sorted(workflow for room in rooms for workflow in ends.read(room)) == sorted(WORKFLOWS)
    assert rooms == {ends.room_of(workflow) for workflow in WORKFLOWS}


def test_what_ends_otherwise_is_told() -> None:
    written = dict(ends.read("sending")["send_ether"])
    ends.require_as_written("send_ether", written)
    with pytest.raises(InvariantBroken) as failure:
        ends.require_as_written("send_ether", written | {"every send": 2, "friend": ["0", "0"]})
    told = str(failure.value)
    assert told.startswith(
        "send_ether ends otherwise than written_ends/sending.json says: every send 2, not 1; friend ['0', '0'], not ["
    )
    assert "deposits" not in told
    assert told.endswith(ends.COMMAND)


def test_what_is_written_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {room: ends.read(room) for room in ("sending", "halting")}
    monkeypatch.setattr(ends, "FOLDER", tmp_path / "ends")
    ends.write({workflow: state for room in before.values() for workflow, state in room.items()})
    try:
        assert {path.stem: ends.read(path.stem) for path in ends.FOLDER.iterdir()} == before
    finally:
        ends.read.cache_clear()
