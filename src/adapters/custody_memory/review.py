"""Pages for those who check the books or show them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.deposit import Deposit
from custody_core.domain.ledger import Account, AccountKind, PostingGroup, Reason
from custody_core.domain.policy import Policy
from custody_core.domain.suspense import SuspenseMovement
from custody_core.ports import AccountSum, EntryFilter, IdempotencyRecord, RowCounts, SuspenseLine
from custody_memory.tables import Tables


class ReviewRows:
    """The part of a unit that is read page by page. In memory everything is looked through."""

    _tables: Tables

    def row_counts(self) -> RowCounts:
        tables = self._tables
        return RowCounts(
            wallets=len(tables.wallets.rows),
            accounts=len(tables.balances.rows),
            posting_groups=len(tables.groups),
            transactions=len(tables.transactions.rows),
            deposits=len(tables.deposits.rows),
        )

    def accounts_with_sums(self, *, after: int, limit: int) -> Sequence[AccountSum]:
        sums: dict[Account, int] = defaultdict(int)
        for _, group in self._groups():
            for posting in group.postings:
                sums[posting.account] += posting.delta
        page = list(enumerate(self._tables.balances.rows.items(), 1))[after : after + limit]
        return [AccountSum(position, account, balance, sums[account]) for position, (account, balance) in page]

    def causes(self, references: Iterable[str]) -> Mapping[str, Mapping[Reason, int | None]]:
        wanted, found = set(references), defaultdict[str, dict[Reason, int | None]](dict)
        for _, group in self._groups():
            if group.reference in wanted:
                found[group.reference][group.reason] = group.height
        return dict(found)

    def deposits_by_id(self, deposit_ids: Iterable[str]) -> Mapping[str, Deposit]:
        return self._tables.deposits.some(deposit_ids)

    def canonical_hashes(self, chain_id: int, numbers: Iterable[int]) -> Mapping[int, Hash]:
        found = self._tables.headers.some((chain_id, number) for number in numbers)
        return {number: header.hash for (_, number), header in found.items()}

    def used_nonces(self, chain_id: int, *, after: tuple[Address, int], limit: int) -> Sequence[tuple[Address, int]]:
        ours = {
            (each.sender, each.nonce) for each in self._tables.transactions if each.chain_id == chain_id and each.nonce is not None
        }
        theirs = {(use.address, use.nonce) for use in self._tables.settled_foreign_uses if use.chain_id == chain_id}
        return sorted(each for each in ours | theirs if each > after)[:limit]

    def idempotency_after(self, scope: str, key: str, *, limit: int) -> Sequence[IdempotencyRecord]:
        later = sorted(each for each in self._tables.idempotency.rows if each > (scope, key))
        return [self._tables.idempotency.rows[each] for each in later[:limit]]

    def policies_by_id(self, policy_ids: Iterable[str]) -> Mapping[str, Policy]:
        return self._tables.policies.some(policy_ids)

    def suspense(self, *, after: int, limit: int) -> Sequence[SuspenseLine]:
        open_ = [
            (position, account, balance)
            for position, (account, balance) in enumerate(self._tables.balances.rows.items(), 1)
            if account.kind is AccountKind.SUSPENSE and balance and position > after
        ]
        return [SuspenseLine(position, account, balance, self._movements(account)) for position, account, balance in open_[:limit]]

    def booked_from_suspense(self, account: Account) -> int:
        return max(-sum(movement.delta for movement in self._movements(account) if movement.height is None), 0)

    def taken_from_suspense(self, account: Account) -> int:
        reasons = {Reason.SUSPENSE_BOOKED, Reason.SUSPENSE_FILLED, Reason.MOVED_ELSEWHERE}
        groups = [group for _, group in self._groups() if group.reason in reasons]
        return max(-sum(each.delta for group in groups for each in group.postings if each.account == account), 0)

    def first_height(self, account: Account) -> int | None:
        of = (account.chain_id, account.asset, account.wallet_id)
        heights = [
            group.height
            for _, group in self._groups()
            for posting in group.postings
            if group.height is not None and (posting.account.chain_id, posting.account.asset, posting.account.wallet_id) == of
        ]
        return min(heights, default=None)

    def entries(self, wanted: EntryFilter, *, limit: int, before: int | None = None) -> Sequence[tuple[int, PostingGroup]]:
        found = [
            (position, group)
            for position, group in self._groups()
            if (before is None or position < before)
            and (wanted.since is None or group.posted_at >= wanted.since)
            and (wanted.until is None or group.posted_at < wanted.until)
            and any(self._is_wanted(posting.account, wanted) for posting in group.postings)
        ]
        return found[::-1][:limit]

    def sums(self, wallet_id: str, *, before: int | None = None, until: datetime | None = None) -> Mapping[Account, int]:
        sums: dict[Account, int] = defaultdict(int)
        for position, group in self._groups():
            if (before is not None and position >= before) or (until is not None and group.posted_at >= until):
                continue
            for posting in group.postings:
                if posting.account.wallet_id == wallet_id:
                    sums[posting.account] += posting.delta
        return dict(sums)

    def _groups(self) -> Iterator[tuple[int, PostingGroup]]:
        return enumerate(self._tables.groups.after(0, len(self._tables.groups)), 1)

    def _movements(self, account: Account) -> tuple[SuspenseMovement, ...]:
        return tuple(
            SuspenseMovement(posting.delta, group.posted_at, group.height)
            for _, group in self._groups()
            for posting in group.postings
            if posting.account == account
        )

    def _is_wanted(self, account: Account, wanted: EntryFilter) -> bool:
        return (
            (wanted.wallet_id is None or account.wallet_id == wanted.wallet_id)
            and (wanted.chain_id is None or account.chain_id == wanted.chain_id)
            and (wanted.asset is None or account.asset == wanted.asset)
            and (wanted.owner_id is None or self._owner_of_wallet(account.wallet_id) == wanted.owner_id)
        )

    def _owner_of_wallet(self, wallet_id: str | None) -> str | None:
        wallet = self._tables.wallets.get(wallet_id) if wallet_id else None
        return None if wallet is None else wallet.owner_id
