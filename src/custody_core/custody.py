"""`Custody`: the object that an embedder holds. Everything the service can do is listed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import attrs

from custody_core.domain.ids import ENTROPY_BYTES
from custody_core.domain.resources import Resource
from custody_core.ports import Chain, Clock, Entropy, Keys, Observer, Store, Unit
from custody_core.services import idempotency
from custody_core.services.api_keys import ApiKeys
from custody_core.services.chains import Chains
from custody_core.services.following import Follower, Round
from custody_core.services.kit import Kit, Limits
from custody_core.services.policies import Policies
from custody_core.services.reconciler import Pace, Reconciler
from custody_core.services.reconciliation import Reconciliation, reconcile
from custody_core.services.reconciliation import latest as latest_verdicts
from custody_core.services.scans import Scans
from custody_core.services.sealing import Audit, Events, Sealer
from custody_core.services.sending import Sender
from custody_core.services.statements import Statements
from custody_core.services.suspense import Suspense
from custody_core.services.tokens import Tokens
from custody_core.services.transactions import Transactions
from custody_core.services.users import Users
from custody_core.services.wallets import Wallets


@runtime_checkable
class JoinableStore(Protocol):
    """A store that can work inside a transaction of the caller's. `connection` is what that store understands (SQLAlchemy's,
    for SQL).
    """

    def joined(self, connection: object) -> Store:
        """A store whose units are part of the caller's transaction and never commit it."""
        ...


@attrs.frozen
class Once:
    """What was answered to a request under an idempotency key. `replayed`: to an earlier one."""

    answer: Mapping[str, object]
    replayed: bool


@attrs.frozen
class Tick:
    """What one round of the background work came to: blocks followed to, per chain; transactions taken up; wallets made; rows
    sealed.
    """

    followed: Mapping[int, Round]
    advanced: int
    wallets_made: int
    sealed: int


