"""The books: groups that are only added to, and the balances that they move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import Row, select

from custody_core.domain.ledger import WALLET_KINDS, Account, Posting, PostingGroup, net_by_account
from custody_core.domain.wallet import Wallet
from custody_core.errors import InsufficientFunds
from custody_sql.rows.books import group_row, new_account_row, posting_rows, to_account, to_group
from custody_sql.rows.wallets import to_wallet
from custody_sql.session import Session
from custody_sql.sets import keyed_update
from custody_sql.tables import accounts, posting_groups, postings, wallets

_SET_BALANCE = keyed_update(accounts, ("balance",))


@attrs.frozen
class _Stored:
    """An account's row."""

    id: int
    balance: int


class BookRows:
    """The part of a unit that keeps the books."""

    _session: Session

    def post(self, groups: Sequence[PostingGroup]) -> None:
        net = net_by_account(groups)
        stored = self._find_accounts(net, lock=True)
        for account, delta in net.items():
            balance = stored[account].balance if account in stored else 0
            if account.kind in WALLET_KINDS and balance + delta < 0:
                raise InsufficientFunds(
                    f"the wallet's {account.kind} balance is too low",
                    asset=account.asset,
                    available=str(balance),
                    required=str(-delta),
                )
        if new := [new_account_row(account) for account in net if account not in stored]:
            self._session.write(self._session.insert(accounts).on_conflict_do_nothing(), new)
            stored = self._find_accounts(net, lock=True)
            if net.keys() - stored.keys():  # the insert met another row's key (a sequence behind its table): not ours to write over
                self._session.refuse()
        ids = {account: row.id for account, row in stored.items()}
        self._session.add(posting_groups, [group_row(group) for group in groups])
        self._session.add(postings, [row for group in groups for row in posting_rows(group, ids)])
        moved = [{"row_key": stored[account].id, "balance": stored[account].balance + net[account]} for account in net]
        self._session.write_set(_SET_BALANCE, sorted(moved, key=lambda row: row["row_key"]))

    def balance(self, account: Account) -> int:
        of_wallet = accounts.c.wallet_id.is_(None) if account.wallet_id is None else accounts.c.wallet_id == account.wallet_id
        query = select(accounts.c.balance).where(
            of_wallet,
            accounts.c.chain_id == account.chain_id,
            accounts.c.asset == account.asset,
            accounts.c.kind == account.kind.value,
        )
        row = self._session.row(query)
        return row.balance if row else 0

    def balances_of(self, accounts_: Iterable[Account]) -> Mapping[Account, int]:
        wanted = list(accounts_)
        return dict.fromkeys(wanted, 0) | {account: row.balance for account, row in self._find_accounts(wanted, lock=False).items()}

    def balances(self, wallet_id: str) -> Mapping[Account, int]:
        rows = self._session.rows(select(accounts).where(accounts.c.wallet_id == wallet_id))
        return {to_account(row): row.balance for row in rows}

    def wallet_totals(self, chain_id: int, *, after_wallet_id: str, limit: int) -> Sequence[tuple[Wallet, Mapping[str, int]]]:
        query = select(wallets).where(wallets.c.id > after_wallet_id).order_by(wallets.c.id).limit(limit)
        page = [to_wallet(row) for row in self._session.rows(query)]
        totals: dict[str, dict[str, int]] = {wallet.id: defaultdict(int) for wallet in page}
        on_chain = select(accounts.c.wallet_id, accounts.c.asset, accounts.c.balance).where(accounts.c.chain_id == chain_id)
        for row in self._session.rows_in(on_chain, accounts.c.wallet_id, totals):
            totals[row.wallet_id][row.asset] += row.balance
        return [(wallet, dict(totals[wallet.id])) for wallet in page]

    def posting_groups(self, *, after: int, limit: int) -> Sequence[tuple[int, PostingGroup]]:
        position = posting_groups.c.position
        rows = self._session.rows(select(posting_groups).where(position > after).order_by(position).limit(limit))
        of = self._postings(after, rows[-1].position) if rows else {}
        return [(row.position, to_group(row, of[row.position])) for row in rows]

    def _postings(self, after: int, last: int) -> Mapping[int, Sequence[Posting]]:
        position = posting_groups.c.position
        of_group = (postings.c.reference == posting_groups.c.reference) & (postings.c.reason == posting_groups.c.reason)
        query = (
            select(position, postings.c.delta, accounts)
            .select_from(postings.join(posting_groups, of_group).join(accounts, accounts.c.id == postings.c.account_id))
            .where(position > after, position <= last)
            .order_by(position, postings.c.ordinal)
        )
        found: dict[int, list[Posting]] = defaultdict(list)
        for row in self._session.rows(query):
            found[row.position].append(Posting(to_account(row), row.delta))
        return found

    def _find_accounts(self, wanted: Collection[Account], *, lock: bool) -> dict[Account, _Stored]:
        """The stored ones of `wanted`; when locked then until the commit, by id so that two units never wait for each other in a
        circle."""
        chain_ids = sorted({account.chain_id for account in wanted})
        assets = sorted({account.asset for account in wanted})
        wallet_ids = sorted({account.wallet_id for account in wanted if account.wallet_id is not None})
        system_kinds = sorted({account.kind.value for account in wanted if account.wallet_id is None})
        query = select(accounts).where(accounts.c.chain_id.in_(chain_ids), accounts.c.asset.in_(assets)).order_by(accounts.c.id)
        if lock:
            self._session.require_writable()
            query = query.with_for_update()
        rows: list[Row[Any]] = list(self._session.rows_in(query, accounts.c.wallet_id, wallet_ids))
        if system_kinds:  # every wallet's money meets there: a unit that moves nothing of it does not wait for those that do
            rows += self._session.rows(query.where(accounts.c.wallet_id.is_(None), accounts.c.kind.in_(system_kinds)))
        found = {to_account(row): _Stored(row.id, row.balance) for row in rows}
        return {account: found[account] for account in wanted if account in found}
