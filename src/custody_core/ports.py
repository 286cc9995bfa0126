"""Every port: what the core needs from the world, with each method's error contract.

Rules of this file

1. An adapter implements one of these protocols and passes its contract suite (`tests/unit/contracts/`).
2. A question to the chain has three answers: found, absent, unknown. A time-out is unknown; so is an answer that contradicts
   itself.
3. No network call is made between a unit's first statement and its commit.
4. Time, chance and keys come in here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import attrs

from custody_core.domain.access import ApiKey, User
from custody_core.domain.addresses import Address
from custody_core.domain.audit import AuditEvent, Event
from custody_core.domain.authorisation import Authorised
from custody_core.domain.chain import Block, BlockRef, ChainState, Hash, Header, Log, Receipt
from custody_core.domain.deposit import Deposit, DepositKey
from custody_core.domain.fees import FeeHistory
from custody_core.domain.ledger import Account, PostingGroup
from custody_core.domain.nonce import NonceLine
from custody_core.domain.policy import Decision, Policy
from custody_core.domain.tokens import Token
from custody_core.domain.transaction import Transaction
from custody_core.domain.wallet import SealedKey, Wallet

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# --- the chain -----------------------------------------------------------------------------------------------------------------


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
    REFUSED = "refused"
    """The node will not take these bytes as they are (size, gas limit, chain id, its own fee cap)."""
    UNKNOWN = "unknown"
    """No usable answer; the node may have them."""


@attrs.frozen
class BroadcastAnswer:
    """What became of one broadcast. `detail` is the node's own text, bounded and printable, for the operator."""

    outcome: BroadcastOutcome
    detail: str = ""


