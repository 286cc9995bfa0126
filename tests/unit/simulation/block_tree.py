"""The true chain: every block that was ever mined, and every tip that a node may still have for the newest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from typing import Final

import attrs

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import Hash
from custody_core.domain.encoding import FeeMarketTransaction, keccak256, signing_payload
from custody_core.domain.fees import FEE_PER_GAS_SANE_MAX_WEI, GWEI
from custody_memory.blocks import MinedBlock, as_hash
from custody_memory.chain import MemoryChain, Recover
from custody_memory.execution import Effect, Holding, RevertingContract, TokenContract
from custody_memory.mempool import Pooled
from custody_memory.versioned import Versioned
from custody_memory.world import OUTSIDER
from tests.unit.simulation.narrow_pool import ACCOUNT_SLOTS, NarrowPool

TOGETHER: Final = 5
"""So many blocks are read at a time."""


@attrs.frozen
class Tip:
    """The newest block as it was at some time, with the height that was final then."""

    mined: MinedBlock
    final: int


@attrs.frozen
class Past:
    """The chain as it was until a final block of it changed."""

    blocks: tuple[MinedBlock, ...]
    final: int
    balances: Versioned[Holding]
    nonces: Versioned[bytes]
    base_fee_next_wei: int
    heights: dict[Hash, int]

    @property
    def newest(self) -> int:
        """The height of its newest block."""
        return len(self.blocks) - 1

    def block(self, height: int) -> MinedBlock:
        """Its block at a height."""
        return self.blocks[height]

    def height_of(self, block_hash: Hash) -> int | None:
        """The height of one of its blocks."""
        return self.heights.get(block_hash)

    def held(self, token: bytes | None, holder: bytes, height: int) -> int:
        """The balance at the end of one of its blocks."""
        return self.balances.at((token, holder), height)


class BlockTree(MemoryChain):
    """A `MemoryChain` that forgets no branch."""

    def __init__(self, chain_id: int, *, finality_lag: int, recover: Recover) -> None:
        self._every: dict[Hash, MinedBlock] = {}
        self._mined_in: dict[Hash, list[Hash]] = {}
        self._twice: set[Hash] = set()
        self._numbered: dict[Hash, int] = {}
        self.tips: list[Tip] = []
        self.pasts: list[Past] = []
        """What was final once and is not any more, oldest first."""
        self._rebases: list[tuple[bytes, int]] = []
        self.rebased: set[tuple[bytes, int]] = set()
        """Tokens whose balances changed by themselves."""
        super().__init__(chain_id, finality_lag=finality_lag, recover=recover)
        self._pool: NarrowPool = NarrowPool()

    @property
    def final(self) -> int:
        """The height that can never change again, unless finality is breached."""
        return self._final

    @property
    def newest(self) -> int:
        """The height of the newest block."""
        return self.head.number

    def block(self, height: int) -> MinedBlock:
        """The canonical block at a height."""
        return self._blocks[height]

    def height_of(self, block_hash: Hash) -> int | None:
        """The height of a canonical block."""
        return self._numbers.get(block_hash)

    def on_branch(self, tip: Tip, height: int) -> MinedBlock | None:
        """The block at `height` under that tip."""
        if not 0 <= height <= tip.mined.block.header.number:
            return None
        mined = tip.mined
        while mined.block.header.number > height:
            number = mined.block.header.number
            if number < len(self._blocks) and self._blocks[number] is mined:
                return self._blocks[height]
            mined = self._every[mined.block.header.parent_hash]
        return mined

    def by_hash(self, tip: Tip, block_hash: Hash) -> MinedBlock | None:
        """The block with that hash, where it is under that tip."""
        mined = self._every.get(block_hash)
        return mined if mined and self.on_branch(tip, mined.block.header.number) is mined else None

    def ever_mined(self, block_hash: str) -> MinedBlock:
        """The block with that hash, of whatever branch."""
        return self._every[Hash(block_hash)]

    def just_above(self, height: int) -> list[Hash]:
        """Of the next few blocks all that there ever were."""
        return [each for each, mined in self._every.items() if height < mined.block.header.number <= height + TOGETHER]

    def blocks_with(self, transaction_hash: Hash) -> Sequence[MinedBlock]:
        """Every block, of whatever branch, that holds this transaction."""
        return [self._every[block_hash] for block_hash in self._mined_in.get(transaction_hash, ())]

    def held(self, token: bytes | None, holder: bytes, height: int) -> int:
        """The true balance at the end of a canonical block."""
        return self._held.at((token, holder), height)

    def nonce(self, address: bytes, height: int) -> int:
        """The true count of mined transactions at the end of a canonical block."""
        return self._nonces.at(address, height)

    def send_tokens_twice(self, token: Address, to: Address, amount: int) -> None:
        """Somebody else's transaction moves the same amount twice, with two equal events."""
        contract = address_to_bytes(token)
        self._change((contract, OUTSIDER), amount, self.head.number)
        self._twice.add(self.send_token(token, to, amount))

    def send_numbered(self, contract: Address, to: Address, number: int) -> None:
        """Somebody else sends the thing of that number; the contract's event names it in a fourth topic (ERC-721)."""
        self._numbered[self.send_token(contract, to, 0)] = number

    def send_in_vain(self, to: Address, wei: int) -> None:
        """Somebody else sends ether with too little gas: it will be in a block and fail."""
        nonce = self._nonces.at(OUTSIDER, self.head.number)
        while self.is_pooled(OUTSIDER, nonce):
            nonce += 1
        transaction = FeeMarketTransaction(self._chain_id, nonce, GWEI, FEE_PER_GAS_SANE_MAX_WEI, 20_000, address_to_bytes(to), wei)
        self._pool.put(Pooled(as_hash(keccak256(signing_payload(transaction) + OUTSIDER)), OUTSIDER, transaction))

    def send_with_key_of(self, sender: Address, to: Address, wei: int) -> tuple[Hash, int]:
        """Somebody else signs with that account's key, at its next nonce; it waits for a block. Its hash and nonce."""
        raw = address_to_bytes(sender)
        nonce = self._nonces.at(raw, self.head.number)
        while self.is_pooled(raw, nonce):
            nonce += 1
        transaction = FeeMarketTransaction(self._chain_id, nonce, 2 * GWEI, 50 * GWEI, 21_000, address_to_bytes(to), wei)
        pooled = Pooled(as_hash(keccak256(signing_payload(transaction) + b"elsewhere" + raw)), raw, transaction)
        self._pool.put(pooled)
        return pooled.hash, nonce

    def turn_away(self, contract: Address) -> None:
        """From here on that contract refuses everything."""
        self._contracts[address_to_bytes(contract)] = RevertingContract()

    def behave(self, token: Address, contract: TokenContract) -> None:
        """How that token behaves from here on."""
        self._contracts[address_to_bytes(token)] = contract

    def rebase(self, token: Address, permille: int) -> None:
        """At the beginning of the next block everybody holds so much of what they held of it."""
        self._rebases.append((address_to_bytes(token), permille))

    def mine_nothing(self) -> None:
        """A block without transactions, whatever waits."""
        self._append(())

    def breach(self, depth: int, *, keep: Collection[Hash] = (), pooled: bool = True) -> None:
        """Replaces the newest blocks although some of them are final; compare `reorg`."""
        self._remember()
        self.reorg(depth, keep=keep, pooled=pooled)

    def return_to(self, past: Past) -> None:
        """What was the chain once is the chain again, and longer than the one in between. What only that one held waits again."""
        self._remember()
        ended = self.head.number
        waiting = [pooled for mined in self._blocks for pooled in mined.included if mined.block.header.hash not in past.heights]
        self._blocks, self._numbers = list(past.blocks), dict(past.heights)
        self._held, self._nonces = deepcopy(past.balances), deepcopy(past.nonces)
        self._receipts = {receipt.transaction_hash: receipt for mined in past.blocks for receipt in mined.receipts}
        self._base_fee_next_wei = past.base_fee_next_wei
        self._forks += 1
        for pooled in waiting:
            self._pool.put(pooled)
        for sender in self._pool.senders():
            self._pool.drop_below(sender, self._nonces.at(sender, self.head.number))
        while self.head.number <= ended:
            self._append(())

    def is_pooled(self, sender: bytes, nonce: int) -> bool:
        """Whether one of the sender with that nonce waits for a block."""
        return self._pool.of(sender, nonce) is not None

    def narrow(self, slots: int = ACCOUNT_SLOTS) -> None:
        """How many transactions of one account the pool takes from here on, one after the other."""
        self._pool.slots = slots

    def forget_pool(self) -> None:
        """Nobody remembers what waits."""
        self._pool.forget()

    def put_back(self, pooled: Pooled) -> None:
        """Into the pool without asking."""
        self._pool.put(pooled)

    def _execute(self, pooled: Pooled, height: int, base_fee_wei: int) -> Effect | None:
        effect = super()._execute(pooled, height, base_fee_wei)
        if effect is not None and pooled.hash in self._numbered:
            return _numbered(effect, self._numbered[pooled.hash])
        if effect is None or effect.reverted or pooled.hash not in self._twice:
            return effect
        for source, target, amount in effect.moves:
            self._change(source, -amount, height)
            self._change(target, amount, height)
        return attrs.evolve(effect, moves=2 * effect.moves, events=2 * effect.events)

    def _append(self, transactions: Sequence[Pooled]) -> None:
        while self._rebases:
            self._rebase(*self._rebases.pop())
        super()._append(transactions)
        mined = self._blocks[-1]
        self._every[mined.block.header.hash] = mined
        for pooled in mined.included:
            self._mined_in.setdefault(pooled.hash, []).append(mined.block.header.hash)
        self.tips.append(Tip(mined, min(self._final, mined.block.header.number)))

    def _rebase(self, token: bytes, permille: int) -> None:
        height = len(self._blocks)
        self.rebased.add((token, height))
        for holding in [holding for holding in self._held.ever_set() if holding[0] == token]:
            had = self._held.at(holding, height)
            self._change(holding, had * permille // 1_000 - had, height)

    def _remember(self) -> None:
        balances, nonces = deepcopy(self._held), deepcopy(self._nonces)
        self.pasts.append(Past(tuple(self._blocks), self._final, balances, nonces, self._base_fee_next_wei, dict(self._numbers)))


def _numbered(effect: Effect, number: int) -> Effect:
    """The same with an event of the other shape: a number in a fourth topic, and no amount."""
    events = tuple(attrs.evolve(each, topics=(*each.topics, number.to_bytes(32, "big")), data=b"") for each in effect.events)
    return attrs.evolve(effect, events=events)
