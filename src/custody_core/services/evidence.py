"""Reading all that blocks need to be judged: receipts, logs, and why a transaction of ours failed.

Nothing is concluded from a part: a block of which anything is missing or contradictory ends what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from custody_core.domain.addresses import address_from_bytes, address_to_bytes
from custody_core.domain.chain import Block, Hash, InternalTransfer, Logs, Receipt
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import BlockMatches, bloom_admits, concerning, match_block, transfers_agree
from custody_core.domain.tokens import Asset
from custody_core.domain.transaction import Transaction
from custody_core.ports import Answer, Call, Chain, Found, Reverted, SignedBytes, Unknown, Witness, no_doubt
from custody_core.services.arrivals import with_shortfalls
from custody_core.services.block_evidence import BlockEvidence
from custody_core.services.doubts import Alone, Source, logs_doubted, receipts_doubted
from custody_core.services.kit import Kit

Traced = Sequence[tuple[Block, Sequence[InternalTransfer]]]
"""Blocks, each with what contracts paid in it."""


_ADDRESSES_PER_READ = 10_000


class EvidenceReader:
    """The evidence for one chain's blocks."""

    def __init__(self, kit: Kit, chain: Chain) -> None:
        self._kit = kit
        self._chain = chain
        self.why = ""
        """What was answered about the first thing that was missing when blocks were read last. Empty where nothing was unknown."""

    def read(
        self, traced: Traced, tokens: Sequence[Asset], managed: ManagedAddresses
    ) -> tuple[list[BlockEvidence], ManagedAddresses]:
        """The evidence for each block, up to the first that cannot be read completely and consistently; and which addresses in
        its logs are ours.
        """
        read, ours = self._read(self._chain, traced, tokens, managed)
        missing = next((index for index, each in enumerate(read) if each is None), len(read))
        evidence = with_shortfalls(self._chain, [each for each in read[:missing] if each], ours, now=self._kit.clock.now())
        if len(evidence) < missing:
            self.why = "no node tells now what wallets held of a token there"
        return self._with_reasons(evidence), ours

    def read_from(
        self, witness: Witness, traced: Traced, tokens: Sequence[Asset], managed: ManagedAddresses
    ) -> tuple[list[BlockEvidence | None], ManagedAddresses]:
        """The same by one node alone, for each block for itself: None for one that it does not show completely and consistently.
        It is not asked why a transaction failed.
        """
        return self._read(Alone(witness), traced, tokens, managed)

    def _read(
        self, source: Source, traced: Traced, tokens: Sequence[Asset], managed: ManagedAddresses
    ) -> tuple[list[BlockEvidence | None], ManagedAddresses]:
        self.why = ""
        senders_and_paid = self._confirmed(managed, _addresses_in(traced))
        matches = [match_block(block, senders_and_paid, transfers) for block, transfers in traced]
        receipts = self._receipts(source, matches)
        whole = [each.block for each in matches if each.block.header.hash in receipts]
        emitters = [address_to_bytes(asset.contract) for asset in tokens if asset.contract]
        logs = self._transfer_logs(source, whole, emitters, receipts)
        ours = self._confirmed(managed, (each.addresses(topic) for each in logs.values() for topic in (1, 2)))
        return [_evidence(each, receipts, logs, ours, emitters) for each in matches], ours

    def signed(self, hashes: Sequence[Hash]) -> Mapping[Hash, SignedBytes | None] | None:
        """The bytes of transactions that managed addresses sent and the books do not know, None for one of a type that this service
        never signs; None in place of all while the node does not show one.
        """
        answers = dict(zip(hashes, self._chain.signed_transactions(hashes), strict=True))
        if any(isinstance(answer, Unknown) for answer in answers.values()):
            return None
        return {hash_: answer.value if isinstance(answer, Found) else None for hash_, answer in answers.items()}

    def _confirmed(self, managed: ManagedAddresses, columns: Iterable[Sequence[bytes | None]]) -> ManagedAddresses:
        """The `managed` addresses, where they are known exactly; else those in `columns`, as the store has them."""
        if managed.is_exact:
            return managed
        seen = {address for column in columns for index in managed.hits(column) if (address := column[index])}
        found = self._kit.read(lambda unit: unit.wallets_by_address([address_from_bytes(each) for each in sorted(seen)]))
        return ManagedAddresses.exactly(map(address_to_bytes, found), sequence=managed.sequence)

    def _receipts(self, source: Source, matches: Sequence[BlockMatches]) -> Mapping[Hash, Mapping[Hash, Receipt]]:
        """By block the receipts that its matches need; blocks of which one is missing are left out."""
        hashes = [hash_ for each in matches for hash_ in each.transaction_hashes]
        doubt = self._kit.read(lambda unit: receipts_doubted(unit, self._chain.chain_id, matches)) if hashes else no_doubt
        answers = dict(zip(hashes, source.receipts(hashes, doubt=doubt), strict=True)) if hashes else {}
        self._note(answers.values())
        read = {each.block.header.hash: _receipts_of(each, answers) for each in matches}
        return {block_hash: receipts for block_hash, receipts in read.items() if receipts is not None}

    def _transfer_logs(
        self, source: Source, blocks: Sequence[Block], emitters: Sequence[bytes], receipts: Mapping[Hash, Mapping[Hash, Receipt]]
    ) -> Mapping[Hash, Logs]:
        """By block the `Transfer` logs of listed tokens in exactly that one, as far as the node tells them; it is not asked where
        the block's bloom rules them out.
        """
        hashes = [each.header.hash for each in blocks]
        asked = [
            each.header.hash for each in blocks if bloom_admits(each.logs_bloom, topic=ERC20_TRANSFER_TOPIC, emitters=emitters)
        ]
        doubt = logs_doubted(receipts, emitters)
        answers = source.logs(asked, topic=ERC20_TRANSFER_TOPIC, emitters=emitters, doubt=doubt) if asked else ()
        self._note(answers)
        told = {hash_: answer.value for hash_, answer in zip(asked, answers, strict=True) if isinstance(answer, Found)}
        return {each: Logs(each) for each in hashes if each not in asked} | told

    def _note(self, answers: Iterable[Answer[Receipt]] | Iterable[Answer[Logs]]) -> None:
        self.why = self.why or next((each.reason for each in answers if isinstance(each, Unknown)), "")

    def _with_reasons(self, evidence: Sequence[BlockEvidence]) -> list[BlockEvidence]:
        """The same, with why those of our own transactions failed that did, as far as the node can say."""
        failed = {hash_ for each in evidence for hash_ in _failed_outgoing(each)}
        if not failed:
            return list(evidence)
        ours = self._kit.read(lambda unit: unit.transactions_by_hash(self._chain.chain_id, sorted(failed)))
        return [attrs.evolve(each, reverts=self._reasons(each, ours)) for each in evidence]

    def _reasons(self, evidence: BlockEvidence, ours: Mapping[Hash, Transaction]) -> dict[Hash, str]:
        return {hash_: self._reason(ours[hash_], evidence) for hash_ in _failed_outgoing(evidence) if hash_ in ours}

    def _reason(self, transaction: Transaction, evidence: BlockEvidence) -> str:
        """Tried again on top of the block before: what stood earlier in its own block may have made it another story."""
        call = Call(
            transaction.sender, transaction.call_to, transaction.call_value_wei, transaction.call_data, transaction.access_list
        )
        answer = self._chain.try_call(call, on_top_of=evidence.matches.block.header.number - 1)
        if isinstance(answer, Found) and isinstance(answer.value, Reverted):
            return f"it reverted: {answer.value.reason or 'its contract gives no reason'}"
        return "it reverted; the node does not say why"


