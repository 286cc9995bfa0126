"""Pages for those who check the books or show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select, tuple_, union

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.deposit import Deposit
from custody_core.domain.ledger import Account, Posting, PostingGroup, Reason
from custody_core.domain.policy import Policy
from custody_core.domain.suspense import SuspenseMovement
from custody_core.ports import AccountSum, EntryFilter, IdempotencyRecord, RowCounts, SuspenseLine
from custody_sql.rows.books import to_account, to_group
from custody_sql.rows.deposits import to_deposit
from custody_sql.rows.records import to_idempotency, to_policy
from custody_sql.session import Session
from custody_sql.tables import (
    IS_CANONICAL,
    IS_SUSPENSE,
    accounts,
    deposits,
    foreign_uses,
    headers,
    idempotency_keys,
    policies,
    posting_groups,
    postings,
    transactions,
    wallets,
)

_OF_GROUP = (postings.c.reference == posting_groups.c.reference) & (postings.c.reason == posting_groups.c.reason)
_OF_ACCOUNT = postings.c.account_id == accounts.c.id

_BY_OPERATORS: Final = (Reason.SUSPENSE_BOOKED, Reason.SUSPENSE_FILLED)


class ReviewRows:
    """The part of a unit that is read page by page."""

    _session: Session

    def row_counts(self) -> RowCounts:
        tables = {
            "wallets": wallets,
            "accounts": accounts,
            "posting_groups": posting_groups,
            "transactions": transactions,
            "deposits": deposits,
        }
        counted = {name: self._session.row(select(func.count()).select_from(table)) for name, table in tables.items()}
        return RowCounts(**{name: int(row[0]) if row else 0 for name, row in counted.items()})

    def accounts_with_sums(self, *, after: int, limit: int) -> Sequence[AccountSum]:
        query = select(accounts).where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)
        page = self._session.rows(query)
        if not page:
            return []
        # A stream, for the world's account has a posting of everybody's; amounts are never added up in SQL.
        sums: dict[int, int] = defaultdict(int)
        of_page = select(postings.c.account_id, postings.c.delta).where(postings.c.account_id.between(page[0].id, page[-1].id))
        for row in self._session.stream(of_page):
            sums[row.account_id] += row.delta
        return [AccountSum(row.id, to_account(row), row.balance, sums[row.id]) for row in page]

    def causes(self, references: Iterable[str]) -> Mapping[str, Mapping[Reason, int | None]]:
        columns = select(posting_groups.c.reference, posting_groups.c.reason, posting_groups.c.height)
        found: dict[str, dict[Reason, int | None]] = defaultdict(dict)
        for row in self._session.rows_in(columns, posting_groups.c.reference, references):
            found[row.reference][Reason(row.reason)] = row.height
        return dict(found)

    def deposits_by_id(self, deposit_ids: Iterable[str]) -> Mapping[str, Deposit]:
        return {row.id: to_deposit(row) for row in self._session.rows_in(select(deposits), deposits.c.id, deposit_ids)}

    def canonical_hashes(self, chain_id: int, numbers: Iterable[int]) -> Mapping[int, Hash]:
        query = select(headers.c.number, headers.c.hash).where(headers.c.chain_id == chain_id, IS_CANONICAL)
        return {row.number: Hash(row.hash) for row in self._session.rows_in(query, headers.c.number, numbers)}

    def used_nonces(self, chain_id: int, *, after: tuple[Address, int], limit: int) -> Sequence[tuple[Address, int]]:
        own, foreign = (transactions.c.sender, transactions.c.nonce), (foreign_uses.c.address, foreign_uses.c.nonce)
        ours = select(*own).where(
            transactions.c.chain_id == chain_id, transactions.c.nonce.is_not(None), tuple_(*own) > tuple_(*after)
        )
        theirs = select(*foreign).where(
            foreign_uses.c.chain_id == chain_id, foreign_uses.c.settled, tuple_(*foreign) > tuple_(*after)
        )
        first = (each.order_by(*columns).limit(limit).subquery() for each, columns in ((ours, own), (theirs, foreign)))
        used = union(*(select(each) for each in first))
        query = used.order_by(*used.selected_columns).limit(limit)
        return [(Address(row.sender), row.nonce) for row in self._session.rows(query)]

    def idempotency_after(self, scope: str, key: str, *, limit: int) -> Sequence[IdempotencyRecord]:
        columns = (idempotency_keys.c.scope, idempotency_keys.c.key)
        query = select(idempotency_keys).where(tuple_(*columns) > tuple_(scope, key)).order_by(*columns).limit(limit)
        return [to_idempotency(row) for row in self._session.rows(query)]

    def policies_by_id(self, policy_ids: Iterable[str]) -> Mapping[str, Policy]:
        return {row.id: to_policy(row) for row in self._session.rows_in(select(policies), policies.c.id, policy_ids)}

    def suspense(self, *, after: int, limit: int) -> Sequence[SuspenseLine]:
        # Those at zero are few: an account is made only when something was found.
        query = select(accounts).where(IS_SUSPENSE, accounts.c.balance != 0, accounts.c.id > after)
        page = self._session.rows(query.order_by(accounts.c.id).limit(limit))
        movements: dict[int, list[SuspenseMovement]] = defaultdict(list)
        columns = select(postings.c.account_id, postings.c.delta, posting_groups.c.posted_at, posting_groups.c.height)
        of_page = columns.select_from(postings.join(posting_groups, _OF_GROUP)).order_by(posting_groups.c.position)
        for row in self._session.rows_in(of_page, postings.c.account_id, [row.id for row in page]):
            movements[row.account_id].append(SuspenseMovement(row.delta, row.posted_at, row.height))
        return [SuspenseLine(row.id, to_account(row), row.balance, tuple(movements[row.id])) for row in page]

    def booked_from_suspense(self, account: Account) -> int:
        return self._gone_from_suspense(account, _BY_OPERATORS)

    def taken_from_suspense(self, account: Account) -> int:
        return self._gone_from_suspense(account, [*_BY_OPERATORS, Reason.MOVED_ELSEWHERE])

    def _gone_from_suspense(self, account: Account, reasons: Sequence[Reason]) -> int:
        query = select(postings.c.delta).select_from(accounts.join(postings, _OF_ACCOUNT)).where(IS_SUSPENSE, *_in_asset(account))
        rows = self._session.rows(query.where(postings.c.reason.in_(reasons)))
        return max(-sum(int(row.delta) for row in rows), 0)

    def first_height(self, account: Account) -> int | None:
        query = (
            select(func.min(posting_groups.c.height))
            .select_from(accounts.join(postings, _OF_ACCOUNT).join(posting_groups, _OF_GROUP))
            .where(*_in_asset(account))
        )
        row = self._session.row(query)
        return row[0] if row else None

    def entries(self, wanted: EntryFilter, *, limit: int, before: int | None = None) -> Sequence[tuple[int, PostingGroup]]:
        position = posting_groups.c.position
        query = select(position).order_by(position.desc()).limit(limit)
        if before is not None:
            query = query.where(position < before)
        if wanted.since is not None:
            query = query.where(posting_groups.c.posted_at >= wanted.since)
        if wanted.until is not None:
            query = query.where(posting_groups.c.posted_at < wanted.until)
        positions = [row.position for row in self._session.rows(_touching(query, wanted))]
        groups = self._groups_at(positions)
        return [(each, groups[each]) for each in positions]

    def sums(self, wallet_id: str, *, before: int | None = None, until: datetime | None = None) -> Mapping[Account, int]:
        query = select(postings.c.account_id, postings.c.delta).select_from(
            accounts.join(postings, _OF_ACCOUNT).join(posting_groups, _OF_GROUP)
        )
        query = query.where(accounts.c.wallet_id == wallet_id)
        if before is not None:
            query = query.where(posting_groups.c.position < before)
        if until is not None:
            query = query.where(posting_groups.c.posted_at < until)
        sums: dict[int, int] = defaultdict(int)
        for row in self._session.stream(query):
            sums[row.account_id] += row.delta
        of_wallet = self._session.rows(select(accounts).where(accounts.c.wallet_id == wallet_id))
        return {to_account(row): sums[row.id] for row in of_wallet if row.id in sums}

    def _groups_at(self, positions: Sequence[int]) -> Mapping[int, PostingGroup]:
        position = posting_groups.c.position
        lines: dict[int, list[Posting]] = defaultdict(list)
        of_groups = (
            select(position, postings.c.delta, accounts)
            .select_from(postings.join(posting_groups, _OF_GROUP).join(accounts, _OF_ACCOUNT))
            .order_by(position, postings.c.ordinal)
        )
        for row in self._session.rows_in(of_groups, position, positions):
            lines[row.position].append(Posting(to_account(row), row.delta))
        rows = self._session.rows_in(select(posting_groups), position, positions)
        return {row.position: to_group(row, lines[row.position]) for row in rows}


def _touching(query: Select[Any], wanted: EntryFilter) -> Select[Any]:
    """`query`, of the groups that have a posting to an account that is wanted."""
    conditions = []
    if wanted.wallet_id is not None:
        conditions.append(accounts.c.wallet_id == wanted.wallet_id)
    if wanted.chain_id is not None:
        conditions.append(accounts.c.chain_id == wanted.chain_id)
    if wanted.asset is not None:
        conditions.append(accounts.c.asset == wanted.asset)
    if wanted.owner_id is not None:
        conditions.append(accounts.c.wallet_id.in_(select(wallets.c.id).where(wallets.c.owner_id == wanted.owner_id)))
    if not conditions:
        return query
    touched = query.select_from(accounts.join(postings, _OF_ACCOUNT).join(posting_groups, _OF_GROUP))
    return touched.where(*conditions).distinct()


def _in_asset(account: Account) -> Sequence[ColumnElement[bool]]:
    """All accounts of that wallet in that asset."""
    return [
        accounts.c.wallet_id == account.wallet_id,
        accounts.c.chain_id == account.chain_id,
        accounts.c.asset == account.asset,
    ]
