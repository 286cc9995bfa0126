"""`custody tx`: look at transactions, wait for one, take one back. Sending is in `send.py`."""

from __future__ import annotations

import click

from custody_app.cli import send
from custody_app.cli.exits import exit_code_of_state
from custody_app.cli.opening import books, moment
from custody_app.cli.output import json_option, show, table
from custody_app.cli.resources import heads_of, movement_with_attempts
from custody_app.cli.waiting import timeout_option, wait_for
from custody_core.domain.money import parse_base_units
from custody_core.domain.transaction import State
from custody_core.services.resources import movement_resource
from custody_core.services.transactions import WAITABLE


@click.group("tx")
def command() -> None:
    """Send, and follow transactions of both directions."""


command.add_command(send.preview)
command.add_command(send.send)


@command.command("list")
@click.option("--wallet", "wallet_id", metavar="WALLET", help="only this wallet's")
@click.option("--direction", type=click.Choice(["outgoing", "incoming"]), help="only these")
@click.option("--state", metavar="STATE", help="only those in this state")
@click.option("--asset", metavar="ALIAS", help="only those of this asset: eth, or a token's alias")
@click.option("--external-id", metavar="TEXT", help="only the one that was sent under this id of yours")
@click.option("--since", metavar="TIME", help="only those recorded at this time or later, as in 2027-01-31T00:00:00Z")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="how many at most")
@click.option("--before", "before_id", metavar="TXN", help="only those older than this one: the next page")
@json_option
def list_(
    wallet_id: str | None,
    direction: str | None,
    state: str | None,
    asset: str | None,
    external_id: str | None,
    since: str | None,
    limit: int,
    before_id: str | None,
    as_json: bool,
) -> None:
    """List transactions, newest first."""
    with books() as custody:
        heads = heads_of(custody)
        found = custody.transactions.list(
            wallet_id=wallet_id,
            direction=direction,
            state=state,
            asset=asset,
            external_id=external_id,
            created_since=moment(since, pointer="/since"),
            limit=limit,
            before_id=before_id,
        )
        resources = [movement_resource(each, heads) for each in found]
    rows = [
        [each["id"], each["direction"], each["state"], f"{each['formatted']} {each['asset']}", each["to"], each["created_at"]]
        for each in resources
    ]
    heads_shown = ["transaction", "direction", "state", "amount", "to", "created"]
    show({"data": resources}, as_json=as_json, text=table(heads_shown, rows, nothing="no transactions"))


@command.command("show")
@click.argument("transaction")
@json_option
def show_(transaction: str, as_json: bool) -> None:
    """Show a transaction of either direction; an outgoing one with its attempts."""
    with books() as custody:
        resource = movement_with_attempts(custody.transactions.get(transaction), heads_of(custody))
    show(resource, as_json=as_json, text=send.movement_text(resource))


@command.command("wait")
@click.argument("transaction")
@click.option(
    "--until", type=click.Choice(WAITABLE), default="completed", show_default=True, help="how far; any final state ends it"
)
@timeout_option
@json_option
def wait(transaction: str, until: str, timeout_s: float, as_json: bool) -> int:
    """Wait for an outgoing transaction. The scanner carries it; this only looks."""
    with books() as custody:
        reached = wait_for(custody, transaction, until=until, timeout_s=timeout_s)
        resource = movement_resource(reached, heads_of(custody))
    show(resource, as_json=as_json, text=send.movement_text(resource))
    return exit_code_of_state(reached.state)


@command.command("cancel")
@click.argument("transaction")
@click.option("--fee-per-gas-max-wei", "fee_cap", metavar="WEI", help="lets the cancellation pay more per gas than the payment may")
@json_option
def cancel(transaction: str, fee_cap: str | None, as_json: bool) -> None:
    """Take an outgoing transaction back: at once before it has a nonce, else by a cancellation that races it."""
    cap = None if fee_cap is None else parse_base_units(fee_cap, pointer="/fee/fee_per_gas_max_wei")
    with books() as custody:
        cancelled = custody.transactions.cancel(transaction, fee_per_gas_max_wei=cap)
        resource = movement_resource(cancelled, heads_of(custody))
    text = send.movement_text(resource)
    if cancelled.state is not State.CANCELLED:
        text += "\n\nA cancellation is on its way; whichever is mined first decides. `custody tx wait` tells which."
    show(resource, as_json=as_json, text=text)


@command.command("speed-up")
@click.argument("transaction")
@json_option
def speed_up(transaction: str, as_json: bool) -> None:
    """Have an outgoing transaction mined sooner: its next attempt comes at once and pays more, within its own cap."""
    with books() as custody:
        hurried = custody.transactions.speed_up(transaction)
        resource = movement_resource(hurried, heads_of(custody))
    text = f"{send.movement_text(resource)}\n\nA dearer attempt follows; `custody tx show` lists them."
    show(resource, as_json=as_json, text=text)


@command.command("release")
@click.argument("transaction")
@click.option("--note", required=True, help="why it is theirs, for the audit trail")
@json_option
def release(transaction: str, note: str, as_json: bool) -> None:
    """Give a quarantined deposit to its owner, who can spend it from then on. `reason` says why it was put aside."""
    with books() as custody:
        resource = movement_resource(custody.transactions.release(transaction, note=note), heads_of(custody))
    show(resource, as_json=as_json, text=send.movement_text(resource))
