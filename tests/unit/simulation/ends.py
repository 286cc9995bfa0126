"""How every workflow has to end, as somebody has read and agreed to: a file for each room of workflows, in `written_ends/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from tests.unit.simulation.business import BusinessState
from tests.unit.simulation.failures import InvariantBroken
from tests.unit.simulation.workflows import WORKFLOWS

FOLDER: Final = Path(__file__).parent / "written_ends"
COMMAND: Final = "make sim-ends ARGS=--write"


def require_as_written(workflow: str, state: BusinessState) -> None:
    """Raises `InvariantBroken` unless the workflow ends so."""
    if problem := difference(workflow, state):
        raise InvariantBroken(problem)


def difference(workflow: str, state: BusinessState) -> str | None:
    """What differs from what is written, and how it is written anew where it should."""
    room = room_of(workflow)
    expected = read(room).get(workflow, {})
    differs = [
        f"{what} {state.get(what)!r}, not {expected.get(what)!r}"
        for what in dict.fromkeys([*state, *expected])
        if state.get(what) != expected.get(what)
    ]
    if not differs:
        return None
    return f"{workflow} ends otherwise than written_ends/{room}.json says: {'; '.join(differs)}. If that is right: {COMMAND}"


def room_of(workflow: str) -> str:
    """The room that a workflow is in."""
    return WORKFLOWS[workflow].__module__.rpartition(".")[2]


@cache
def read(room: str) -> Mapping[str, BusinessState]:
    """What is written of a room, by workflow."""
    path = FOLDER / f"{room}.json"
    ends: dict[str, BusinessState] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return ends


def write(states: Mapping[str, BusinessState]) -> None:
    """All of them anew; rooms that are no more are forgotten."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for room in dict.fromkeys(map(room_of, states)):
        of_room = {workflow: state for workflow, state in states.items() if room_of(workflow) == room}
        (FOLDER / f"{room}.json").write_text(_told(of_room), "utf-8")
    read.cache_clear()


def _told(states: Mapping[str, BusinessState]) -> str:
    """A line for each fact, so that a change reads well."""
    told = [
        f"{json.dumps(workflow)}: {{\n"
        + ",\n".join(f"  {json.dumps(what)}: {json.dumps(value)}" for what, value in state.items())
        + "\n}"
        for workflow, state in states.items()
    ]
    return "{\n" + ",\n\n".join(told) + "\n}\n"
