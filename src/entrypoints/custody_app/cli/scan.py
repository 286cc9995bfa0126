"""`custody scan`: how far each chain is read, and reading blocks again."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import click

from custody_app.cli.chain import reorganisation_text
from custody_app.cli.opening import books, books_and_nodes, chain_number
from custody_app.cli.output import BarObserver, fields, json_option, show, table
from custody_core import Custody, ValidationFailed
from custody_core.domain.resources import chain_text
from custody_core.services.resources import chain_resource
from custody_core.services.scans import LeftOut, Scan, scan_resource

_RANGE = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", re.ASCII)
_MEASURED_S = 1.0
"""For so long the rate is measured, while a chain is behind."""


@click.group("scan")
def command() -> None:
    """See how far each chain is read and how fast; read blocks again."""


@command.command("status")
@json_option
def status(as_json: bool) -> None:
    """Show for each chain its head, how far it is read and how fast, what is final, who reads it, what halts it, and the last
    reorganisation; and what a rescan that ended early has left out. The rate is measured, for a second, where a chain is behind."""
    with books() as custody:
        left_out = [_left_out(each, several=len(custody.chain_ids) > 1) for each in custody.scans.unfinished()]
        chains = [_with_rate(custody, each) for each in _chains(custody)]
    chains = [{**chain, "unfinished_rescans": [each for each in left_out if each["chain"] == chain["id"]]} for chain in chains]
    rows = [
        [
            each["id"],
            each["head"],
            each["followed"]["number"],
            each["final"]["number"],
            each["lag_blocks"],
            each["blocks_per_second"],
            each["seconds_left"],
            "yes" if each["led"] else "nobody",
            each["halted_reason"],
            reorganisation_text(each),
        ]
        for each in chains
    ]
    heads = ["chain", "head", "read to", "final", "lag", "blocks/s", "s left", "read now", "halted", "last reorganisation"]
    text = table(heads, rows, nothing="no chain is followed yet; `custody init` begins")
    show({"data": chains}, as_json=as_json, text="\n".join([text, *map(_unfinished_text, left_out)]))


@command.command("rescan")
@click.argument("what", metavar="FROM-TO|HASH")
@click.option("--chain", metavar="eip155:ID", help="which chain, where several are followed")
@json_option
def rescan(what: str, chain: str | None, as_json: bool) -> None:
    """Read blocks again that were followed, and take in what the books do not have of them: deposits of a token that was listed
    later, or what contracts paid while the node offered no traces. FROM-TO is a range of blocks, or one of them; HASH is that of a
    block, or of a transaction. What is in the books is not changed, so doing it twice is doing it once.
    """
    chain_id, observer = chain_number(chain), BarObserver(sys.stderr)
    with books_and_nodes(observer) as custody:
        try:
            scan = _rescanned(custody, what, chain_id)
        finally:
            observer.clear()
    resource = scan_resource(scan)
    show(resource, as_json=as_json, text=_text(resource))


@command.command("abandon")
@click.option("--chain", metavar="eip155:ID", help="which chain, where several are followed")
@json_option
def abandon(chain: str | None, as_json: bool) -> None:
    """Give up the blocks that a rescan which ended early has left out, where no node can show them any more. The comparison with
    the chain, which waits for them, then judges the books as they are.
    """
    chain_id = chain_number(chain)
    with books() as custody:
        given_up = [{"from": each.first, "to": each.last} for each in custody.scans.abandon(chain_id=chain_id)]
    told = ", ".join(f"{each['from']}-{each['to']}" for each in given_up)
    show({"given_up": given_up}, as_json=as_json, text=f"given up: blocks {told}" if told else "there was nothing to give up")


def _left_out(each: LeftOut, *, several: bool) -> dict[str, Any]:
    chain = chain_text(each.chain_id)
    command = f"custody scan rescan {each.first}-{each.last}" + (f" --chain {chain}" if several else "")
    return {"chain": chain, "from": each.first, "to": each.last, "command": command}


def _unfinished_text(each: dict[str, Any]) -> str:
    return (
        f"\na rescan of {each['chain']} has not come to blocks {each['from']} to {each['to']}, and comparisons with the chain wait "
        f"for them. Unless it runs now: `{each['command']}`"
    )


def _rescanned(custody: Custody, what: str, chain_id: int | None) -> Scan:
    if what.startswith("0x"):
        return custody.scans.rescan_hash(what, chain_id=chain_id)
    match = _RANGE.fullmatch(what)
    if match is None:
        raise ValidationFailed("say which blocks: 1200-1300, or 1200, or a hash of 0x and 64 digits", pointer="/from")
    return custody.scans.rescan(int(match[1]), int(match[2]) if match[2] else None, chain_id=chain_id)


def _text(scan: dict[str, Any]) -> str:
    blocks = f"{scan['from']} to {scan['to']}" if scan["blocks"] > 1 else scan["from"]
    found = {
        "chain": scan["chain"],
        "blocks": blocks,
        "deposits": [f"{each['id']} ({each['state']})" for each in scan["deposits"]],
        "sends": scan["transactions"],
        "outflows": scan["outflows"] or None,
    }
    text = fields({name: ", ".join(value) or None if isinstance(value, list) else value for name, value in found.items()})
    if not any(found[name] for name in ("deposits", "sends", "outflows")):
        text += "\n\nnothing was missing"
    if scan["untraced_blocks"]:
        text += f"\n\nwhat contracts paid in {scan['untraced_blocks']} of these blocks is not known: no node tells it. "
        text += "Set RPC_URL to one with trace_block or debug_traceBlockByHash, and read them again"
    return text


def _chains(custody: Custody) -> list[dict[str, Any]]:
    return [chain_resource(each) for each in custody.chains.list()]


def _with_rate(custody: Custody, chain: dict[str, Any]) -> dict[str, Any]:
    """The chain, with its rate as far as it is behind and somebody reads it."""
    rate: float | None = None
    if chain["led"] and chain["lag_blocks"]:
        before, began = chain["followed"]["number"], time.monotonic()
        time.sleep(_MEASURED_S)
        chain = next((each for each in _chains(custody) if each["id"] == chain["id"]), chain)
        rate = round((chain["followed"]["number"] - before) / (time.monotonic() - began), 1)
    left = round(chain["lag_blocks"] / rate) if rate and chain["lag_blocks"] is not None else None
    return {**chain, "blocks_per_second": rate, "seconds_left": left}
