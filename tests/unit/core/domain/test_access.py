"""Users, roles and API keys: what a role allows, what a key is, and that its secret is nowhere."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain import access
from custody_core.domain.access import ROLE_SCOPES, ApiKey, Principal, Role, Scope
from custody_core.errors import InsufficientScope
from tests.support import factories as make

SECOND = timedelta(seconds=1)
WRITING = {scope for scope in Scope if not scope.endswith(":read")}


def test_every_role_has_scopes_and_an_admin_has_all() -> None:
    assert set(ROLE_SCOPES) == set(Role)
    assert ROLE_SCOPES[Role.ADMIN] == set(Scope)


def test_whoever_only_looks_on_changes_nothing() -> None:
    assert ROLE_SCOPES[Role.AUDITOR] & WRITING == set()


@pytest.mark.parametrize("scope", [Scope.POLICIES_WRITE, Scope.TOKENS_WRITE, Scope.USERS_MANAGE])
def test_only_an_admin_manages(scope: Scope) -> None:
    assert [role for role in Role if scope in ROLE_SCOPES[role]] == [Role.ADMIN]


def test_an_operator_releases_deposits_and_has_blocks_read_again() -> None:
    assert {role for role in Role if Scope.OPS_ADMIN in ROLE_SCOPES[role]} == {Role.OPERATOR, Role.ADMIN}


def test_only_an_approver_or_an_admin_decides() -> None:
    assert {role for role in Role if Scope.APPROVALS_DECIDE in ROLE_SCOPES[role]} == {Role.APPROVER, Role.ADMIN}


@pytest.mark.parametrize("role", Role)
def test_who_sees_only_their_own(role: Role) -> None:
    user = make.user(role=role)
    seen = Principal(user, ROLE_SCOPES[role]).owner_filter
    assert seen == (user.id if role in {Role.USER, Role.APPROVER} else None)


def test_a_missing_scope_is_named() -> None:
    principal = Principal(make.user(), frozenset({Scope.WALLETS_READ}))
    principal.require(Scope.WALLETS_READ)
    with pytest.raises(InsufficientScope) as refused:
        principal.require(Scope.WALLETS_WRITE)
    assert refused.value.extra == {"scope": "wallets:write"}


@given(st.sets(st.sampled_from(Scope)), st.sampled_from(Role))
def test_a_key_does_what_both_it_and_its_owners_role_allow(scopes: set[Scope], role: Role) -> None:
    user = make.user(role=role)
    key = make.api_key(user, scopes=frozenset(scopes))
    assert access.effective_scopes(key, user) == {scope for scope in scopes if scope in ROLE_SCOPES[role]}


@given(st.binary(min_size=32, max_size=32))
def test_a_secret_is_43_url_safe_characters_that_hold_all_the_chance(entropy: bytes) -> None:
    secret = access.make_secret(entropy)
    assert re.fullmatch(r"ck_[A-Za-z0-9_-]{43}", secret)
    assert access.is_secret(secret)
    assert secret != access.make_secret(bytes([entropy[0] ^ 1, *entropy[1:]]))
    assert secret != access.make_secret(bytes([*entropy[:-1], entropy[-1] ^ 1]))
    assert access.digest_of(secret) == hashlib.sha256(secret.encode()).digest()


@pytest.mark.parametrize("entropy", [b"", bytes(31), bytes(33)])
def test_a_secret_takes_exactly_256_bits(entropy: bytes) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        access.make_secret(entropy)


@pytest.mark.parametrize(
    "text", ["", "ck_", "ck_" + "a" * 42, "ck_" + "a" * 44, "sk_" + "a" * 43, "ck_" + "é" * 43, "ck_" + "a" * 43 + "\n", "٣" * 46]
)
def test_what_is_no_secret(text: str) -> None:
    assert not access.is_secret(text)


def test_a_key_is_over_at_its_time_and_not_before() -> None:
    key = make.api_key(make.user(), expires_at=make.NOW)
    assert not access.is_expired(key, make.NOW - SECOND)
    assert access.is_expired(key, make.NOW)
    assert not access.is_expired(make.api_key(make.user()), make.NOW + 10**6 * SECOND)


def test_each_change_is_a_version_more() -> None:
    user = make.user()
    changed = access.set_role(access.enable(access.disable(user, now=make.NOW)), Role.OPERATOR)
    assert (changed.version, changed.disabled_at, changed.role) == (user.version + 3, None, Role.OPERATOR)
    assert access.disable(user, now=make.NOW).disabled_at == make.NOW
    key = make.api_key(user)
    assert (access.revoke(key, now=make.NOW).revoked_at, access.revoke(key, now=make.NOW).version) == (make.NOW, key.version + 1)


def test_a_key_does_not_show_its_digest() -> None:
    key: ApiKey = make.api_key(make.user(), digest=b"\xab" * 32)
    assert "digest" not in repr(key)
    assert "xab" not in repr(key)
