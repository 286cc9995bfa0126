"""Accounts, posting groups and postings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row

from custody_core.domain.ledger import Account, AccountKind, Posting, PostingGroup, Reason


def new_account_row(account: Account) -> dict[str, Any]:
    return {
        "chain_id": account.chain_id,
        "asset": account.asset,
        "kind": account.kind.value,
        "wallet_id": account.wallet_id,
        "balance": 0,
    }


def to_account(row: Row[Any]) -> Account:
    return Account(row.chain_id, row.asset, AccountKind(row.kind), row.wallet_id)


def group_row(group: PostingGroup) -> dict[str, Any]:
    return {
        "chain_id": group.chain_id,
        "reference": group.reference,
        "reason": group.reason.value,
        "posted_at": group.posted_at,
        "height": group.height,
    }


def posting_rows(group: PostingGroup, account_ids: dict[Account, int]) -> Iterable[dict[str, Any]]:
    for ordinal, posting in enumerate(group.postings):
        yield {
            "reference": group.reference,
            "reason": group.reason.value,
            "ordinal": ordinal,
            "account_id": account_ids[posting.account],
            "delta": posting.delta,
        }


def to_group(row: Row[Any], postings: Sequence[Posting]) -> PostingGroup:
    return PostingGroup(
        chain_id=row.chain_id,
        reference=row.reference,
        reason=Reason(row.reason),
        posted_at=row.posted_at,
        height=row.height,
        postings=tuple(postings),
    )
