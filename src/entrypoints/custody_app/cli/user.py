"""`custody user`: who there is, and what each may do."""

from __future__ import annotations

import click

from custody_app.cli.opening import books
from custody_app.cli.output import fields, json_option, show, table
from custody_core import Role, User
from custody_core.domain.access import ROLE_SCOPES
from custody_core.domain.resources import user_resource


@click.group("user")
def command() -> None:
    """See who there is, and say what each may do. USER is a user's id (usr_…), or the name of a local user."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="how many at most")
@click.option("--before", "before_id", metavar="USR", help="only those made before this one: the next page")
@json_option
def list_(limit: int, before_id: str | None, as_json: bool) -> None:
    """List users, newest first."""
    with books() as custody:
        users = custody.users.list(limit=limit, before_id=before_id)
    rows = [[each.id, each.issuer, each.subject, each.role, "disabled" if each.disabled_at else "enabled"] for each in users]
    text = table(["user", "issuer", "name", "role", "state"], rows, nothing="no users yet; `custody init` makes an admin")
    show({"data": [user_resource(each) for each in users]}, as_json=as_json, text=text)


@command.command("show")
@click.argument("user")
@json_option
def show_(user: str, as_json: bool) -> None:
    """Show a user, and what the role allows."""
    with books() as custody:
        found = custody.users.named(user)
    _show(found, as_json=as_json)


@command.command("set-role")
@click.argument("user")
@click.argument("role", type=click.Choice([str(role) for role in Role]))
@json_option
def set_role(user: str, role: str, as_json: bool) -> None:
    """Give a user another role. Their API keys can do no more than it allows, from the next request on."""
    with books() as custody:
        changed = custody.users.set_role(custody.users.named(user).id, role)
    _show(changed, as_json=as_json)


@command.command("disable")
@click.argument("user")
@json_option
def disable(user: str, as_json: bool) -> None:
    """Stop a user: their API keys end, and what they asked for and has no nonce yet is rejected. Deposits still arrive."""
    with books() as custody:
        changed = custody.users.disable(custody.users.named(user).id)
    _show(changed, as_json=as_json)


@command.command("enable")
@click.argument("user")
@json_option
def enable(user: str, as_json: bool) -> None:
    """Let a disabled user go on. Their API keys work again; revoke those that should not."""
    with books() as custody:
        changed = custody.users.enable(custody.users.named(user).id)
    _show(changed, as_json=as_json)


def _show(user: User, *, as_json: bool) -> None:
    resource = user_resource(user)
    text = fields(
        {
            "user": user.id,
            "issuer": user.issuer,
            "name": user.subject,
            "role": user.role,
            "may": ", ".join(sorted(ROLE_SCOPES[user.role])),
            "disabled": resource["disabled_at"],
            "created": resource["created_at"],
        }
    )
    show(resource, as_json=as_json, text=text)
