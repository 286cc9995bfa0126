"""Users and API keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from custody_core.domain.access import ApiKey, Role, Scope, User


def user_row(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "issuer": user.issuer,
        "subject": user.subject,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
        "role": user.role.value,
        "version": user.version,
    }


def to_user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        issuer=row.issuer,
        subject=row.subject,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        role=Role(row.role),
        version=row.version,
    )


def api_key_row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "user_id": key.user_id,
        "name": key.name,
        "digest": key.digest,
        "scopes": sorted(scope.value for scope in key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "version": key.version,
    }


def to_api_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        digest=bytes(row.digest),
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        version=row.version,
    )
