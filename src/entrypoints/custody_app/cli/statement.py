"""`custody statement`: what moved in a wallet's books."""

from __future__ import annotations

import sys

import click

from custody_app.cli.opening import books, moment
from custody_app.cli.output import json_option, show
from custody_core.domain.money import format_units
from custody_core.domain.resources import time_text
from custody_core.services.book_resources import statement_csv, statement_resource
from custody_core.services.statements import AssetStatement, Statement


@click.command("statement")
@click.argument("wallet")
@click.option(
    "--from", "since", metavar="TIME", help="where the period begins, as in 2027-01-31T00:00:00Z; with the wallet by default"
)
@click.option("--to", "until", metavar="TIME", help="the moment before which it ends; now by default")
@click.option("--csv", "as_csv", is_flag=True, help="print CSV")
@json_option
def command(wallet: str, since: str | None, until: str | None, as_csv: bool, as_json: bool) -> None:
    """Print what moved in WALLET, with opening and closing balances and control totals."""
    with books() as custody:
        found = custody.statements.of(wallet, since=moment(since, pointer="/from"), until=moment(until, pointer="/to"))
    if as_csv and not as_json:
        sys.stdout.write(statement_csv(found))
        return
    show(statement_resource(found), as_json=as_json, text=_text(found))


def _text(found: Statement) -> str:
    head = f"{found.wallet.id} {found.wallet.address}\nfrom {time_text(found.since)} to {time_text(found.until)}"
    return "\n".join([head, *(_of_asset(each) for each in found.assets)] if found.assets else [head, "", "nothing was ever posted"])


def _of_asset(each: AssetStatement) -> str:
    decimals, alias = each.asset.decimals, each.asset.alias

    def shown(amount: int) -> str:
        return f"{format_units(amount, decimals)} {alias}"

    lines = ["", f"opening  {shown(each.opening.total)}"]
    for line in each.movements:
        at, reason = time_text(line.group.posted_at), str(line.group.reason)
        lines.append(f"  {at}  {reason.ljust(20)}  {shown(line.change.total)}  {line.group.reference}")
    control = "which is the sum" if each.difference == 0 else f"which is {shown(each.difference)} off the sum"
    return "\n".join([*lines, f"closing  {shown(each.closing.total)}, {control} of {len(each.movements)} entries"])
