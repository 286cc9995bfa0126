"""`custody suspense`: what an address holds and nothing explains."""

from __future__ import annotations

from collections.abc import Iterator

import click

from custody_app.cli.amounts import base_units, read_amount
from custody_app.cli.opening import books, chain_number
from custody_app.cli.output import json_option, show, table
from custody_core import Custody, UnsupportedAsset
from custody_core.domain.money import ETHER_DECIMALS
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.services.book_resources import unexplained_resource
from custody_core.services.suspense import Unexplained

_PAGE = 200


@click.group("suspense")
def command() -> None:
    """See what an address holds, or lacks, and nothing explains; give it to its owner, or take it from them."""


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List what is in suspense, with the wallet, and since when. A negative amount is missing from the address."""
    with books() as custody:
        lines = [unexplained_resource(line) for line in _all(custody)]
    heads = ["wallet", "owner", "chain", "asset", "amount", "since", "height"]
    rows = [
        [each["wallet_id"], each["owner"], each["chain"], each["asset"], each["formatted"], each["since"], each["height"]]
        for each in lines
    ]
    show({"data": lines}, as_json=as_json, text=table(heads, rows, nothing="nothing is in suspense"))


@command.command("book")
@click.argument("wallet")
@click.argument("amount")
@click.option("--to", "target", type=click.Choice(["available"]), help="give what is in suspense: the owner can spend it")
@click.option("--from", "source", type=click.Choice(["available"]), help="fill what is missing: the owner has so much less")
@click.option("--note", required=True, help="why it is theirs, or theirs to bear, for the audit trail")
@click.option("--asset", help="which asset, where the amount is in base units; ether by default")
@click.option("--chain", metavar="eip155:ID", help="which chain, where several are followed")
@json_option
def book(
    wallet: str, amount: str, target: str | None, source: str | None, note: str, asset: str | None, chain: str | None, as_json: bool
) -> None:
    """Give AMOUNT of what is in WALLET's suspense to its owner; or, where suspense is below zero, take AMOUNT from what the owner
    has available to fill it. Look first whether a scan of its block explains it.
    """
    if (target is None) == (source is None):
        raise click.UsageError("say either --to available or --from available")
    typed, chain_id = read_amount(amount), chain_number(chain)
    with books() as custody:
        alias, units = base_units(typed, asset=asset, decimals_of=lambda name: _decimals(custody, name))
        move = custody.suspense.book if target else custody.suspense.fill
        left = move(wallet, asset=alias, amount=units, note=note, chain_id=chain_id)
    answer = {
        "wallet_id": wallet,
        "asset": alias,
        "amount": str(units),
        **({"to": target} if target else {"from": source}),
        "left_in_suspense": str(left),
    }
    done = "is available to" if target else "was taken from what is available to"
    show(answer, as_json=as_json, text=f"{units} {alias} {done} the owner of {wallet}; {left} is left in suspense")


def _all(custody: Custody) -> Iterator[Unexplained]:
    after = 0
    while page := custody.suspense.list(limit=_PAGE, after=after):
        yield from page
        after = page[-1].position


def _decimals(custody: Custody, alias: str) -> int:
    if alias == NATIVE_ALIAS:
        return ETHER_DECIMALS
    found = {token.asset.decimals for token in custody.tokens.list() if token.asset.alias == alias}
    if len(found) != 1:
        raise UnsupportedAsset("no token has this alias, or tokens of several chains; give base units and --asset")
    return found.pop()
