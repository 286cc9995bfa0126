"""Units as a database runs them at READ COMMITTED: what is not locked may change between two statements of one unit.

At each statement a unit sees what is committed then, and what it has written itself; others go on in between. What it writes is
locked, unique keys included, as is what it reads in order to change it. Locks are held until the end: who wants one waits, then
runs its statement on what is committed by then, and is refused after a while. Two that wait for each other are refused so, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, cast

from custody_core.errors import Conflict, OutcomeUnknown
from custody_core.ports import Unit
from custody_memory.store import MemoryUnit
from tests.unit.simulation.gate import Fate, Gate
from tests.unit.simulation.journal import Done, JournalStore, Mark

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
_IN_ORDER: Final = frozenset({"audit", "events"})
"""Histories whose rows are numbered by whoever adds to them."""


class InterleavedStore:
    """The `Store` port of one thread. `locks` (what is locked → the unit that has it) is every thread's; `yields` says
    whether others go on before a statement."""

    def __init__(self, store: JournalStore, gate: Gate, locks: dict[object, object], yields: Callable[[], bool]) -> None:
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
            unit.end()
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
        self, store: JournalStore, gate: Gate, locks: dict[object, object], yields: Callable[[], bool], stack: ExitStack
    ) -> None:
        self._store = store
        self._began = store.commits
        self._gate = gate
        self._locks = locks
        self._yields = yields
        self._stack = stack
        self._open: MemoryUnit | None = None
        self._held: set[object] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def run(*values: Any, **named: Any) -> Any:
            for key in sorted(_wanted(name, values, named)):
                self._lock(key, wait=named.get("wait", True))
            if self._open is None and not name.startswith(_WRITES):
                return self._read(name, values, named)
            return self._write(name, values, named)

        return run

    def end(self) -> None:
        """Nothing more comes before the commit."""
        if self._open is not None and self._yields():
            self._let_others_go_on("ends")

    def release(self) -> None:
        """Lets go of the locks."""
        for key in self._held:
            del self._locks[key]

    def _read(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
        fate = self._gate.enter(name) if self._yields() else Fate.DONE
        with self._store.glance() as unit:
            found = getattr(unit, name)(*values, **named)
        self._gate.leave(fate)
        return found

    def _write(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """A statement of a unit that has written, or writes now. What another has locked is waited for."""
        if self._open is None:
            self._open = self._stack.enter_context(self._store.transaction(self._began))
            self._store.tables.mode.pool_is_locked = POOL in self._held
        elif self._yields():
            self._let_others_go_on(name)
        for _ in range(WAITS_MAX):
            mark = self._store.mark()
            found = getattr(self._open, name)(*values, **named)
            locks = _written(*self._store.done_since(mark))
            if all(self._locks.get(key, self) is self for key in locks):
                self._held |= locks
                self._locks.update(dict.fromkeys(locks, self))
                return found
            self._let_others_go_on("waits for a row", up_to=mark)
        raise Conflict("somebody else changes what this one changes")

    def _lock(self, key: str, *, wait: bool) -> None:
        for _ in range(WAITS_MAX):
            if self._locks.setdefault(key, self) is self:
                self._held.add(key)
                return
            if not wait:
                break
            self._let_others_go_on(f"waits for {key}")
        raise Conflict("somebody else has the lock")

    def _let_others_go_on(self, call: str, *, up_to: Mark | None = None) -> None:
        aside = None if self._open is None else self._store.set_aside(up_to)
        self._gate.leave(self._gate.enter(call))
        if aside is not None:
            self._store.take_up(aside)


def _written(done: Done, added: set[str]) -> set[object]:
    """What is locked by having been written."""
    rows: set[object] = {
        POOL if table == "wallet_by_sequence" else f"{_LOCKED_ROWS[table]} {key}" if table in _LOCKED_ROWS else (table, key)
        for table, key, _ in done
    }
    return rows | (added & _IN_ORDER)


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
