"""`custody db`: the database's revision."""

from __future__ import annotations

import click

from custody_app.bootstrap import open_database
from custody_app.cli.exits import ExitCode
from custody_app.cli.opening import settings_now
from custody_app.cli.output import json_option, mark, show


@click.group("db")
def command() -> None:
    """Prepare the database for this version, or check that it is."""


@command.command("upgrade")
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the database to the revision that this version works on. Back it up first; stop the other processes."""
    with open_database(settings_now()) as store:
        before = store.schema().current
        store.require_safe()
        store.upgrade()
        after = store.schema().current
    text = f"{mark(True)} the database is at revision {after}" + (
        " already" if before == after else f", it was {before or 'empty'}"
    )
    show({"before": before, "current": after}, as_json=as_json, text=text)


@command.command("check")
@json_option
def check(as_json: bool) -> int:
    """Say whether the database is prepared for this version. Changes nothing."""
    with open_database(settings_now()) as store:
        schema = store.schema()
    text = f"{mark(schema.is_current)} revision {schema.current or 'none'}, this version works on {schema.expected}"
    if not schema.is_current:
        text += "; run `custody db upgrade`" if schema.current else "; run `custody init`"
    data = {"ok": schema.is_current, "current": schema.current, "expected": schema.expected}
    show(data, as_json=as_json, text=text)
    return ExitCode.OK if schema.is_current else ExitCode.ERROR
