"""`custody token`: which token contracts count."""

from __future__ import annotations

from typing import Any

import click

from custody_app.cli.opening import books, chain_number, settings_now
from custody_app.cli.output import fields, json_option, show, table
from custody_core import Custody, NotFound, ValidationFailed
from custody_core.domain.money import parse_base_units
from custody_core.domain.resources import Resource, chain_text, token_resource


@click.group("token")
def command() -> None:
    """Say which token contracts count. An unlisted token never becomes a balance."""


@command.command("add")
@click.argument("address")
@click.option("--alias", required=True, help="what amounts and policies call it, such as usdc")
@click.option("--decimals", required=True, type=int, help="its decimals, from its issuer; never read again from the contract")
@click.option("--chain", metavar="eip155:ID", help="which chain, where several are followed")
@click.option("--symbol", default="", help="for display")
@click.option("--name", default="", help="for display")
@click.option("--dust", metavar="UNITS", help="deposits of fewer base units are quarantined; none by default")
@json_option
def add(
    address: str, alias: str, decimals: int, chain: str | None, symbol: str, name: str, dust: str | None, as_json: bool
) -> None:
    """List the ERC-20 contract at ADDRESS, and say how to find what came before. Listing it again the same way changes nothing, but
    for another --dust.
    """
    chain_id, threshold = chain_number(chain) or _only_chain(), None if dust is None else _units(dust)
    with books() as custody:
        known = {each.id for each in custody.tokens.list(chain_id=chain_id)}
        token = custody.tokens.add(
            chain_id=chain_id, address=address, alias=alias, decimals=decimals, symbol=symbol, name=name, dust=threshold
        )
        rescan = None if token.id in known else _rescan(custody, chain_id)
    resource = token_resource(token)
    text = f"{_text(resource)}\n\nnext, to find what came before it was listed: `{rescan}`" if rescan else _text(resource)
    show({**resource, "next": rescan} if rescan else resource, as_json=as_json, text=text)


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all tokens that were ever listed."""
    with books() as custody:
        tokens = [token_resource(token) for token in custody.tokens.list()]
    rows = [[each["id"], each["chain"], each["alias"], each["address"], each["decimals"], each["state"]] for each in tokens]
    text = table(["token", "chain", "alias", "address", "decimals", "state"], rows, nothing="no tokens are listed")
    show({"data": tokens}, as_json=as_json, text=text)


@command.command("disable")
@click.argument("token")
@json_option
def disable(token: str, as_json: bool) -> None:
    """Stop sends of a token; it keeps its history. TOKEN is its id, or its alias where only one chain has it."""
    with books() as custody:
        resource = token_resource(custody.tokens.disable(_token_id(custody, token)))
    show(resource, as_json=as_json, text=_text(resource))


def _rescan(custody: Custody, chain_id: int) -> str | None:
    """The command that reads everything again that was followed; None where nothing was."""
    state = next((each for each in custody.chains.states() if each.chain_id == chain_id), None)
    if state is None or state.cursor.number <= state.start.number:
        return None
    of_chain = f" --chain {chain_text(chain_id)}" if len(custody.chain_ids) > 1 else ""
    return f"custody scan rescan {state.start.number + 1}-{state.cursor.number}{of_chain}"


def _units(text: str) -> int:
    return parse_base_units(text, pointer="/dust", minimum=0)


def _only_chain() -> int:
    chains = settings_now().chains
    if len(chains) != 1:
        raise ValidationFailed("say which chain the token is on: --chain eip155:…", pointer="/chain")
    return chains[0].chain_id


def _token_id(custody: Custody, named: str) -> str:
    matching = [token.id for token in custody.tokens.list() if named in {token.id, token.asset.alias}]
    if len(matching) != 1:
        raise NotFound("no such token, or several; give the id that `custody token list` shows")
    return matching[0]


def _text(resource: Resource) -> str:
    token: Any = resource
    return fields(
        {
            "token": token["id"],
            "chain": token["chain"],
            "alias": token["alias"],
            "address": token["address"],
            "decimals": token["decimals"],
            "dust": token["dust"] if token["dust"] != "0" else None,
            "state": token["state"],
        }
    )
