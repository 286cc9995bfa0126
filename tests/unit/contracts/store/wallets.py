"""Wallets, the pool and the sealed keys."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from custody_core.domain.wallet import Wallet, WalletState, freeze, give_owner
from custody_core.errors import BrokenInvariant, Conflict
from custody_core.ports import Store, Unit
from tests.support import factories as make
from tests.unit.contracts.store import given


class WalletContract:
    """Wallets are kept as they are, and each has one of everything that must be its own."""

    def test_a_wallet_is_kept_with_all_of_its_fields(self, store: Store) -> None:
        owner = given.user(store)
        full = make.wallet(
            owner.id,
            state=WalletState.FROZEN,
            state_reason="ordered by the court",
            frozen_by="usr_judge",
            label="Käse ✓",
            external_id="shop-1",
            metadata={"b": "2", "a": "\u202e1"},
            version=7,
        )
        key = make.sealed_key(full, sealed=bytes(range(256)))
        given.write(store, lambda unit: unit.add_wallets([full], [key]))
        with store.reading() as unit:
            assert unit.wallet(full.id) == full
            assert unit.wallet_by_external_id(owner.id, "shop-1") == full
            assert unit.wallets_by_address([full.address, make.address()]) == {full.address: full}
            assert unit.sealed_keys([full.id, "wal_none"]) == {full.id: key}
            assert unit.wallet("wal_none") is None
            assert unit.wallets_by_id([full.id, "wal_none"]) == {full.id: full}
            assert unit.wallets_by_id([]) == {}
            assert unit.wallet_by_external_id(owner.id, "shop-2") is None

    @pytest.mark.parametrize("field", ["id", "address", "sequence"])
    def test_no_two_wallets_share(self, store: Store, field: str) -> None:
        (first,) = given.pooled(store)
        second = make.wallet(**{field: getattr(first, field)})
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_wallets([second], [make.sealed_key(second)]))

    def test_a_wallet_has_one_sealed_key(self, store: Store) -> None:
        (wallet,) = given.pooled(store)
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_wallets([], [make.sealed_key(wallet, key_version=2)]))

    def test_a_sealed_key_without_its_wallet_is_refused(self, store: Store) -> None:
        with pytest.raises(BrokenInvariant):
            given.write(store, lambda unit: unit.add_wallets([], [make.sealed_key(make.wallet())]))

    def test_an_external_id_is_one_wallet_of_its_owner(self, store: Store) -> None:
        owner, other = given.user(store), given.user(store)
        first, second, third = given.pooled(store, 3)
        given.write(store, lambda unit: unit.save_wallet(_given(first, owner.id, "mine")))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.save_wallet(_given(second, owner.id, "mine")))
        given.write(store, lambda unit: unit.save_wallet(_given(third, other.id, "mine")))

    def test_the_pool_hands_out_the_oldest_until_it_is_empty(self, store: Store) -> None:
        owner = given.user(store)
        newer, older = make.wallet(sequence=20), make.wallet(sequence=10)
        given.write(store, lambda unit: unit.add_wallets([newer, older], []))
        assert given.read(store, lambda unit: unit.pool_size()) == 2
        for expected in (older, newer):
            with store.transaction() as unit:
                pooled = unit.pooled_wallet()
                assert pooled == expected
                unit.save_wallet(_given(expected, owner.id, None))
        assert given.write(store, lambda unit: (unit.pooled_wallet(), unit.pool_size())) == (None, 0)

    def test_two_takers_never_get_the_same_wallet(self, store: Store) -> None:
        owner = given.user(store)
        given.pooled(store, 20)

        def take(unit: Unit) -> str:
            pooled = unit.pooled_wallet()
            assert pooled is not None
            unit.save_wallet(_given(pooled, owner.id, None))
            return pooled.id

        taken = given.at_once(*[lambda: [given.persistently(store, take) for _ in range(10)]] * 2)
        assert len({*taken[0], *taken[1]}) == 20

    def test_sequences_have_no_gap_and_no_double_under_two_makers(self, store: Store) -> None:
        def grow(unit: Unit) -> None:
            unit.lock_pool()
            wallet = make.wallet(sequence=unit.next_wallet_sequence())
            unit.add_wallets([wallet], [make.sealed_key(wallet)])

        given.at_once(*[lambda: [given.persistently(store, grow) for _ in range(8)]] * 2)
        born = given.read(store, lambda unit: unit.addresses_after(0, 100))
        assert [sequence for sequence, _ in born] == list(range(1, 17))

    def test_a_sequence_is_given_under_the_pool_lock_only(self, store: Store) -> None:
        with pytest.raises(BrokenInvariant):
            given.write(store, lambda unit: unit.next_wallet_sequence())

    def test_a_stale_wallet_is_not_saved(self, store: Store) -> None:
        wallet = given.wallet(store)
        frozen = freeze(wallet, reason="asked", by="usr_x", now=make.NOW)
        given.write(store, lambda unit: unit.save_wallet(frozen))
        for stale in (frozen, attrs.evolve(wallet, version=4), make.wallet(version=2)):
            with pytest.raises(Conflict), store.transaction() as unit:
                unit.save_wallet(stale)
        assert given.read(store, lambda unit: unit.wallet(wallet.id)) == frozen

    def test_wallets_are_listed_newest_first_in_pages(self, store: Store) -> None:
        owner, other = given.user(store), given.user(store)
        mine = [given.wallet(store, owner) for _ in range(5)]
        theirs = given.wallet(store, other)
        given.pooled(store)
        newest_first = list(reversed(mine))
        with store.reading() as unit:
            assert unit.wallets(owner_id=owner.id, limit=3) == newest_first[:3]
            assert unit.wallets(owner_id=owner.id, limit=3, before_id=newest_first[2].id) == newest_first[3:]
            assert unit.wallets(owner_id=None, limit=99) == [theirs, *newest_first]

    def test_wallets_are_found_by_the_name_that_their_owners_have_for_them(self, store: Store) -> None:
        owner, other = given.user(store), given.user(store)
        mine, theirs = make.wallet(owner.id, external_id="main"), make.wallet(other.id, external_id="main")
        given.wallet(store, owner)
        given.write(store, lambda unit: unit.add_wallets([mine, theirs], [make.sealed_key(mine), make.sealed_key(theirs)]))
        with store.reading() as unit:
            assert unit.wallets(owner_id=owner.id, limit=9, external_id="main") == [mine]
            assert {wallet.id for wallet in unit.wallets(owner_id=None, limit=9, external_id="main")} == {mine.id, theirs.id}
            assert unit.wallets(owner_id=owner.id, limit=9, external_id="other") == []

    def test_of_two_wallets_the_one_handed_out_last_comes_first_however_old_its_key(self, store: Store) -> None:
        owner = given.user(store)
        old_key = make.wallet(owner.id, created_at=make.NOW + timedelta(hours=1))
        young_key = make.wallet(owner.id)
        keys = [make.sealed_key(old_key), make.sealed_key(young_key)]
        given.write(store, lambda unit: unit.add_wallets([old_key, young_key], keys))
        with store.reading() as unit:
            assert unit.wallets(owner_id=owner.id, limit=9) == [old_key, young_key]
            assert unit.wallets(owner_id=owner.id, limit=9, before_id=old_key.id) == [young_key]
            assert unit.wallets(owner_id=owner.id, limit=9, before_id=young_key.id) == []

    def test_addresses_come_by_sequence_with_pooled_and_closed_ones(self, store: Store) -> None:
        owner = given.user(store)
        wallets = [make.wallet(sequence=3), make.wallet(owner.id, sequence=1, state=WalletState.CLOSED), make.wallet(sequence=2)]
        given.write(store, lambda unit: unit.add_wallets(wallets, []))
        expected = sorted((each.sequence, each.address) for each in wallets)
        with store.reading() as unit:
            assert unit.addresses_after(0, 99) == expected
            assert unit.addresses_after(1, 1) == expected[1:2]
            assert unit.addresses_after(3, 99) == []

    def test_thousands_of_addresses_are_looked_up_at_once(self, store: Store) -> None:
        wallets = given.pooled(store, 3)
        strangers = [make.address() for _ in range(2500)]
        found = given.read(store, lambda unit: unit.wallets_by_address([wallets[0].address, *strangers, wallets[2].address]))
        assert found == {wallets[0].address: wallets[0], wallets[2].address: wallets[2]}


def _given(wallet: Wallet, owner_id: str, external_id: str | None) -> Wallet:
    return give_owner(wallet, owner_id=owner_id, label=None, external_id=external_id, metadata={}, now=make.NOW)
