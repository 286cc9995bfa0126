"""`custody reconcile`: the promises that a running system can check, checked."""

from __future__ import annotations

import sys

import click

from custody_app.cli.exits import ExitCode
from custody_app.cli.opening import books_and_nodes
from custody_app.cli.output import BarObserver, json_option, mark, show
from custody_core import Reconciliation
from custody_core.domain.resources import chain_text
from custody_core.services.reconciliation import reconciliation_resource


@click.command("reconcile")
@click.option("--held-only", is_flag=True, help="leave out the tokens that a wallet has nothing of in the books: faster")
@json_option
def command(held_only: bool, as_json: bool) -> int:
    """Check the books against themselves and against the chain. Exits 6 when a check fails.

    Every wallet is compared in ether and in every listed token. What the chain has more than the books is put into suspense, and so
    is what it has less of a token: `custody suspense list` shows it.
    """
    observer = BarObserver(sys.stderr)
    with books_and_nodes(observer) as custody:
        try:
            found = custody.reconcile(held_only=held_only)
        finally:
            observer.clear()
        waiting = custody.suspense.count()
    show(reconciliation_resource(found), as_json=as_json, text=_text(found, waiting))
    return ExitCode.OK if found.ok else ExitCode.VERIFICATION_FAILED


def _text(found: Reconciliation, waiting: int) -> str:
    lines = []
    for check in found.checks:
        lines.append(f"{mark(check.ok)} {check.id.ljust(6)}  {check.title}")
        lines += [f"          {violation}" for violation in check.violations]
    if waiting:
        lines += ["", "something is in suspense: `custody suspense list` shows what nothing explains"]
    blocks = ", ".join(f"block {block.number} of {chain_text(chain_id)}" for chain_id, block in found.blocks.items())
    failed = sum(not check.ok for check in found.checks)
    verdict = f"all {len(found.checks)} checks hold" if found.ok else f"{failed} of {len(found.checks)} checks fail"
    return "\n".join([*lines, "", f"{verdict} at {blocks or 'no block: no chain is followed yet'}"])
