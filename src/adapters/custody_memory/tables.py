"""What a unit works on: tables of frozen values, copied when first written to, so that nobody sees it before the commit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from custody_core.domain.access import ApiKey, User
from custody_core.domain.addresses import Address
from custody_core.domain.audit import AuditEvent, Event
from custody_core.domain.chain import ChainState, Hash, Header, Reorganisation
from custody_core.domain.deposit import Deposit, DepositKey
from custody_core.domain.ledger import Account, PostingGroup
from custody_core.domain.nonce import ForeignUse, NonceLine
from custody_core.domain.outflow import Outflow
from custody_core.domain.policy import Decision, Policy
from custody_core.domain.tokens import Token
from custody_core.domain.transaction import Transaction
from custody_core.domain.wallet import SealedKey, Wallet
from custody_core.errors import BrokenInvariant, Conflict
from custody_core.ports import IdempotencyRecord

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Versioned(Protocol):
    """A value whose saves are counted."""

    @property
    def version(self) -> int: ...


VersionedV = TypeVar("VersionedV", bound=Versioned)


class Mode:
    """How a unit stands: whether it may write, holds the pool lock, and whether something in it was refused."""

    def __init__(self, *, writable: bool) -> None:
        self.writable = writable
        self.pool_is_locked = False
        self.refused = False

    def require_writable(self) -> None:
        if not self.writable:
            raise BrokenInvariant("this unit only reads")

    def refuse(self, detail: str) -> NoReturn:
        """Raises `Conflict`, and remembers it: like a database's, the transaction can only be rolled back now."""
        self.require_writable()
        self.refused = True
        raise Conflict(detail)


class Table(Generic[K, V]):
    """Values by key, in the order in which the keys were first put."""

    def __init__(self, committed: dict[K, V], mode: Mode, name: str) -> None:
        self.rows = committed
        self._is_shared = True
        self._mode = mode
        self._name = name

    def __contains__(self, key: K) -> bool:
        return key in self.rows

    def __iter__(self) -> Iterator[V]:
        return iter(self.rows.values())

    def get(self, key: K) -> V | None:
        return self.rows.get(key)

    def some(self, keys: Iterable[K]) -> dict[K, V]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def put(self, key: K, value: V) -> None:
        self._own()[key] = value

    def add(self, key: K, value: V) -> None:
        """Puts a value under a key that nothing has yet. `Conflict` otherwise."""
        if key in self._own():
            self._mode.refuse(f"there is one in {self._name} already")
        self.rows[key] = value

    def discard(self, key: K) -> None:
        self._own().pop(key, None)

    def _own(self) -> dict[K, V]:
        self._mode.require_writable()
        if self._is_shared:
            self.rows = dict(self.rows)
            self._is_shared = False
        return self.rows


class VersionedTable(Table[K, VersionedV]):
    """A table that lets a value be replaced only by its next version."""

    def save(self, key: K, value: VersionedV) -> VersionedV:
        """Puts the next version and returns the one before. `Conflict` when the stored one is another."""
        stored = self._own().get(key)
        if stored is None or stored.version != value.version - 1:
            self._mode.refuse(f"a row of {self._name} was changed by somebody else")
        self.rows[key] = value
        return stored


class History(Generic[V]):
    """Values that are only ever added to. A unit sees those that were there when it began, and its own."""

    def __init__(self, committed: list[V], mode: Mode) -> None:
        self._committed = committed
        self._length = len(committed)
        self._mode = mode
        self._new: list[V] = []

    def __len__(self) -> int:
        return self._length + len(self._new)

    def append(self, value: V) -> None:
        self._mode.require_writable()
        self._new.append(value)

    def after(self, position: int, limit: int) -> list[V]:
        """Up to `limit` values above a position; the first value has position 1."""
        visible = self._committed[position : min(position + limit, self._length)]
        return visible + self._new[max(position - self._length, 0) :][: limit - len(visible)]

    def commit(self) -> None:
        self._committed.extend(self._new)


class Committed:
    """What is committed: rows by table, and histories."""

    def __init__(self) -> None:
        self.rows: Mapping[str, dict[Any, Any]] = {}
        self.groups: list[PostingGroup] = []
        self.audit: list[AuditEvent] = []
        self.events: list[Event] = []


