"""Users, their roles, and the API keys that act for them.

Rules of this file

1. A user is known by issuer and subject, never by e-mail. The role stands in our own records, never in a token's claims.
2. A role is a bundle of scopes, and every route asks for one scope. No scope exports a private key.
3. An API key can do what both its own scopes and its owner's role allow, at the moment of the request.
4. An API key's secret is 256 random bits, shown once and kept as its SHA-256 only: what nobody can guess needs no slow hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from custody_core.errors import InsufficientScope

SECRET_BYTES = 32
"""Random bytes in one secret."""

_SECRET = re.compile(r"ck_[A-Za-z0-9_-]{43}", re.ASCII)


class Scope(StrEnum):
    """What a request may be allowed to do."""

    WALLETS_READ = "wallets:read"
    WALLETS_WRITE = "wallets:write"
    TRANSACTIONS_READ = "transactions:read"
    TRANSACTIONS_CREATE = "transactions:create"
    APPROVALS_DECIDE = "approvals:decide"
    POLICIES_WRITE = "policies:write"
    WEBHOOKS_MANAGE = "webhooks:manage"
    API_KEYS_MANAGE = "api_keys:manage"
    TOKENS_WRITE = "tokens:write"
    USERS_MANAGE = "users:manage"
    AUDIT_READ = "audit:read"
    OPS_ADMIN = "ops:admin"


class Role(StrEnum):
    """What a user is to this installation."""

    USER = "user"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


_OWN = frozenset(
    {Scope.WALLETS_READ, Scope.WALLETS_WRITE, Scope.TRANSACTIONS_READ, Scope.TRANSACTIONS_CREATE, Scope.API_KEYS_MANAGE}
)

ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.USER: _OWN,
    Role.OPERATOR: _OWN | {Scope.WEBHOOKS_MANAGE, Scope.OPS_ADMIN},
    Role.APPROVER: _OWN | {Scope.APPROVALS_DECIDE},
    # An auditor sees everybody's objects, and must therefore not be able to change any.
    Role.AUDITOR: frozenset({Scope.WALLETS_READ, Scope.TRANSACTIONS_READ, Scope.AUDIT_READ}),
    Role.ADMIN: frozenset(Scope),
}

SEES_EVERY_OWNER = frozenset({Role.OPERATOR, Role.AUDITOR, Role.ADMIN})
"""Roles whose requests reach beyond what the user owns."""


@attrs.frozen
class User:
    """An owner. The library's `owner="user-42"` is (`local`, `user-42`)."""

    id: str
    issuer: str
    subject: str
    created_at: datetime
    disabled_at: datetime | None = None
    role: Role = Role.USER
    version: int = 1


@attrs.frozen
class ApiKey:
    """A secret that acts for a user. `digest` is the SHA-256 of the secret, which itself is kept nowhere."""

    id: str
    user_id: str
    name: str
    digest: bytes = attrs.field(repr=False)
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    version: int = 1


@attrs.frozen
class Principal:
    """Who makes a request, and what it may do. `api_key_id` is None when no API key vouches for it; `expires_at` is the key's."""

    user: User
    scopes: frozenset[Scope]
    api_key_id: str | None = None
    expires_at: datetime | None = None

    def require(self, scope: Scope) -> None:
        """Raises `InsufficientScope` unless the request may do what `scope` names."""
        if scope not in self.scopes:
            raise InsufficientScope(f"this needs the scope {scope}", scope=str(scope))

    @property
    def owner_filter(self) -> str | None:
        """Whose objects the request sees: the user's own, or with None every owner's. Made for the services' `owner_id`."""
        return None if self.user.role in SEES_EVERY_OWNER else self.user.id


def disable(user: User, *, now: datetime) -> User:
    """`user`, who can do nothing more: no key of theirs works, and nothing new leaves their wallets."""
    return attrs.evolve(user, disabled_at=now, version=user.version + 1)


def enable(user: User) -> User:
    """`user`, whose keys work again."""
    return attrs.evolve(user, disabled_at=None, version=user.version + 1)


def set_role(user: User, role: Role) -> User:
    """`user` in another role, for the next request on."""
    return attrs.evolve(user, role=role, version=user.version + 1)


def revoke(key: ApiKey, *, now: datetime) -> ApiKey:
    """`key`, which never works again."""
    return attrs.evolve(key, revoked_at=now, version=key.version + 1)


def is_expired(key: ApiKey, now: datetime) -> bool:
    """Whether the key's time is over; it is from `expires_at` itself on."""
    return key.expires_at is not None and key.expires_at <= now


def effective_scopes(key: ApiKey, user: User) -> frozenset[Scope]:
    """What the key can do: its own scopes, as far as its owner's role has them now."""
    return key.scopes & ROLE_SCOPES[user.role]


def make_secret(entropy: bytes) -> str:
    """The secret made of `SECRET_BYTES` random bytes: `ck_` and 43 characters of base64url (RFC 4648, section 5)."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes, not {len(entropy)}")
    return "ck_" + base64.urlsafe_b64encode(entropy).decode().rstrip("=")


def is_secret(text: str) -> bool:
    """Whether `text` could be the secret of an API key. What is not one belongs to nobody."""
    return _SECRET.fullmatch(text) is not None


def digest_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()
