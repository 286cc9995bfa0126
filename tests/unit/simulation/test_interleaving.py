"""The simulated database: units interleave as at READ COMMITTED, and row locks hold."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from custody_core.domain.wallet import Wallet
from custody_core.errors import Conflict
from tests.support import factories
from tests.unit.simulation.gate import Fate, OpenGate
from tests.unit.simulation.interleaving import InterleavedStore
from tests.unit.simulation.journal import JournalStore


@pytest.fixture
def wallet() -> Wallet:
    return factories.wallet("usr_alice")


@pytest.fixture
def store(wallet: Wallet) -> InterleavedStore:
    """A store with one wallet in it."""
    journal = JournalStore(lambda _tables, _changed, _meanwhile: None)
    with journal.transaction() as unit:
        unit.lock_pool()
        unit.add_wallets([wallet], [factories.sealed_key(wallet)])
    return InterleavedStore(journal, OpenGate(), {}, lambda: False)


def test_what_is_not_locked_may_change_between_two_statements(store: InterleavedStore, wallet: Wallet) -> None:
    with store.transaction() as one:
        assert one.wallet(wallet.id) == wallet
        renamed = attrs.evolve(wallet, label="new", version=wallet.version + 1)
        with store.transaction() as other:
            other.save_wallet(renamed)
        assert one.wallet(wallet.id) == renamed


def test_who_wants_a_lock_that_another_unit_has_is_refused_after_a_while(store: InterleavedStore, wallet: Wallet) -> None:
    with store.transaction() as one:
        one.wallet(wallet.id, lock=True)
        with pytest.raises(Conflict), store.transaction() as other:
            other.wallets_by_id([wallet.id], lock=True)
    with store.transaction() as later:
        assert later.wallet(wallet.id, lock=True) == wallet


def test_what_another_unit_has_locked_is_not_changed(store: InterleavedStore, wallet: Wallet) -> None:
    with store.transaction() as one:
        one.wallet(wallet.id, lock=True)
        with pytest.raises(Conflict), store.transaction() as other:
            other.save_wallet(attrs.evolve(wallet, label="new", version=wallet.version + 1))
        assert one.wallet(wallet.id) == wallet


class Between(OpenGate):
    """Does what it is told at the next call."""

    act: Callable[[], object] = staticmethod(lambda: None)

    def enter(self, call: str) -> Fate:
        act, self.act = self.act, lambda: None
        act()
        return super().enter(call)


def test_what_a_unit_has_written_is_seen_after_its_commit(store: InterleavedStore, wallet: Wallet) -> None:
    gate = Between()
    busy = InterleavedStore(store._store, gate, store._locks, lambda: True)
    seen: list[Wallet | None] = []

    def look() -> None:
        with store.reading() as other:
            seen.append(other.wallet(wallet.id))

    renamed = attrs.evolve(wallet, label="new", version=wallet.version + 1)
    with busy.transaction() as one:
        one.save_wallet(renamed)
        gate.act = look
        assert one.wallet(wallet.id) == renamed
    look()
    assert seen == [wallet, renamed]


def test_after_its_first_write_a_unit_sees_what_others_commit(store: InterleavedStore, wallet: Wallet) -> None:
    gate = Between()
    busy = InterleavedStore(store._store, gate, store._locks, lambda: True)
    renamed = attrs.evolve(wallet, label="new", version=wallet.version + 1)

    def rename() -> None:
        with store.transaction() as other:
            other.save_wallet(renamed)

    with busy.transaction() as one:
        one.add_audit([factories.audit_event()])
        gate.act = rename
        assert one.wallet(wallet.id) == renamed


def test_what_a_unit_has_written_nobody_else_changes_before_it_ends(store: InterleavedStore, wallet: Wallet) -> None:
    gate = Between()
    busy = InterleavedStore(store._store, gate, store._locks, lambda: True)
    renamed = attrs.evolve(wallet, label="new", version=wallet.version + 1)

    def rename() -> None:
        with pytest.raises(Conflict), store.transaction() as other:
            other.save_wallet(attrs.evolve(renamed, label="other"))

    with busy.transaction() as one:
        one.save_wallet(renamed)
        gate.act = rename
        assert one.wallet(wallet.id) == renamed
    with store.reading() as later:
        assert later.wallet(wallet.id) == renamed


def test_a_unit_that_fails_leaves_everything_in_its_place(store: InterleavedStore, wallet: Wallet) -> None:
    before = store._store.snapshot()
    with pytest.raises(Conflict):
        overtaken(store, wallet)
    assert store._store.snapshot() == before


def overtaken(store: InterleavedStore, wallet: Wallet) -> None:
    """A unit that writes, and then saves what somebody else has changed."""
    with store.transaction() as unit:
        unit.add_audit([factories.audit_event()])
        unit.save_wallet(attrs.evolve(wallet, label="new", version=wallet.version + 2))
