"""Stories told to their end: whatever goes wrong, every promise holds, and when it ends everything comes to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.simulation.story import Story

SEEDS = range(24)
STEPS = 1_500


@pytest.mark.parametrize("seed", SEEDS)
def test_r06_every_promise_holds_after_every_step(seed: int) -> None:
    told = Story(seed, steps=STEPS).tell()
    assert told.commits > 50, "a story in which nothing happens proves nothing"


def test_without_trouble_nothing_goes_wrong_either() -> None:
    told = Story(3, steps=STEPS, only=()).tell()
    assert told.struck == {}
    assert told.kills == 0


def test_the_same_seed_tells_the_same_story_whatever_the_order_of_sets() -> None:
    program = (
        "from tests.unit.simulation.story import Story; s = Story(11, steps=1500); s.tell(); print(*s.trace.told(), sep='\\n')"
    )
    traces = {_run(program, hash_seed) for hash_seed in ("1", "2")}
    assert len(traces) == 1
    assert len(traces.pop().splitlines()) > STEPS


def test_rare_stories_use_the_real_curve() -> None:
    Story(999, steps=300).tell()


def _run(program: str, hash_seed: str) -> str:
    root = Path(__file__).parents[3]
    folders = [root / "src", root / "src/adapters", root / "src/entrypoints", root]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True, check=True
    ).stdout
