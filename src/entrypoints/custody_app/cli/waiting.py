"""Waiting for a transaction, with a line that shows how it goes."""

from __future__ import annotations

import sys
import time

import click

from custody_app.cli.output import Command, LiveLine
from custody_core import Custody, Transaction, WaitTimedOut

_LOOK_EVERY_S = 0.5

TIMEOUT_DEFAULT_S = 900.0
"""Finality takes about 13 minutes on Ethereum and Sepolia."""


def timeout_option(command: Command) -> Command:
    """Adds `--timeout`, as the argument `timeout_s`."""
    option = click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, max=86_400),
        default=TIMEOUT_DEFAULT_S,
        show_default=True,
        metavar="SECONDS",
        help="how long to wait at most; finality takes about 13 minutes on Ethereum",
    )
    return option(command)


def wait_for(custody: Custody, transaction_id: str, *, until: str, timeout_s: float) -> Transaction:
    """The transaction once it has got as far as `until`. Raises what `custody.transactions.wait` raises."""
    began, line = time.monotonic(), LiveLine(sys.stderr)
    try:
        while True:
            waited_s = time.monotonic() - began
            try:
                slice_s = min(_LOOK_EVERY_S, max(timeout_s - waited_s, 0.0))
                return custody.transactions.wait(transaction_id, until=until, timeout_s=slice_s)
            except WaitTimedOut:
                state = custody.transactions.get(transaction_id).state
                if waited_s >= timeout_s:
                    raise WaitTimedOut(
                        f"the transaction is {state} after {timeout_s:g} s; it goes on by itself: see that `custody scanner` "
                        f"runs, and look again with `custody tx show {transaction_id}`",
                        transaction_id=transaction_id,
                    ) from None
                line.update(f"{state} for {waited_s:.0f} s, waiting until {until} ({timeout_s - waited_s:.0f} s at most)")
    finally:
        line.clear()
