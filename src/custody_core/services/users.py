"""Users: who owns wallets, and who may do what.

A user is made when first named (a local one) or when first signed in; the first admin is made on the host. Roles and disabling
take effect with the next request: nothing about a user is remembered between requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from custody_core.domain import access
from custody_core.domain.access import Role, User
from custody_core.domain.ids import IdPrefix, is_id
from custody_core.errors import InvalidStateTransition, NotFound, ValidationFailed
from custody_core.ports import Unit
from custody_core.services.checks import is_text, require_limit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit

LOCAL_ISSUER = "local"
"""The issuer of users that the host, or the embedding program, names itself."""

ADMIN_SUBJECT = "admin"
"""The first admin's name."""


class Users:
    """`custody.users`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def get(self, user_id: str) -> User:
        """The user. Raises `NotFound`."""
        return self._kit.read(lambda unit: existing_user(unit, user_id))

    def named(self, name: str) -> User:
        """The user with this id, or the local user of this name. Makes none. Raises `NotFound`."""

        def work(unit: Unit) -> User:
            if is_id(name, IdPrefix.USER):
                return existing_user(unit, name)
            user = unit.user_by_subject(LOCAL_ISSUER, name)
            if user is None:
                raise NotFound("no such user")
            return user

        return self._kit.read(work)

    def list(self, *, limit: int = 50, before_id: str | None = None) -> Sequence[User]:
        """Users, newest first. For the next page give the last one's id as `before_id`."""
        require_limit(limit)
        return self._kit.read(lambda unit: unit.users(limit=limit, before_id=before_id))

    def set_role(self, user_id: str, role: Role | str, *, actor: str = SYSTEM_ACTOR) -> User:
        """Gives the user another role. Raises `NotFound`, `ValidationFailed`."""
        try:
            wanted = Role(role)
        except ValueError:
            raise ValidationFailed(f"a role is one of {', '.join(Role)}", pointer="/role") from None

        def change(user: User, _now: datetime) -> User:
            return user if user.role is wanted else access.set_role(user, wanted)

        return self._change(user_id, change, action="user.role_set", actor=actor)

    def disable(self, user_id: str, *, actor: str = SYSTEM_ACTOR) -> User:
        """Ends what the user may do: their API keys stop working, and what has no nonce yet is rejected, not signed.

        Raises `NotFound`.
        """

        def change(user: User, now: datetime) -> User:
            return access.disable(user, now=now) if user.disabled_at is None else user

        return self._change(user_id, change, action="user.disabled", actor=actor)

    def enable(self, user_id: str, *, actor: str = SYSTEM_ACTOR) -> User:
        """Lets a disabled user go on; their API keys work again. Raises `NotFound`."""

        def change(user: User, _now: datetime) -> User:
            return user if user.disabled_at is None else access.enable(user)

        return self._change(user_id, change, action="user.enabled", actor=actor)

    def ensure_admin(self) -> User:
        """The local user `admin`, made with the role of an admin where there is none.

        One that is there is returned as it is: whoever took its role away is not overruled.
        """

        def work(unit: Unit) -> User:
            before = unit.user_by_subject(LOCAL_ISSUER, ADMIN_SUBJECT)
            return before or _add_local(self._kit, unit, ADMIN_SUBJECT, Role.ADMIN, self._kit.clock.now())

        return self._kit.write(work, repeatable=True)

    def _change(self, user_id: str, change: Callable[[User, datetime], User], *, action: str, actor: str) -> User:
        """The user as `change` leaves it, with an audit row. What changes nothing leaves no trace."""

        def work(unit: Unit) -> User:
            now = self._kit.clock.now()
            before = existing_user(unit, user_id)
            after = change(before, now)
            if after is not before:
                unit.save_user(after)
                detail = {"role": str(after.role), "role_before": str(before.role)} if after.role is not before.role else {}
                record_audit(self._kit, unit, now=now, actor=actor, action=action, object_id=user_id, detail=detail)
            return after

        return self._kit.write(work)


def existing_user(unit: Unit, user_id: str) -> User:
    """The user with this id. Raises `NotFound`."""
    user = unit.user(user_id) if is_id(user_id, IdPrefix.USER) else None
    if user is None:
        raise NotFound("no such user")
    return user


def owner_named(kit: Kit, unit: Unit, owner: str, now: datetime) -> User:
    """The user that `owner` names: an id, or the name of a local user, who is made when first named.

    Raises `NotFound` for an id, `ValidationFailed` for what can be no name.
    """
    if is_id(owner, IdPrefix.USER):
        return existing_user(unit, owner)
    if not is_text(owner):
        raise ValidationFailed("an owner is a user's id or a printable name of 1 to 255 characters", pointer="/owner")
    return unit.user_by_subject(LOCAL_ISSUER, owner) or _add_local(kit, unit, owner, Role.USER, now)


def require_enabled(user: User | None) -> None:
    """Raises `InvalidStateTransition` when the user may do nothing more."""
    if user is not None and user.disabled_at is not None:
        raise InvalidStateTransition("the owner is disabled: nothing new is begun for them")


def _add_local(kit: Kit, unit: Unit, name: str, role: Role, now: datetime) -> User:
    user = User(kit.new_id(IdPrefix.USER, now), LOCAL_ISSUER, name, now, role=role)
    unit.add_user(user)
    record_audit(kit, unit, now=now, actor=SYSTEM_ACTOR, action="user.created", object_id=user.id, detail={"role": str(role)})
    return user
