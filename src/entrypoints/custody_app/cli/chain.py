"""`custody chain`: how far each chain is followed, and letting a halted one go on, or believing it after a restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from custody_app.cli.opening import books, chain_number
from custody_app.cli.output import json_option, show, table
from custody_core import ChainState, NotFound
from custody_core.domain.resources import wallet_resource
from custody_core.services.chains import ChainStatus
from custody_core.services.resources import chain_resource


@click.group("chain")
def command() -> None:
    """See how far each chain is followed; resume a halted one; believe it after a restore."""


@command.command("status")
@json_option
def status(as_json: bool) -> None:
    """Show each followed chain: its node's head, how far we are, what is final, and what halts it."""
    with books() as custody:
        chains: list[Any] = [chain_resource(each) for each in custody.chains.list()]
    rows = [
        [
            each["id"],
            each["name"],
            each["head"],
            each["followed"]["number"],
            each["final"]["number"],
            each["lag_blocks"],
            each["halted_reason"],
            reorganisation_text(each),
        ]
        for each in chains
    ]
    heads = ["chain", "name", "head", "followed", "final", "lag", "halted", "last reorganisation"]
    show({"data": chains}, as_json=as_json, text=table(heads, rows, nothing="no chain is followed yet; `custody init` begins"))


def reorganisation_text(chain: Mapping[str, Any]) -> str | None:
    """The last one of a chain's resource: how deep, down to which block, when."""
    last = chain["last_reorganisation"]
    return last and f"{last['depth']} above {last['to']['number']}, {last['found_at']}"


@command.command("resume")
@click.argument("chain")
@json_option
def resume(chain: str, as_json: bool) -> None:
    """Let a halted chain go on, once its node shows the final block of our books again. CHAIN is eip155:ID."""
    chain_id = chain_number(chain)
    if chain_id is None:
        raise NotFound("no such chain")
    with books() as custody:
        resumed: ChainState = custody.chains.resume(chain_id)
        resource = chain_resource(ChainStatus(resumed, custody.chains.name(chain_id), None))
    show(resource, as_json=as_json, text=f"{resource['id']} goes on from block {resumed.cursor.number}")


@command.command("adopt")
@click.argument("chain")
@json_option
def adopt(chain: str, as_json: bool) -> None:
    """Take the chain's word for wallets that were stopped because a node knew more of them than the database, as after the
    database was restored from a backup: their next nonce is after those that are used, and they may send again. CHAIN is eip155:ID.

    What they had queued was rejected, since it may have been paid. First see what was sent in the time that the database does not
    know (`custody wallet show`, and the chain): a payment that is asked for again is paid again.
    """
    chain_id = chain_number(chain)
    if chain_id is None:
        raise NotFound("no such chain")
    with books() as custody:
        adopted = [wallet_resource(wallet) for wallet in custody.chains.adopt(chain_id)]
    rows = [[each["id"], each["address"], each["owner"]] for each in adopted]
    show({"data": adopted}, as_json=as_json, text=table(["wallet", "address", "owner"], rows, nothing="no wallet was stopped"))
