"""A story as a list of decisions: what a failing seed shrinks to, and what is kept of it as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from tests.unit.simulation.decisions import Decision
from tests.unit.simulation.shape import Shape
from tests.unit.simulation.virtual_time import MICROSECONDS

FOLDER: Final = Path(__file__).parent / "traces"


@attrs.frozen
class Script:
    """The trouble ends at `until_us`. `seed` gives keys and ids; all else is decided by `shape` and `decisions`."""

    seed: int
    shape: Shape
    until_us: int
    decisions: tuple[Decision, ...]

    def told(self) -> Iterator[str]:
        """In words."""
        yield f"keys of seed {self.seed}, {self.shape.told()}; the trouble ends after {self.until_us / MICROSECONDS:.6f}s"
        yield from (decision.told() for decision in self.decisions)


@attrs.frozen
class Kept:
    """A script that failed once. `bug` names what was planted then; None stands for a bug of the core itself, mended since."""

    failure: str
    bug: str | None
    script: Script


def written(kept: Kept) -> str:
    """The text of its file: one decision a line."""
    shape = attrs.asdict(kept.script.shape, filter=lambda field, value: value != field.default)
    head = {"failure": kept.failure, "bug": kept.bug, "seed": kept.script.seed, "until_us": kept.script.until_us} | shape
    lines = [json.dumps([each.us, each.nth, each.who, each.what, each.value]) for each in kept.script.decisions]
    return json.dumps(head | {"decisions": []}, indent=1).replace("[]", "[\n  " + ",\n  ".join(lines) + "\n ]") + "\n"


def read(path: Path) -> Kept:
    """What a file holds."""
    found = json.loads(path.read_text())
    decisions = tuple(Decision(*fields) for fields in found["decisions"])
    shape = Shape(**{field.name: found[field.name] for field in attrs.fields(Shape) if field.name in found})
    return Kept(found["failure"], found["bug"], Script(found["seed"], shape, found["until_us"], decisions))
