"""Reading everything that reconciliation checks, in one moment of the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import attrs

from custody_core.domain.chain import BlockRef
from custody_core.domain.deposit import Deposit, DepositState
from custody_core.domain.ledger import Account, Reason
from custody_core.domain.policy import Verdict
from custody_core.domain.resources import chain_text
from custody_core.domain.transaction import Transaction
from custody_core.domain.wallet import Wallet
from custody_core.ports import EVERY_MOVEMENT, Unit

PAGE = 200

T = TypeVar("T", Transaction, Deposit)


@attrs.frozen
class Books:
    """Everything that is checked, read in one moment."""

    groups: Sequence[tuple[str, Reason, int | None]]
    sums: Mapping[Account, int]
    unbalanced: Sequence[str]
    balances: Mapping[Account, int]
    transactions: Sequence[Transaction]
    deposits: Sequence[Deposit]
    missing_decisions: Sequence[str]
    header_breaks: Sequence[str]
    deposit_blocks_gone: Sequence[str]
    finals: Mapping[int, BlockRef]
    totals: Mapping[int, Sequence[tuple[Wallet, Mapping[str, int]]]]


def read_books(unit: Unit) -> Books:
    sums: dict[Account, int] = defaultdict(int)
    groups: list[tuple[str, Reason, int | None]] = []
    unbalanced: list[str] = []
    position = 0
    while page := unit.posting_groups(after=position, limit=PAGE):
        for position, group in page:  # noqa: B007 - the last position is where the next page begins
            groups.append((group.reference, group.reason, group.height))
            by_asset: dict[str, int] = defaultdict(int)
            for posting in group.postings:
                sums[posting.account] += posting.delta
                by_asset[posting.account.asset] += posting.delta
            if any(by_asset.values()):
                unbalanced.append(f"{group.reference}/{group.reason}")
    transactions = list(_pages(lambda before: unit.transactions(EVERY_MOVEMENT, limit=PAGE, before_id=before)))
    deposits = list(_pages(lambda before: unit.deposits(EVERY_MOVEMENT, limit=PAGE, before_id=before)))
    chains = unit.chains()
    headers = {each.chain_id: unit.headers(each.chain_id, first=each.start.number, last=each.cursor.number) for each in chains}
    hashes = {(chain_id, header.number): header.hash for chain_id, line in headers.items() for header in line}
    return Books(
        groups=groups,
        sums=sums,
        unbalanced=unbalanced,
        balances=unit.balances_of(sums),
        transactions=transactions,
        deposits=deposits,
        missing_decisions=_without_decision(unit, transactions),
        header_breaks=[
            f"{chain_text(chain_id)}: block {after.number} does not follow from block {before.number}"
            for chain_id, line in headers.items()
            for before, after in pairwise(line)
            if after.parent_hash != before.hash or after.number != before.number + 1
        ],
        deposit_blocks_gone=[
            f"{each.id} names block {each.block.number} {each.block.hash}, which is not in our chain"
            for each in deposits
            if each.state is not DepositState.ORPHANED and hashes.get((each.key.chain_id, each.block.number)) != each.block.hash
        ],
        finals={each.chain_id: each.final for each in chains},
        totals={each.chain_id: list(_all_totals(unit, each.chain_id)) for each in chains},
    )


def _pages(page: Callable[[str | None], Sequence[T]]) -> Iterator[T]:
    before: str | None = None
    while rows := page(before):
        yield from rows
        before = rows[-1].id


def _all_totals(unit: Unit, chain_id: int) -> Iterator[tuple[Wallet, Mapping[str, int]]]:
    after = ""
    while rows := unit.wallet_totals(chain_id, after_wallet_id=after, limit=PAGE):
        yield from rows
        after = rows[-1][0].id


def _without_decision(unit: Unit, transactions: Sequence[Transaction]) -> list[str]:
    reserved = [each for each in transactions if each.nonce is not None]
    decisions = unit.decisions([each.decision_id for each in reserved if each.decision_id])
    missing = []
    for each in reserved:
        decision = decisions.get(each.decision_id or "")
        covers = decision and decision.evaluation.verdict is Verdict.ALLOW and decision.nonce == each.nonce
        if not covers or decision is None or decision.transaction_id != each.id:
            missing.append(f"{each.id} holds nonce {each.nonce} without a decision that allows it")
    return missing
