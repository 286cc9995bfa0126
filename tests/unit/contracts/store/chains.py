"""Chains, headers and tokens."""

from __future__ import annotations

from functools import partial

import attrs
import pytest

from custody_core.domain.chain import Reorganisation
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.tokens import TokenState
from custody_core.errors import Conflict
from custody_core.ports import Store, Unit
from tests.support import factories as make
from tests.unit.contracts.store import given

CHAIN = make.CHAIN_ID


class ChainContract:
    """What we know of a chain moves by versions, and its canonical headers are one line."""

    def test_a_chain_begins_with_a_header(self, store: Store) -> None:
        state = make.chain_state(5, halted_reason="a final block changed")
        given.write(store, lambda unit: unit.add_chain(state, make.header(5)))
        second = make.chain_state(0, chain_id=1)
        given.write(store, lambda unit: unit.add_chain(second, make.header(0)))
        with store.reading() as unit:
            assert unit.chain(CHAIN) == state
            assert unit.chain(2) is None
            assert unit.chains() == [second, state]
            assert unit.headers(CHAIN, first=0, last=9) == [make.header(5)]
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_chain(state, make.header(6)))

    def test_a_follower_that_lost_its_lead_saves_nothing(self, store: Store) -> None:
        state = make.chain_state()
        given.write(store, lambda unit: unit.add_chain(state, make.header(0)))
        ahead = attrs.evolve(state, cursor=make.block_ref(2), final=make.block_ref(1), version=2)
        given.write(store, lambda unit: unit.save_chain(ahead))
        with pytest.raises(Conflict), store.transaction() as unit:  # noqa: PT012  # the unit is what is tested
            unit.add_headers(CHAIN, [make.header(1)])
            unit.save_chain(attrs.evolve(state, cursor=make.block_ref(1), version=2))
        with store.transaction() as unit:
            assert unit.chain(CHAIN, lock=True) == ahead
            assert unit.headers(CHAIN, first=1, last=9) == []

    def test_headers_come_ascending_without_their_bloom(self, store: Store) -> None:
        _follow(store, to=6)
        bloomed = make.header(7, logs_bloom=bytes(256))
        given.write(store, lambda unit: unit.add_headers(CHAIN, [bloomed]))
        with store.reading() as unit:
            assert unit.headers(CHAIN, first=2, last=4) == make.header_chain(2, 4)
            assert unit.headers(CHAIN, first=7, last=99) == [make.header(7)]
            assert unit.headers(CHAIN, first=4, last=3) == []
            assert unit.headers(1, first=0, last=99) == []

    def test_a_height_has_one_canonical_header(self, store: Store) -> None:
        _follow(store, to=3)
        for taken in (make.header(3, fork=1), make.header(3)):
            with pytest.raises(Conflict), store.transaction() as unit:
                unit.add_headers(CHAIN, [make.header(4), taken])
        assert given.read(store, lambda unit: unit.headers(CHAIN, first=0, last=9)) == make.header_chain(0, 3)

    def test_a_fork_takes_the_place_of_what_it_reverts_and_back_again(self, store: Store) -> None:
        _follow(store, to=5)
        fork = make.header_chain(3, 6, fork=1, parent_fork=0)
        with store.transaction() as unit:
            unit.remove_headers(CHAIN, above=2)
            assert unit.headers(CHAIN, first=0, last=9) == make.header_chain(0, 2)
            unit.add_headers(CHAIN, fork)
        assert given.read(store, lambda unit: unit.headers(CHAIN, first=2, last=9)) == [make.header(2), *fork]
        with store.transaction() as unit:
            unit.remove_headers(CHAIN, above=2)
            unit.add_headers(CHAIN, make.header_chain(3, 7))
        assert given.read(store, lambda unit: unit.headers(CHAIN, first=0, last=9)) == make.header_chain(0, 7)

    def test_reverting_one_chain_leaves_the_others(self, store: Store) -> None:
        _follow(store, to=3)
        given.write(store, lambda unit: unit.add_chain(make.chain_state(0, chain_id=1), make.header(0)))
        given.write(store, lambda unit: unit.add_headers(1, make.header_chain(1, 2)))
        given.write(store, lambda unit: unit.remove_headers(1, above=-1))
        with store.reading() as unit:
            assert unit.headers(CHAIN, first=0, last=9) == make.header_chain(0, 3)
            assert unit.headers(1, first=0, last=9) == []

    def test_a_canonical_header_is_found_by_its_hash(self, store: Store) -> None:
        _follow(store, to=3)
        given.write(store, lambda unit: unit.remove_headers(CHAIN, above=2))
        with store.reading() as unit:
            assert unit.header_by_hash(CHAIN, make.header(2).hash) == make.header(2)
            assert unit.header_by_hash(CHAIN, make.header(3).hash) is None
            assert unit.header_by_hash(1, make.header(2).hash) is None

    def test_reorganisations_are_kept_newest_first(self, store: Store) -> None:
        _follow(store, to=3)
        first, second, third = (
            make.reorganisation(cursor=make.block_ref(3), ancestor=make.block_ref(height)) for height in (0, 1, 2)
        )
        told = attrs.evolve(second, deposit_ids=("txn_a", "txn_b"), transaction_ids=("txn_c",), events=3)
        for each in (first, told, third):
            given.write(store, partial(_add_reorganisation, reorganisation=each))
        with store.reading() as unit:
            assert unit.reorganisations(CHAIN, limit=2) == [third, told]
            assert unit.reorganisations(CHAIN, limit=9) == [third, told, first]
            assert unit.reorganisations(1, limit=9) == []

    def test_tokens_are_kept_listed_and_changed(self, store: Store) -> None:
        first, second = make.token("usdc"), make.token("dai", state=TokenState.DISABLED, dust=UINT256_MAX)
        elsewhere = make.token("usdc")
        elsewhere = attrs.evolve(elsewhere, asset=attrs.evolve(elsewhere.asset, chain_id=1))
        for token in (second, elsewhere, first):
            with store.transaction() as unit:
                unit.add_token(token)
        changed = attrs.evolve(first, state=TokenState.DISABLED, dust=7, version=2)
        given.write(store, lambda unit: unit.save_token(changed))
        with store.reading() as unit:
            assert unit.token(first.id) == changed
            assert unit.token("tok_none") is None
            assert unit.tokens(CHAIN) == [changed, second]
            assert unit.tokens() == [changed, second, elsewhere]
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.save_token(changed))

    @pytest.mark.parametrize("field", ["contract", "alias"])
    def test_no_two_tokens_of_a_chain_share(self, store: Store, field: str) -> None:
        first, second = make.token("usdc"), make.token("dai")
        clash = attrs.evolve(second, asset=attrs.evolve(second.asset, **{field: getattr(first.asset, field)}))
        given.write(store, lambda unit: unit.add_token(first))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_token(clash))


def _add_reorganisation(unit: Unit, reorganisation: Reorganisation) -> None:
    unit.add_reorganisation(reorganisation)


def _follow(store: Store, *, to: int) -> None:
    with store.transaction() as unit:
        unit.add_chain(make.chain_state(), make.header(0))
        unit.add_headers(CHAIN, make.header_chain(1, to))
