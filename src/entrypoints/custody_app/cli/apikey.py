"""`custody apikey`: the secrets by which programs use the HTTP facade."""

from __future__ import annotations

import click

from custody_app.cli.opening import books, moment
from custody_app.cli.output import fields, json_option, say, show, table
from custody_core import ApiKey, Scope
from custody_core.domain.access import ROLE_SCOPES
from custody_core.domain.resources import api_key_resource

SHOWN_ONCE = "The API key is shown this once and kept nowhere: store it now."


@click.group("apikey")
def command() -> None:
    """Make, list, revoke API keys. A key acts for its user, and can do no more than the user's role allows."""


@command.command("create")
@click.option("--user", required=True, metavar="NAME", help="whom it acts for: a name of your own for them, or a user's id (usr_…)")
@click.option("--name", required=True, metavar="TEXT", help="what it is for, so that it can be told from others")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    type=click.Choice([str(scope) for scope in Scope]),
    help="what it may do, such as wallets:read; may be given several times; all that the user's role allows where it is left out",
)
@click.option("--expires-at", metavar="TIME", help="when it ends, as in 2027-01-31T00:00:00Z; never where it is left out")
@json_option
def create(user: str, name: str, scopes: tuple[str, ...], expires_at: str | None, as_json: bool) -> None:
    """Make an API key. Its secret is printed this once."""
    expiry = moment(expires_at, pointer="/expires_at")
    with books() as custody:
        owner = custody.wallets.owner_named(user)
        key, secret = custody.api_keys.create(owner.id, name=name, scopes=scopes or ROLE_SCOPES[owner.role], expires_at=expiry)
    show({**api_key_resource(key), "secret": secret}, as_json=as_json, text=f"{_text(key)}\nsecret   {secret}")
    say(SHOWN_ONCE)


@command.command("list")
@click.option("--user", metavar="NAME", help="only this user's: a local user's name, or an id (usr_…)")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="how many at most")
@click.option("--before", "before_id", metavar="KEY", help="only those made before this one: the next page")
@json_option
def list_(user: str | None, limit: int, before_id: str | None, as_json: bool) -> None:
    """List API keys, newest first, revoked ones too. Their secrets are kept nowhere."""
    with books() as custody:
        user_id = None if user is None else custody.users.named(user).id
        keys = custody.api_keys.list(user_id, limit=limit, before_id=before_id)
    shown = [api_key_resource(each) for each in keys]
    rows = [[each["id"], each["user_id"], each["name"], each["expires_at"], each["revoked_at"]] for each in shown]
    text = table(["key", "user", "name", "expires", "revoked"], rows, nothing="no API keys yet; `custody apikey create` makes one")
    show({"data": shown}, as_json=as_json, text=text)


@command.command("revoke")
@click.argument("key")
@json_option
def revoke(key: str, as_json: bool) -> None:
    """End an API key, for good. KEY is its id (key_…)."""
    with books() as custody:
        revoked = custody.api_keys.revoke(key)
    show(api_key_resource(revoked), as_json=as_json, text=_text(revoked))


def _text(key: ApiKey) -> str:
    resource = api_key_resource(key)
    return fields(
        {
            "key": key.id,
            "user": key.user_id,
            "name": key.name,
            "may": ", ".join(sorted(key.scopes)),
            "expires": resource["expires_at"],
            "revoked": resource["revoked_at"],
            "created": resource["created_at"],
        }
    )
