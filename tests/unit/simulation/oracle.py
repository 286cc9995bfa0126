"""What really happened, from the block tree alone. Plain Python; it shares no rule with the core that it judges.

It knows every block, so it knows who must have been credited what at any final height, which transactions were mined, and what each
address holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from custody_core.domain.chain import InternalTransfer
from custody_memory.blocks import MinedBlock
from tests.unit.simulation.block_tree import BlockTree, Past

TRANSFER_TOPIC = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")

Movement: TypeAlias = tuple[str, str, str, bytes, bytes, int]
"""Transaction hash, native/internal/token, "eth" or the contract in lower case, from, to, amount."""


class Oracle:
    """The truth about `tree`. `tokens` are the contracts whose transfers count.

    Where finality was breached there are several truths. The books' own is the branch on which their final block is final.
    """

    def __init__(self, tree: BlockTree) -> None:
        self._tree = tree
        self._chain: BlockTree | Past = tree
        self.tokens: set[bytes] = set()
        self.odd: set[str] = set()
        """Those of them, in lower case, whose events do not say what is moved."""
        self.foreign: dict[str, tuple[bytes, int]] = {}
        """What somebody else signed with managed keys: hash → sender, nonce."""

    @property
    def was_breached(self) -> bool:
        """Whether a final block ever changed."""
        return bool(self._tree.pasts)

    def follow(self, height: int, block_hash: str) -> bool:
        """From here on the truth is the branch on which that block is final, or was; the newest such. False where there is none."""
        chains: list[BlockTree | Past] = [self._tree, *reversed(self._tree.pasts)]
        for chain in chains:
            if 0 <= height <= chain.final and chain.block(height).block.header.hash == block_hash:
                self._chain = chain
                return True
        return False

    def is_final(self, height: int, block_hash: str) -> bool:
        """Whether that is the block which is final at that height, on the books' branch."""
        return 0 <= height <= self._chain.final and self._chain.block(height).block.header.hash == block_hash

    def hash_at(self, height: int) -> str:
        """The block at that height, on the books' branch."""
        return self._chain.block(height).block.header.hash

    def owed(self, first: int, last: int, managed: Collection[bytes]) -> Counter[tuple[int, Movement]]:
        """What blocks `first` to `last` paid to managed addresses, each with its height."""
        owed: Counter[tuple[int, Movement]] = Counter()
        for height in range(first, last + 1):
            for movement in self._movements(self._chain.block(height)):
                if movement[4] in managed:
                    owed[height, movement] += 1
        return owed

    def sent(self, first: int, last: int, managed: Collection[bytes]) -> Iterator[tuple[int, str, int]]:
        """What managed addresses signed in blocks `first` to `last`: height, hash, nonce."""
        for height in range(first, last + 1):
            for pooled in self._chain.block(height).included:
                if pooled.sender in managed:
                    yield height, pooled.hash, pooled.transaction.nonce

    def moved_by(self, managed: Collection[bytes], *, up_to: int) -> Iterator[Movement]:
        """What managed addresses moved by their own transactions up to a height, without what somebody else signed."""
        ours = {hash_ for _, hash_, _ in self.sent(0, up_to, managed)} - set(self.foreign)
        for height in range(up_to + 1):
            yield from (movement for movement in self._movements(self._chain.block(height)) if movement[0] in ours)

    def touched(self, first: int, last: int) -> set[bytes]:
        """Every address that had a part in blocks `first` to `last`."""
        found: set[bytes] = set()
        for height in range(first, last + 1):
            mined = self._chain.block(height)
            found.update(pooled.sender for pooled in mined.included)
            for movement in self._movements(mined):
                found.update(movement[3:5])
        return found

    def held(self, asset: str, holder: bytes, height: int) -> int:
        """What an address holds at the end of a canonical block."""
        return self._chain.held(None if asset == "eth" else bytes.fromhex(asset[2:]), holder, height)

    def mined(self, hashes: Collection[str]) -> Mapping[str, int]:
        """Of these transactions those in the books' branch, with their heights."""
        found: dict[str, int] = {}
        for hash_ in hashes:
            for mined in self._tree.blocks_with(hash_):  # type: ignore[arg-type]
                height = self._chain.height_of(mined.block.header.hash)
                if height is not None:
                    found[hash_] = height
        return found

    def fee(self, transaction_hash: str, height: int) -> tuple[bool, int]:
        """Whether a mined transaction succeeded, and what its gas cost."""
        receipt = next(each for each in self._chain.block(height).receipts if each.transaction_hash == transaction_hash)
        return receipt.succeeded, receipt.gas_used * receipt.effective_gas_price_wei

    def moved(self, transaction_hash: str, height: int, token: str, sender: bytes, to: bytes) -> bool:
        """Whether a mined transaction moved any of that token from one to the other."""
        of_it = [each for each in self._movements(self._chain.block(height)) if each[0] == transaction_hash]
        return any(each[1:5] == ("token", token, sender, to) for each in of_it)

    def came_short(self, height: int, token: str, holder: bytes) -> bool:
        """Whether an address got less of a token in that block than the block's events say."""
        said = 0
        for movement in self._movements(self._chain.block(height)):
            if movement[2] == token:
                said += movement[5] * ((movement[4] == holder) - (movement[3] == holder))
        return self.held(token, holder, height) - self.held(token, holder, height - 1) < said

    def was_rebased(self, token: str, heights: range) -> bool:
        """Whether its balances changed by themselves in one of these blocks."""
        return any((bytes.fromhex(token[2:]), height) in self._tree.rebased for height in heights)

    def who_used(self, sender: bytes, nonce: int, up_to: int) -> str | None:
        """The hash of the canonical transaction with that nonce, up to a height."""
        for height in range(up_to, -1, -1):
            for pooled in self._chain.block(height).included:
                if pooled.sender == sender and pooled.transaction.nonce == nonce:
                    return pooled.hash
        return None

    def _movements(self, mined: MinedBlock) -> Iterator[Movement]:
        succeeded = {receipt.transaction_hash for receipt in mined.receipts if receipt.succeeded}
        for pooled in mined.included:
            sender, to, value = pooled.sender, pooled.transaction.to, pooled.transaction.value
            if pooled.hash in succeeded and value and sender != to:
                yield pooled.hash, "native", "eth", sender, to, value
        for internal in mined.internal:
            if internal.transaction_hash in succeeded and internal.value and internal.sender != internal.recipient:
                yield movement_of(internal)
        for log in mined.logs:
            if log.topics[:1] == (TRANSFER_TOPIC,) and log.emitter in self.tokens:
                amount = int.from_bytes(log.data, "big")
                sender, to = log.topics[1][12:], log.topics[2][12:]
                if amount and sender != to:
                    yield log.transaction_hash, "token", "0x" + log.emitter.hex(), sender, to, amount


def movement_of(internal: InternalTransfer) -> Movement:
    """What a call moved."""
    return internal.transaction_hash, "internal", "eth", internal.sender, internal.recipient, internal.value
