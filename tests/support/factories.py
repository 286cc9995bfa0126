"""Domain values with sensible defaults: a test names only what it is about.

Ids count up, so a value made later sorts later; nothing here uses chance or the time of day.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from custody_core.domain.access import ApiKey, Scope, User
from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.domain.audit import AuditEvent, Event
from custody_core.domain.chain import BlockRef, ChainState, Hash, Header, Reorganisation
from custody_core.domain.deposit import Deposit, DepositKey, DepositKind, DepositState
from custody_core.domain.fees import GWEI, Fees, FeeTier
from custody_core.domain.ids import IdPrefix, make_id
from custody_core.domain.ledger import PostingGroup, Reason, WalletAccounts, moves
from custody_core.domain.money import ether
from custody_core.domain.nonce import NonceLine
from custody_core.domain.policy import STARTER_DOCUMENT, Decision, Evaluation, Layer, Policy, PolicyInput, Verdict
from custody_core.domain.tokens import Asset, Token, TokenState, native_asset
from custody_core.domain.transaction import Attempt, AttemptKind, AttemptState, Inclusion, State, Transaction
from custody_core.domain.wallet import SealedKey, Wallet
from custody_core.ports import IdempotencyRecord

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
"""When tests take place, unless they say otherwise. It has microseconds, so that a store that drops them is noticed."""

CHAIN_ID = 31337
ETH = native_asset(CHAIN_ID)
BLOCK_TIME = timedelta(seconds=12)

_count = itertools.count(1)


def number() -> int:
    """A number that no other value of this run has."""
    return next(_count)


def identifier(prefix: IdPrefix) -> str:
    """The next id; ids sort in the order in which they were made."""
    return make_id(prefix, NOW, number().to_bytes(10, "big"))


def identifier_at(moment: datetime) -> str:
    """The next id of a transaction, made at `moment`."""
    return make_id(IdPrefix.TRANSACTION, moment, number().to_bytes(10, "big"))


def address(seed: int | None = None) -> Address:
    """An address; the same seed gives the same one."""
    return address_from_bytes(b"\xaa" * 12 + (number() if seed is None else seed).to_bytes(8, "big"))


def hash32(seed: int | None = None, *, mark: int = 0xBB) -> Hash:
    """A 32-byte hash; the same seed and mark give the same one."""
    return Hash("0x" + (bytes([mark]) * 24 + (number() if seed is None else seed).to_bytes(8, "big")).hex())


def user(subject: str | None = None, **changes: Any) -> User:
    """A user of this installation."""
    made = User(id=identifier(IdPrefix.USER), issuer="local", subject=subject or f"user-{number()}", created_at=NOW)
    return attrs.evolve(made, **changes)


def api_key(of: User, **changes: Any) -> ApiKey:
    """An API key of a user. Its digest is of no secret."""
    made = ApiKey(
        id=identifier(IdPrefix.API_KEY),
        user_id=of.id,
        name="payouts",
        digest=number().to_bytes(32, "big"),
        scopes=frozenset({Scope.WALLETS_READ, Scope.TRANSACTIONS_CREATE}),
        created_at=NOW,
    )
    return attrs.evolve(made, **changes)


def wallet(owner_id: str | None = None, **changes: Any) -> Wallet:
    """A wallet; without `owner_id` it waits in the pool."""
    made = Wallet(
        id=identifier(IdPrefix.WALLET), address=address(), sequence=number(), created_at=NOW, updated_at=NOW, owner_id=owner_id
    )
    return attrs.evolve(made, **changes)


def sealed_key(of: Wallet, **changes: Any) -> SealedKey:
    """The sealed key of a wallet. It opens with nothing."""
    return attrs.evolve(SealedKey(of.id, of.address, 1, b"sealed " + of.id.encode()), **changes)


def attempt(state: AttemptState = AttemptState.PLANNED, **changes: Any) -> Attempt:
    """An attempt, with bytes and hash when it is signed, and a time when it is sent."""
    made = Attempt(
        id=identifier(IdPrefix.ATTEMPT), kind=AttemptKind.PAYMENT, fees=Fees(30 * GWEI, GWEI), planned_at=NOW, state=state
    )
    if state is not AttemptState.PLANNED:
        made = attrs.evolve(made, raw=b"\x02" + number().to_bytes(8, "big"), hash=hash32())
    if state is AttemptState.SENT:
        made = attrs.evolve(made, first_sent_at=NOW)
    return attrs.evolve(made, **changes)


def transaction(of: Wallet | None = None, **changes: Any) -> Transaction:
    """A queued transfer of one ether, due now."""
    of = of or wallet("usr_of_nobody")
    made = Transaction(
        id=identifier(IdPrefix.TRANSACTION),
        wallet_id=of.id,
        owner_id=of.owner_id or "",
        asset=ETH,
        sender=of.address,
        to=address(),
        amount=ether("1"),
        gas_limit=21_000,
        fee_tier=FeeTier.NORMAL,
        fee_per_gas_max_wei=60 * GWEI,
        state=State.QUEUED,
        created_at=NOW,
        updated_at=NOW,
        policy_verdict="allow",
        policy_ids=("pol_starter",),
        policy_rules=("allow-transfers",),
        due_at=NOW,
    )
    return attrs.evolve(made, **changes)


def broadcasting(of: Wallet | None = None, *, nonce: int = 0, **changes: Any) -> Transaction:
    """A transaction with a nonce whose first attempt was sent."""
    filled: dict[str, Any] = {"state": State.BROADCASTING, "nonce": nonce, "attempts": (attempt(AttemptState.SENT),)}
    return transaction(of, **(filled | changes))


def confirming(of: Wallet | None = None, *, nonce: int = 0, block: BlockRef | None = None, **changes: Any) -> Transaction:
    """A transaction whose first attempt is in a block."""
    sent = attempt(AttemptState.SENT)
    included = Inclusion(sent.id, block or block_ref(100), succeeded=True, gas_used=21_000, effective_gas_price_wei=20 * GWEI)
    filled: dict[str, Any] = {"state": State.CONFIRMING, "nonce": nonce, "attempts": (sent,), "inclusion": included, "due_at": None}
    return transaction(of, **(filled | changes))


def decision(of: Transaction, *, nonce: int | None = None, **changes: Any) -> Decision:
    """A decision that allows `of`."""
    inputs = PolicyInput(
        chain_id=of.chain_id,
        type=of.type,
        wallet_id=of.wallet_id,
        owner_id=of.owner_id,
        sender=of.sender,
        to=of.to,
        asset=of.asset.alias,
        contract=of.asset.contract,
        amount=of.amount,
        data=of.data,
        access_list=of.access_list,
    )
    made = Decision(
        id=identifier(IdPrefix.DECISION),
        transaction_id=of.id,
        evaluation=Evaluation(Verdict.ALLOW, of.policy_rules, of.policy_ids, inputs),
        nonce=nonce,
        fee_per_gas_max_wei=of.fee_per_gas_max_wei,
        gas_limit=of.gas_limit,
        decided_at=NOW,
    )
    return attrs.evolve(made, **changes)


def policy(layer: Layer = Layer.GLOBAL, subject: str | None = None, **changes: Any) -> Policy:
    """A published starter policy."""
    made = Policy(identifier(IdPrefix.POLICY), layer, subject, STARTER_DOCUMENT, NOW)
    return attrs.evolve(made, **changes)


def block_ref(height: int, *, fork: int = 0) -> BlockRef:
    """The block at a height; another fork's block at the same height has another hash."""
    return header(height, fork=fork).ref


