"""What our books say of blocks that are not final yet, and what each node alone shows of them: see `domain/corroboration.py`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import attrs

from custody_core.domain.chain import Block, BlockRef, Hash, InternalTransfer
from custody_core.domain.corroboration import Sight, Unseen, needing_corroboration, transfers_of
from custody_core.domain.deposit import Deposit, DepositKind
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.tokens import Asset
from custody_core.domain.transaction import State, Transaction
from custody_core.ports import Chain, Found, Unit, Witness
from custody_core.services.block_evidence import BlockEvidence
from custody_core.services.evidence import EvidenceReader, Traced
from custody_core.services.ingest import deposit_keys
from custody_core.services.kit import Kit
from custody_core.services.outgoing import movements_of, problem_of

_Taken = tuple[Hash, str, str, int]
"""What left a wallet unasked: (transaction, wallet id, asset, amount)."""

_Read = Callable[[Traced, Sequence[Asset], ManagedAddresses], tuple[Sequence[BlockEvidence | None], ManagedAddresses]]
"""Reads the evidence for blocks, and which addresses in them are ours."""

_MAY_BE_MINED = frozenset({State.BROADCASTING, State.CONFIRMING})


@attrs.frozen
class Booked:
    """A block of ours: what the books say of it, and the deposits in it that only two nodes' agreement makes the owner's."""

    block: BlockRef
    sight: Sight
    large: tuple[Deposit, ...]

    @property
    def untraced(self) -> Sequence[Deposit]:
        """Those of the large ones that rest on traces."""
        return [each for each in self.large if each.key.kind is DepositKind.INTERNAL]


def booked(unit: Unit, chain_id: int, first: int, last: int, *, minimum_wei: int) -> list[Booked]:
    """The stored blocks in that range, none of them final."""
    deposits, sent = defaultdict[Hash, list[Deposit]](list), defaultdict[Hash, list[Transaction]](list)
    for deposit in unit.confirming_deposits(chain_id, above=first - 1, up_to=last):
        deposits[deposit.block.hash].append(deposit)
    for transaction in unit.confirming_transactions(chain_id, above=first - 1, up_to=last):
        if transaction.inclusion is not None:
            sent[transaction.inclusion.block.hash].append(transaction)
    taken = defaultdict[Hash, list[_Taken]](list)
    for outflow in unit.outflows(chain_id, up_to=last):
        taken[outflow.block.hash].append((outflow.transaction_hash, outflow.wallet_id, outflow.asset, outflow.amount))
    blocks = [each.ref for each in unit.headers(chain_id, first=first, last=last)]
    return [_booked(each, deposits[each.hash], sent[each.hash], taken[each.hash], minimum_wei=minimum_wei) for each in blocks]


def deposits_only(block: BlockRef, deposits: Sequence[Deposit], *, minimum_wei: int) -> Booked:
    """A block of which nothing but these deposits is known."""
    return _booked(block, deposits, (), (), minimum_wei=minimum_wei)


def _booked(
    block: BlockRef, deposits: Sequence[Deposit], sent: Sequence[Transaction], taken: Sequence[_Taken], *, minimum_wei: int
) -> Booked:
    large = tuple(needing_corroboration(deposits, minimum_wei=minimum_wei))
    sight = Sight(
        payments=frozenset(each.key for each in deposits if each.key.kind is not DepositKind.INTERNAL),
        outcomes=frozenset(_outcome(each) for each in sent),
        taken=_counted(taken),
        internal=frozenset(each.key for each in large if each.key.kind is DepositKind.INTERNAL),
    )
    return Booked(block, sight, large)


def _counted(taken: Iterable[_Taken]) -> frozenset[tuple[Hash, str, str, int, int]]:
    return frozenset((*each, count) for each, count in Counter(taken).items())


def _outcome(transaction: Transaction) -> tuple[Hash, bool]:
    inclusion = transaction.inclusion
    mined = next((each.hash for each in transaction.attempts if inclusion and each.id == inclusion.attempt_id), None)
    if inclusion is None or mined is None:
        raise AssertionError("a confirming transaction has the block that holds it")
    return mined, inclusion.succeeded


class SightReader:
    """Reads blocks of one chain from one node after the other. Each node is asked once for all blocks, and once for all logs, all
    receipts and all traces that these need, however many payments there are in them.
    """

    def __init__(self, kit: Kit, chain: Chain) -> None:
        self._kit = kit
        self._chain = chain
        self._evidence = EvidenceReader(kit, chain)

    def seen_by(
        self, witness: Witness, blocks: Sequence[Booked], tokens: Sequence[Asset], managed: ManagedAddresses
    ) -> list[Sight | Unseen]:
        """What the node shows of each of `blocks`."""
        return self._seen_by(witness, partial(self._evidence.read_from, witness), blocks, tokens, managed)

    def seen_now(self, block: Booked, tokens: Sequence[Asset], managed: ManagedAddresses) -> Sight | Unseen:
        """What would come into the books if the block were read again now, through whichever node."""
        (sight,) = self._seen_by(self._chain, self._evidence.read, [block], tokens, managed)
        return sight

    def _seen_by(
        self,
        witness: Witness,
        read: _Read,
        blocks: Sequence[Booked],
        tokens: Sequence[Asset],
        managed: ManagedAddresses,
    ) -> list[Sight | Unseen]:
        answers = witness.blocks([each.block.number for each in blocks])
        shown = {
            ours.block.hash: (ours, answer.value)
            for ours, answer in zip(blocks, answers, strict=True)
            if isinstance(answer, Found) and answer.value.header.hash == ours.block.hash
        }
        elsewhere = {
            ours.block.hash
            for ours, answer in zip(blocks, answers, strict=True)
            if isinstance(answer, Found) and answer.value.header.hash != ours.block.hash
        }
        told = _traces(witness, [block for ours, block in shown.values() if ours.untraced])
        traced = [(block, _transfers(ours, block, told)) for ours, block in shown.values()]
        sights = self._sights(read, traced, set(told), tokens, managed)
        unseen = (Unseen.ELSEWHERE if each.block.hash in elsewhere else Unseen.SILENT for each in blocks)
        return [sights.get(each.block.hash, missing) for each, missing in zip(blocks, unseen, strict=True)]

    def _sights(
        self, read_of: _Read, traced: Traced, told: set[Hash], tokens: Sequence[Asset], managed: ManagedAddresses
    ) -> Mapping[Hash, Sight]:
        if not traced:
            return {}
        read, ours = read_of(traced, tokens, managed)
        whole = [each for each in read if each is not None]
        sent, taken = self._kit.read(lambda unit: self._sent_and_taken(unit, whole, ours))
        return {
            each.block.hash: attrs.evolve(
                self._sight(each, ours, sent), taken=_counted(taken[each.block.hash]), is_traced=each.block.hash in told
            )
            for each in whole
        }

    def _sent_and_taken(
        self, unit: Unit, read: Sequence[BlockEvidence], managed: ManagedAddresses
    ) -> tuple[Mapping[Hash, Transaction], Mapping[Hash, Sequence[_Taken]]]:
        """Our own among the transactions that managed addresses sent, by hash; and by block what left us unasked."""
        hashes = [each.hash for evidence in read for each in evidence.matches.outgoing]
        ours = unit.transactions_by_hash(self._chain.chain_id, hashes) if hashes else {}
        moved = {each.block.hash: movements_of(each, managed, ours) for each in read}
        wallets = unit.wallets_by_address({each.address for of_block in moved.values() for each in of_block})
        taken = {
            block_hash: [(each.transaction_hash, wallets[each.address].id, each.asset, each.amount) for each in of_block]
            for block_hash, of_block in moved.items()
        }
        return {hash_: each for hash_, each in ours.items() if each.state in _MAY_BE_MINED}, taken

    def _sight(self, evidence: BlockEvidence, ours: ManagedAddresses, sent: Mapping[Hash, Transaction]) -> Sight:
        keys = deposit_keys(self._chain.chain_id, evidence, ours)
        outcomes = [
            (each.hash, problem_of(sent[each.hash], evidence, evidence.receipts[each.hash]) is None)
            for each in evidence.matches.outgoing
            if each.hash in sent
        ]
        return Sight(
            payments=frozenset(each for each in keys if each.kind is not DepositKind.INTERNAL),
            outcomes=frozenset(outcomes),
            internal=frozenset(each for each in keys if each.kind is DepositKind.INTERNAL),
        )


def _traces(witness: Witness, blocks: Sequence[Block]) -> Mapping[Hash, Sequence[InternalTransfer]]:
    """What the node says that contracts paid, of those blocks of which it says it."""
    answers = witness.internal_transfers(blocks) if blocks else ()
    return {block.header.hash: answer.value for block, answer in zip(blocks, answers, strict=True) if isinstance(answer, Found)}


def _transfers(ours: Booked, block: Block, told: Mapping[Hash, Sequence[InternalTransfer]]) -> Sequence[InternalTransfer]:
    """What contracts paid in a block, by the node; where it does not say, what our books have of it, so that the receipts are read
    that it rests on. Only in transactions that the block has.
    """
    transfers = told.get(block.header.hash, transfers_of(ours.untraced))
    if not transfers:
        return ()
    hashes = {each.hash for each in block.transactions}
    return [each for each in transfers if each.transaction_hash in hashes]