class Custody:
    """A custodial wallet service, in this process.

    `keys` is None in a process that must not hold key material: it cannot make, open or use a key, and its `tick` does none of
    that. Use as a context manager, or `close` it.
    """

    def __init__(
        self,
        *,
        store: Store,
        chains: Mapping[int, Chain],
        keys: Keys | None,
        clock: Clock,
        entropy: Entropy,
        observer: Observer,
        limits: Limits | None = None,
        chain_names: Mapping[int, str] | None = None,
    ) -> None:
        self._store = _SwitchableStore(store)
        self._kit = Kit(
            store=self._store,
            chains=dict(chains),
            keys=keys,
            clock=clock,
            entropy=entropy,
            observer=observer,
            limits=limits or Limits(),
            chain_names=dict(chain_names or {}),
            is_joined=self._store.is_joined,
        )
        self.users = Users(self._kit)
        self.api_keys = ApiKeys(self._kit)
        self.wallets = Wallets(self._kit)
        self.transactions = Transactions(self._kit, step=self._step_for_waiting)
        self.tokens = Tokens(self._kit)
        self.policies = Policies(self._kit)
        self.chains = Chains(self._kit)
        self.scans = Scans(self._kit)
        self.suspense = Suspense(self._kit)
        self.statements = Statements(self._kit)
        self.events = Events(self._kit)
        self.audit = Audit(self._kit)
        holder = entropy.random_bytes(ENTROPY_BYTES).hex()
        self._followers = {chain_id: Follower(self._kit, chain_id, holder=holder) for chain_id in chains}
        self._reconcilers = {chain_id: Reconciler(self._kit, chain_id, holder=holder) for chain_id in chains}
        self._sender = Sender(self._kit, keys) if keys is not None else None
        self._sealer = Sealer(self._kit, holder=holder)
        self.background_works = False
        """Set by whoever runs `tick` elsewhere: waiting then only waits."""

    @property
    def chain_ids(self) -> tuple[int, ...]:
        """The configured chains."""
        return tuple(self._followers)

    def tick(self) -> Tick:
        """One round of all the background work: make wallets ahead, follow every chain, carry due transactions, compare some
        wallets with the chain, seal the audit trail.
        """
        made = self.make_ready()
        followed = {chain_id: self.follow(chain_id) for chain_id in self._followers}
        advanced = sum(self.advance(chain_id) for chain_id in self._followers)
        for chain_id in self._followers:
            self.compare(chain_id)
        return Tick(followed, advanced, made, self.seal())

    def make_ready(self) -> int:
        """Gives new chains their row and makes wallets ahead; how many wallets."""
        self._kit.require_own_transactions()
        self.wallets.ensure_chains()
        return self.wallets.fill_pool()

    def follow(self, chain_id: int) -> Round:
        """Follows one chain to its head."""
        self._kit.require_own_transactions()
        return self._followers[chain_id].follow()

    def advance(self, chain_id: int) -> int:
        """Carries one chain's due transactions a step further; how many."""
        self._kit.require_own_transactions()
        return self._sender.advance(chain_id) if self._sender else 0

    def compare(self, chain_id: int) -> int:
        """Compares the books of the next wallets with one chain, if that is due; how many."""
        self._kit.require_own_transactions()
        return self._reconcilers[chain_id].run()

    def pace(self, chain_id: int) -> tuple[Pace, timedelta | None]:
        """How far the comparison with one chain has come, and how long one pass over all wallets takes, if that is known."""
        reconciler = self._reconcilers[chain_id]
        pace = reconciler.pace()
        return pace, reconciler.period(pace)

    def seal(self) -> int:
        """Numbers and links committed audit rows and events; how many audit rows."""
        self._kit.require_own_transactions()
        return self._sealer.run()

    def step_down(self) -> None:
        """Gives up what this process leads, so that the next one need not wait for its leases to end. For those who stop."""
        for follower in self._followers.values():
            follower.step_down()
        for reconciler in self._reconcilers.values():
            reconciler.step_down()
        self._sealer.step_down()

    def reconcile(self, *, held_only: bool = False) -> Reconciliation:
        """Checks every promise that a running system can check. What the chain has more than the books goes into suspense.

        Every wallet is compared in every listed token; `held_only` leaves out those that it has nothing of in the books.
        """
        self._kit.require_own_transactions()
        return reconcile(self._kit, held_only=held_only)

    def latest_reconciliation(self) -> Resource:
        """The verdicts of the last `reconcile`, in their public form, with its times. Raises `NotFound` before there was one."""
        return latest_verdicts(self._kit)

    def once(
        self, act: Callable[[], Mapping[str, object]], *, caller_id: str, route: str, key: str, body: Mapping[str, object]
    ) -> Once:
        """What `act` answers, done once however often it is asked for under `key`, which is kept in the same commit.

        The key is `caller_id`'s for `route`, and bound to `body`. All that `act` asks of this object, in this thread, is one
        transaction, which may be run again; it calls nothing that leaves the process. Its answer is kept as it is, so it holds no
        secret. What it raises keeps neither its work nor the key. Raises `IdempotencyKeyMissing`, `IdempotencyKeyReused`.
        """
        key = idempotency.require_key(key)
        scope, fingerprint = idempotency.scope_of(caller_id, route), idempotency.fingerprint_of(body)

        def work(unit: Unit) -> Once:
            made = idempotency.made_before(unit, scope=scope, key=key, fingerprint=fingerprint)
            if made is not None:
                return Once(made.answer, replayed=True)
            with self._store.within(unit):
                answer = act()
            now, object_id = self._kit.clock.now(), str(answer.get("id", ""))
            idempotency.remember(unit, scope=scope, key=key, fingerprint=fingerprint, object_id=object_id, answer=answer, now=now)
            return Once(answer, replayed=False)

        return self._kit.write(work, repeatable=True)

    @contextmanager
    def joined(self, connection: object) -> Iterator[Custody]:
        """Everything done inside takes part in the caller's own database transaction, and is committed or not with it.

        Holds for this thread (and context) only. Ask `preview` before: inside, the node is asked while your transaction is open.
        The background work (`tick`, and so waiting) is refused inside: nothing may leave the process before it is committed.
        """
        with self._store.joined(connection):
            yield self

    def close(self) -> None:
        """Lets go of connections."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _step_for_waiting(self) -> None:
        self._kit.require_own_transactions()
        if not self.background_works:
            self.tick()


class _OpenUnit:
    """A store whose units are all one that is open already. After a failure there is no other: what was done will be undone."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._failure: BaseException | None = None

    @contextmanager
    def transaction(self) -> Iterator[Unit]:
        if self._failure is not None:
            raise self._failure
        try:
            yield self._unit
        except BaseException as failure:
            self._failure = failure
            raise

    @contextmanager
    def reading(self) -> Iterator[Unit]:
        yield self._unit

    def close(self) -> None:
        """Whoever opened the unit closes it."""


class _SwitchableStore:
    """The store, or within `joined` the caller's transaction in it, or within `once` the unit that keeps its key."""

    def __init__(self, store: Store) -> None:
        self._own = store
        self._joined: ContextVar[Store | None] = ContextVar("joined", default=None)

    def is_joined(self) -> bool:
        return self._joined.get() is not None

    def transaction(self) -> AbstractContextManager[Unit]:
        return (self._joined.get() or self._own).transaction()

    def reading(self) -> AbstractContextManager[Unit]:
        return (self._joined.get() or self._own).reading()

    @contextmanager
    def joined(self, connection: object) -> Iterator[None]:
        if not isinstance(self._own, JoinableStore):
            raise TypeError("this store cannot join a transaction of yours")
        with self._switched(self._own.joined(connection)):
            yield

    @contextmanager
    def within(self, unit: Unit) -> Iterator[None]:
        with self._switched(_OpenUnit(unit)):
            yield

    @contextmanager
    def _switched(self, store: Store) -> Iterator[None]:
        token = self._joined.set(store)
        try:
            yield
        finally:
            self._joined.reset(token)

    def close(self) -> None:
        self._own.close()
