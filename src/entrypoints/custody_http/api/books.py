"""The books: entries, statements, how a balance came to be, and the latest verdicts on all of it."""

from __future__ import annotations

from custody_core.domain.access import Scope
from custody_core.services.book_resources import entry_resource, movement_line, statement_csv, statement_resource
from custody_http import schemas
from custody_http.parse import read_chain, read_moment
from custody_http.registry import Call, KeyRule, Reach, Reply, Route, Text, page


def entries(call: Call) -> Reply:
    query: schemas.LedgerEntriesQuery = call.query
    return page(
        call,
        lambda limit, before: call.custody.statements.entries(
            owner_id=call.owner,
            wallet_id=query.wallet_id,
            chain_id=read_chain(query.chain),
            asset=query.asset,
            since=read_moment(query.since, pointer="/from"),
            until=read_moment(query.until, pointer="/to"),
            limit=limit,
            before=int(before) if before else None,
        ),
        position=lambda entry: str(entry.position),
        show=entry_resource,
    )


def statement(call: Call) -> Reply:
    """JSON, or CSV where `format` or the `Accept` header asks for it."""
    query: schemas.StatementQuery = call.query
    found = call.custody.statements.of(
        query.wallet_id,
        since=read_moment(query.since, pointer="/from"),
        until=read_moment(query.until, pointer="/to"),
        owner_id=call.owner,
    )
    if query.format == "csv" or (query.format is None and call.prefers_csv):
        name = f"statement-{found.wallet.id}.csv"
        return Reply(
            {}, headers={"Content-Disposition": f'attachment; filename="{name}"'}, text=Text(statement_csv(found), "text/csv")
        )
    return Reply(statement_resource(found))


def history(call: Call) -> Reply:
    query: schemas.BalanceHistoryQuery = call.query
    wallet_id, chain_id = call.ids["wallet_id"], read_chain(query.chain)
    asset, _ = call.custody.statements.history(wallet_id, asset=query.asset, chain_id=chain_id, owner_id=call.owner, limit=1)
    return page(
        call,
        lambda limit, before: call.custody.statements.history(
            wallet_id,
            asset=query.asset,
            chain_id=chain_id,
            owner_id=call.owner,
            limit=limit,
            before=int(before) if before else None,
        )[1],
        position=lambda movement: str(movement.position),
        show=lambda movement: movement_line(movement, asset),
    )


def latest(call: Call) -> Reply:
    return Reply(call.custody.latest_reconciliation())


ROUTES = (
    Route(
        method="GET",
        path="/ledger-entries",
        summary="List what was posted to the books, newest first",
        access=Scope.TRANSACTIONS_READ,
        reach=Reach.OWNER,
        query=schemas.LedgerEntriesQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=entries,
    ),
    Route(
        method="GET",
        path="/statements",
        summary="Show what moved in a wallet within a period, with opening and closing balances, as JSON or CSV",
        access=Scope.TRANSACTIONS_READ,
        reach=Reach.OWNER,
        query=schemas.StatementQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=statement,
    ),
    Route(
        method="GET",
        path="/wallets/<wallet_id>/balance-history",
        summary="Show how a wallet's balance in an asset changed, newest first",
        access=Scope.WALLETS_READ,
        reach=Reach.OWNER,
        query=schemas.BalanceHistoryQuery,
        body=None,
        key=KeyRule.IGNORED,
        answer=history,
    ),
    Route(
        method="GET",
        path="/reconciliations/latest",
        summary="Show the verdicts of the last reconciliation",
        access=Scope.AUDIT_READ,
        reach=Reach.EVERY_OWNER,
        query=schemas.Nothing,
        body=None,
        key=KeyRule.IGNORED,
        answer=latest,
    ),
)