def learn_addresses(kit: Kit, managed: ManagedAddresses) -> None:
    """Takes in the addresses that were born since `managed` was last up to date."""
    while True:
        rows = kit.read(lambda unit: unit.addresses_after(managed.sequence, _ADDRESSES_PER_READ))
        managed.add(rows)
        if len(rows) < _ADDRESSES_PER_READ:
            return


def _evidence(
    matches: BlockMatches,
    receipts: Mapping[Hash, Mapping[Hash, Receipt]],
    logs: Mapping[Hash, Logs],
    ours: ManagedAddresses,
    emitters: Sequence[bytes],
) -> BlockEvidence | None:
    """One block's evidence out of what was read of all, None where something is missing or does not fit."""
    block_hash = matches.block.header.hash
    if block_hash not in logs:
        return None
    read = receipts[block_hash]
    transfers = concerning(logs[block_hash], ours, read.keys())
    return BlockEvidence(matches, read, transfers) if transfers_agree(transfers, read.values(), emitters) else None


def _addresses_in(traced: Traced) -> Iterator[Sequence[bytes | None]]:
    for block, transfers in traced:
        yield block.transactions.senders
        yield block.transactions.recipients
        yield [each.recipient for each in transfers]


def _failed_outgoing(evidence: BlockEvidence) -> list[Hash]:
    return [each.hash for each in evidence.matches.outgoing if not evidence.receipts[each.hash].succeeded]


def _receipts_of(matches: BlockMatches, answers: Mapping[Hash, Answer[Receipt]]) -> dict[Hash, Receipt] | None:
    """The receipts that a block's matches need, or None unless every one of them is there and of this very block."""
    found = [answers[hash_] for hash_ in matches.transaction_hashes]
    receipts = {answer.value.transaction_hash: answer.value for answer in found if isinstance(answer, Found)}
    whole = len(receipts) == len(found) and all(each.block_hash == matches.block.header.hash for each in receipts.values())
    return receipts if whole else None
