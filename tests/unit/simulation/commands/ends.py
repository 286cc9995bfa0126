"""How the workflows end now, compared with how it is written that they do."""

from __future__ import annotations

from tests.unit.simulation import ends
from tests.unit.simulation.commands.progress import Progress
from tests.unit.simulation.crash_points import undisturbed
from tests.unit.simulation.workflows import WORKFLOWS


def run(*, write: bool) -> int:
    """Prints what differs; with `write` it is what is written from now on. 0 where nothing does, or it is."""
    progress = Progress(len(WORKFLOWS), what="workflows")
    states = {}
    for workflow in WORKFLOWS:
        _, states[workflow] = undisturbed(workflow)
        progress.step()
    progress.end()
    differ = [problem for workflow, state in states.items() if (problem := ends.difference(workflow, state))]
    print(*differ, f"{len(differ)} of {len(states)} workflows end otherwise than it is written", sep="\n")
    if write:
        ends.write(states)
    return 1 if differ and not write else 0
