"""`custody wallet`: create, look at, freeze."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import click

from custody_app.cli.opening import books, books_and_nodes
from custody_app.cli.output import fields, json_option, say, show, table
from custody_app.cli.resources import wallet_with_balances
from custody_core.domain.money import format_units
from custody_core.domain.resources import Resource, wallet_resource


@click.group("wallet")
def command() -> None:
    """Create, look at, freeze wallets."""


@command.command("create")
@click.option("--owner", required=True, metavar="NAME", help="whose it is: a name of your own for them, or a user's id (usr_…)")
@click.option("--label", metavar="TEXT", help="what its owner calls it")
@click.option("--external-id", metavar="ID", help="your own id for it, unique per owner")
@click.option("--idempotency-key", metavar="KEY", help="the same key gives the same wallet; one is made up if left out")
@json_option
def create(owner: str, label: str | None, external_id: str | None, idempotency_key: str | None, as_json: bool) -> None:
    """Give an owner a wallet, from those made ahead."""
    with books() as custody:
        # An empty key is not a missing one, and is refused: one made up in its place would make another wallet at each retry.
        key = _made_up_key() if idempotency_key is None else idempotency_key
        wallet = custody.wallets.create(owner=owner, idempotency_key=key, label=label, external_id=external_id)
    resource = wallet_resource(wallet)
    show(resource, as_json=as_json, text=_wallet_text(resource))


@command.command("list")
@click.option("--owner", "owner_id", metavar="USR", help="only this user's (usr_…)")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="how many at most")
@click.option("--before", "before_id", metavar="WALLET", help="only those made before this one: the next page")
@json_option
def list_(owner_id: str | None, limit: int, before_id: str | None, as_json: bool) -> None:
    """List wallets, newest first."""
    with books() as custody:
        wallets = [wallet_resource(each) for each in custody.wallets.list(owner_id=owner_id, limit=limit, before_id=before_id)]
    rows = [[each["id"], each["address"], each["owner"], each["state"], each["label"]] for each in wallets]
    text = table(
        ["wallet", "address", "owner", "state", "label"], rows, nothing="no wallets yet; `custody wallet create` makes one"
    )
    show({"data": wallets}, as_json=as_json, text=text)


@command.command("show")
@click.argument("wallet")
@click.option("--live", is_flag=True, help="ask the node as well, and show what it says beside the books")
@json_option
def show_(wallet: str, live: bool, as_json: bool) -> None:
    """Show a wallet with its balances. WALLET is its id."""
    with books_and_nodes() if live else books() as custody:
        resource = wallet_with_balances(custody, wallet, live=live)
    balances: Any = resource["balances"]
    show(resource, as_json=as_json, text=f"{_wallet_text(resource)}\n\n{_balances_text(balances, live=live)}")


@command.command("freeze")
@click.argument("wallet")
@click.option("--reason", required=True, metavar="TEXT", help="why; shown to whoever wants to send")
@json_option
def freeze(wallet: str, reason: str, as_json: bool) -> None:
    """Stop a wallet from sending. It still receives."""
    with books() as custody:
        resource = wallet_resource(custody.wallets.freeze(wallet, reason=reason))
    show(resource, as_json=as_json, text=_wallet_text(resource))


@command.command("unfreeze")
@click.argument("wallet")
@json_option
def unfreeze(wallet: str, as_json: bool) -> None:
    """Let a frozen wallet send again."""
    with books() as custody:
        resource = wallet_resource(custody.wallets.unfreeze(wallet))
    show(resource, as_json=as_json, text=_wallet_text(resource))


def _made_up_key() -> str:
    key = f"cli-{secrets.token_hex(8)}"
    say(f"idempotency key {key}: give it again with --idempotency-key, should this have to be repeated")
    return key


def _wallet_text(wallet: Resource) -> str:
    return fields(
        {
            "wallet": wallet["id"],
            "address": wallet["address"],
            "owner": wallet["owner"],
            "label": wallet["label"],
            "state": wallet["state"],
            "reason": wallet["reason"],
            "frozen by": wallet["frozen_by"],
            "external id": wallet["external_id"],
            "created": wallet["created_at"],
        }
    )


def _balances_text(balances: Sequence[Mapping[str, Any]], *, live: bool) -> str:
    heads = ["chain", "asset", "available", "reserved", "pending in", "quarantined", "at block", *(["node says"] if live else [])]
    rows = [_balance_row(each, live=live) for each in balances]
    return table(heads, rows, nothing="no chain is followed yet; `custody init` begins")


def _balance_row(balance: Mapping[str, Any], *, live: bool) -> list[object]:
    amounts = [
        format_units(int(balance[name]), balance["decimals"]) for name in ("available", "reserved", "pending_in", "quarantined")
    ]
    seen = balance["on_chain"]
    live_cell = [f"{format_units(int(seen['amount']), balance['decimals'])} at {seen['block']['number']}" if seen else None]
    return [balance["chain"], balance["asset"], *amounts, balance["as_of_block"]["number"], *(live_cell if live else [])]
