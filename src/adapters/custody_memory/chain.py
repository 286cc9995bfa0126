"""The `Chain` port over a `World`: an honest node, whose answers a test can take away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum, auto
from itertools import accumulate
from typing import Final, TypeVar

from custody_core.domain.addresses import Address, address_from_bytes, address_to_bytes
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Logs, Receipt
from custody_core.domain.encoding import (
    ERC20_BALANCE_OF_SELECTOR,
    MalformedSignature,
    MalformedTransaction,
    decode_signed,
    keccak256,
    signing_hash,
)
from custody_core.domain.fees import GAS_LIMIT_MAX, GWEI, TIER_PERCENTILES, FeeHistory
from custody_core.ports import (
    Absent,
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
from custody_memory.blocks import BLOCK_GAS_LIMIT, MinedBlock
from custody_memory.execution import Effect, TokenContract, intrinsic_gas, run
from custody_memory.mempool import Pooled
from custody_memory.world import GENESIS_AT, World, synchronised

T = TypeVar("T")

Recover = Callable[[bytes, int, int, int], bytes]
"""Digest, y_parity, r, s → the signer's 20 address bytes; raises `ValueError` where nobody could have signed that."""

FEE_HISTORY_BLOCKS: Final = 20
SILENCE: Final = "the node did not answer"


class _Lost(Enum):
    """Where a broadcast gets lost."""

    ON_THE_WAY_OUT = auto()
    ON_THE_WAY_BACK = auto()


