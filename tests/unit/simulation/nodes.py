"""The `Chain` port over one to three views, which become one by the rules of the port (and by the JSON-RPC adapter's own code)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Logs, Receipt
from custody_core.domain.fees import FeeHistory
from custody_core.ports import (
    AccountState,
    Answer,
    BlockTag,
    BroadcastAnswer,
    BroadcastOutcome,
    Call,
    Doubt,
    Found,
    Reverted,
    SignedBytes,
    Unknown,
    Witness,
    no_doubt,
)
from custody_rpc import several
from tests.unit.simulation.untraced import Untraced
from tests.unit.simulation.views import View

T = TypeVar("T")
Item = TypeVar("Item")

_NOT_ASKED = Unknown("no node was asked")
_IN_THE_POOL = {BroadcastOutcome.ACCEPTED, BroadcastOutcome.KNOWN}


class Nodes:
    """The `Chain` port. Later views are asked for what the ones before do not have."""

    def __init__(self, chain_id: int, views: Sequence[View], untraced: Untraced | None = None) -> None:
        self._chain_id = chain_id
        self._views = views
        self._untraced = untraced
        self._tree = views[0].tree

    @property
    def chain_id(self) -> int:
        """The configured chain id."""
        return self._chain_id

    @property
    def witnesses(self) -> Sequence[Witness]:
        """The views one by one."""
        return self._views

    def node_chain_id(self) -> Answer[int]:
        """The right one."""
        return Found(self._chain_id)

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """Of the heads the highest, of the final blocks the lowest."""
        if at is BlockTag.LATEST or at is BlockTag.FINALIZED:
            answers = {str(index): view.header(at) for index, view in enumerate(self._views)}
            return several.highest(answers) if at is BlockTag.LATEST else several.lowest_in_time(answers, {})
        return self._each([at], lambda view, left: [view.header(number) for number in left])[0]

    def ends(self) -> tuple[Answer[Header], Answer[Header]]:
        """The head and the final block."""
        return self.header(BlockTag.LATEST), self.header(BlockTag.FINALIZED)

    def synced_head(self) -> Answer[Header]:
        """The newest head."""
        return self.header(BlockTag.LATEST)

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        """Of one branch."""
        return self._linking(numbers, lambda view, left: view.headers(left), lambda header: header)

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """Of one branch."""
        return self._linking(numbers, lambda view, left: view.blocks(left), lambda block: block.header)

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        """By block hash."""
        return self._each(block_hashes, lambda view, left: view.logs(left, topic=topic, emitters=emitters, doubt=doubt))

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """By block hash."""
        answers = self._each(blocks, lambda view, left: view.internal_transfers(left))
        if self._untraced is not None:
            self._untraced.answered(blocks, answers)
        return answers

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """The first that is found."""
        return self._each(transaction_hashes, lambda view, left: view.receipts(left, doubt=doubt))

    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[SignedBytes]]:
        """The first that is found."""
        return self._each(hashes, lambda view, left: view.signed_transactions(left))

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """The first that is found."""
        return self._each([at], lambda view, left: [view.account(address, each) for each in left])[0]

    def known_nonces(self, addresses: Sequence[Address], *, reserved: Sequence[int]) -> Sequence[Answer[int]]:
        """One view's word; of several what two vouch for, where it is more than there should be."""
        heard = {str(index): view.count_known(addresses) for index, view in enumerate(self._views)}
        return [self._known(several.counts_in(heard, index), expected) for index, expected in enumerate(reserved)]

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """At exactly that block."""
        return self._each(holders, lambda view, left: view.balances(left, at))

    def fee_history(self) -> Answer[FeeHistory]:
        """Recent fees."""
        return self._tree.fee_history()

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        """On top of the newest block."""
        return self._tree.estimate_gas(calls)

    def try_call(self, call: Call, *, on_top_of: int) -> Answer[bytes | Reverted]:
        """On top of that block."""
        return self._tree.try_call(call, on_top_of=on_top_of)

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """To all views; one that took it counts."""
        said = [view.broadcast(raws) for view in self._views]
        return [next((word for word in words if word.outcome in _IN_THE_POOL), words[0]) for words in zip(*said, strict=True)]

    def _each(self, asked: Sequence[Item], ask: Callable[[View, Sequence[Item]], Sequence[Answer[T]]]) -> list[Answer[T]]:
        answers: list[Answer[T]] = [_NOT_ASKED] * len(asked)
        for view in self._views:
            left = [index for index, answer in enumerate(answers) if not isinstance(answer, Found)]
            if not left:
                break
            for index, answer in zip(left, ask(view, [asked[index] for index in left]), strict=True):
                answers[index] = several.better(answers[index], answer)
        return answers

    def _linking(
        self,
        numbers: Sequence[int],
        ask: Callable[[View, Sequence[int]], Sequence[Answer[T]]],
        header_of: Callable[[T], Header],
    ) -> list[Answer[T]]:
        answers: dict[int, Answer[T]] = {}
        found: dict[int, Header] = {}
        for view in self._views:
            left = [number for number in numbers if not isinstance(answers.get(number), Found)]
            if not left:
                break
            for number, answer in zip(left, ask(view, left), strict=True):
                fits = answer if _fits(number, answer, header_of, found) else Unknown("another branch")
                answers[number] = several.better(answers.get(number), fits)
        return [answers[number] for number in numbers]

    def _known(self, counts: Sequence[several.Count], expected: int) -> Answer[int]:
        if not counts:
            return _NOT_ASKED
        if len(self._views) == 1 or max(each.count for each in counts) <= expected:
            return Found(max(each.count for each in counts))
        return several.vouched_count(counts, reserved=expected)


def _fits(number: int, answer: Answer[T], header_of: Callable[[T], Header], found: dict[int, Header]) -> bool:
    if not isinstance(answer, Found):
        return True
    header, below, above = header_of(answer.value), found.get(number - 1), found.get(number + 1)
    if (below and header.parent_hash != below.hash) or (above and above.parent_hash != header.hash):
        return False
    found[number] = header
    return True
