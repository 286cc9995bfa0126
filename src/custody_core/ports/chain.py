"""The port to one chain. A question to it has three answers: found, absent, unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Block, BlockRef, Hash, Header, InternalTransfer, Logs, Receipt
from custody_core.domain.encoding import AccessList
from custody_core.domain.fees import FeeHistory

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Found(Generic[T_co]):
    """The node answered, completely and consistently."""

    value: T_co


@attrs.frozen
class Absent:
    """The node answered that there is no such thing. One node's word: nothing irreversible follows from it."""


@attrs.frozen
class Unknown:
    """No usable answer: refused, timed out, contradictory, not understood. `reason` is for the operator and holds no secret."""

    reason: str


Answer = Found[T] | Absent | Unknown

Doubt = Callable[[T], str | None]
"""Why an answer cannot be right, None where it can. It is asked of each node's answer, so that another node is asked for what one
gets wrong; what no node gets right is `Unknown`.
"""


def no_doubt(_: object) -> str | None:
    """Whatever is found may be right."""
    return None


class BlockTag(StrEnum):
    """A block by role."""

    LATEST = "latest"
    FINALIZED = "finalized"


@attrs.frozen
class Call:
    """A call to be tried out, not sent. Amounts in wei."""

    sender: Address
    to: Address
    value_wei: int = 0
    data: bytes = b""
    access_list: AccessList = ()


@attrs.frozen
class AccountState:
    """An account at a block: its count of mined transactions and its balance."""

    nonce: int
    balance_wei: int


@attrs.frozen
class Reverted:
    """The node tried the call and it reverts; `reason` is the decoded reason where there is one (bounded, printable)."""

    reason: str | None


class BroadcastOutcome(StrEnum):
    """What a node said to signed bytes, in our words. None of them says that a payment failed."""

    ACCEPTED = "accepted"
    """In the pool now."""
    KNOWN = "known"
    """In the pool already."""
    NONCE_TOO_LOW = "nonce_too_low"
    """The nonce is used: by one of our own attempts, most likely. The chain will say."""
    UNDERPRICED = "underpriced"
    """The pool wants more, to admit it or to replace what it has."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    """The node's view of the account cannot pay for it now."""
    NOT_NOW = "not_now"
    """The node has no room or no use for it at this moment: its pool or this account's part of it is full, the nonce is too far
    ahead, it is still syncing. The same bytes can go in later."""
    FEE_CAPPED = "fee_capped"
    """The fee is above what this node passes on, whatever we allow. Another node, or the same bytes when its limit is raised."""
    REFUSED = "refused"
    """The node will not take these bytes as they are (size, gas limit, chain id)."""
    UNKNOWN = "unknown"
    """No usable answer; the node may have them."""


@attrs.frozen
class BroadcastAnswer:
    """What became of one broadcast. `detail` is the node's own text, bounded and printable, for the operator."""

    outcome: BroadcastOutcome
    detail: str = ""
    fee_cap: str | None = None
    """Where the outcome is `UNKNOWN`: what a node said that passes on no fee as high. The others may have the bytes, or not."""


class Witness(Protocol):
    """One node of a chain, alone: what it says does not come from another one."""

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """As `Chain.header`."""
        ...

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """As `Chain.blocks`."""
        ...

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        """As `Chain.receipts`."""
        ...

    def logs(self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes]) -> Sequence[Answer[Logs]]:
        """As `Chain.logs`; none at all are believed when this node's own receipts of the block agree."""
        ...

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """As `Chain.internal_transfers`."""
        ...

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """As `Chain.balances`."""
        ...


@attrs.frozen
class SignedBytes:
    """A signed transaction, and whose signature it carries: recovered from the bytes, not a node's word."""

    raw: bytes
    signer: Address


class Chain(Protocol):
    """One chain, through one or several nodes. Methods answer `Unknown`, and never raise, for what a node or network does.

    The nodes have an order. A later one is asked for what the ones before do not know; `Absent` is what none of them has.
    """

    @property
    def chain_id(self) -> int:
        """The configured chain id."""
        ...

    @property
    def witnesses(self) -> Sequence[Witness]:
        """The nodes one by one."""
        ...

    def node_chain_id(self) -> Answer[int]:
        """The chain id that the node claims."""
        ...

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The canonical header at a height or tag. `Absent`: above the head, or no node knows such a tag.

        Of several nodes `LATEST` is the highest head and `FINALIZED` the lowest of those that are not far behind.
        """
        ...

    def ends(self) -> tuple[Answer[Header], Answer[Header]]:
        """`header` at `LATEST` and at `FINALIZED`, asked for together."""
        ...

    def synced_head(self) -> Answer[Header]:
        """The newest header of those nodes that do not say they are still syncing; `Unknown` where all do."""
        ...

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        """The canonical headers at `numbers`, in that order. Of two neighbours that do not link, only one is `Found`."""
        ...

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """The canonical blocks at `numbers`, in that order, each with all of its transactions. As `headers`, never of two forks."""
        ...

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        """For each block the logs of exactly that one (by hash, EIP-234) with that first topic from these contracts, in log order.

        A node that does not know the block answers `Unknown`, never an empty list. Where the block's bloom rules such logs out,
        this is not asked. An empty answer is therefore unlikely, and no single word for it is taken: the block's receipts have to
        agree, where a node tells them.
        """
        ...

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        """For each of `blocks` the ether that calls within its transactions moved (`domain/tracing.py`), in trace order.

        `Absent`: no node offers traces, or none of this block: its state is pruned, or there is more to it than is read. A node
        that has another block at that height, or does not tell of all of the transactions, answers `Unknown`.
        """
        ...

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        """The receipts, in that order. `Absent`: no node knows a mined transaction with that hash."""
        ...

    def signed_transactions(self, hashes: Sequence[Hash]) -> Sequence[Answer[SignedBytes]]:
        """Mined EIP-1559 transactions as they were signed: bytes that hash to what was asked for. `Absent`: of another type."""
        ...

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """Nonce and balance at a block."""
        ...

    def known_nonces(self, addresses: Sequence[Address], *, reserved: Sequence[int]) -> Sequence[Answer[int]]:
        """For each address how many of its transactions are known to nodes: those mined, and those that are next in a pool.

        `reserved` is how many there should be at most. Where there are several nodes, more than that is answered only when two of
        them know as many; it is `Unknown` while one says so and no other one is heard.
        """
        ...

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """For each (holder, token contract or None for ether) the balance at exactly that block; `Absent` where the contract was
        not there, `Unknown` where it is pruned.
        """
        ...

    def fee_history(self) -> Answer[FeeHistory]:
        """Recent fees at the percentiles of `TIER_PERCENTILES`."""
        ...

    def estimate_gas(self, calls: Sequence[Call]) -> Sequence[Answer[int | Reverted]]:
        """For each call, alone, the gas that it would use on top of the newest block, or that it would revert."""
        ...

    def try_call(self, call: Call, *, on_top_of: int) -> Answer[bytes | Reverted]:
        """What `call` would have returned on top of the canonical block at that height. `Unknown` where its state is pruned."""
        ...

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """Offers signed bytes to the nodes, in order. Sending the same bytes again is always safe."""
        ...
