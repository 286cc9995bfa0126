"""Units as a database runs them at READ COMMITTED: what is not locked may change between two statements of one unit.

Until its first statement that writes, a unit sees at each statement what is committed then; others commit in between. From there on
it is alone, which is kinder than a real database. Locks are held until the end: who wants one waits, and is refused after a
while; who writes to what another has locked is refused at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, cast

from custody_core.errors import Conflict, OutcomeUnknown
from custody_core.ports import Unit
from custody_memory.store import MemoryUnit
from tests.unit.simulation.gate import Fate, Gate
from tests.unit.simulation.journal import JournalStore

WAITS_MAX: Final = 40
POOL: Final = "pool"

_WRITES: Final = (
    "add_",
    "save_",
    "put_",
    "remove_",
    "settle_",
    "post",
    "publish_",
    "claim_",
    "take_",
    "number_",
    "wake_",
    "next_w",
)
_LOCKED_ROWS: Final = {"wallets": "wallet", "chains": "chain"}


class InterleavedStore:
    """The `Store` port of one thread. `locks` (what is locked → the unit that has it) is every thread's; `yields` says
    whether others go on before a statement."""

    def __init__(self, store: JournalStore, gate: Gate, locks: dict[str, object], yields: Callable[[], bool]) -> None:
        self._store = store
        self._gate = gate
        self._locks = locks
        self._yields = yields

    @contextmanager
    def transaction(self) -> Iterator[Unit]:
        """A unit whose reads are a call each."""
        fate = self._gate.enter("commit")
        with ExitStack() as stack:
            unit = _Statements(self._store, self._gate, self._locks, self._yields, stack)
            stack.callback(unit.release)
            yield cast("Unit", unit)
            unit.require_unlocked()
            if fate is Fate.REFUSED:
                raise Conflict("could not serialise access")
            if fate is Fate.LOST_BEFORE:
                raise OutcomeUnknown("the connection was lost")
        self._gate.leave(fate)
        if fate is Fate.LOST_AFTER:
            raise OutcomeUnknown("the connection was lost")

    @contextmanager
    def reading(self) -> Iterator[Unit]:
        """One moment."""
        fate = self._gate.enter("read")
        with self._store.reading() as unit:
            yield unit
        self._gate.leave(fate)

    def close(self) -> None:
        """Nothing to let go of."""


class _Statements:
    """A unit, statement by statement."""

    def __init__(
        self, store: JournalStore, gate: Gate, locks: dict[str, object], yields: Callable[[], bool], stack: ExitStack
    ) -> None:
        self._store = store
        self._gate = gate
        self._locks = locks
        self._yields = yields
        self._stack = stack
        self._open: MemoryUnit | None = None
        self._held: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def run(*values: Any, **named: Any) -> Any:
            if self._open is None and name.startswith(_WRITES):
                self._open = self._stack.enter_context(self._store.transaction())
                self._store.tables.mode.pool_is_locked = POOL in self._held
            if self._open is not None:
                return getattr(self._open, name)(*values, **named)
            return self._read(name, values, named)

        return run

    def release(self) -> None:
        """Lets go of the locks."""
        for key in self._held:
            del self._locks[key]

    def require_unlocked(self) -> None:
        """Raises `Conflict` where it wrote to what another unit has locked."""
        if self._open is None:
            return
        for table, key, _ in self._store.changed:
            lock = POOL if table == "wallet_by_sequence" else f"{_LOCKED_ROWS.get(table)} {key}"
            if self._locks.get(lock, self) is not self:
                raise Conflict("another unit has locked what this one changes")

    def _read(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not named.get("wait", True):  # what somebody else holds is left out, not waited for
            values = ([each for each in sorted(values[0]) if self._takes(f"wallet {each}")], *values[1:])
        for key in sorted(_wanted(name, values, named)):
            self._lock(key)
        fate = self._gate.enter(name) if self._yields() else Fate.DONE
        with self._store.glance() as unit:
            found = getattr(unit, name)(*values, **named)
        self._gate.leave(fate)
        return found

    def _takes(self, key: str) -> bool:
        if self._locks.setdefault(key, self) is not self:
            return False
        self._held.add(key)
        return True

    def _lock(self, key: str) -> None:
        for _ in range(WAITS_MAX):
            if self._takes(key):
                return
            self._gate.leave(self._gate.enter(f"waits for {key}"))
        raise Conflict("somebody else has the lock")


def _wanted(name: str, values: tuple[Any, ...], named: dict[str, Any]) -> list[str]:
    if name == "lock_pool":
        return [POOL]
    if not named.get("lock"):
        return []
    if name == "chain":
        return [f"chain {values[0]}"]
    if name == "wallet":
        return [f"wallet {values[0]}"]
    return [f"wallet {each}" for each in values[0]]
