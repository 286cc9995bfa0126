"""The books against themselves, and against the deposits that they credit: INV-2 to INV-5."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from custody_core.domain.chain import BlockRef
from custody_core.domain.deposit import Deposit, DepositState
from custody_core.domain.ledger import WALLET_KINDS, AccountKind, PostingGroup, Reason
from custody_core.domain.money import UINT256_MAX
from custody_core.ports import EVERY_MOVEMENT, AccountSum, RowCounts, Unit
from custody_core.services.verdicts.verdict import Progress, Verdicts

PAGE = 500

_CREDITS = frozenset({Reason.DEPOSIT_CREDITED, Reason.DEPOSIT_QUARANTINED})
_DEPOSITS = _CREDITS | {Reason.DEPOSIT_RELEASED}
_SETTLED = frozenset({DepositState.COMPLETED, DepositState.QUARANTINED})

Finals = Mapping[int, BlockRef]
"""Chain id → its final block."""


def check_groups(unit: Unit, verdicts: Verdicts, progress: Progress, finals: Finals) -> None:
    """Every posting group, in order."""
    position = 0
    while page := unit.posting_groups(after=position, limit=PAGE):
        position = page[-1][0]
        groups = [group for _, group in page]
        deposits = unit.deposits_by_id([group.reference for group in groups if group.reason in _DEPOSITS])
        for group in groups:
            verdicts.add("INV-2", _unbalanced(group))
            if group.reason in _DEPOSITS:
                verdicts.add("INV-3", _uncaused(group, deposits.get(group.reference)))
                verdicts.add("INV-4", _early_credit(group, deposits.get(group.reference)))
            verdicts.add("INV-4", _early(group, finals))
        progress.add(len(page))


def check_accounts(unit: Unit, verdicts: Verdicts, progress: Progress) -> None:
    """Every account against its postings."""
    position = 0
    while page := unit.accounts_with_sums(after=position, limit=PAGE):
        position = page[-1].position
        for each in page:
            verdicts.add("INV-2", _differs(each))
            if each.account.kind in WALLET_KINDS and each.balance < 0:
                verdicts.add("INV-5", [f"{each.account} is {each.balance}"])
        progress.add(len(page))


def check_deposits(unit: Unit, verdicts: Verdicts, progress: Progress, finals: Finals) -> None:
    """Every deposit against the books and against our chain."""
    before: str | None = None
    while page := unit.deposits(EVERY_MOVEMENT, limit=PAGE, before_id=before):
        before = page[-1].id
        causes = unit.causes([each.id for each in page])
        numbers: dict[int, set[int]] = defaultdict(set)
        for each in page:
            numbers[each.key.chain_id].add(each.block.number)
        hashes = {chain_id: unit.canonical_hashes(chain_id, wanted) for chain_id, wanted in numbers.items()}
        for each in page:
            canonical = hashes[each.key.chain_id].get(each.block.number)
            verdicts.add("INV-3", _uncredited(each, causes.get(each.id, {}), canonical))
            verdicts.add("INV-3", _misplaced(each, finals))
            if type(each.key.amount) is not int or not 1 <= each.key.amount <= UINT256_MAX:
                verdicts.add("INV-6", [f"{each.id}: {each.key.amount!r}"])
        progress.add(len(page))


def rows_of(counts: RowCounts) -> int:
    """How many rows these checks read."""
    return counts.posting_groups + counts.accounts + counts.deposits


def _unbalanced(group: PostingGroup) -> Iterator[str]:
    sums: dict[str, int] = defaultdict(int)
    for posting in group.postings:
        sums[posting.account.asset] += posting.delta
    if any(sums.values()):
        yield f"{group.reference}/{group.reason} does not sum to zero"


def _differs(each: AccountSum) -> Iterator[str]:
    if each.balance != each.postings_sum:
        yield f"{each.account}: the balance is {each.balance}, its postings sum to {each.postings_sum}"


def _uncaused(group: PostingGroup, deposit: Deposit | None) -> Iterator[str]:
    if deposit is None or deposit.state not in _SETTLED:
        yield f"{group.reference} is credited without a final deposit"
    elif _to_wallet(group) != deposit.key.amount:
        yield f"{group.reference} is of {deposit.key.amount} and credited with {_to_wallet(group)}"


def _early_credit(group: PostingGroup, deposit: Deposit | None) -> Iterator[str]:
    makes_available = any(posting.account.kind is AccountKind.AVAILABLE and posting.delta > 0 for posting in group.postings)
    if makes_available and (deposit is None or deposit.state is not DepositState.COMPLETED):
        yield f"{group.reference} is available and its deposit is {deposit.state if deposit else 'unknown'}"


def _early(group: PostingGroup, finals: Finals) -> Iterator[str]:
    final = finals.get(group.chain_id)
    if group.height is not None and (final is None or group.height > final.number):
        yield f"{group.reference}/{group.reason} is posted at block {group.height}, which is not final"


def _uncredited(deposit: Deposit, causes: Mapping[Reason, int | None], canonical: str | None) -> Iterator[str]:
    credits_ = [height for reason, height in causes.items() if reason in _CREDITS]
    if deposit.state in _SETTLED and not credits_:
        yield f"{deposit.id} is final and not in the books"
    if len(credits_) > 1:
        yield f"{deposit.id} is in the books {len(credits_)} times"
    if any(height != deposit.block.number for height in credits_):
        yield f"{deposit.id} of block {deposit.block.number} is credited at another height"
    if deposit.state is not DepositState.ORPHANED and canonical != deposit.block.hash:
        yield f"{deposit.id} names block {deposit.block.number} {deposit.block.hash}, which is not in our chain"


def _misplaced(deposit: Deposit, finals: Finals) -> Iterator[str]:
    final, number = finals[deposit.key.chain_id].number, deposit.block.number
    if deposit.state in _SETTLED and number > final:
        yield f"{deposit.id} is credited at block {number}, above the final block {final}"
    if deposit.state is DepositState.CONFIRMING and number <= final:
        yield f"{deposit.id} is still confirming below the final block {final}"


def _to_wallet(group: PostingGroup) -> int:
    """What the group brings the wallet: into one of its accounts, from wherever."""
    gained: Sequence[int] = [
        posting.delta for posting in group.postings if posting.delta > 0 and posting.account.kind in WALLET_KINDS
    ]
    return sum(gained)
