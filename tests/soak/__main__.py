"""python -m tests.soak [--seed N] [--sends 1000] [--wallets 100] [--geth-rules yes|no]"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

from tests.soak import sending


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Sends while workers die, answers are lost and the chain is reorganised."
    )
    parser.add_argument("--seed", type=int, help="of all chance but the machine's own; a new one without")
    parser.add_argument("--sends", type=int, default=1000)
    parser.add_argument("--wallets", type=int, default=100)
    parser.add_argument(
        "--geth-rules",
        choices=("yes", "no"),
        help="whether the pool takes back what a reorganisation took out, as geth's does; without, by the seed",
    )
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    geth_rules = seed % 2 == 0 if given.geth_rules is None else given.geth_rules == "yes"
    sys.stderr.write(f"soak: seed {seed}, {given.sends} sends from {given.wallets} wallets\n")
    figures = sending.run(seed, sends=given.sends, wallets=given.wallets, geth_rules=geth_rules)
    sys.stdout.write(figures.line() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
