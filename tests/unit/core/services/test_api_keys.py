"""API keys: whom a secret speaks for, what it may do, and that nobody sees it twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from custody_core import (
    ApiKey,
    InvalidStateTransition,
    NotFound,
    Role,
    Scope,
    Unauthenticated,
    User,
    ValidationFailed,
)
from custody_core.domain.access import ROLE_SCOPES, digest_of
from custody_core.domain.ids import IdPrefix
from custody_core.errors import TokenExpired
from tests.support import factories
from tests.unit.core.services.bench import Bench

HOUR = timedelta(hours=1)
READ = [Scope.WALLETS_READ]


@pytest.fixture
def alice(bench: Bench) -> User:
    return bench.custody.wallets.owner_named("alice")


def stored(bench: Bench) -> str:
    """Everything that is kept of audit, events and keys, as text."""
    bench.custody.seal()
    with bench.custody._kit.store.reading() as unit:
        rows: list[object] = [*unit.audit(after_sequence=0, limit=10_000), *unit.events(after_sequence=0, limit=10_000)]
    return repr([*rows, *bench.custody.api_keys.list()])


def test_a_secret_speaks_for_its_user(bench: Bench, alice: User) -> None:
    key, secret = bench.custody.api_keys.create(alice.id, name="payouts", scopes=["wallets:read", "transactions:create"])
    assert re.fullmatch(r"ck_[A-Za-z0-9_-]{43}", secret)
    assert key.digest == digest_of(secret)
    principal = bench.custody.api_keys.authenticate(secret)
    assert (principal.user, principal.api_key_id) == (alice, key.id)
    assert principal.scopes == {Scope.WALLETS_READ, Scope.TRANSACTIONS_CREATE}
    assert principal.owner_filter == alice.id


def test_no_two_secrets_are_alike(bench: Bench, alice: User) -> None:
    made = [bench.custody.api_keys.create(alice.id, name="k", scopes=READ) for _ in range(20)]
    assert len({secret for _, secret in made}) == len({key.id for key, _ in made}) == 20


def test_a_secret_is_kept_nowhere(bench: Bench, alice: User) -> None:
    key, secret = bench.custody.api_keys.create(alice.id, name="k", scopes=READ)
    bench.custody.api_keys.authenticate(secret)
    bench.custody.api_keys.revoke(key.id)
    text = stored(bench)
    assert key.id in text
    assert secret.removeprefix("ck_") not in text
    assert digest_of(secret).hex() not in text
    assert repr(digest_of(secret)) not in text


Spoiling = Callable[[Bench, ApiKey, str], str]


def _revoked(bench: Bench, key: ApiKey, secret: str) -> str:
    bench.custody.api_keys.revoke(key.id)
    return secret


def _revoked_and_expired(bench: Bench, key: ApiKey, secret: str) -> str:
    bench.clock.advance(2 * HOUR.total_seconds())
    return _revoked(bench, key, secret)


def _of_a_disabled_user(bench: Bench, key: ApiKey, secret: str) -> str:
    bench.custody.users.disable(key.user_id)
    return secret


SPOILINGS: dict[str, Spoiling] = {
    "revoked": _revoked,
    "revoked and expired": _revoked_and_expired,
    "of a disabled user": _of_a_disabled_user,
    "unknown": lambda _bench, _key, secret: secret[:-2] + ("AA" if not secret.endswith("AA") else "BA"),
    "longer": lambda _bench, _key, secret: secret + "A",
    "empty": lambda _bench, _key, _secret: "",
    "the id": lambda _bench, key, _secret: key.id,
    "the digest": lambda _bench, key, _secret: "ck_" + key.digest.hex()[:43],
    "in other letters": lambda _bench, _key, secret: "CK_" + secret[3:],
}


@pytest.mark.parametrize("spoil", SPOILINGS.values(), ids=SPOILINGS.keys())
def test_what_is_no_valid_key_answers_the_same(bench: Bench, alice: User, spoil: Spoiling) -> None:
    key, secret = bench.custody.api_keys.create(alice.id, name="k", scopes=READ, expires_at=bench.clock.now() + HOUR)
    spoilt = spoil(bench, key, secret)
    with pytest.raises(Unauthenticated) as refused:
        bench.custody.api_keys.authenticate(spoilt)
    assert type(refused.value) is Unauthenticated
    assert (refused.value.detail, refused.value.extra) == ("this is no valid API key", {})


def test_a_key_whose_time_is_over_says_so(bench: Bench, alice: User) -> None:
    _, secret = bench.custody.api_keys.create(alice.id, name="k", scopes=READ, expires_at=bench.clock.now() + HOUR)
    bench.clock.advance(HOUR.total_seconds() - 1)
    bench.custody.api_keys.authenticate(secret)
    bench.clock.advance(1)
    with pytest.raises(TokenExpired):
        bench.custody.api_keys.authenticate(secret)


def test_a_role_taken_away_is_taken_from_keys_with_the_next_request(bench: Bench) -> None:
    admin = bench.custody.users.ensure_admin()
    _, secret = bench.custody.api_keys.create(admin.id, name="k", scopes=list(Scope))
    assert bench.custody.api_keys.authenticate(secret).owner_filter is None
    bench.custody.users.set_role(admin.id, Role.USER)
    lowered = bench.custody.api_keys.authenticate(secret)
    assert (lowered.scopes, lowered.owner_filter) == (ROLE_SCOPES[Role.USER], admin.id)


def test_asking_writes_nothing(bench: Bench, alice: User) -> None:
    _, secret = bench.custody.api_keys.create(alice.id, name="k", scopes=READ)
    before = stored(bench)
    bench.custody.api_keys.authenticate(secret)
    assert stored(bench) == before


REFUSED: dict[str, dict[str, Any]] = {
    "/name": {"name": ""},
    "/scopes": {"scopes": []},
    "/scopes/1": {"scopes": ["wallets:read", "keys:export"]},
}


@pytest.mark.parametrize(("pointer", "changed"), REFUSED.items())
def test_what_makes_no_sense_is_refused_by_name(bench: Bench, alice: User, pointer: str, changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        bench.custody.api_keys.create(alice.id, **({"name": "k", "scopes": READ} | changed))
    assert refused.value.pointer == pointer
    assert bench.custody.api_keys.list() == []


def test_a_name_that_would_break_a_line_and_scopes_as_one_text_are_refused(bench: Bench, alice: User) -> None:
    for changed in ({"name": "a\nb"}, {"name": "x" * 256}, {"scopes": "wallets:read"}):
        with pytest.raises(ValidationFailed):
            bench.custody.api_keys.create(alice.id, **({"name": "k", "scopes": READ} | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", [-1, 0])
def test_a_key_does_not_begin_expired(bench: Bench, alice: User, hours: int) -> None:
    for expires_at in (bench.clock.now() + hours * HOUR, datetime(2999, 1, 1)):  # noqa: DTZ001 - one without a zone is refused
        with pytest.raises(ValidationFailed) as refused:
            bench.custody.api_keys.create(alice.id, name="k", scopes=READ, expires_at=expires_at)
        assert refused.value.pointer == "/expires_at"


def test_a_key_cannot_do_more_than_its_owners_role(bench: Bench, alice: User) -> None:
    with pytest.raises(ValidationFailed, match="audit:read"):
        bench.custody.api_keys.create(alice.id, name="k", scopes=["wallets:read", "audit:read"])


def test_a_key_cannot_make_a_stronger_one(bench: Bench, alice: User) -> None:
    within = frozenset({Scope.API_KEYS_MANAGE, Scope.WALLETS_READ})
    bench.custody.api_keys.create(alice.id, name="k", scopes=["wallets:read"], within=within)
    with pytest.raises(ValidationFailed, match="transactions:create"):
        bench.custody.api_keys.create(alice.id, name="k", scopes=["wallets:read", "transactions:create"], within=within)


def test_a_key_is_made_for_somebody_who_is_there(bench: Bench, alice: User) -> None:
    with pytest.raises(NotFound):
        bench.custody.api_keys.create(factories.user().id, name="k", scopes=READ)
    bench.custody.users.disable(alice.id)
    with pytest.raises(InvalidStateTransition):
        bench.custody.api_keys.create(alice.id, name="k", scopes=READ)


def test_only_its_owner_revokes_a_key_and_twice_is_once(bench: Bench, alice: User) -> None:
    bob = bench.custody.wallets.owner_named("bob")
    key, secret = bench.custody.api_keys.create(alice.id, name="k", scopes=READ)
    messages = set()
    for key_id, owner in ((key.id, bob.id), (factories.identifier(IdPrefix.API_KEY), bob.id), ("key_", bob.id)):
        with pytest.raises(NotFound) as refused:
            bench.custody.api_keys.revoke(key_id, owner_id=owner)
        messages.add(str(refused.value))
    assert len(messages) == 1
    bench.custody.api_keys.authenticate(secret)
    revoked = bench.custody.api_keys.revoke(key.id, owner_id=alice.id, actor=alice.id)
    bench.clock.advance(5)
    assert bench.custody.api_keys.revoke(key.id) == revoked
    assert bench.custody.api_keys.list(alice.id) == [revoked]
    assert bench.custody.api_keys.list(bob.id) == []


def test_making_and_revoking_is_audited(bench: Bench, alice: User) -> None:
    key, _ = bench.custody.api_keys.create(alice.id, name="payouts", scopes=["wallets:read", "transactions:read"], actor="usr_boss")
    bench.custody.api_keys.revoke(key.id, actor=alice.id)
    bench.custody.seal()
    with bench.custody._kit.store.reading() as unit:
        rows = [row for row in unit.audit(after_sequence=0, limit=1_000) if row.object_id == key.id]
    assert [(row.action, row.actor) for row in rows] == [("api_key.created", "usr_boss"), ("api_key.revoked", alice.id)]
    assert dict(rows[0].detail) == {"user_id": alice.id, "name": "payouts", "scopes": "transactions:read wallets:read"}