def header(height: int, *, fork: int = 0, parent_fork: int | None = None, **changes: Any) -> Header:
    """The header at a height of a fork, on top of the same fork's one below, or of `parent_fork`'s where forks part."""
    made = Header(
        number=height,
        hash=hash32(height, mark=fork),
        parent_hash=hash32(max(height - 1, 0), mark=fork if parent_fork is None else parent_fork),
        timestamp=datetime(2026, 1, 1, tzinfo=UTC) + height * BLOCK_TIME,
    )
    return attrs.evolve(made, **changes)


def header_chain(first: int, last: int, *, fork: int = 0, parent_fork: int | None = None) -> list[Header]:
    """Linked headers, ascending; the first one stands on `parent_fork` where that is another."""
    return [header(height, fork=fork, parent_fork=parent_fork if height == first else fork) for height in range(first, last + 1)]


def chain_state(height: int = 0, chain_id: int = CHAIN_ID, **changes: Any) -> ChainState:
    """A chain that is followed from a height on."""
    start = block_ref(height)
    return attrs.evolve(ChainState(chain_id, start=start, cursor=start, final=start), **changes)


def reorganisation(**changes: Any) -> Reorganisation:
    """One that took back three blocks."""
    made = Reorganisation(identifier(IdPrefix.REORGANISATION), CHAIN_ID, NOW, cursor=block_ref(3), ancestor=block_ref(0))
    return attrs.evolve(made, **changes)


