"""`make sim` and its kin: many stories within a budget, one again with its trace, every crash point, every planted bug.

    python -m tests.unit.simulation stories                 500 seeds from 0
    python -m tests.unit.simulation stories --seed 7        the story of seed 7; where it fails, its trace, and the same made short
    python -m tests.unit.simulation crashes                 every workflow, crashed at every call to a port
    python -m tests.unit.simulation ends                    how every workflow ends, and what differs from how it is written
    python -m tests.unit.simulation bugs                    every planted bug, and the story that sees it
    python -m tests.unit.simulation reach                   lines and branches of the core, and edges of its states
    python -m tests.unit.simulation mutants                 small changes of the core, and who sees them
    python -m tests.unit.simulation long --write            far more of the first and third; the figures go into docs/reliability.md

Exits with 0, or with the class of the first failure: 1 an invariant, 2 liveness, 3 a crash, 4 non-determinism.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.unit.simulation.commands import ends, long, mutants, reach
from tests.unit.simulation.commands.bugs import see_all
from tests.unit.simulation.commands.crashes import crash_all
from tests.unit.simulation.commands.stories import tell_many, tell_one
from tests.unit.simulation.story import STEPS


def _stories(asked: argparse.Namespace) -> int:
    if asked.seed is not None:
        return tell_one(asked.seed, asked.steps, with_trace=asked.trace, keep=asked.keep)
    seeds = range(asked.first, asked.first + asked.seeds)
    found, passed_s = tell_many(seeds, asked.steps, budget_s=asked.budget_s, workers=asked.workers)
    sys.stdout.write(found.line(passed_s) + "\n")
    return found.exit_code


def _crashes(asked: argparse.Namespace) -> int:
    return crash_all(asked.workers, is_thinned=asked.thinned).exit_code


def _ends(asked: argparse.Namespace) -> int:
    return ends.run(write=asked.write)


def _bugs(asked: argparse.Namespace) -> int:
    return 0 if all(sight for _, sight in see_all(asked.workers, keep=asked.keep, write=asked.write)) else 1


def _long(asked: argparse.Namespace) -> int:
    return long.run(asked.workers, seeds=asked.seeds, write=asked.write)


def _reach(asked: argparse.Namespace) -> int:
    return reach.tell(asked.told) if asked.told else reach.run(write=asked.write)


def _mutants(asked: argparse.Namespace) -> int:
    return mutants.run(asked.workers, sample=asked.sample, seed=asked.seed, budget_s=asked.budget_s, write=asked.write)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.unit.simulation", description="A simulated world.")
    commands = parser.add_subparsers(dest="command", required=True)
    stories = commands.add_parser("stories", help="stories of seeds")
    stories.set_defaults(run=_stories)
    stories.add_argument("--seed", type=int, help="this story alone")
    stories.add_argument("--steps", type=int, default=STEPS, help="steps before the trouble ends")
    stories.add_argument("--seeds", type=int, default=500, help="how many stories")
    stories.add_argument("--first", type=int, default=0, help="the first of them")
    stories.add_argument("--budget-s", type=float, default=180, help="seconds after which no further story is begun")
    stories.add_argument("--trace", action="store_true", help="the whole trace of --seed")
    stories.add_argument("--keep", metavar="NAME", help="where --seed fails, what it shrinks to is kept as a trace of that name")
    crashes = commands.add_parser("crashes", help="crash points of workflows")
    crashes.set_defaults(run=_crashes)
    crashes.add_argument("--thinned", action="store_true", help="those in which something is refused, at one call in four only")
    ended = commands.add_parser("ends", help="how workflows end")
    ended.set_defaults(run=_ends)
    ended.add_argument("--write", action="store_true", help="that is how they have to end from now on (tests/unit/simulation/ends)")
    bugs = commands.add_parser("bugs", help="planted bugs")
    bugs.set_defaults(run=_bugs)
    bugs.add_argument("--keep", action="store_true", help="write the traces again that tests tell")
    much = commands.add_parser("long", help="the long run")
    much.set_defaults(run=_long)
    much.add_argument("--seeds", type=int, default=long.SEEDS, help="how many stories; others in proportion")
    reached = commands.add_parser("reach", help="what the simulation reaches")
    reached.set_defaults(run=_reach)
    reached.add_argument("--told", type=Path, help=argparse.SUPPRESS)
    mutations = commands.add_parser("mutants", help="a sample of small changes of the core, and whether anything sees them")
    mutations.set_defaults(run=_mutants)
    mutations.add_argument("--sample", type=int, default=mutants.SAMPLE)
    mutations.add_argument("--seed", type=int, default=0, help="of the sample")
    mutations.add_argument("--budget-s", type=float, default=mutants.BUDGET_S, help="seconds after which no further one is begun")
    for command in (bugs, much, reached, mutations):
        command.add_argument("--write", action="store_true", help="put the figures into docs/reliability.md")
    for command in (stories, crashes, bugs, much, mutations):
        command.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser


def main() -> int:
    """The command."""
    asked = _parser().parse_args()
    code: int = asked.run(asked)
    return code


if __name__ == "__main__":
    sys.exit(main())
