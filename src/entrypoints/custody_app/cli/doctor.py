"""`custody doctor`: is all well, and what to do where it is not."""

from __future__ import annotations

import json

import attrs
import click

from custody_app.cli.exits import ExitCode
from custody_app.cli.opening import settings_now
from custody_app.cli.output import fields, json_option, mark, show
from custody_app.doctor import examine, settings_shown


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Look at settings, node, database, key file, chains, wallets ahead, waiting transactions and the audit trail.

    Changes nothing and shows no secret. Exits 1 when something is wrong, and says what to do about it.
    """
    settings = settings_now()
    shown, findings = settings_shown(settings), list(examine(settings))
    ok = all(finding.ok is True for finding in findings)
    width = max(len(finding.name) for finding in findings)
    lines = [f"{mark(finding.ok)} {finding.name.ljust(width)}  {finding.detail}" for finding in findings]
    settings_text = fields({name: value if isinstance(value, str) else json.dumps(value) for name, value in shown.items()})
    verdict = "all is well" if ok else "not all is well: see the lines marked above"
    data = {"ok": ok, "settings": shown, "checks": [attrs.asdict(finding) for finding in findings]}
    show(data, as_json=as_json, text="\n".join([settings_text, "", *lines, "", verdict]))
    return ExitCode.OK if ok else ExitCode.ERROR
