"""What the store's contracts begin with. Each step is a unit of its own, so that what follows reads committed rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from custody_core.domain.access import User
from custody_core.domain.transaction import Transaction
from custody_core.domain.wallet import Wallet
from custody_core.errors import Conflict
from custody_core.ports import Store, Unit
from tests.support import factories as make

T = TypeVar("T")


def write(store: Store, work: Callable[[Unit], T]) -> T:
    """Runs `work` in a unit that commits."""
    with store.transaction() as unit:
        return work(unit)


def read(store: Store, work: Callable[[Unit], T]) -> T:
    """Runs `work` in a unit that reads."""
    with store.reading() as unit:
        return work(unit)


def persistently(store: Store, work: Callable[[Unit], T]) -> T:
    """Runs `work` as services do: again when somebody else was first."""
    for _ in range(50):
        try:
            return write(store, work)
        except Conflict:
            continue
    raise AssertionError("a unit met a conflict fifty times")


def user(store: Store) -> User:
    """A stored user."""
    made = make.user()
    write(store, lambda unit: unit.add_user(made))
    return made


def pooled(store: Store, count: int = 1) -> list[Wallet]:
    """Stored wallets without an owner."""
    made = [make.wallet() for _ in range(count)]
    write(store, lambda unit: unit.add_wallets(made, [make.sealed_key(each) for each in made]))
    return made


def wallet(store: Store, owner: User | None = None) -> Wallet:
    """A stored wallet with an owner."""
    made = make.wallet((owner or user(store)).id)
    write(store, lambda unit: unit.add_wallets([made], [make.sealed_key(made)]))
    return made


def transactions(store: Store, *made: Transaction) -> None:
    """Stores transactions."""

    def add(unit: Unit) -> None:
        for each in made:
            unit.add_transactions([each])

    write(store, add)


def at_once(*works: Callable[[], T]) -> list[T]:
    """Runs each of `works` in a thread of its own, all at the same time."""
    with ThreadPoolExecutor(len(works)) as threads:
        return [running.result(timeout=60) for running in [threads.submit(work) for work in works]]