class MemoryChain(World):
    """A `World` that answers as a node does. Deterministic; safe to share between threads."""

    def __init__(
        self,
        chain_id: int = 31_337,
        *,
        finality_lag: int = 4,
        genesis_at: datetime = GENESIS_AT,
        base_fee_per_gas_wei: int = GWEI,
        recover: Recover | None = None,
        offers_traces: bool = True,
    ) -> None:
        super().__init__(chain_id, finality_lag=finality_lag, genesis_at=genesis_at, base_fee_per_gas_wei=base_fee_per_gas_wei)
        self._recover = recover or recover_address
        self._offers_traces = offers_traces
        self._is_syncing = False
        self._failures: Counter[str] = Counter()
        self._lost: list[_Lost] = []
        self._signed: dict[Hash, SignedBytes] = {}

    # What a test takes away

    @synchronised
    def fail_next(self, method: str, times: int = 1) -> None:
        """The next `times` calls of a method of the port answer `Unknown`, for every item asked."""
        self._failures[method] += times

    @synchronised
    def lose_broadcast_answers(self, count: int = 1) -> None:
        """The next `count` transactions arrive, and nobody hears that they did."""
        self._lost += [_Lost.ON_THE_WAY_BACK] * count

    @synchronised
    def drop_broadcasts(self, count: int = 1) -> None:
        """The next `count` transactions do not arrive, and nobody hears that they did not."""
        self._lost += [_Lost.ON_THE_WAY_OUT] * count

    @synchronised
    def sync(self, syncing: bool = True) -> None:
        """Whether the node says that it is still catching up with its chain."""
        self._is_syncing = syncing

    # The port

    @property
    def chain_id(self) -> int:
        """The configured chain id."""
        return self._chain_id

    @property
    def witnesses(self) -> Sequence[Witness]:
        """This one, and no other."""
        return [self]

    @synchronised
    def node_chain_id(self) -> Answer[int]:
        """The same."""
        return self._failure("node_chain_id") or Found(self._chain_id)

    @synchronised
    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The canonical header."""
        if failure := self._failure("header"):
            return failure
        mined = self._mined(self._height(at))
        return Found(mined.block.header) if mined else Absent()

    def ends(self) -> tuple[Answer[Header], Answer[Header]]:
        """The head and the final block."""
        return self.header(BlockTag.LATEST), self.header(BlockTag.FINALIZED)

    @synchronised
    def synced_head(self) -> Answer[Header]:
        """The newest header, unless the node is still syncing."""
        if self._is_syncing:
            return Unknown("the node is still syncing")
        return self._failure("synced_head") or Found(self.head)

    @synchronised
    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        """The canonical headers."""
        return self._each("headers", numbers, lambda mined: mined.block.header)

    @synchronised
    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """The canonical blocks."""
        return self._each("blocks", numbers, lambda mined: mined.block)

    @synchronised
    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        """For each block the logs of exactly that one."""
        if failure := self._failure("logs"):
            return [failure] * len(block_hashes)
        mined = [self._mined(self._numbers.get(block_hash)) for block_hash in block_hashes]
        return [_doubted(Found(_chosen(each, topic, emitters)), doubt) if each else Unknown("unknown block") for each in mined]

    @synchronised
    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """The internal transfers of these very blocks."""
        if failure := self._failure("internal_transfers"):
            return [failure] * len(blocks)
        return [self._internal(block.header.hash) for block in blocks]

    @synchronised
    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """The receipts."""
        if failure := self._failure("receipts"):
            return [failure] * len(transaction_hashes)
        found = [self._receipts.get(transaction_hash) for transaction_hash in transaction_hashes]
        return [_doubted(Found(receipt), doubt) if receipt else Absent() for receipt in found]

    @synchronised
    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[SignedBytes]]:
        """The bytes that were offered. What a test put into a block without a signature has none."""
        failure = self._failure("signed_transactions")
        return [failure or (Found(self._signed[hash_]) if hash_ in self._signed else Absent()) for hash_ in hashes]

    @synchronised
    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """Nonce and balance."""
        if failure := self._failure("account"):
            return failure
        height, raw = self._height(at), address_to_bytes(address)
        if self._mined(height) is None:
            return Unknown("unknown block")
        return Found(AccountState(self._nonces.at(raw, height), self._held.at((None, raw), height)))

    @synchronised
    def known_nonces(self, addresses: Sequence[Address], *, reserved: Sequence[int]) -> Sequence[Answer[int]]:  # noqa: ARG002  one node
        """Mined transactions, and those that are next in the pool."""
        failure = self._failure("known_nonces")
        return [failure or Found(self._next_nonce(address_to_bytes(address))) for address in addresses]

    @synchronised
    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """Balances at exactly that block."""
        failure = self._failure("balances")
        if failure or at.hash not in self._numbers:
            return [failure or Unknown("unknown block")] * len(holders)
        return [self._balance(address_to_bytes(holder), token, at.number) for holder, token in holders]

    @synchronised
    def fee_history(self) -> Answer[FeeHistory]:
        """Recent fees."""
        tips = [_tips_wei(mined) for mined in self._blocks[-FEE_HISTORY_BLOCKS:]]
        return self._failure("fee_history") or Found(FeeHistory(self._base_fee_next_wei, tips))

    @synchronised
    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        """The gas of each call on top of the newest block."""
        failure = self._failure("estimate_gas")
        return [failure or self._estimate(call) for call in calls]

    @synchronised
    def try_call(self, call: Call, *, on_top_of: int) -> Answer[bytes | Reverted]:
        """Whether `call` would have reverted. Of what contracts return there is a token's balance, and that it says no."""
        if failure := self._failure("try_call"):
            return failure
        if call.data[:4] == ERC20_BALANCE_OF_SELECTOR:
            balance = self._balance(call.data[16:36], call.to, on_top_of)
            if isinstance(balance, Found):
                return Found(balance.value.to_bytes(32, "big"))
        effect = self._effect(call, on_top_of)
        if isinstance(effect, Unknown):
            return effect
        return Found(Reverted(effect.reason) if effect.reverted else effect.returned)

    @synchronised
    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """Offers signed bytes to the pool."""
        if self._failure("broadcast"):
            return [BroadcastAnswer(BroadcastOutcome.UNKNOWN, SILENCE)] * len(raws)
        return [self._broadcast(raw) for raw in raws]

    # Inside

    def _estimate(self, call: Call) -> Answer[int | Reverted]:
        effect = self._effect(call, self.head.number)
        if isinstance(effect, Unknown):
            return effect
        return Found(Reverted(effect.reason) if effect.reverted else effect.gas_used)

    def _effect(self, call: Call, height: int) -> Effect | Unknown:
        sender = address_to_bytes(call.sender)
        if self._held.at((None, sender), height) < call.value_wei:
            return Unknown("insufficient funds for transfer")
        return run(
            self._contracts,
            lambda holding: self._held.at(holding, height),
            sender=sender,
            to=address_to_bytes(call.to),
            value=call.value_wei,
            data=call.data,
            access_list=call.access_list,
        )

    def _next_nonce(self, sender: bytes) -> int:
        nonce = self._nonces.at(sender, self.head.number)
        while self._pool.of(sender, nonce) is not None:
            nonce += 1
        return nonce

    def _failure(self, method: str) -> Unknown | None:
        if self._failures[method] == 0:
            return None
        self._failures[method] -= 1
        return Unknown(SILENCE)

    def _height(self, at: int | BlockTag) -> int:
        match at:
            case BlockTag.LATEST:
                return self.head.number
            case BlockTag.FINALIZED:
                return self._final
            case _:
                return at

    def _mined(self, height: int | None) -> MinedBlock | None:
        return self._blocks[height] if height is not None and 0 <= height < len(self._blocks) else None

    def _each(self, method: str, numbers: Sequence[int], part: Callable[[MinedBlock], T]) -> Sequence[Answer[T]]:
        if failure := self._failure(method):
            return [failure] * len(numbers)
        found = [self._mined(number) for number in numbers]
        return [Found(part(mined)) if mined else Absent() for mined in found]

    def _internal(self, block_hash: Hash) -> Answer[Sequence[InternalTransfer]]:
        mined = self._mined(self._numbers.get(block_hash))
        if not self._offers_traces:
            return Absent()
        return Found(mined.internal) if mined else Unknown("unknown block")

    def _balance(self, holder: bytes, token: Address | None, height: int) -> Answer[int]:
        contract = None if token is None else address_to_bytes(token)
        if contract is not None and not isinstance(self._contracts.get(contract), TokenContract):
            return Absent()
        return Found(self._held.at((contract, holder), height))

    def _broadcast(self, raw: bytes) -> BroadcastAnswer:
        lost = self._lost.pop(0) if self._lost else None
        answer = None if lost is _Lost.ON_THE_WAY_OUT else self._offer(raw)
        return BroadcastAnswer(BroadcastOutcome.UNKNOWN, SILENCE) if lost or answer is None else answer

    def _offer(self, raw: bytes) -> BroadcastAnswer:
        try:
            transaction, y_parity, r, s = decode_signed(raw)
            sender = self._recover(signing_hash(transaction), y_parity, r, s)
        except (MalformedTransaction, MalformedSignature, ValueError) as malformed:
            return BroadcastAnswer(BroadcastOutcome.REFUSED, str(malformed))
        if transaction.chain_id != self._chain_id:
            return BroadcastAnswer(BroadcastOutcome.REFUSED, "invalid chain id for signer")
        needed = intrinsic_gas(transaction.data, transaction.access_list)
        if not needed <= transaction.gas_limit <= min(GAS_LIMIT_MAX, BLOCK_GAS_LIMIT):
            return BroadcastAnswer(BroadcastOutcome.REFUSED, "the gas limit is too low or too high")
        height, hash_ = self.head.number, Hash("0x" + keccak256(raw).hex())
        self._signed[hash_] = SignedBytes(raw, address_from_bytes(sender))
        return self._pool.offer(
            Pooled(hash_, sender, transaction),
            nonce=self._nonces.at(sender, height),
            balance_wei=self._held.at((None, sender), height),
        )


