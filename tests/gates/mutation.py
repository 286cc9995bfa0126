"""How many of a sample of planted mistakes are noticed. `make mutants`: exits with 1 below the share that has to be."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import attrs

from tests.gates.money import MONEY, ROOT, path_of
from tests.gates.mutants import Mutant, mutants_of

NOTICED_MIN: Final = 0.85
LONGEST_S: Final = 240
"""A mutant that runs for so long goes round for ever: noticed."""


@attrs.frozen
class Outcome:
    """What became of one."""

    mutant: Mutant
    noticed: bool
    took_s: float


def sample(count: int, seed: int) -> list[Mutant]:
    """So many mutants of all money modules, each as likely as the others."""
    every = [mutant for module in MONEY for mutant in mutants_of(module, path_of(module).read_text())]
    return random.Random(seed).sample(every, min(count, len(every)))


def let_loose(mutant: Mutant) -> Outcome:
    """Runs one."""
    began = time.monotonic()
    program = [sys.executable, "-m", "tests.gates.one_mutant", mutant.module, str(mutant.number)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        ended = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(mutant, noticed=True, took_s=LONGEST_S)
    return Outcome(mutant, ended.returncode != 0, time.monotonic() - began)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Plants small mistakes and counts those that are noticed.")
    parser.add_argument("--mutants", type=int, default=120, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    chosen, outcomes, began = sample(asked.mutants, asked.seed), list[Outcome](), time.monotonic()
    with ThreadPoolExecutor(asked.workers) as threads:
        for outcome in threads.map(let_loose, chosen):
            outcomes.append(outcome)
            if not outcome.noticed:
                print(f"\nnot noticed: {outcome.mutant}")
            noticed = sum(each.noticed for each in outcomes)
            line = f"{len(outcomes)}/{len(chosen)} mutants, {noticed} noticed, {time.monotonic() - began:.0f} s"
            print(f"\r{line}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)
    share = sum(each.noticed for each in outcomes) / len(outcomes)
    print(f"\n{share:.1%} of {len(outcomes)} mutants of {len(MONEY)} modules were noticed (at least {NOTICED_MIN:.0%} have to be)")
    return int(share < NOTICED_MIN)


if __name__ == "__main__":
    sys.exit(main())
