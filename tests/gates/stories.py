"""Tells the stories of some seeds, and what they had: `python -m tests.gates.stories FIRST AFTER_LAST`.

A line for every edge of a state machine that was taken, and for every kind of trouble that struck.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from custody_core.domain import deposit, lifecycle
from custody_core.domain.transaction import State
from tests.unit.simulation.faults import KINDS
from tests.unit.simulation.story import Story

NOT_YET = frozenset({State.PENDING_APPROVAL})
"""States that nothing brings about yet."""


def edges() -> Iterator[str]:
    """Every edge that there is."""
    for machine in (lifecycle, deposit):
        for state, facts in machine.TRANSITIONS.items():
            if state not in NOT_YET:
                yield from (_edge(machine.__name__, str(state), fact.__name__) for fact in facts)


def troubles() -> Iterator[str]:
    """Every kind of trouble that there is."""
    return (f"trouble {kind}" for kind in KINDS)


def _edge(machine: str, state: str, fact: str) -> str:
    return f"edge {machine.rpartition('.')[2]}: {state}, {fact}"


def _watched(machine: str, decide: Callable[..., Any], taken: set[str]) -> Callable[..., Any]:
    def watched(changing: Any, fact: Any, now: Any) -> Any:
        change = decide(changing, fact, now)
        taken.add(_edge(machine, str(changing.state), type(fact).__name__))
        return change

    return watched


def _replace(decide: Callable[..., Any], watched: Callable[..., Any]) -> None:
    """Wherever a module of the core has taken it to itself."""
    modules = [module for name, module in sys.modules.items() if name.startswith("custody_core")]
    for module in modules:
        for name, value in list(vars(module).items()):
            if value is decide:
                setattr(module, name, watched)


def main() -> None:
    """The program."""
    told: set[str] = set()
    for machine in (lifecycle, deposit):
        _replace(machine.decide, _watched(machine.__name__, machine.decide, told))
    for seed in range(int(sys.argv[1]), int(sys.argv[2])):
        told |= {f"trouble {kind}" for kind in Story(seed).tell().struck}
    print(*sorted(told), sep="\n")


if __name__ == "__main__":
    main()
