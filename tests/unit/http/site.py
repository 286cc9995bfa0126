"""The facade over a service in memory, and people who call it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
from flask import Flask

from custody_core.domain.access import ROLE_SCOPES, Role, Scope, User
from custody_http import create_app
from tests.support import factories
from tests.unit.core.services.bench import Bench, opened

CURSOR_KEY = b"k" * 32

Answer = Any
"""A `werkzeug.test.TestResponse`. Its `json` may be None for mypy; a test that reads it knows that it is not."""


@attrs.frozen
class Person:
    """Somebody with an API key."""

    user: User
    secret: str = attrs.field(repr=False)


@attrs.frozen
class Site:
    """An application, and what it wrote down."""

    bench: Bench
    app: Flask
    lines: list[dict[str, Any]]

    def person(self, name: str, role: Role = Role.USER, *, scopes: frozenset[Scope] | None = None, **options: Any) -> Person:
        """A user in a role, with a key for all that the role may do, or for `scopes` only."""
        user = self.bench.custody.wallets.owner_named(name)
        if user.role is not role:
            user = self.bench.custody.users.set_role(user.id, role)
        _, secret = self.bench.custody.api_keys.create(user.id, name="tests", scopes=scopes or ROLE_SCOPES[role], **options)
        return Person(user, secret)

    def call(
        self, method: str, path: str, person: Person | None = None, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """One request. A POST gets an idempotency key of its own."""
        given = {"Idempotency-Key": f"key-{factories.number()}"} if method == "POST" else {}
        if person is not None:
            given["Authorization"] = f"Bearer {person.secret}"
        return self.app.test_client().open(path, method=method, headers={**given, **(headers or {})}, **options)

    def get(self, path: str, person: Person | None = None, **options: Any) -> Answer:
        return self.call("GET", path, person, **options)

    def post(self, path: str, person: Person | None = None, **options: Any) -> Answer:
        return self.call("POST", path, person, **options)

    def wallet_of(self, person: Person, *, wei: int = 0) -> str:
        """The id of a new wallet of theirs."""
        return self.bench.wallet(person.user.id, wei=wei).id


@contextmanager
def open_site(**options: Any) -> Iterator[Site]:
    """A site; `options` go to `create_app`."""
    lines: list[dict[str, Any]] = []

    def log(event: str, **fields: str | int) -> None:
        lines.append({"event": event, **fields})

    with opened() as bench:
        app = create_app(bench.custody, **{"cursor_key": CURSOR_KEY, "log": log, **options})
        yield Site(bench, app, lines)