class Tables:
    """All tables of one unit. Those named by what they look up hold a unique key and the id that has it."""

    def __init__(self, committed: Committed, *, writable: bool) -> None:
        self.mode = mode = Mode(writable=writable)

        def rows(name: str) -> tuple[dict[Any, Any], Mode, str]:
            return committed.rows.get(name, {}), mode, name

        self.users: VersionedTable[str, User] = VersionedTable(*rows("users"))
        self.user_by_subject: Table[tuple[str, str], str] = Table(*rows("user_by_subject"))
        self.api_keys: VersionedTable[str, ApiKey] = VersionedTable(*rows("api_keys"))
        self.api_key_by_digest: Table[bytes, str] = Table(*rows("api_key_by_digest"))
        self.wallets: VersionedTable[str, Wallet] = VersionedTable(*rows("wallets"))
        self.wallet_by_address: Table[Address, str] = Table(*rows("wallet_by_address"))
        self.wallet_by_sequence: Table[int, str] = Table(*rows("wallet_by_sequence"))
        self.wallet_by_external_id: Table[tuple[str, str], str] = Table(*rows("wallet_by_external_id"))
        self.sealed_keys: Table[str, SealedKey] = Table(*rows("sealed_keys"))
        self.transactions: VersionedTable[str, Transaction] = VersionedTable(*rows("transactions"))
        self.unsettled: Table[str, Transaction] = Table(*rows("unsettled"))
        self.transaction_by_external_id: Table[tuple[str, str], str] = Table(*rows("transaction_by_external_id"))
        self.transaction_by_nonce: Table[tuple[int, Address, int], str] = Table(*rows("transaction_by_nonce"))
        self.transaction_by_hash: Table[tuple[int, Hash], str] = Table(*rows("transaction_by_hash"))
        self.nonce_lines: Table[tuple[int, Address], NonceLine] = Table(*rows("nonce_lines"))
        self.foreign_uses: Table[tuple[int, Hash], ForeignUse] = Table(*rows("foreign_uses"))
        self.settled_foreign_uses: Table[tuple[int, Hash], ForeignUse] = Table(*rows("settled_foreign_uses"))
        self.outflows: Table[tuple[int, Hash, int], Outflow] = Table(*rows("outflows"))
        self.settled_outflows: Table[tuple[int, Hash, int], Outflow] = Table(*rows("settled_outflows"))
        self.deposits: VersionedTable[str, Deposit] = VersionedTable(*rows("deposits"))
        self.deposit_by_key: Table[DepositKey, str] = Table(*rows("deposit_by_key"))
        self.confirming_deposits: Table[str, Deposit] = Table(*rows("confirming_deposits"))
        self.chains: VersionedTable[int, ChainState] = VersionedTable(*rows("chains"))
        self.headers: Table[tuple[int, int], Header] = Table(*rows("headers"))
        self.reverted_headers: Table[tuple[int, Hash], Header] = Table(*rows("reverted_headers"))
        self.reorganisations: Table[str, Reorganisation] = Table(*rows("reorganisations"))
        self.tokens: VersionedTable[str, Token] = VersionedTable(*rows("tokens"))
        self.token_by_asset: Table[tuple[int, str], str] = Table(*rows("token_by_asset"))
        self.balances: Table[Account, int] = Table(*rows("balances"))
        self.group_by_cause: Table[tuple[str, str], int] = Table(*rows("group_by_cause"))
        self.policies: Table[str, Policy] = Table(*rows("policies"))
        self.active_policies: Table[tuple[str, str | None], Policy] = Table(*rows("active_policies"))
        self.decisions: Table[str, Decision] = Table(*rows("decisions"))
        self.idempotency: Table[tuple[str, str], IdempotencyRecord] = Table(*rows("idempotency"))
        self.audit_ids: Table[str, None] = Table(*rows("audit_ids"))
        self.unsealed_audit: Table[str, AuditEvent] = Table(*rows("unsealed_audit"))
        self.event_ids: Table[str, None] = Table(*rows("event_ids"))
        self.unnumbered_events: Table[str, Event] = Table(*rows("unnumbered_events"))
        self.leases: Table[str, tuple[str, Any]] = Table(*rows("leases"))
        self.settings: Table[str, bytes] = Table(*rows("settings"))

        self.groups = History(committed.groups, mode)
        self.audit = History(committed.audit, mode)
        self.events = History(committed.events, mode)

    def commit(self, committed: Committed) -> None:
        """Makes the unit's rows the committed ones."""
        committed.rows = {name: table.rows for name, table in vars(self).items() if isinstance(table, Table)}
        for history in (self.groups, self.audit, self.events):
            history.commit()
