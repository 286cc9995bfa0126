"""The public form of what the books show, by the rules of `domain/resources.py`; and a statement as CSV (RFC 4180)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from custody_core.domain.ledger import Posting
from custody_core.domain.money import format_units
from custody_core.domain.resources import Resource, chain_text, time_text
from custody_core.domain.tokens import Asset
from custody_core.services.statements import AssetStatement, Entry, Holding, Movement, Statement
from custody_core.services.suspense import Unexplained

STATEMENT_COLUMNS = (
    "row",
    "posted_at",
    "wallet_id",
    "chain",
    "asset",
    "asset_id",
    "decimals",
    "reason",
    "reference",
    "height",
    "amount",
    "available_change",
    "reserved_change",
    "quarantined_change",
    "balance",
)
"""The columns of a statement's CSV. `row` is `opening`, `movement`, `closing` or `control`; amounts are base units."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_QUOTED = re.compile(r'[",\r\n]')
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def unexplained_resource(line: Unexplained) -> Resource:
    """One line of suspense."""
    return {
        "wallet_id": line.wallet.id,
        "address": line.wallet.address,
        "owner": line.wallet.owner_id,
        **_asset_fields(line.asset),
        "amount": str(line.amount),
        "formatted": format_units(line.amount, line.asset.decimals),
        "since": time_text(line.since),
        "height": line.height,
    }


def entry_resource(entry: Entry) -> Resource:
    """One posting group."""
    group = entry.group
    return {
        "id": f"{group.reference}/{group.reason}",
        "chain": chain_text(group.chain_id),
        "reason": str(group.reason),
        "reference": group.reference,
        "height": group.height,
        "posted_at": time_text(group.posted_at),
        "postings": [
            _posting(posting, entry.assets[posting.account.chain_id, posting.account.asset]) for posting in entry.postings
        ],
    }


def movement_line(movement: Movement, asset: Asset) -> Resource:
    """One change of what is held for an owner, and the balance after it."""
    group = movement.group
    return {
        "posted_at": time_text(group.posted_at),
        "reason": str(group.reason),
        "reference": group.reference,
        "height": group.height,
        "amount": str(movement.change.total),
        "formatted": format_units(movement.change.total, asset.decimals),
        "changes": _holding(movement.change),
        "balance": _balance(movement.balance),
    }


def statement_resource(statement: Statement) -> Resource:
    """A statement, with its control totals: opening and movements make the closing balance, or `difference` is not zero."""
    return {
        "wallet_id": statement.wallet.id,
        "address": statement.wallet.address,
        "from": time_text(statement.since),
        "to": time_text(statement.until),
        "assets": [
            {
                **_asset_fields(each.asset),
                "opening": _balance(each.opening),
                "closing": _balance(each.closing),
                "control": _control(each),
                "entries": [movement_line(movement, each.asset) for movement in each.movements],
            }
            for each in statement.assets
        ],
    }


def statement_csv(statement: Statement) -> str:
    """A statement as CSV with a header line. No cell begins as a formula does, whatever its text was."""
    lines = [",".join(STATEMENT_COLUMNS)]
    for each in statement.assets:
        of_asset = {"wallet_id": statement.wallet.id, **_asset_fields(each.asset)}
        for row in _csv_rows(statement, each):
            filled = {**of_asset, **row}
            lines.append(",".join(_cell(filled.get(name)) for name in STATEMENT_COLUMNS))
    return "".join(f"{line}\r\n" for line in lines)


def _csv_rows(statement: Statement, each: AssetStatement) -> Iterator[Resource]:
    yield {"row": "opening", "posted_at": time_text(statement.since), "balance": each.opening.total}
    for movement in each.movements:
        group, change = movement.group, movement.change
        yield {
            "row": "movement",
            "posted_at": time_text(group.posted_at),
            "reason": str(group.reason),
            "reference": group.reference,
            "height": group.height,
            "amount": change.total,
            "available_change": change.available,
            "reserved_change": change.reserved,
            "quarantined_change": change.quarantined,
            "balance": movement.balance.total,
        }
    yield {"row": "closing", "posted_at": time_text(statement.until), "balance": each.closing.total}
    total = sum(movement.change.total for movement in each.movements)
    yield {"row": "control", "reason": f"{len(each.movements)} entries", "amount": total, "balance": each.difference}


def _control(each: AssetStatement) -> Resource:
    return {
        "entries": len(each.movements),
        "sum": str(sum(movement.change.total for movement in each.movements)),
        "difference": str(each.difference),
    }


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    if text.startswith(_BEGINS_FORMULA) and _WHOLE_NUMBER.fullmatch(text) is None:
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _posting(posting: Posting, asset: Asset) -> Resource:
    return {
        "account": str(posting.account.kind),
        "wallet_id": posting.account.wallet_id,
        "asset": asset.alias,
        "asset_id": asset.caip19,
        "decimals": asset.decimals,
        "amount": str(posting.delta),
        "formatted": format_units(posting.delta, asset.decimals),
    }


def _asset_fields(asset: Asset) -> Resource:
    return {
        "chain": chain_text(asset.chain_id),
        "asset": asset.alias,
        "asset_id": asset.caip19,
        "decimals": asset.decimals,
    }


def _balance(holding: Holding) -> Resource:
    return {"total": str(holding.total), **_holding(holding)}


def _holding(holding: Holding) -> Resource:
    return {
        "available": str(holding.available),
        "reserved": str(holding.reserved),
        "quarantined": str(holding.quarantined),
    }
