"""How far the simulation reaches: lines and branches of the modules that money passes through, and edges of the state machine."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs
import coverage

from custody_core.domain import lifecycle
from custody_core.domain.transaction import State
from tests.unit.simulation.commands import page
from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.commands.stories import Sum
from tests.unit.simulation.crash_points import clean_run
from tests.unit.simulation.faults import KINDS
from tests.unit.simulation.modules import MONEY
from tests.unit.simulation.story import Story
from tests.unit.simulation.unreached import UNREACHED, Why, line_of
from tests.unit.simulation.workflows import WORKFLOWS

STEPS: Final = 100_000
BRANCHES_MIN_PERCENT: Final = 95
"""Of all branches, those that are listed in `unreached.py` among them."""
NOT_YET: Final = frozenset({State.PENDING_APPROVAL})
"""States that nothing leads to before there are approvals."""

Edge = tuple[str, str]
"""A state, and the name of a fact."""


@attrs.frozen
class Reached:
    """Of one module: its statements and branches, those that were not reached, and the lines that were not."""

    module: str
    statements: int
    statements_missed: int
    branches: int
    branches_missed: int
    missing: str
    listed: int
    """Of the branches that were missed, those that lead to a line which `unreached.py` names."""
    found_out: tuple[str, ...]
    """Lines that it names although they were reached."""

    @property
    def percent(self) -> float:
        """Of its statements and branches together."""
        total = self.statements + self.branches
        return 100 * (1 - (self.statements_missed + self.branches_missed) / total) if total else 100.0


def run(*, write: bool) -> int:
    """Prints what is reached. 0 where the gates hold."""
    with TemporaryDirectory() as folder:
        data, told_file = Path(folder, "coverage"), Path(folder, "told.json")
        # Another process, so that what runs at import is measured, too.
        command = [sys.executable, "-m", "coverage", "run", "--rcfile=/dev/null", f"--data-file={data}", "--branch"]
        command += [
            "--concurrency=greenlet",
            "--source=custody_core",
            "-m",
            "tests.unit.simulation",
            "reach",
            "--told",
            str(told_file),
        ]
        subprocess.run(command, cwd=page.ROOT, check=True)
        measured = coverage.Coverage(data_file=str(data), config_file=str(page.ROOT / "pyproject.toml"))
        measured.load()
        modules = [_reached(measured, module) for module in MONEY]
        told = json.loads(told_file.read_text())
    seen = {(state, fact) for state, fact in told["edges"]}
    every = {
        (str(state), fact.__name__) for state, edges in lifecycle.TRANSITIONS.items() if state not in NOT_YET for fact in edges
    }
    unseen, silent = every - seen, set(KINDS) - set(told["struck"])
    branches, missed = sum(each.branches for each in modules), sum(each.branches_missed for each in modules)
    listed = sum(each.listed for each in modules)
    percent, percent_of_others = 100 * (1 - missed / branches), 100 * (1 - (missed - listed) / (branches - listed))
    for each in modules:
        print(f"{each.module}: {each.percent:.0f} %{', not reached: ' if each.missing else ''}{each.missing}")
    print(
        f"{percent:.1f} % of {branches} branches by {told['steps']:,} steps; {percent_of_others:.1f} % without the {listed} listed"
    )
    for each in modules:
        for text in each.found_out:
            print(f"listed as never reached, and reached: {each.module}: {text}")
    print(f"edges never taken: {sorted(unseen)}; kinds of trouble that never struck: {sorted(silent)}")
    if write:
        edges = f"{len(every - unseen)} of {len(every)} edges of a send's states"
        rows = [(f"`{each.module}`", f"{each.percent:.0f} %", each.missing) for each in modules]
        total = ("all of them", f"{percent:.1f} % of {branches} branches", edges)
        without = ("without what is listed", f"{percent_of_others:.1f} % of {branches - listed} branches", _reasons())
        page.write("make sim-reach", ("Module", "Lines and branches", "Lines not reached"), [*rows, total, without])
    is_honest = not any(each.found_out for each in modules)
    return 0 if percent >= BRANCHES_MIN_PERCENT and is_honest and not unseen and not silent else 1


def tell(told: Path) -> int:
    """What is measured: stories and workflows; which edges and kinds of trouble there were goes into `told`."""
    with edges_seen() as seen:
        found = _tell(STEPS)
    told.write_text(json.dumps({"steps": found.steps, "struck": found.struck, "edges": sorted(seen)}))
    return 0


@contextmanager
def edges_seen() -> Iterator[set[Edge]]:
    """The edges of the machine that are taken until the end of the block."""
    seen: set[Edge] = set()

    class Watched(dict[Any, Any]):
        def __init__(self, state: State, edges: Mapping[Any, Any]) -> None:
            super().__init__(edges)
            self._state = state

        def get(self, fact: Any, default: Any = None) -> Any:
            if fact in self:
                seen.add((str(self._state), fact.__name__))
            return super().get(fact, default)

    whole = lifecycle.TRANSITIONS
    lifecycle.TRANSITIONS = {state: Watched(state, edges) for state, edges in whole.items()}
    try:
        yield seen
    finally:
        lifecycle.TRANSITIONS = whole


def _tell(steps: int) -> Sum:
    """The workflows undisturbed, and stories of so many steps in all."""
    found, seed = Sum(), 0
    for workflow in WORKFLOWS:
        clean_run(workflow)
    progress = Progress(steps // 2_000, what="stories")
    while found.steps < steps:
        told = Story(seed).tell()
        seed, found.steps = seed + 1, found.steps + told.steps
        found.struck.update(told.struck)
        progress.step()
    progress.end()
    return found


def _reasons() -> str:
    """How many lines are listed for which reason."""
    counts = Counter(each.why for each in UNREACHED)
    return "; ".join(f"{counts[why]}: {why}" for why in Why)


def _reached(measured: coverage.Coverage, module: str) -> Reached:
    path = str(page.ROOT / "src" / "custody_core" / f"{module}.py")
    analysis = measured._analyze(path)
    numbers, missed = analysis.numbers, analysis.missing_branch_arcs()
    listed = {line_of(each): each.text for each in UNREACHED if each.module == module}
    into = Counter(target for targets in missed.values() for target in targets)
    with redirect_stdout(io.StringIO()):
        *_, missing = measured.analysis2(path)
    return Reached(
        module,
        numbers.n_statements,
        numbers.n_missing,
        numbers.n_branches,
        numbers.n_missing_branches,
        missing,
        listed=sum(into[number] for number in listed),
        found_out=tuple(text for number, text in listed.items() if not into[number] or number not in analysis.missing),
    )
