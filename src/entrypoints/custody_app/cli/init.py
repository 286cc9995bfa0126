"""`custody init`: everything a new service needs. Safe to run twice."""

from __future__ import annotations

import json
from typing import Any

import click

from custody_app.bootstrap import Opened
from custody_app.cli.apikey import SHOWN_ONCE
from custody_app.cli.opening import everything
from custody_app.cli.output import json_option, mark, say, show
from custody_app.observers import QuietObserver
from custody_core import Custody, NodeUnavailable, Role
from custody_core.domain.access import ROLE_SCOPES
from custody_core.domain.resources import Resource, chain_text
from custody_core.services.resources import policy_resource


@click.command("init")
@json_option
def command(as_json: bool) -> None:
    """Make what is missing: the database, the master key file (mode 0600, never overwritten), a starter policy, the first admin
    with an API key that is printed this once, and wallets ahead.

    Nothing that is there already is changed.
    """
    observer = QuietObserver()
    with everything(observer, create=True) as opened:
        wallets_made = opened.custody.make_ready()
        if not opened.custody.chains.states():
            raise NodeUnavailable("the node does not say which block is final; see that it is in sync, then run this again")
        result = {**_result(opened, wallets_made), **_first_admin(opened.custody)}
        show(result, as_json=as_json, text=_text(opened, result))
    if result["api_key"]:
        say(SHOWN_ONCE)
    if opened.key_file_made and not as_json:
        say("Back up the master key file now, apart from the database: without it no wallet opens.")


def _result(opened: Opened, wallets_made: int) -> Resource:
    policies = opened.custody.policies.active()
    return {
        "database": {"made": opened.database_made},
        "key_file": {"path": str(opened.settings.key_file), "made": opened.key_file_made},
        "chains": [chain_text(state.chain_id) for state in opened.custody.chains.states()],
        "policies": {"made": opened.starter_policy is not None, "active": [policy_resource(each) for each in policies]},
        "wallets_ready": {"made": wallets_made, "count": opened.custody.wallets.pool_size()},
    }


def _first_admin(custody: Custody) -> Resource:
    """The admin, and where no key was ever made for them, one that may do everything."""
    admin = custody.users.ensure_admin()
    if admin.role is not Role.ADMIN or admin.disabled_at is not None or custody.api_keys.list(admin.id, limit=1):
        return {"user_id": admin.id, "api_key_id": None, "api_key": None}
    key, secret = custody.api_keys.create(admin.id, name="first admin key", scopes=ROLE_SCOPES[Role.ADMIN])
    return {"user_id": admin.id, "api_key_id": key.id, "api_key": secret}


def _text(opened: Opened, result: Resource) -> str:
    starter = opened.starter_policy
    shown: Any = result
    lines = [
        _line("database", "made" if opened.database_made else "was there"),
        _line("master key", f"{opened.settings.key_file}: {'made, mode 0600' if opened.key_file_made else 'was there'}"),
        _line("chains", ", ".join(shown["chains"])),
        _line("policy", "starter policy published" if starter else "one is in force already"),
        _line("admin", shown["user_id"]),
        _line("API key", shown["api_key"] or "shown when it was made; `custody apikey create --user admin --name …` makes another"),
        _line("wallets", f"{shown['wallets_ready']['count']} ready to be handed out"),
    ]
    if starter:
        lines += [
            "",
            "The starter policy (`custody policy publish FILE` replaces it):",
            json.dumps(dict(starter.document), indent=2),
        ]
    return "\n".join(lines)


def _line(name: str, text: str) -> str:
    return f"{mark(True)} {name.ljust(10)}  {text}"
