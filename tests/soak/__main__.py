"""python -m tests.soak sending|receiving [--seed N] …"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from typing import Protocol

from tests.soak import receiving, sending

BLOCK_TIME_S = 1.0


class Figures(Protocol):
    """What a run came to."""

    def line(self) -> str:
        """For people."""


def main(arguments: Sequence[str]) -> int:
    given = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    sys.stderr.write(f"soak: {given.what}, seed {seed}\n")
    try:
        figures: Figures = given.run(seed, given)
    except (AssertionError, TimeoutError) as problem:
        sys.stderr.write(f"soak: failed, seed {seed}: {problem}\n")
        return 1
    sys.stdout.write(figures.line() + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Sends or deposits while workers die, answers are lost and the chain is reorganised.",
    )
    kinds = parser.add_subparsers(dest="what", required=True)
    for name, run in (("sending", _sending), ("receiving", _receiving)):
        kind = kinds.add_parser(name)
        kind.set_defaults(run=run)
        kind.add_argument("--seed", type=int, help="of all chance but the machine's own; a new one without")
    sends, receives = kinds.choices["sending"], kinds.choices["receiving"]
    sends.add_argument("--sends", type=int, default=1000)
    sends.add_argument("--wallets", type=int, default=100)
    sends.add_argument(
        "--geth-rules",
        choices=("yes", "no"),
        help="whether the pool takes back what a reorganisation took out, as geth's does; without, by the seed",
    )
    receives.add_argument("--deposits", type=int, default=1000)
    receives.add_argument("--wallets", type=int, default=50)
    receives.add_argument("--liar", choices=("first", "second"), help="which of the nodes lies; without, by the seed")
    return parser


def _sending(seed: int, given: argparse.Namespace) -> Figures:
    geth_rules = seed % 2 == 0 if given.geth_rules is None else given.geth_rules == "yes"
    return sending.run(seed, sends=given.sends, wallets=given.wallets, geth_rules=geth_rules)


def _receiving(seed: int, given: argparse.Namespace) -> Figures:
    liar_is_first = seed % 2 == 0 if given.liar is None else given.liar == "first"
    return receiving.run(
        seed, deposits=given.deposits, wallets=given.wallets, liar_is_first=liar_is_first, block_time_s=BLOCK_TIME_S
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
