"""Users and their API keys."""

from __future__ import annotations

import attrs
import pytest

from custody_core.domain.access import Role, Scope, disable, revoke, set_role
from custody_core.errors import BrokenInvariant, Conflict
from custody_core.ports import Store
from tests.support import factories as make
from tests.unit.contracts.store import given


class UserContract:
    """Users and API keys are kept as they are, and a secret is one user's."""

    def test_a_user_is_found_by_id_and_by_subject(self, store: Store) -> None:
        user = given.user(store)
        with store.reading() as unit:
            assert unit.user(user.id) == unit.user_by_subject(user.issuer, user.subject) == user
            assert unit.user("usr_none") is None
            assert unit.user_by_subject("elsewhere", user.subject) is None

    def test_a_subject_is_one_user(self, store: Store) -> None:
        user = given.user(store)
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_user(make.user(user.subject)))
        given.write(store, lambda unit: unit.add_user(make.user(user.subject, issuer="https://elsewhere")))

    def test_a_stale_user_is_not_saved(self, store: Store) -> None:
        user = given.user(store)
        disabled = disable(user, now=make.NOW)
        given.write(store, lambda unit: unit.save_user(disabled))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.save_user(attrs.evolve(user, version=2)))
        assert given.read(store, lambda unit: unit.user(user.id)) == disabled

    @pytest.mark.parametrize("role", Role)
    def test_a_role_is_kept_from_the_start_and_when_it_changes(self, store: Store, role: Role) -> None:
        user, other = make.user(role=role), given.user(store)
        given.write(store, lambda unit: unit.add_user(user))
        given.write(store, lambda unit: unit.save_user(set_role(other, role)))
        with store.reading() as unit:
            assert unit.users_by_id([user.id, other.id, "usr_none"]) == {user.id: user, other.id: set_role(other, role)}
            assert unit.users_by_id([]) == {}

    def test_users_are_listed_newest_first_in_pages(self, store: Store) -> None:
        newest_first = [given.user(store) for _ in range(5)][::-1]
        with store.reading() as unit:
            assert unit.users(limit=3) == newest_first[:3]
            assert unit.users(limit=3, before_id=newest_first[2].id) == newest_first[3:]

    def test_an_api_key_is_kept_with_all_of_its_fields(self, store: Store) -> None:
        user = given.user(store)
        full = make.api_key(
            user,
            name="Käse ✓",
            digest=bytes(range(32)),
            scopes=frozenset(Scope),
            expires_at=make.NOW,
            revoked_at=make.NOW,
            version=3,
        )
        plain = make.api_key(user, scopes=frozenset())
        for key in (full, plain):
            with store.transaction() as unit:
                unit.add_api_key(key)
        with store.reading() as unit:
            for key in (full, plain):
                assert unit.api_key(key.id) == unit.api_key_by_digest(key.digest) == key
            assert unit.api_key("key_none") is None
            assert unit.api_key_by_digest(bytes(32)) is None

    @pytest.mark.parametrize("field", ["id", "digest"])
    def test_no_two_api_keys_share(self, store: Store, field: str) -> None:
        user, other = given.user(store), given.user(store)
        first = make.api_key(user)
        given.write(store, lambda unit: unit.add_api_key(first))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_api_key(make.api_key(other, **{field: getattr(first, field)})))

    def test_an_api_key_without_its_user_is_refused(self, store: Store) -> None:
        with pytest.raises(BrokenInvariant):
            given.write(store, lambda unit: unit.add_api_key(make.api_key(make.user())))

    def test_a_stale_api_key_is_not_saved(self, store: Store) -> None:
        key = make.api_key(given.user(store))
        given.write(store, lambda unit: unit.add_api_key(key))
        revoked = revoke(key, now=make.NOW)
        given.write(store, lambda unit: unit.save_api_key(revoked))
        for stale in (revoked, attrs.evolve(key, version=4), make.api_key(make.user(), version=2)):
            with pytest.raises(Conflict), store.transaction() as unit:
                unit.save_api_key(stale)
        assert given.read(store, lambda unit: unit.api_key(key.id)) == revoked

    def test_api_keys_are_listed_newest_first_in_pages(self, store: Store) -> None:
        owner, other = given.user(store), given.user(store)
        mine = [make.api_key(owner) for _ in range(5)]
        theirs = make.api_key(other)
        for key in (*mine, theirs):
            with store.transaction() as unit:
                unit.add_api_key(key)
        newest_first = mine[::-1]
        with store.reading() as unit:
            assert unit.api_keys(user_id=owner.id, limit=3) == newest_first[:3]
            assert unit.api_keys(user_id=owner.id, limit=3, before_id=newest_first[2].id) == newest_first[3:]
            assert unit.api_keys(user_id=None, limit=99) == [theirs, *newest_first]