def token(alias: str = "usdc", **changes: Any) -> Token:
    """A listed token of six decimals."""
    made = Token(
        id=identifier(IdPrefix.TOKEN),
        asset=Asset(CHAIN_ID, address(), alias, 6),
        symbol=alias.upper(),
        name=f"{alias} token",
        state=TokenState.LISTED,
        created_at=NOW,
    )
    return attrs.evolve(made, **changes)


def deposit(
    of: Wallet | None = None, *, amount: int = ether("2"), asset: Asset = ETH, block: BlockRef | None = None, **changes: Any
) -> Deposit:
    """An incoming transfer that a block holds."""
    of = of or wallet("usr_of_nobody")
    key = DepositKey(
        chain_id=asset.chain_id,
        transaction_hash=hash32(),
        kind=DepositKind.NATIVE if asset.is_native else DepositKind.TOKEN,
        asset=asset.key,
        sender=address(),
        to=of.address,
        amount=amount,
        ordinal=0,
    )
    made = Deposit(
        id=identifier(IdPrefix.TRANSACTION),
        key=key,
        asset=asset,
        wallet_id=of.id,
        state=DepositState.CONFIRMING,
        block=block or block_ref(100),
        created_at=NOW,
        updated_at=NOW,
    )
    return attrs.evolve(made, **changes)


def credit(
    of: Wallet, amount: int = ether("10"), *, asset: Asset = ETH, height: int | None = 1, reference: str | None = None
) -> PostingGroup:
    """The posting group of a final deposit."""
    accounts = WalletAccounts(asset.chain_id, asset.key, of.id)
    postings = moves((accounts.external, accounts.available, amount))
    return PostingGroup(
        asset.chain_id, reference or identifier(IdPrefix.TRANSACTION), Reason.DEPOSIT_CREDITED, NOW, height, postings
    )


def hold(of: Wallet, amount: int, *, asset: Asset = ETH, reference: str | None = None) -> PostingGroup:
    """The posting group of an accepted send."""
    accounts = WalletAccounts(asset.chain_id, asset.key, of.id)
    postings = moves((accounts.available, accounts.reserved, amount))
    return PostingGroup(asset.chain_id, reference or identifier(IdPrefix.TRANSACTION), Reason.SEND_HELD, NOW, None, postings)


def audit_event(action: str = "wallet.created", **changes: Any) -> AuditEvent:
    """An audit row, not sealed yet."""
    made = AuditEvent(
        id=identifier(IdPrefix.AUDIT), occurred_at=NOW, actor="system", action=action, object_id="wal_1", detail={"why": "test ✓"}
    )
    return attrs.evolve(made, **changes)


def event(type_: str = "wallet.created", **changes: Any) -> Event:
    """An event, not numbered yet."""
    made = Event(
        id=identifier(IdPrefix.EVENT),
        type=type_,
        occurred_at=NOW,
        object_id="wal_1",
        owner_id=None,
        data={"amount": "1", "n": [1, None]},
    )
    return attrs.evolve(made, **changes)


def nonce_line(next_nonce: int = 0, **changes: Any) -> NonceLine:
    """The nonce line of an address that nothing else has."""
    return attrs.evolve(NonceLine(CHAIN_ID, address(), next_nonce), **changes)


def idempotency(key: str | None = None, **changes: Any) -> IdempotencyRecord:
    """A key that was used to make something."""
    made = IdempotencyRecord(
        scope="usr_1 POST /v1/transactions",
        key=key or f"key-{number()}",
        fingerprint=b"\x05" * 32,
        object_id=identifier(IdPrefix.TRANSACTION),
        created_at=NOW,
        answer={"state": "queued", "metadata": {"b": "2", "a": "é"}, "rules": ["r"], "nonce": None},
    )
    return attrs.evolve(made, **changes)
