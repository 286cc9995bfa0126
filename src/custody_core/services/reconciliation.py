"""Checking the promises on the running system: the books against themselves, the rows against the books, the books against the
chain.

Each check is one invariant of `docs/explanation/promises.md`, by its number, and says what violates it in words that name the
rows. A check that could not be made (the node does not answer) is a violation of its own: "don't know" is not "ok".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef
from custody_core.domain.deposit import DepositState
from custody_core.domain.encoding import MalformedSignature, MalformedTransaction, decode_signed
from custody_core.domain.fees import REPLACEMENT_DENOMINATOR, REPLACEMENT_NUMERATOR
from custody_core.domain.ledger import WALLET_KINDS, Reason
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.recognition import kind_of
from custody_core.domain.resources import chain_text
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.domain.transaction import AttemptState, State, TransactionType
from custody_core.ports import Found
from custody_core.services.books import PAGE, Books, read_books
from custody_core.services.kit import Kit
from custody_core.services.sealing import Audit

VIOLATIONS_MAX = 100
"""How many violations of one check are told; more than that is one broken thing, told often enough."""


@attrs.frozen
class Check:
    """The verdict on one invariant."""

    id: str
    title: str
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing violates it."""
        return not self.violations


@attrs.frozen
class Reconciliation:
    """All verdicts, and the final block of each chain at which the books were compared."""

    checks: tuple[Check, ...]
    blocks: Mapping[int, BlockRef]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


def reconcile(kit: Kit) -> Reconciliation:
    """Runs every check. Reads in one moment of the store; asks the nodes after that."""
    books = kit.read(read_books)
    audit = Audit(kit).verify()
    checks = (
        Check("INV-1", "the books equal the chain at the final block", _cut(_solvency(kit, books))),
        Check("INV-2", "every posting group sums to zero, and balances are the sums of their postings", _cut(_double_entry(books))),
        Check("INV-3", "each final deposit is credited exactly once, in the block that it names", _cut(_credits(books))),
        Check("INV-5", "nothing that an owner holds is below zero", _cut(_non_negative(books))),
        Check("INV-6", "amounts are whole base units below 2^256", _cut(_integers(books))),
        Check("INV-7", "all payment attempts of a transaction are the same payment", _cut(_same_payment(books))),
        Check("INV-9", "nonces are used without a gap, each by one transaction", _cut(_nonces(books))),
        Check("INV-10", "what was sent was stored before", _cut(_write_ahead(books))),
        Check("INV-11", "final states rest on a final block", _cut(_terminal(books))),
        Check("INV-12", "fees are within the hold, and replacements raise both fields enough", _cut(_fees(books))),
        Check("INV-13", "every signed attempt carries its own chain's id", _cut(_chain_binding(books))),
        Check("INV-16", "every nonce rests on one decision that allows", tuple(books.missing_decisions[:VIOLATIONS_MAX])),
        Check("INV-18", "the audit chain follows from its beginning", _audit(audit.first_broken)),
        Check("INV-20", "stored headers form one chain", tuple(books.header_breaks[:VIOLATIONS_MAX])),
    )
    return Reconciliation(checks, books.finals)


def _solvency(kit: Kit, books: Books) -> Iterator[str]:
    for chain_id, wallets in books.totals.items():
        final = books.finals[chain_id]
        chain = kit.chains.get(chain_id)
        if chain is None:
            yield f"{chain_text(chain_id)} is in the books but no node is configured for it"
            continue
        lines = [(wallet, asset, total) for wallet, totals in wallets for asset, total in {NATIVE_ALIAS: 0, **totals}.items()]
        for start in range(0, len(lines), PAGE):
            batch = lines[start : start + PAGE]
            holders = [(wallet.address, None if asset == NATIVE_ALIAS else Address(asset)) for wallet, asset, _ in batch]
            for (wallet, asset, total), answer in zip(batch, chain.balances(holders, final), strict=True):
                if not isinstance(answer, Found):
                    yield f"{chain_text(chain_id)}: the node does not say what {wallet.address} held at block {final.number}"
                elif answer.value != total:
                    yield (
                        f"{chain_text(chain_id)}: {wallet.id} {wallet.address} holds {answer.value} of {asset} at block "
                        f"{final.number}, the books say {total}"
                    )


def _double_entry(books: Books) -> Iterator[str]:
    yield from (f"{name} does not sum to zero" for name in books.unbalanced)
    for account, total in books.sums.items():
        if books.balances[account] != total:
            yield f"{account}: the balance is {books.balances[account]}, its postings sum to {total}"


