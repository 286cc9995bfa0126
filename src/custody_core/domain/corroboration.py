"""What two nodes have to agree about before a block is final.

Rules of this file

1. Two nodes, each asked alone, show the very block, and in it what our books say of it: the same payments to us, no more and no
   fewer, the same outcome of each transaction of ours, and the same that left us unasked. What a node shows beyond our books is
   missed as much as what it denies.
2. What is compared is the movement of value itself. A receipt alone would not do: it tells neither a transaction's value nor its
   recipient, and the node that invented those may quote the hash of a real transaction.
3. A node that does not have the block, or does not tell all of it, is late. Only one that shows something else contradicts.
4. What contracts paid, only traces tell. Not every node has them, so they are compared where a large deposit rests on them, and
   nowhere else: what a contract paid and nobody told is found by comparing balances.
5. What one block pays counts together, since whoever invents a payment may as well invent many small ones. The ether that
   contracts pay in it is large, each part of it, when their sum is; what was sent is, when all ether that came in the block is.
6. A token's amounts say nothing about what it is worth, so every deposit of a token is large.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum, auto

import attrs

from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.chain import Hash, InternalTransfer
from custody_core.domain.deposit import Deposit, DepositKey, DepositKind

NODES_NEEDED = 2


@attrs.frozen
class Sight:
    """What somebody shows of a block, as far as it concerns us.

    `payments`: of ether and tokens, but not by contracts. `outcomes`: our own transactions, and whether they did what was asked
    for. `taken`: what left us unasked, as (transaction, wallet id, asset, amount, how many times). `internal`: what contracts paid;
    of a node that does not trace it, what they would have paid in transactions that it shows as successful; of our books, only
    what two nodes have to agree about.
    """

    payments: frozenset[DepositKey] = frozenset()
    outcomes: frozenset[tuple[Hash, bool]] = frozenset()
    taken: frozenset[tuple[Hash, str, str, int, int]] = frozenset()
    internal: frozenset[DepositKey] = frozenset()
    is_traced: bool = True


class Unseen(Enum):
    """A node that does not show the block."""

    ELSEWHERE = auto()
    """It has another one at that height."""
    SILENT = auto()


class Word(Enum):
    """What one node says to what our books say of a block."""

    SHOWS = auto()
    DENIES = auto()
    """It has the very block, and something else in it."""
    ELSEWHERE = auto()
    """It has another block."""
    CANNOT_TELL = auto()
    """It shows all but the traces that a large deposit rests on."""
    SILENT = auto()


class Verdict(Enum):
    """What comes of the nodes' words."""

    AGREED = auto()
    WRONG = auto()
    """Two nodes show the block otherwise than our books, and none as they do."""
    CONTRADICTED = auto()
    UNTRACED = auto()
    """Two nodes show all of it, except that they do not both trace what a contract paid."""
    OPEN = auto()
    """Too few nodes have said anything."""


def needing_corroboration(deposits: Sequence[Deposit], *, minimum_wei: int) -> list[Deposit]:
    """Those of one block's `deposits` that nothing but two nodes' agreement makes their owners'."""
    by_contracts = sum(each.key.amount for each in deposits if each.key.kind is DepositKind.INTERNAL)
    sent = sum(each.key.amount for each in deposits if each.key.kind is DepositKind.NATIVE)
    is_large = {
        DepositKind.TOKEN: True,
        DepositKind.INTERNAL: by_contracts >= minimum_wei,
        DepositKind.NATIVE: sent + by_contracts >= minimum_wei,
    }
    return [each for each in deposits if is_large[each.key.kind]]


def word(books: Sight, seen: Sight | Unseen) -> Word:
    """What a node that has `seen` this of a block says to `books`."""
    match seen:
        case Unseen.ELSEWHERE:
            return Word.ELSEWHERE
        case Unseen.SILENT:
            return Word.SILENT
        case Sight():
            is_alike = (seen.payments, seen.outcomes, seen.taken) == (books.payments, books.outcomes, books.taken)
            if not is_alike or not books.internal <= seen.internal:
                return Word.DENIES
            return Word.SHOWS if seen.is_traced or not books.internal else Word.CANNOT_TELL


def verdict(words: Sequence[Word]) -> Verdict:
    """What the nodes' words about one block come to."""
    shown, denied = words.count(Word.SHOWS), words.count(Word.DENIES)
    if shown >= NODES_NEEDED:
        return Verdict.AGREED
    if denied >= NODES_NEEDED and not shown and Word.CANNOT_TELL not in words:
        return Verdict.WRONG
    if denied or Word.ELSEWHERE in words:
        return Verdict.CONTRADICTED
    return Verdict.UNTRACED if shown + words.count(Word.CANNOT_TELL) >= NODES_NEEDED else Verdict.OPEN


def is_shown_by_two(deposit: Deposit, seen: Collection[Sight | Unseen]) -> bool:
    """Whether enough nodes show that very deposit, whatever else they show."""
    return sum(_shows(each, deposit.key) for each in seen) >= NODES_NEEDED


def _shows(seen: Sight | Unseen, key: DepositKey) -> bool:
    if isinstance(seen, Unseen):
        return False
    return key in seen.payments or (seen.is_traced and key in seen.internal)


def transfers_of(deposits: Collection[Deposit]) -> list[InternalTransfer]:
    """The transfers that internal deposits were made of, in an order that gives them their ordinals again."""
    keys = [each.key for each in deposits if each.key.kind is DepositKind.INTERNAL]
    return [
        InternalTransfer(key.transaction_hash, address_to_bytes(key.sender), address_to_bytes(key.to), key.amount)
        for key in sorted(keys, key=lambda key: key.ordinal)
    ]
