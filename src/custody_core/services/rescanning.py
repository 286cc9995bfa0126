"""Reading blocks again that are behind the cursor, and taking in what is missing of them.

The follower has read each of these blocks once. What it could not see then may be seen now: the transfers of a token that was not
listed, or what contracts paid while the node kept its traces to itself. The blocks are read as the follower reads them, with every
check, and are only believed where their hash is the one in our books.

What is in the books is left as it is: a deposit is known by its key, an outflow by what moved, a foreign use by its transaction.
What is missing enters as anything new does, and counts at once where its block is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from custody_core.domain.chain import Block, BlockRef, ChainState, Hash
from custody_core.domain.deposit import Deposit, DepositKey, DepositState
from custody_core.domain.ids import ENTROPY_BYTES
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.resources import chain_text
from custody_core.domain.tokens import Asset, native_asset
from custody_core.domain.transaction import State
from custody_core.errors import ChainHalted, Conflict, InvalidStateTransition, NodeUnavailable, NotFound
from custody_core.ports import Chain, Found, SignedBytes, Unit
from custody_core.services.block_evidence import BlockEvidence
from custody_core.services.cross_check import CrossCheck
from custody_core.services.evidence import EvidenceReader, learn_addresses
from custody_core.services.ingest import Ingest, deposit_keys
from custody_core.services.kit import Kit, rescan_lease_of
from custody_core.services.outgoing import ContradictoryReceipt, ForgedSender, StrangersSeen
from custody_core.services.tracing import TraceReader
from custody_core.services.unfinished import Range, read_again

_TRIES_MAX: Final = 5
"""How often some blocks are read again because an address was born, or a block replaced, meanwhile."""

_LEASE: Final = timedelta(minutes=5)
"""Longer than the blocks of one commit take to be read. One that is killed keeps comparisons waiting for so long."""

_HALTED: Final = "the chain is halted, so nothing of it is credited; see `custody chain status`"


@attrs.frozen
class Missing:
    """What blocks that were read again turned out to hold and the books did not: deposits, sends that were seen in no block yet,
    and how many movements out of wallets that nothing had asked for.
    """

    deposits: tuple[Deposit, ...] = ()
    transaction_ids: tuple[str, ...] = ()
    outflows: int = 0

    def __add__(self, more: Missing) -> Missing:
        return Missing(self.deposits + more.deposits, self.transaction_ids + more.transaction_ids, self.outflows + more.outflows)


class Rescanner:
    """Reads blocks of one chain again."""

    def __init__(self, kit: Kit, chain: Chain) -> None:
        self._kit = kit
        self._chain = chain
        self._traces = TraceReader(kit, chain)
        self._evidence = EvidenceReader(kit, chain)
        self._managed = ManagedAddresses()
        self._cross_check = CrossCheck(kit, chain, self._managed)
        self.untraced_blocks = 0
        """Of how many blocks no node told what contracts paid."""
        self._holder = kit.entropy.random_bytes(ENTROPY_BYTES).hex()

    def run(self, first: int, last: int) -> Missing:
        """Takes in what is missing of these blocks, some at a time, each time in one commit.

        Raises `NotFound` where the chain was not followed there, `ChainHalted`, `NodeUnavailable` for a block that cannot be read
        whole now, `InvalidStateTransition` where the node shows another block than our books, and while others read blocks again.
        What was taken in before stays, and the blocks that were not come to are kept as `unfinished`.
        """
        self._kit.read(lambda unit: require_followed(unit, self._chain.chain_id, first, last))
        size, missing = self._kit.limits.blocks_per_commit_max, Missing()
        try:
            for start in range(first, last + 1, size):
                self._hold(_LEASE)
                end = min(start + size - 1, last)
                missing += self._some(start, end, last, is_first=missing == Missing())
                self._kit.observer.progress(
                    f"scan of {chain_text(self._chain.chain_id)}", done=end - first + 1, total=last - first + 1
                )
        finally:
            self._hold(timedelta(0))
        return missing

    def _hold(self, lease: timedelta) -> None:
        """While blocks are read again, the books have half of what those say: a comparison with the chain waits for the rest."""
        now, name = self._kit.clock.now(), rescan_lease_of(self._chain.chain_id)
        if not self._kit.write(lambda unit: unit.take_lease(name, holder=self._holder, now=now, until=now + lease)) and lease:
            raise InvalidStateTransition("blocks of this chain are being read again already; try again later")

    def _some(self, first: int, last: int, until: int, *, is_first: bool) -> Missing:
        """Blocks up to `last` of those up to `until`. `is_first`: nothing was taken in so far."""
        for _ in range(_TRIES_MAX):
            missing = self._once(first, last, (last + 1, until) if last < until else None, is_first=is_first)
            if missing is not None:
                return missing
        raise Conflict(f"blocks {first} to {last} changed each time that they were read; try again")

    def _once(self, first: int, last: int, rest: Range | None, *, is_first: bool) -> Missing | None:
        """None when an address was born, or a block was replaced, while the blocks were read."""
        state, tokens, hashes = self._kit.read(lambda unit: self._known(unit, first, last))
        traced = self._traces.read(blocks := self._blocks(first, last, hashes))
        learn_addresses(self._kit, self._managed)
        evidence, managed = self._evidence.read(traced, tokens, self._managed)
        if len(evidence) < len(blocks):
            raise NodeUnavailable(f"block {first + len(evidence)} cannot be read whole now; try again from block {first}")
        assets, strangers = {asset.key: asset for asset in tokens}, dict[Hash, SignedBytes | None]()
        self._require_agreement(evidence, managed, assets)
        while True:
            commit = _Commit(self._kit, state, managed, assets, evidence, strangers, (first, last), rest, is_first)
            try:
                is_saved = self._kit.write(commit.run)
            except StrangersSeen as seen:
                signed = self._evidence.signed(seen.hashes)
                if signed is None:
                    raise NodeUnavailable("the node does not show what was sent from addresses of ours; try again") from None
                strangers |= signed
            except (ContradictoryReceipt, ForgedSender):
                raise NodeUnavailable("the node says of a send of ours what cannot be") from None
            else:
                commit.wake_overlooked()
                self.untraced_blocks += self._traces.without if is_saved else 0
                return commit.missing if is_saved else None

    def _known(self, unit: Unit, first: int, last: int) -> tuple[ChainState, list[Asset], Mapping[int, Hash]]:
        state = require_followed(unit, self._chain.chain_id, first, last)
        hashes = {each.number: each.hash for each in unit.headers(state.chain_id, first=first, last=last)}
        return state, [token.asset for token in unit.tokens(state.chain_id)], hashes

    def _blocks(self, first: int, last: int, hashes: Mapping[int, Hash]) -> list[Block]:
        blocks: list[Block] = []
        for number, answer in zip(range(first, last + 1), self._chain.blocks(range(first, last + 1)), strict=True):
            if not isinstance(answer, Found):
                raise NodeUnavailable(f"the node does not show block {number}; one that keeps old blocks is needed")
            block = answer.value
            if block.header.hash != hashes.get(number):
                raise InvalidStateTransition(
                    f"the node shows another block {number} than the one that was followed; nothing of it is read"
                )
            blocks.append(block)
        return blocks

    def _require_agreement(self, evidence: Sequence[BlockEvidence], managed: ManagedAddresses, tokens: Mapping[str, Asset]) -> None:
        """As the follower does before a block is final: what is new here may be credited in the same commit."""
        found = {
            key: each.matches.block.header.ref for each in evidence for key in deposit_keys(self._chain.chain_id, each, managed)
        }
        known = self._kit.read(lambda unit: unit.deposits_by_key(list(found)))
        now = self._kit.clock.now()
        new = [_candidate(key, block, tokens, now) for key, block in found.items() if _is_missing(known.get(key))]
        if not self._cross_check.agreed(new):
            raise NodeUnavailable("two nodes have to agree about what was found (CROSS_CHECK_MIN_WEI), and do not now; try again")


@attrs.define
class _Commit:
    """One commit. After it has run, `missing` is what was taken in."""

    _kit: Kit
    _state: ChainState
    _managed: ManagedAddresses
    _tokens: Mapping[str, Asset]
    _evidence: Sequence[BlockEvidence]
    _strangers: Mapping[Hash, SignedBytes | None]
    _blocks: Range
    _rest: Range | None
    _is_first: bool
    _ingest: Ingest | None = None
    missing: Missing = Missing()

    def run(self, unit: Unit) -> bool:
        """False, and nothing is written, when an address was born or a block was replaced since they were read."""
        unit.lock_pool()
        state = unit.chain(self._state.chain_id, lock=True)  # no block is taken back, and none becomes final, before the commit
        if state is None or unit.addresses_after(self._managed.sequence, 1) or not self._is_canonical(unit):
            return False
        if state.halted_reason is not None:
            raise ChainHalted(_HALTED)
        before = self._in_books(unit)
        self._ingest = Ingest(self._kit, self._managed, self._tokens, is_second_reading=True, state=state, evidence=self._evidence)
        self._ingest.outgoing.take_bytes(self._strangers)
        self._ingest.take_in(unit, self._kit.clock.now())
        self.missing = _added(before, self._in_books(unit))
        is_half = not self._is_first or self.missing != Missing()
        read_again(unit, state.chain_id, self._blocks, self._rest if is_half else None)
        return True

    def wake_overlooked(self) -> None:
        """After `run` is committed; see `Outgoing.wake_overlooked`."""
        if self._ingest is not None:
            self._ingest.outgoing.wake_overlooked()

    def _is_canonical(self, unit: Unit) -> bool:
        read = {each.matches.block.header.number: each.matches.block.header.hash for each in self._evidence}
        return unit.canonical_hashes(self._state.chain_id, read) == read

    def _in_books(self, unit: Unit) -> _InBooks:
        chain_id = self._state.chain_id
        keys = [key for each in self._evidence for key in deposit_keys(chain_id, each, self._managed)]
        sent = [each.hash for evidence in self._evidence for each in evidence.matches.outgoing]
        logged = [each.transaction_hash for evidence in self._evidence for each in evidence.logs]
        return _InBooks(
            {key: each for key, each in unit.deposits_by_key(keys).items() if not _is_missing(each)},
            {each.id for each in unit.transactions_by_hash(chain_id, sent).values() if each.state is not State.BROADCASTING},
            len(unit.outflows_of(chain_id, {*sent, *logged})),
        )


@attrs.frozen
class _InBooks:
    deposits: Mapping[DepositKey, Deposit]
    seen_ids: set[str]
    outflows: int


def _added(before: _InBooks, after: _InBooks) -> Missing:
    new = tuple(deposit for key, deposit in after.deposits.items() if key not in before.deposits)
    return Missing(new, tuple(sorted(after.seen_ids - before.seen_ids)), after.outflows - before.outflows)


def require_followed(unit: Unit, chain_id: int, first: int, last: int) -> ChainState:
    """The chain's state, where the blocks `first` to `last` were followed. Raises `NotFound`, `ChainHalted`."""
    state = unit.chain(chain_id)
    if state is None:
        raise NotFound(f"{chain_text(chain_id)} is not followed", pointer="/chain")
    if first <= state.start.number or last > state.cursor.number:
        raise NotFound(
            f"{chain_text(chain_id)} was followed from block {state.start.number + 1} to block {state.cursor.number}; only "
            "those are read again",
            pointer="/from" if first <= state.start.number else "/to",
        )
    if state.halted_reason is not None:
        raise ChainHalted(_HALTED)
    return state


def _is_missing(deposit: Deposit | None) -> bool:
    return deposit is None or deposit.state is DepositState.ORPHANED


def _candidate(key: DepositKey, block: BlockRef, tokens: Mapping[str, Asset], now: datetime) -> Deposit:
    """What a deposit would be, as far as nodes are asked about it."""
    asset = tokens.get(key.asset) or native_asset(key.chain_id)
    return Deposit("", key, asset, "", DepositState.CONFIRMING, block, now, now)
