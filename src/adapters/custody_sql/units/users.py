"""Users and their API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from custody_core.domain.access import ApiKey, User
from custody_sql.rows.users import api_key_row, to_api_key, to_user, user_row
from custody_sql.session import Session
from custody_sql.sets import versioned, versioned_update
from custody_sql.tables import api_keys, users

_SAVE_USER = versioned_update(users, ("disabled_at", "role", "version"))
_SAVE_API_KEY = versioned_update(api_keys, ("revoked_at", "version"))


class UserRows:
    """The part of a unit that keeps users and what acts for them."""

    _session: Session

    def user(self, user_id: str) -> User | None:
        row = self._session.row(select(users).where(users.c.id == user_id))
        return None if row is None else to_user(row)

    def user_by_subject(self, issuer: str, subject: str) -> User | None:
        row = self._session.row(select(users).where(users.c.issuer == issuer, users.c.subject == subject))
        return None if row is None else to_user(row)

    def add_user(self, user: User) -> None:
        self._session.add(users, [user_row(user)])

    def save_user(self, user: User) -> None:
        row = {"disabled_at": user.disabled_at, "role": user.role.value, "version": user.version}
        self._session.write_set(_SAVE_USER, [versioned(user.id, row)])

    def users_by_id(self, user_ids: Sequence[str]) -> Mapping[str, User]:
        return {row.id: to_user(row) for row in self._session.rows_in(select(users), users.c.id, user_ids)}

    def users(self, *, limit: int, before_id: str | None = None) -> Sequence[User]:
        query = select(users).order_by(users.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(users.c.id < before_id)
        return [to_user(row) for row in self._session.rows(query)]

    def api_key(self, key_id: str) -> ApiKey | None:
        row = self._session.row(select(api_keys).where(api_keys.c.id == key_id))
        return None if row is None else to_api_key(row)

    def api_key_by_digest(self, digest: bytes) -> ApiKey | None:
        row = self._session.row(select(api_keys).where(api_keys.c.digest == digest))
        return None if row is None else to_api_key(row)

    def api_keys(self, *, user_id: str | None, limit: int, before_id: str | None = None) -> Sequence[ApiKey]:
        query = select(api_keys).order_by(api_keys.c.id.desc()).limit(limit)
        if user_id is not None:
            query = query.where(api_keys.c.user_id == user_id)
        if before_id is not None:
            query = query.where(api_keys.c.id < before_id)
        return [to_api_key(row) for row in self._session.rows(query)]

    def add_api_key(self, key: ApiKey) -> None:
        self._session.add(api_keys, [api_key_row(key)])

    def save_api_key(self, key: ApiKey) -> None:
        row = {"revoked_at": key.revoked_at, "version": key.version}
        self._session.write_set(_SAVE_API_KEY, [versioned(key.id, row)])
