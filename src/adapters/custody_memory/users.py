"""Users and their API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custody_core.domain.access import ApiKey, User
from custody_core.errors import BrokenInvariant
from custody_memory.tables import Tables


class UserRows:
    """The part of a unit that keeps users and what acts for them."""

    _tables: Tables

    def user(self, user_id: str) -> User | None:
        return self._tables.users.get(user_id)

    def user_by_subject(self, issuer: str, subject: str) -> User | None:
        user_id = self._tables.user_by_subject.get((issuer, subject))
        return None if user_id is None else self._tables.users.get(user_id)

    def add_user(self, user: User) -> None:
        self._tables.users.add(user.id, user)
        self._tables.user_by_subject.add((user.issuer, user.subject), user.id)

    def save_user(self, user: User) -> None:
        self._tables.users.save(user.id, user)

    def users_by_id(self, user_ids: Sequence[str]) -> Mapping[str, User]:
        return self._tables.users.some(user_ids)

    def users(self, *, limit: int, before_id: str | None = None) -> Sequence[User]:
        wanted = [user for user in self._tables.users if before_id is None or user.id < before_id]
        return sorted(wanted, key=lambda user: user.id, reverse=True)[:limit]

    def api_key(self, key_id: str) -> ApiKey | None:
        return self._tables.api_keys.get(key_id)

    def api_key_by_digest(self, digest: bytes) -> ApiKey | None:
        key_id = self._tables.api_key_by_digest.get(digest)
        return None if key_id is None else self._tables.api_keys.get(key_id)

    def api_keys(self, *, user_id: str | None, limit: int, before_id: str | None = None) -> Sequence[ApiKey]:
        wanted = [
            key for key in self._tables.api_keys if user_id in {None, key.user_id} and (before_id is None or key.id < before_id)
        ]
        return sorted(wanted, key=lambda key: key.id, reverse=True)[:limit]

    def add_api_key(self, key: ApiKey) -> None:
        if key.user_id not in self._tables.users:
            raise BrokenInvariant("an API key belongs to a user")
        self._tables.api_keys.add(key.id, key)
        self._tables.api_key_by_digest.add(key.digest, key.id)

    def save_api_key(self, key: ApiKey) -> None:
        self._tables.api_keys.save(key.id, key)