def _doubted(found: Found[T], doubt: Doubt[T]) -> Answer[T]:
    why = doubt(found.value)
    return found if why is None else Unknown(why)


def _tips_wei(mined: MinedBlock) -> Sequence[int]:
    """A block's tips at our percentiles, each transaction weighing as much as its gas; zeros for an empty block."""
    paid = sorted((receipt.effective_gas_price_wei - mined.base_fee_per_gas_wei, receipt.gas_used) for receipt in mined.receipts)
    passed = list(accumulate(gas_used for _, gas_used in paid))
    return [
        next((tip for (tip, _), gas in zip(paid, passed, strict=True) if 100 * gas >= percentile * mined.gas_used), 0)
        for percentile in TIER_PERCENTILES.values()
    ]


def recover_address(digest: bytes, y_parity: int, r: int, s: int) -> bytes:
    """The address that signed `digest`, by libsecp256k1. Raises `ValueError`."""
    import wallycore  # noqa: PLC0415  a test that brings its own `recover` does not need the library

    signature = bytes((31 + y_parity,)) + r.to_bytes(32, "big") + s.to_bytes(32, "big")  # 31: Bitcoin's mark of a compressed key
    public_key = wallycore.ec_public_key_decompress(wallycore.ec_sig_to_public_key(digest, signature))
    return keccak256(bytes(public_key[1:]))[12:]


def _chosen(mined: MinedBlock, topic: bytes, emitters: Sequence[bytes]) -> Logs:
    return Logs(mined.block.header.hash, [log for log in mined.logs if log.topics[:1] == (topic,) and log.emitter in emitters])