def _credits(books: Books) -> Iterator[str]:
    yield from books.deposit_blocks_gone
    posted = {reference for reference, reason, _ in books.groups if reason in {Reason.DEPOSIT_CREDITED, Reason.DEPOSIT_QUARANTINED}}
    settled = {each.id for each in books.deposits if each.state in {DepositState.COMPLETED, DepositState.QUARANTINED}}
    yield from (f"{each} is credited without a final deposit" for each in sorted(posted - settled))
    yield from (f"{each} is final and not in the books" for each in sorted(settled - posted))
    for each in books.deposits:
        final = books.finals[each.key.chain_id].number
        if each.id in settled and each.block.number > final:
            yield f"{each.id} is credited at block {each.block.number}, above the final block {final}"
        if each.state is DepositState.CONFIRMING and each.block.number <= final:
            yield f"{each.id} is still confirming below the final block {final}"


def _non_negative(books: Books) -> Iterator[str]:
    for account, balance in books.balances.items():
        if account.kind in WALLET_KINDS and balance < 0:
            yield f"{account} is {balance}"


def _integers(books: Books) -> Iterator[str]:
    amounts = [(each.id, each.amount, each.type == TransactionType.CONTRACT_CALL) for each in books.transactions]
    amounts += [(each.id, each.key.amount, False) for each in books.deposits]
    for id_, amount, may_be_nothing in amounts:
        if type(amount) is not int or not (0 if may_be_nothing else 1) <= amount <= UINT256_MAX:
            yield f"{id_}: {amount!r}"


def _same_payment(books: Books) -> Iterator[str]:
    for each in books.transactions:
        for attempt in each.attempts:
            if attempt.raw is None:
                continue
            try:
                unsigned, *_ = decode_signed(attempt.raw)
            except (MalformedTransaction, MalformedSignature):
                yield f"{attempt.id} of {each.id} holds bytes that are no transaction"
                continue
            if kind_of(unsigned, each) is not attempt.kind:
                yield f"{attempt.id} of {each.id} is not the {attempt.kind} that it should be"


def _nonces(books: Books) -> Iterator[str]:
    lines: dict[tuple[int, str], list[int]] = defaultdict(list)
    for each in books.transactions:
        if each.nonce is not None:
            lines[each.chain_id, each.sender].append(each.nonce)
    for (chain_id, address), nonces in lines.items():
        ordered = sorted(nonces)
        if any(after != before + 1 for before, after in pairwise(ordered)):
            yield f"{chain_text(chain_id)}: {address} used nonces {ordered[0]} … {ordered[-1]} with a gap or twice"


def _write_ahead(books: Books) -> Iterator[str]:
    for each in books.transactions:
        for attempt in each.attempts:
            if attempt.state is not AttemptState.PLANNED and (attempt.raw is None or attempt.hash is None):
                yield f"{attempt.id} of {each.id} is {attempt.state} without its bytes"
        if each.attempts and each.nonce is None:
            yield f"{each.id} has attempts and no nonce"


def _terminal(books: Books) -> Iterator[str]:
    for each in books.transactions:
        on_chain = each.state in {State.COMPLETED, State.REVERTED} or (each.state is State.CANCELLED and each.nonce is not None)
        if on_chain and (each.inclusion is None or each.inclusion.block.number > books.finals[each.chain_id].number):
            yield f"{each.id} is {each.state} without a final block"


def _fees(books: Books) -> Iterator[str]:
    for each in books.transactions:
        for attempt in each.attempts:
            if attempt.fees.max_fee_per_gas_wei > each.fee_cap_wei(attempt.kind):
                yield f"{attempt.id} of {each.id} offers more per gas than was held"
        for before, after in pairwise(each.attempts):
            if AttemptState.FOUND in {before.state, after.state}:
                continue  # planned when the books did not know the other one
            fields = (
                (before.fees.max_fee_per_gas_wei, after.fees.max_fee_per_gas_wei),
                (before.fees.max_priority_fee_per_gas_wei, after.fees.max_priority_fee_per_gas_wei),
            )
            if any(new * REPLACEMENT_DENOMINATOR < old * REPLACEMENT_NUMERATOR for old, new in fields):
                yield f"{after.id} of {each.id} does not raise both fee fields by 12.5 %"


def _chain_binding(books: Books) -> Iterator[str]:
    for each in books.transactions:
        for attempt in each.attempts:
            try:
                bound = attempt.raw is None or decode_signed(attempt.raw)[0].chain_id == each.chain_id
            except (MalformedTransaction, MalformedSignature):
                bound = False
            if not bound:
                yield f"{attempt.id} of {each.id} is not bound to {chain_text(each.chain_id)}"


def _audit(first_broken: int | None) -> tuple[str, ...]:
    return () if first_broken is None else (f"audit row {first_broken} does not follow from the one before it",)


def _cut(violations: Iterator[str]) -> tuple[str, ...]:
    told = []
    for violation in violations:
        told.append(violation)
        if len(told) == VIOLATIONS_MAX:
            break
    return tuple(told)
