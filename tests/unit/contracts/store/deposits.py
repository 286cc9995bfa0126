"""Incoming transactions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from custody_core.domain.deposit import DepositKind, DepositState
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.tokens import Asset
from custody_core.errors import Conflict
from custody_core.ports import EVERY_MOVEMENT, MovementFilter, Store
from tests.support import factories as make
from tests.unit.contracts.store import given


class DepositContract:
    """A deposit exists once, whatever happens to its block."""

    def test_it_is_kept_with_all_of_its_fields(self, store: Store) -> None:
        wallet = given.wallet(store)
        token = Asset(make.CHAIN_ID, make.address(), "usdc", 6)
        made = [
            make.deposit(wallet),
            make.deposit(wallet, asset=token, state=DepositState.QUARANTINED, reason="dust", version=3, amount=UINT256_MAX),
        ]
        given.write(store, lambda unit: unit.add_deposits(made))
        with store.reading() as unit:
            assert [unit.deposit(each.id) for each in made] == made
            assert unit.deposits_by_key([each.key for each in made]) == {each.key: each for each in made}
            assert unit.deposits_by_key([make.deposit(wallet).key, attrs.evolve(made[0].key, ordinal=1)]) == {}
            assert unit.deposit("txn_none") is None

    @pytest.mark.parametrize("amount", [1, 2**64, 2**255, UINT256_MAX])
    def test_amounts_are_exact(self, store: Store, amount: int) -> None:
        deposit = make.deposit(given.wallet(store), amount=amount)
        given.write(store, lambda unit: unit.add_deposits([deposit]))
        assert given.read(store, lambda unit: unit.deposits_by_key([deposit.key])) == {deposit.key: deposit}

    def test_a_movement_is_one_deposit_and_its_equal_another(self, store: Store) -> None:
        wallet = given.wallet(store)
        first = make.deposit(wallet)
        again = attrs.evolve(make.deposit(wallet, block=make.block_ref(101)), key=first.key)
        equal = attrs.evolve(make.deposit(wallet), key=attrs.evolve(first.key, ordinal=1))
        given.write(store, lambda unit: unit.add_deposits([first, equal]))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_deposits([make.deposit(wallet), again]))
        assert given.read(store, lambda unit: len(unit.deposits(EVERY_MOVEMENT, limit=9))) == 2

    def test_a_movement_of_another_kind_is_another_deposit(self, store: Store) -> None:
        native = make.deposit(given.wallet(store))
        internal = attrs.evolve(make.deposit(given.wallet(store)), key=attrs.evolve(native.key, kind=DepositKind.INTERNAL))
        given.write(store, lambda unit: unit.add_deposits([native, internal]))
        found = given.read(store, lambda unit: unit.deposits_by_key([native.key, internal.key]))
        assert found == {native.key: native, internal.key: internal}

    def test_one_stale_row_refuses_the_whole_batch(self, store: Store) -> None:
        wallet = given.wallet(store)
        made = [make.deposit(wallet) for _ in range(2)]
        given.write(store, lambda unit: unit.add_deposits(made))
        moved = [attrs.evolve(each, state=DepositState.ORPHANED, version=2) for each in made]
        given.write(store, lambda unit: unit.save_deposits(moved[:1]))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.save_deposits([moved[1], moved[0]]))
        assert given.read(store, lambda unit: [unit.deposit(each.id) for each in made]) == [moved[0], made[1]]

    def test_it_comes_back_in_another_block_as_the_same_deposit(self, store: Store) -> None:
        deposit = make.deposit(given.wallet(store))
        given.write(store, lambda unit: unit.add_deposits([deposit]))
        orphaned = attrs.evolve(deposit, state=DepositState.ORPHANED, version=2)
        back = attrs.evolve(deposit, block=make.block_ref(105, fork=1), version=3)
        for step in (orphaned, back):
            with store.transaction() as unit:
                unit.save_deposits([step])
        assert given.read(store, lambda unit: unit.deposits_by_key([deposit.key])) == {deposit.key: back}

    def test_lists_are_newest_first_filtered_and_paged(self, store: Store) -> None:
        owner = given.user(store)
        wallets = [given.wallet(store, owner), given.wallet(store, owner), given.wallet(store)]
        made = [make.deposit(wallets[index % 3]) for index in range(9)]
        made[0] = attrs.evolve(made[0], state=DepositState.COMPLETED)
        given.write(store, lambda unit: unit.add_deposits(made))
        newest_first = list(reversed(made))
        mine = [each for each in newest_first if each.wallet_id != wallets[2].id]
        with store.reading() as unit:
            assert unit.deposits(EVERY_MOVEMENT, limit=99) == newest_first
            assert unit.deposits(MovementFilter(owner_id=owner.id), limit=4) == mine[:4]
            assert unit.deposits(MovementFilter(owner_id=owner.id), limit=4, before_id=mine[3].id) == mine[4:]
            assert unit.deposits(MovementFilter(owner_id=owner.id, wallet_id=wallets[2].id), limit=9) == []
            completed = MovementFilter(owner_id=None, wallet_id=wallets[0].id, state="completed")
            assert unit.deposits(completed, limit=9) == [made[0]]

    def test_lists_are_narrowed_by_asset_and_time_and_none_has_an_external_id(self, store: Store) -> None:
        owner, token = given.user(store), Asset(make.CHAIN_ID, make.address(), "usdc", 6)
        mine, foreign = given.wallet(store, owner), given.wallet(store)
        moments = [make.NOW + index * timedelta(microseconds=300) for index in range(6)]
        made = [
            make.deposit(mine, asset=token if index % 2 else make.ETH, id=make.identifier_at(moment), created_at=moment)
            for index, moment in enumerate(moments)
        ]
        theirs = make.deposit(foreign, asset=token, id=make.identifier_at(moments[5]), created_at=moments[5])
        given.write(store, lambda unit: unit.add_deposits([*made, theirs]))
        of_owner = MovementFilter(owner_id=owner.id)
        with store.reading() as unit:
            assert unit.deposits(attrs.evolve(of_owner, asset="usdc"), limit=9) == [made[5], made[3], made[1]]
            assert unit.deposits(attrs.evolve(of_owner, asset="dai"), limit=9) == []
            assert unit.deposits(attrs.evolve(of_owner, created_since=moments[3]), limit=9) == [made[5], made[4], made[3]]
            both = attrs.evolve(of_owner, asset="usdc", created_since=moments[2])
            assert unit.deposits(both, limit=1) == [made[5]]
            assert unit.deposits(both, limit=9, before_id=made[5].id) == [made[3]]
            assert unit.deposits(attrs.evolve(both, owner_id=None), limit=9) == [theirs, made[5], made[3]]
            assert unit.deposits(attrs.evolve(of_owner, created_since=moments[5] + timedelta(microseconds=1)), limit=9) == []
            assert unit.deposits(attrs.evolve(of_owner, created_since=datetime(1, 1, 1, tzinfo=UTC)), limit=1) == [made[5]]
            assert unit.deposits(attrs.evolve(of_owner, external_id="x"), limit=9) == []

    def test_confirming_ones_come_by_height_and_are_pending(self, store: Store) -> None:
        wallet, other = given.wallet(store), given.wallet(store)
        token = Asset(make.CHAIN_ID, make.address(), "usdc", 6)
        at = {height: make.deposit(wallet, amount=UINT256_MAX, block=make.block_ref(height)) for height in (12, 10, 11)}
        final = make.deposit(wallet, state=DepositState.COMPLETED)
        in_token = make.deposit(wallet, asset=token, amount=5, block=make.block_ref(13))
        given.write(store, lambda unit: unit.add_deposits([*at.values(), final, in_token]))
        with store.reading() as unit:
            assert unit.confirming_deposits(make.CHAIN_ID) == [at[10], at[11], at[12], in_token]
            assert unit.confirming_deposits(make.CHAIN_ID, above=11) == [at[12], in_token]
            assert unit.confirming_deposits(make.CHAIN_ID, up_to=11) == [at[10], at[11]]
            assert unit.confirming_deposits(1) == []
            assert unit.pending_in(wallet.id) == {(make.CHAIN_ID, "eth"): 3 * UINT256_MAX, (make.CHAIN_ID, token.key): 5}
            assert unit.pending_in(other.id) == {}
