"""A story as a list of decisions: what a failing seed shrinks to, and what is kept of it as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from tests.unit.simulation.decisions import Decision
from tests.unit.simulation.virtual_time import MICROSECONDS

FOLDER: Final = Path(__file__).parent / "traces"
_MAY_BE_LEFT_OUT: Final = {"cross_check_min_wei": None, "confirmations": None, "has_odd_token": False, "is_tiny": False}


@attrs.frozen
class Script:
    """The trouble ends at `until_us`. `seed` gives keys and ids; all else is decided by `decisions`."""

    seed: int
    views: int
    is_interleaved: bool
    until_us: int
    decisions: tuple[Decision, ...]
    cross_check_min_wei: int | None = None
    confirmations: int | None = None
    has_odd_token: bool = False
    is_tiny: bool = False

    def told(self) -> Iterator[str]:
        """In words."""
        units = "units interleave" if self.is_interleaved else "units are serial"
        minimum = self.cross_check_min_wei
        nodes = f"{self.views} nodes" if minimum is None else f"{self.views} nodes, two of which agree from {minimum} wei on"
        final = "" if self.confirmations is None else f", final is what is {self.confirmations} deep"
        odd = ", a token is not what its events say" if self.has_odd_token else ""
        odd += ", addresses are held by their first bytes" if self.is_tiny else ""
        yield f"keys of seed {self.seed}, {nodes}, {units}{final}{odd}; the trouble ends after {self.until_us / MICROSECONDS:.6f}s"
        yield from (decision.told() for decision in self.decisions)


@attrs.frozen
class Kept:
    """A script that failed once. `bug` names what was planted then; None stands for a bug of the core itself, mended since."""

    failure: str
    bug: str | None
    script: Script


def written(kept: Kept) -> str:
    """The text of its file: one decision a line."""
    head = {"failure": kept.failure, "bug": kept.bug} | {
        name: getattr(kept.script, name) for name in ("seed", "views", "is_interleaved", "until_us")
    }
    for name, plain in _MAY_BE_LEFT_OUT.items():
        if getattr(kept.script, name) != plain:
            head[name] = getattr(kept.script, name)
    lines = [json.dumps([each.us, each.nth, each.who, each.what, each.value]) for each in kept.script.decisions]
    return json.dumps(head | {"decisions": []}, indent=1).replace("[]", "[\n  " + ",\n  ".join(lines) + "\n ]") + "\n"


def read(path: Path) -> Kept:
    """What a file holds."""
    found = json.loads(path.read_text())
    decisions = tuple(Decision(*fields) for fields in found["decisions"])
    rest = {name: found.get(name, plain) for name, plain in _MAY_BE_LEFT_OUT.items()}
    script = Script(found["seed"], found["views"], found["is_interleaved"], found["until_us"], decisions, **rest)
    return Kept(found["failure"], found["bug"], script)
