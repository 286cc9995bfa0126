"""The books: groups that are only added to, and the balances that they move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from custody_core.domain.ledger import WALLET_KINDS, Account, PostingGroup, net_by_account
from custody_core.domain.wallet import Wallet
from custody_core.errors import InsufficientFunds
from custody_memory.tables import Tables


class BookRows:
    """The part of a unit that keeps the books."""

    _tables: Tables

    def post(self, groups: Sequence[PostingGroup]) -> None:
        self._tables.mode.require_writable()
        moved = {account: (self.balance(account), delta) for account, delta in net_by_account(groups).items()}
        for account, (balance, delta) in moved.items():
            if account.kind in WALLET_KINDS and balance + delta < 0:
                raise InsufficientFunds(
                    f"the wallet's {account.kind} balance is too low",
                    asset=account.asset,
                    available=str(balance),
                    required=str(-delta),
                )
        for group in groups:
            self._tables.group_by_cause.add((group.reference, group.reason), len(self._tables.groups) + 1)
            self._tables.groups.append(group)
        for account, (balance, delta) in moved.items():
            self._tables.balances.put(account, balance + delta)

    def balance(self, account: Account) -> int:
        return self._tables.balances.rows.get(account, 0)

    def balances_of(self, accounts: Iterable[Account]) -> Mapping[Account, int]:
        return {account: self.balance(account) for account in accounts}

    def balances(self, wallet_id: str) -> Mapping[Account, int]:
        return {account: balance for account, balance in self._tables.balances.rows.items() if account.wallet_id == wallet_id}

    def wallet_totals(self, chain_id: int, *, after_wallet_id: str, limit: int) -> Sequence[tuple[Wallet, Mapping[str, int]]]:
        page = sorted(wallet_id for wallet_id in self._tables.wallets.rows if wallet_id > after_wallet_id)[:limit]
        totals: dict[str, dict[str, int]] = {wallet_id: defaultdict(int) for wallet_id in page}
        for account, balance in self._tables.balances.rows.items():
            if account.chain_id == chain_id and account.wallet_id in totals:
                totals[account.wallet_id][account.asset] += balance
        return [(self._tables.wallets.rows[wallet_id], dict(totals[wallet_id])) for wallet_id in page]

    def posting_groups(self, *, after: int, limit: int) -> Sequence[tuple[int, PostingGroup]]:
        return list(enumerate(self._tables.groups.after(after, limit), start=after + 1))
