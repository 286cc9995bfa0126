"""`custody audit`: the audit trail."""

from __future__ import annotations

import click

from custody_app.cli.exits import ExitCode
from custody_app.cli.opening import books
from custody_app.cli.output import json_option, mark, show


@click.group("audit")
def command() -> None:
    """Check the audit trail."""


@command.command("verify")
@json_option
def verify(as_json: bool) -> int:
    """Recompute the chain of hashes from its beginning. Exits 6 and names the first row that does not follow."""
    with books() as custody:
        verdict = custody.audit.verify()
    ok = verdict.first_broken is None
    text = f"{mark(ok)} {verdict.rows} audit rows follow from the beginning"
    if not ok:
        text += f"; row {verdict.first_broken} does not: it was changed, removed or added afterwards"
    show({"ok": ok, "rows": verdict.rows, "first_broken": verdict.first_broken}, as_json=as_json, text=text)
    return ExitCode.OK if ok else ExitCode.VERIFICATION_FAILED