class Chain(Protocol):
    """One chain, through one or several nodes. Methods answer `Unknown`, and never raise, for what a node or network does."""

    @property
    def chain_id(self) -> int:
        """The configured chain id."""
        ...

    def node_chain_id(self) -> Answer[int]:
        """The chain id that the node claims."""
        ...

    def header(self, at: int | BlockTag) -> Answer[Header]:
        """The canonical header at a height or tag. `Absent`: above the head, or the node knows no such tag."""
        ...

    def headers(self, numbers: Sequence[int]) -> Sequence[Answer[Header]]:
        """The canonical headers at `numbers`, in that order."""
        ...

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        """The canonical blocks at `numbers`, in that order, each with all of its transactions."""
        ...

    def logs(self, block_hash: Hash, *, topic: bytes, emitters: Sequence[bytes]) -> Answer[Sequence[Log]]:
        """The logs of exactly this block (by hash, EIP-234) with that first topic from these contracts, in log order.

        A node that does not know the block answers `Unknown`, never an empty list.
        """
        ...

    def receipts(self, transaction_hashes: Sequence[Hash]) -> Sequence[Answer[Receipt]]:
        """The receipts, in that order. `Absent`: the node knows no mined transaction with that hash."""
        ...

    def account(self, address: Address, at: int | BlockTag) -> Answer[AccountState]:
        """Nonce and balance at a block."""
        ...

    def balances(self, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
        """For each (holder, token contract or None for ether) the balance at exactly that block; `Unknown` where it is pruned."""
        ...

    def fee_history(self) -> Answer[FeeHistory]:
        """Recent fees at the percentiles of `TIER_PERCENTILES`."""
        ...

    def estimate_gas(self, call: Call) -> Answer[int | Reverted]:
        """The gas that `call` would use on top of the newest block, or that it would revert."""
        ...

    def broadcast(self, raws: Sequence[bytes]) -> Sequence[BroadcastAnswer]:
        """Offers signed bytes to the nodes, in order. Sending the same bytes again is always safe."""
        ...


# --- keys ----------------------------------------------------------------------------------------------------------------------


@attrs.frozen
class SignedTransaction:
    """The bytes to broadcast (EIP-2718 envelope) and their hash."""

    raw: bytes
    hash: Hash


class Keys(Protocol):
    """Makes and uses private keys, which never leave it unsealed.

    Every method raises `SignerUnavailable` when the signer does not answer and `Sealed` when its master key is not loaded.
    """

    def create(self, wallet_ids: Sequence[str]) -> Sequence[SealedKey]:
        """One new key per wallet id, sealed for that id and its address."""
        ...

    def verify(self, key: SealedKey) -> None:
        """Opens `key` and compares the derived address with its own. Signs nothing. Raises `KeyIntegrity`."""
        ...

    def sign(self, authorised: Authorised, key: SealedKey) -> SignedTransaction:
        """Signs exactly what was authorised, after the check of `verify`, raising as it does. RFC 6979, low s (EIP-2)."""
        ...


# --- the store -----------------------------------------------------------------------------------------------------------------


@attrs.frozen
class IdempotencyRecord:
    """A key that was used: `fingerprint` of its body, the object that it made, and in `answer` that object's public form as it
    was then (JSON; empty in a record from before answers were kept)."""

    scope: str
    key: str
    fingerprint: bytes
    object_id: str
    created_at: datetime
    answer: Mapping[str, object]


@attrs.frozen
class AuditHead:
    """The newest sealed audit row: its sequence (0 before the first) and hash."""

    sequence: int
    hash: bytes


class Unit(Protocol):
    """One database transaction: everything in it is committed together or not at all.

    `save_…` methods take the new value, whose `version` is one above the stored one, and raise `Conflict` when the stored one is
    another. `add_…` raise `Conflict` when a unique key is taken. Lists are ordered as each method says.
    """

    # Users and their API keys, newest id first
    def user(self, user_id: str) -> User | None: ...
    def users_by_id(self, user_ids: Sequence[str]) -> Mapping[str, User]: ...
    def users(self, *, limit: int, before_id: str | None = None) -> Sequence[User]: ...
    def user_by_subject(self, issuer: str, subject: str) -> User | None: ...
    def add_user(self, user: User) -> None: ...
    def save_user(self, user: User) -> None: ...
    def api_key(self, key_id: str) -> ApiKey | None: ...
    def api_key_by_digest(self, digest: bytes) -> ApiKey | None: ...
    def api_keys(self, *, user_id: str | None, limit: int, before_id: str | None = None) -> Sequence[ApiKey]: ...
    def add_api_key(self, key: ApiKey) -> None: ...
    def save_api_key(self, key: ApiKey) -> None: ...

    # Wallets. `lock_pool` is held until the commit: it orders the births of addresses against the blocks that are scanned for them.
    def lock_pool(self) -> None: ...
    def next_wallet_sequence(self) -> int:
        """One above the highest sequence used (1 at first). Only under `lock_pool`."""
        ...

    def add_wallets(self, wallets: Sequence[Wallet], keys: Sequence[SealedKey]) -> None: ...
    def pool_size(self) -> int: ...
    def pooled_wallet(self) -> Wallet | None:
        """The oldest wallet without an owner, locked; one that another unit holds is passed over where the database can."""
        ...

    # A locked wallet stays so until the commit, which serialises everything that spends from it. Several are locked in id order.
    def wallet(self, wallet_id: str, *, lock: bool = False) -> Wallet | None: ...
    def wallets_by_id(self, wallet_ids: Iterable[str], *, lock: bool = False) -> Mapping[str, Wallet]: ...
    def wallet_by_external_id(self, owner_id: str, external_id: str) -> Wallet | None: ...
    def wallets_by_address(self, addresses: Iterable[Address]) -> Mapping[Address, Wallet]: ...
    def save_wallet(self, wallet: Wallet) -> None: ...
    def wallets(self, *, owner_id: str | None, limit: int, before_id: str | None = None) -> Sequence[Wallet]:
        """Owned wallets, the one handed out last first; of one owner, or of all with None."""
        ...

    def addresses_after(self, sequence: int, limit: int) -> Sequence[tuple[int, Address]]:
        """(sequence, address) of every managed address, pooled and closed ones included, above `sequence`, ascending."""
        ...

    def sealed_keys(self, wallet_ids: Sequence[str]) -> Mapping[str, SealedKey]: ...

    # Outgoing transactions, with their attempts
    def add_transaction(self, transaction: Transaction) -> None: ...
    def save_transactions(self, transactions: Sequence[Transaction]) -> None: ...
    def transaction(self, transaction_id: str) -> Transaction | None: ...
    def transactions_by_id(self, transaction_ids: Sequence[str]) -> Mapping[str, Transaction]: ...
    def transaction_by_external_id(self, owner_id: str, external_id: str) -> Transaction | None: ...
    def transactions(
        self,
        *,
        owner_id: str | None,
        wallet_id: str | None = None,
        state: str | None = None,
        limit: int,
        before_id: str | None = None,
    ) -> Sequence[Transaction]:
        """Newest id first."""
        ...

    def claim_due(self, *, chain_id: int, now: datetime, until: datetime, limit: int) -> Sequence[Transaction]:
        """Up to `limit` transactions whose `due_at` is at or before `now`, oldest due first (then by id), each put off to `until`.

        The claim saves them (version + 1) and skips rows that another unit holds; if the worker dies, they are due at `until`.
        """
        ...

    def transactions_by_hash(self, chain_id: int, hashes: Sequence[Hash]) -> Mapping[Hash, Transaction]:
        """The transactions that have an attempt with one of these hashes."""
        ...

    def confirming_transactions(
        self, chain_id: int, *, above: int | None = None, up_to: int | None = None
    ) -> Sequence[Transaction]:
        """Those in `confirming` whose block is above / at or below a height, by height and id."""
        ...

    def in_flight_of(self, chain_id: int, wallet_ids: Iterable[str]) -> Mapping[str, int]:
        """Wallet id → how many of its transactions hold a nonce and are not final; a wallet without any is left out."""
        ...

    # Nonces
    def nonce_lines(self, chain_id: int, addresses: Iterable[Address]) -> Mapping[Address, NonceLine]: ...
    def put_nonce_lines(self, lines: Sequence[NonceLine]) -> None: ...

    # Incoming transactions
    def deposits_by_key(self, keys: Sequence[DepositKey]) -> Mapping[DepositKey, Deposit]: ...
    def add_deposits(self, deposits: Sequence[Deposit]) -> None: ...
    def save_deposits(self, deposits: Sequence[Deposit]) -> None: ...
    def deposit(self, deposit_id: str) -> Deposit | None: ...
    def deposits(
        self,
        *,
        owner_id: str | None,
        wallet_id: str | None = None,
        state: str | None = None,
        limit: int,
        before_id: str | None = None,
    ) -> Sequence[Deposit]:
        """Newest id first; `owner_id` is the owner of the wallet."""
        ...

    def confirming_deposits(self, chain_id: int, *, above: int | None = None, up_to: int | None = None) -> Sequence[Deposit]:
        """Those in `confirming` whose block is above / at or below a height, by height and id."""
        ...

    def pending_in(self, wallet_id: str) -> Mapping[tuple[int, str], int]:
        """(chain id, asset key) → base units of this wallet's deposits in `confirming`."""
        ...

    # Chains
    def chain(self, chain_id: int, *, lock: bool = False) -> ChainState | None: ...
    def chains(self) -> Sequence[ChainState]: ...
    def add_chain(self, state: ChainState, header: Header) -> None: ...
    def save_chain(self, state: ChainState) -> None: ...
    def add_headers(self, chain_id: int, headers: Sequence[Header]) -> None: ...
    def headers(self, chain_id: int, *, first: int, last: int) -> Sequence[Header]:
        """Our canonical headers in that range, ascending. `logs_bloom` is not stored and comes back None."""
        ...

    def remove_headers(self, chain_id: int, *, above: int) -> None:
        """Takes the headers above a height out of the canonical chain (a reorganisation). They are kept, marked as reverted."""
        ...

    # Tokens
    def add_token(self, token: Token) -> None: ...
    def save_token(self, token: Token) -> None: ...
    def token(self, token_id: str) -> Token | None: ...
    def tokens(self, chain_id: int | None = None) -> Sequence[Token]:
        """By id."""
        ...

    # The books
    def post(self, groups: Sequence[PostingGroup]) -> None:
        """Appends the groups and moves the balances. `Conflict` when a (reference, reason) exists; `InsufficientFunds` when an
        account that must not go below zero would."""
        ...

    def balance(self, account: Account) -> int:
        """The account's balance, 0 where nothing was ever posted."""
        ...

    def balances(self, wallet_id: str) -> Mapping[Account, int]:
        """All accounts of a wallet that were ever posted to."""
        ...

    def wallet_totals(self, chain_id: int, *, after_wallet_id: str, limit: int) -> Sequence[tuple[Wallet, Mapping[str, int]]]:
        """By wallet id: every wallet (pooled and closed ones too), each with asset key → the sum of all of its accounts on that
        chain (its suspense included); an asset never posted to is left out."""
        ...

    def posting_groups(self, *, after: int, limit: int) -> Sequence[tuple[int, PostingGroup]]:
        """(position, group) of every group above a position, ascending."""
        ...

    # Policy
    def active_policies(self) -> Sequence[Policy]: ...
    def publish_policy(self, policy: Policy) -> None:
        """Makes `policy` the active one of its layer and subject."""
        ...

    def add_decisions(self, decisions: Sequence[Decision]) -> None: ...
    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, Decision]: ...

    # Idempotency
    def idempotency(self, scope: str, key: str) -> IdempotencyRecord | None: ...
    def add_idempotency(self, record: IdempotencyRecord) -> None: ...

    # Audit and events. Rows are added unnumbered; the sealer takes committed ones in the order in which they were added, so that
    # what happened to one object is told in the order in which it happened.
    def add_audit(self, rows: Sequence[AuditEvent]) -> None: ...
    def add_events(self, rows: Sequence[Event]) -> None: ...
    def audit_head(self) -> AuditHead: ...
    def unsealed_audit(self, limit: int) -> Sequence[AuditEvent]: ...
    def save_sealed_audit(self, rows: Sequence[AuditEvent]) -> None: ...
    def audit(self, *, after_sequence: int, limit: int) -> Sequence[AuditEvent]:
        """Sealed rows by sequence."""
        ...

    def number_events(self, limit: int) -> int:
        """Gives the next sequences to unnumbered events, in the order in which they were added; how many it numbered."""
        ...

    def event(self, event_id: str) -> Event | None: ...
    def events(self, *, after_sequence: int, limit: int, owner_id: str | None = None) -> Sequence[Event]:
        """Numbered events by sequence, of one owner or with None all."""
        ...

    # Leases and facts about the installation
    def take_lease(self, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
        """Whether `holder` has the lease now: it was free, expired, or already the holder's. It then ends at `until`."""
        ...

    def lease_until(self, name: str) -> datetime | None:
        """When the lease ends, or ended; None where nobody ever had it."""
        ...

    def setting(self, name: str) -> bytes | None: ...
    def put_setting(self, name: str, value: bytes) -> None: ...


class Store(Protocol):
    """The one place where state lives."""

    def transaction(self) -> AbstractContextManager[Unit]:
        """A unit that writes. Commits on clean exit, rolls back on an exception.

        It locks what it decides on before reading it, or saves a version, or a unique key refuses the second. Nothing else that it
        reads is held still.

        Raises `Conflict` when the database could not serialise it (run the whole unit again, with fresh reads) and `OutcomeUnknown`
        when the answer to COMMIT was lost (read back by key).
        """
        ...

    def reading(self) -> AbstractContextManager[Unit]:
        """A unit that only reads, all of it from one moment. Writing in it raises."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


# --- time, chance, and those who watch ---------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """The time of day, in UTC, aware."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go backward, for measuring waits."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class Entropy(Protocol):
    """Chance."""

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes that nobody can predict."""
        ...


class Observer(Protocol):
    """Those who watch: the core never logs."""

    def progress(self, what: str, *, done: int, total: int) -> None:
        """Long work has got so far."""
        ...

    def trouble(self, what: str, detail: str) -> None:
        """Something that will be tried again did not work. `detail` holds no secret."""
        ...
