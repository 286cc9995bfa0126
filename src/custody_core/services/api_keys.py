"""API keys: made, shown once, and asked at every request.

A key is found by its digest, and a request writes nothing. Whatever is wrong with a key, but for its time being over, is told in
the same words, so that nobody learns which keys there are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from custody_core.domain import access
from custody_core.domain.access import ROLE_SCOPES, SECRET_BYTES, ApiKey, Principal, Scope, User
from custody_core.domain.ids import IdPrefix, is_id
from custody_core.errors import NotFound, TokenExpired, Unauthenticated, ValidationFailed
from custody_core.ports import Unit
from custody_core.services.checks import require_limit, require_moment, require_text
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit
from custody_core.services.users import existing_user, require_enabled


class ApiKeys:
    """`custody.api_keys`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def create(
        self,
        user_id: str,
        *,
        name: str,
        scopes: Collection[Scope | str],
        expires_at: datetime | None = None,
        within: frozenset[Scope] | None = None,
        expires_with: datetime | None = None,
        actor: str = SYSTEM_ACTOR,
    ) -> tuple[ApiKey, str]:
        """A new key for the user, with its secret: this is the only time that the secret can be seen.

        `scopes` are among those of the user's role, and of `within` where it is given: what the one who asks may do, so that a
        key cannot make a stronger one. `expires_at` is aware and lies ahead; with `expires_with`, the expiry of the key that asks,
        the new one ends then at the latest, so that a key cannot make one that outlives it. Raises `NotFound`,
        `ValidationFailed`, `InvalidStateTransition` for a disabled user.
        """
        require_text(name, "name")
        wanted = _scopes(scopes)
        end = None if expires_at is None else require_moment(expires_at, "/expires_at")
        secret = access.make_secret(self._kit.entropy.random_bytes(SECRET_BYTES))

        def work(unit: Unit) -> ApiKey:
            now = self._kit.clock.now()
            user = existing_user(unit, user_id)
            require_enabled(user)
            _require_grantable(wanted, user, within)
            _require_ahead(end, now)
            key_id = self._kit.new_id(IdPrefix.API_KEY, now)
            key = ApiKey(key_id, user.id, name, access.digest_of(secret), wanted, now, _earlier(end, expires_with))
            unit.add_api_key(key)
            self._record(unit, key, "api_key.created", actor, now)
            return key

        return self._kit.write(work), secret

    def list(self, user_id: str | None = None, *, limit: int = 50, before_id: str | None = None) -> Sequence[ApiKey]:
        """The user's keys, revoked and expired ones too, newest first; with None everybody's."""
        require_limit(limit)
        return self._kit.read(lambda unit: unit.api_keys(user_id=user_id, limit=limit, before_id=before_id))

    def revoke(self, key_id: str, *, owner_id: str | None = None, actor: str = SYSTEM_ACTOR) -> ApiKey:
        """Ends the key, for good and from the next request on. Revoking twice is revoking once.

        With `owner_id` only that user's; a foreign one is not found. Raises `NotFound`.
        """

        def work(unit: Unit) -> ApiKey:
            now = self._kit.clock.now()
            key = unit.api_key(key_id) if is_id(key_id, IdPrefix.API_KEY) else None
            if key is None or owner_id not in {None, key.user_id}:
                raise NotFound("no such API key")
            if key.revoked_at is not None:
                return key
            revoked = access.revoke(key, now=now)
            unit.save_api_key(revoked)
            self._record(unit, revoked, "api_key.revoked", actor, now)
            return revoked

        return self._kit.write(work)

    def authenticate(self, secret: str) -> Principal:
        """Whom the secret speaks for, and what it may do now. Raises `Unauthenticated`, and `TokenExpired` for a key that was good.

        What it costs follows from the digest alone, of which a guess says nothing.
        """
        if not access.is_secret(secret):
            raise _unknown()
        digest = access.digest_of(secret)

        def work(unit: Unit) -> tuple[ApiKey, User]:
            key = unit.api_key_by_digest(digest)
            user = unit.user(key.user_id) if key else None
            if key is None or user is None or key.revoked_at is not None or user.disabled_at is not None:
                raise _unknown()
            return key, user

        key, user = self._kit.read(work)
        if access.is_expired(key, self._kit.clock.now()):
            raise TokenExpired("this API key has expired; make a new one")
        return Principal(user, access.effective_scopes(key, user), key.id, key.expires_at)

    def _record(self, unit: Unit, key: ApiKey, action: str, actor: str, now: datetime) -> None:
        detail = {"user_id": key.user_id, "name": key.name, "scopes": " ".join(sorted(key.scopes))}
        record_audit(self._kit, unit, now=now, actor=actor, action=action, object_id=key.id, detail=detail)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Of two times of which either may never come."""
    return min((each for each in (one, other) if each is not None), default=None)


def _unknown() -> Unauthenticated:
    return Unauthenticated("this is no valid API key")


def _scopes(named: Collection[Scope | str]) -> frozenset[Scope]:
    """Raises `ValidationFailed` for what names no scope, and for no scope at all."""
    if isinstance(named, str) or not named:
        raise ValidationFailed("say what the key may do: at least one scope", pointer="/scopes")
    found = []
    for index, name in enumerate(named):
        try:
            found.append(Scope(name))
        except ValueError:
            raise ValidationFailed(f"a scope is one of {', '.join(Scope)}", pointer=f"/scopes/{index}") from None
    return frozenset(found)


def _require_grantable(wanted: frozenset[Scope], user: User, within: frozenset[Scope] | None) -> None:
    beyond_role = sorted(wanted - ROLE_SCOPES[user.role])
    if beyond_role:
        raise ValidationFailed(f"the role {user.role} does not have {', '.join(beyond_role)}", pointer="/scopes")
    beyond_own = [] if within is None else sorted(wanted - within)
    if beyond_own:
        raise ValidationFailed(f"you do not have {', '.join(beyond_own)} yourself", pointer="/scopes")


def _require_ahead(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise ValidationFailed("the time of expiry lies ahead", pointer="/expires_at")
