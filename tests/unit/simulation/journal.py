"""The store: `custody_memory`'s tables, changed in place by one unit at a time, with a journal of what each unit changed.

The journal undoes a unit that fails, and names the rows that have to be checked after one that is committed, so that checking every
promise after every commit costs as much as the commit, not as much as the books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import attrs

from custody_core.errors import BrokenInvariant, Conflict
from custody_memory.store import MemoryUnit
from custody_memory.tables import Committed, History, Table, Tables

Changed: TypeAlias = list[tuple[str, Any, Any]]
"""What a unit did: table, key, the row before or None."""

Snapshot: TypeAlias = tuple[dict[str, dict[Any, Any]], dict[str, list[Any]]]


Done: TypeAlias = list[tuple[str, Any, Any]]
"""The same, with the row after it."""

GONE: Final = object()
"""In place of a row that was deleted."""


@attrs.frozen
class Mark:
    """How much a unit has done: changes of rows, and additions to each history."""

    changes: int
    added: dict[str, int]


@attrs.frozen
class Aside:
    """What a unit has done, out of everybody's sight: its changes, what was there before them, what it added to each history."""

    done: Done
    before: dict[tuple[str, Any], Any]
    added: dict[str, list[Any]]
    pool_is_locked: bool
    refused: bool
    began: int


class _Rows(dict[Any, Any]):
    """A table's rows. Each change is written to the journal first."""

    def __init__(self, name: str, journal: list[Callable[[], None]], changed: Changed, done: Done) -> None:
        super().__init__()
        self._done = done
        self._name = name
        self._journal = journal
        self._changed = changed
        self._copy: dict[Any, Any] | None = None

    def __setitem__(self, key: Any, value: Any) -> None:
        old = self.get(key)
        if self._copy is None:
            self._journal.append((lambda: super(_Rows, self).pop(key, None)) if old is None else lambda: self._put(key, old))
        self._changed.append((self._name, key, old))
        self._done.append((self._name, key, value))
        super().__setitem__(key, value)

    def pop(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            return default
        if self._copy is None:
            # A row that comes back has to come back to its place, so from here on the whole table is kept.
            self._copy = dict(self)
            self._journal.append(self._put_all)
        self._changed.append((self._name, key, self[key]))
        self._done.append((self._name, key, GONE))
        return super().pop(key)

    def begin(self) -> None:
        """A new unit."""
        self._copy = None

    def _put(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)

    def _put_all(self) -> None:
        copy = self._copy or {}
        self.clear()
        self.update(copy)


class JournalStore:
    """One writer at a time, in one thread. `on_commit` is told what was changed, before anybody else can see it, and how many units
    had been committed when this one began, and now.
    """

    def __init__(self, on_commit: Callable[[Tables, Changed, range], None]) -> None:
        self._on_commit = on_commit
        self._undo: list[Callable[[], None]] = []
        self._changed: Changed = []
        self._done: Done = []
        self.tables = Tables(Committed(), writable=False)
        self._each: dict[str, Table[Any, Any]] = {}
        self._histories: dict[str, History[Any]] = {}
        for name, table in vars(self.tables).items():
            if isinstance(table, Table):
                table.rows = _Rows(name, self._undo, self._changed, self._done)
                table._is_shared = False
                self._each[name] = table
            elif isinstance(table, History):
                self._histories[name] = table
        self._unit = MemoryUnit(self.tables)
        self.is_open = False
        self.commits = 0
        self._began = 0

    @contextmanager
    def transaction(self, began: int | None = None) -> Iterator[MemoryUnit]:
        """A unit that writes. `began`: how many had been committed when it began to read, where that was earlier."""
        self._begin(writable=True)
        self._began = self.commits if began is None else began
        try:
            yield self._unit
            if self.tables.mode.refused:
                raise Conflict("a statement of this unit was refused, so none of it is kept")  # noqa: TRY301  undone below
            if self._changed or any(history._new for history in self._histories.values()):
                self._on_commit(self.tables, self._changed, range(self._began, self.commits))
                self.commits += 1
            for history in self._histories.values():
                history.commit()
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            raise
        finally:
            self._end()

    @contextmanager
    def glance(self) -> Iterator[MemoryUnit]:
        """One statement of a unit that has not written yet."""
        self._begin(writable=True)
        try:
            yield self._unit
            if self._changed:
                raise BrokenInvariant("a statement that reads has written")
        finally:
            self._end()

    def mark(self) -> Mark:
        """How much the unit that is open has done so far."""
        return Mark(len(self._done), {name: len(history._new) for name, history in self._histories.items()})

    def done_since(self, mark: Mark) -> tuple[Done, set[str]]:
        """What it has done since then: changes of rows, and the histories that it added to."""
        added = {name for name, history in self._histories.items() if len(history._new) > mark.added[name]}
        return self._done[mark.changes :], added

    def set_aside(self, up_to: Mark | None = None) -> Aside:
        """Takes what the open unit has done out of sight, so that another one may be opened; without what it did after `up_to`."""
        mark, mode = up_to or self.mark(), self.tables.mode
        before: dict[tuple[str, Any], Any] = {}
        for name, key, old in self._changed[: mark.changes]:
            before.setdefault((name, key), old)
        added = {name: history._new[: mark.added[name]] for name, history in self._histories.items()}
        aside = Aside(self._done[: mark.changes], before, added, mode.pool_is_locked, mode.refused and up_to is None, self._began)
        for undo in reversed(self._undo):
            undo()
        self._end()
        return aside

    def take_up(self, aside: Aside) -> None:
        """Goes on with a unit that was set aside. Raises `Conflict` where somebody has changed what it had changed."""
        self._begin(writable=True)
        self._began = aside.began
        self.tables.mode.pool_is_locked, self.tables.mode.refused = aside.pool_is_locked, aside.refused
        for (name, key), old in aside.before.items():
            now = self._each[name].rows.get(key)
            if now is not old and now != old:
                raise Conflict("somebody else has changed what this unit changes")
        groups = self._histories["groups"]._length
        for name, key, new in aside.done:
            rows = self._each[name].rows
            if new is GONE:
                rows.pop(key)
            elif name == "group_by_cause":
                groups += 1
                rows[key] = groups
            else:
                rows[key] = new
        for name, added in aside.added.items():
            self._histories[name]._new = list(added)

    @contextmanager
    def reading(self) -> Iterator[MemoryUnit]:
        """A unit that only reads."""
        self._begin(writable=False)
        try:
            yield self._unit
        finally:
            self._end()

    def close(self) -> None:
        """Nothing to let go of."""

    def snapshot(self) -> Snapshot:
        """All that is committed now: a backup."""
        rows = {name: dict(table.rows) for name, table in self._each.items()}
        return rows, {name: list(history._committed) for name, history in self._histories.items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Back to a backup."""
        rows, histories = snapshot
        for name, table in self._each.items():
            dict.clear(table.rows)
            dict.update(table.rows, rows[name])
        for name, history in self._histories.items():
            history._committed[:] = histories[name]
            history._length = len(histories[name])

    def _begin(self, *, writable: bool) -> None:
        if self.is_open:
            raise BrokenInvariant("a unit was opened inside another one")
        self.is_open = True
        mode = self.tables.mode
        mode.writable, mode.pool_is_locked, mode.refused = writable, False, False

    def _end(self) -> None:
        for name in {name for name, _, _ in self._changed}:
            rows = self._each[name].rows
            assert isinstance(rows, _Rows)
            rows.begin()
        self._undo.clear()
        self._changed.clear()
        self._done.clear()
        for history in self._histories.values():
            history._length, history._new = len(history._committed), []
        self.is_open = False
