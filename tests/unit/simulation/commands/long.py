"""The long run: many stories, some deep ones, every crash point and every pair of them."""

from __future__ import annotations

from typing import Final

from tests.unit.simulation.commands import page
from tests.unit.simulation.commands.crashes import Crashes, crash_all, crash_pairs
from tests.unit.simulation.commands.stories import Sum, tell_many
from tests.unit.simulation.faults import KINDS
from tests.unit.simulation.story import STEPS
from tests.unit.simulation.workflows import PAIRED, WORKFLOWS

SEEDS: Final = 2_500
DEEP_SEEDS: Final = 40
DEEP_STEPS: Final = 15_000
DEEP_FIRST: Final = 1_000_000
STEPS_MIN: Final = 5_000_000
BUDGET_S: Final = 1_500


def run(workers: int, *, seeds: int, write: bool) -> int:
    """Prints the figures, and with `write` puts them into the page. 0, or the class of the first failure."""
    many, many_s = tell_many(range(seeds), STEPS, budget_s=BUDGET_S, workers=workers)
    print(many.line(many_s))
    deep_seeds = -(-DEEP_SEEDS * seeds // SEEDS)
    deep, deep_s = tell_many(range(DEEP_FIRST, DEEP_FIRST + deep_seeds), DEEP_STEPS, budget_s=BUDGET_S, workers=workers)
    print(deep.line(deep_s))
    points = crash_all(workers, is_thinned=False)
    pairs = crash_pairs(workers, every=1)
    code = many.exit_code or deep.exit_code or points.exit_code or pairs.exit_code
    missing = set(KINDS) - set(many.struck)
    is_short = many.seeds < seeds or deep.seeds < deep_seeds or many.steps + deep.steps < STEPS_MIN * seeds // SEEDS
    if is_short or missing:
        told = f"{many.seeds} of {seeds} stories, {deep.seeds} of {deep_seeds} deep ones, {many.steps + deep.steps} steps"
        print(f"too little: {told}; never struck: {sorted(missing)}")
        code = code or 1
    if write and code == 0:
        page.write("make sim-long", ("What", "Figure"), _rows(many, many_s, deep, deep_s, points, pairs))
    return code


def _rows(many: Sum, many_s: float, deep: Sum, deep_s: float, points: Crashes, pairs: Crashes) -> list[tuple[str, str]]:
    steps = many.steps + deep.steps
    rarest, times = min(many.struck.items(), key=lambda item: item[1])
    return [
        ("Stories told to their end", f"{many.seeds:,} of {STEPS:,} steps before the trouble ends, {deep.seeds} of {DEEP_STEPS:,}"),
        ("Steps", f"{steps:,}"),
        ("Commits, each judged", f"{many.commits + deep.commits:,}"),
        ("Processes killed", f"{many.kills + deep.kills:,}"),
        ("Virtual time", f"{(many.virtual_s + deep.virtual_s) / 3600:,.0f} hours"),
        ("Kinds of trouble that struck", f"{len(many.struck)} of {len(KINDS)}; the rarest, {rarest}, {times:,} times"),
        ("Crash points", f"{points.points:,} in {len(WORKFLOWS)} workflows; every one ends as the clean run"),
        (
            "Pairs of crash points",
            f"{pairs.points:,}, all of {len(PAIRED)} workflows; at {pairs.landed:,} both struck; every one ends as the clean run",
        ),
        ("Speed", f"{steps / (many_s + deep_s):,.0f} steps a second; the stories took {(many_s + deep_s) / 60:.0f} minutes"),
        ("False alarms", "0"),
    ]
