"""`custody user`, `custody apikey`, and the first admin's key, which `custody init` shows once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from custody_app.cli import program as cli_program
from custody_app.system import SystemClock, SystemEntropy
from custody_core import Custody, Role, Scope, Unauthenticated
from custody_core.domain.access import ROLE_SCOPES, Principal
from custody_core.errors import CustodyError
from custody_memory.observer import RecordingObserver
from custody_sql.store import SqlStore
from tests.support.devnode import DevNode
from tests.support.program import Done, Program

SECRET = re.compile(r"ck_[A-Za-z0-9_-]{43}")
NO_KEY = "key_01m81h0z12wexcvf68314ary9w"


@pytest.fixture
def fresh(tmp_path: Path, node: DevNode) -> Program:
    """Settings for `node`, and an empty folder."""
    folder = tmp_path / "service"
    folder.mkdir()
    return Program(folder, {"RPC_URL": node.rpc_url, "CHAIN_ID": str(node.chain_id), "KEY_POOL_SIZE": "1"})


Here = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """`custody` within this process, which is quicker, on a prepared database and with an admin. These commands ask no node."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("CUSTODY_"):
            monkeypatch.delenv(name)
    with service_in(tmp_path, prepare=True) as service:
        service.users.ensure_admin()

    def run(*arguments: str) -> Done:
        code = cli_program.run(arguments)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return run


def answer(here: Here, *arguments: str) -> Any:
    """The JSON of a command that must succeed."""
    done = here(*arguments, "--json")
    assert done.code == 0, done
    return done.data


@contextmanager
def service_in(folder: Path, *, prepare: bool = False) -> Iterator[Custody]:
    """A process that serves the folder's database."""
    store = SqlStore(f"sqlite:///{folder / 'custody.db'}")
    if prepare:
        store.upgrade()
    clock, entropy = SystemClock(), SystemEntropy()
    with Custody(store=store, chains={}, keys=None, clock=clock, entropy=entropy, observer=RecordingObserver()) as service:
        yield service


def asked(folder: Path, secret: str) -> Principal:
    """What that process makes of a secret. Raises `Unauthenticated`."""
    with service_in(folder) as service:
        return service.api_keys.authenticate(secret)


def test_init_shows_the_first_admins_key_once(fresh: Program) -> None:
    made = fresh.json("init")
    assert SECRET.fullmatch(made["api_key"])
    principal = asked(fresh.folder, made["api_key"])
    assert (principal.user.id, principal.user.role, principal.api_key_id) == (made["user_id"], Role.ADMIN, made["api_key_id"])
    assert principal.scopes == set(Scope)

    again = fresh.json("init")
    assert (again["api_key"], again["api_key_id"], again["user_id"]) == (None, None, made["user_id"])
    told = fresh.run("init")
    assert "custody apikey create --user admin" in told.out
    assert not SECRET.search(told.out + told.err)
    assert len(fresh.json("apikey", "list")["data"]) == 1
    assert all(made["api_key"].encode() not in content for content in fresh.files().values())


def test_init_tells_people_to_keep_the_key(fresh: Program) -> None:
    done = fresh.run("init")
    assert (done.code, len(SECRET.findall(done.out)), SECRET.findall(done.err)) == (0, 1, [])
    assert "shown this once" in done.err


def test_a_key_is_made_listed_and_revoked(here: Here, tmp_path: Path) -> None:
    made = answer(here, "apikey", "create", "--user", "shop", "--name", "payouts", "--scope", "wallets:read")
    secret, shown = made.pop("secret"), made
    assert (made["scopes"], made["expires_at"], made["revoked_at"]) == (["wallets:read"], None, None)
    assert asked(tmp_path, secret).scopes == {Scope.WALLETS_READ}
    assert answer(here, "apikey", "list", "--user", "shop")["data"] == [shown]
    assert answer(here, "user", "show", "shop")["id"] == made["user_id"]

    revoked = answer(here, "apikey", "revoke", made["id"])
    assert revoked["revoked_at"] is not None
    assert answer(here, "apikey", "revoke", made["id"]) == revoked
    with pytest.raises(Unauthenticated):
        asked(tmp_path, secret)


def test_without_scopes_a_key_may_do_what_the_role_allows(here: Here, tmp_path: Path) -> None:
    done = here("apikey", "create", "--user", "shop", "--name", "all", "--expires-at", "2999-01-31T00:00:00Z")
    assert done.code == 0, done
    (secret,) = SECRET.findall(done.out)
    assert asked(tmp_path, secret).scopes == ROLE_SCOPES[Role.USER]
    (listed,) = answer(here, "apikey", "list", "--user", "shop")["data"]
    assert listed["expires_at"] == "2999-01-31T00:00:00Z"


def test_a_users_role_and_state_are_changed(here: Here, tmp_path: Path) -> None:
    secret = answer(here, "apikey", "create", "--user", "shop", "--name", "k")["secret"]
    assert answer(here, "user", "set-role", "shop", "operator")["role"] == "operator"
    assert asked(tmp_path, secret).owner_filter is None
    disabled = answer(here, "user", "disable", "shop")
    assert disabled["disabled_at"] is not None
    with pytest.raises(CustodyError):
        asked(tmp_path, secret)
    refused = here("wallet", "create", "--owner", "shop", "--idempotency-key", "k")
    assert (refused.code, "disabled" in refused.err) == (1, True)
    assert answer(here, "user", "enable", disabled["id"])["disabled_at"] is None
    assert asked(tmp_path, secret).user.role is Role.OPERATOR
    assert [each["subject"] for each in answer(here, "user", "list")["data"]] == ["shop", "admin"]
    assert "operator" in here("user", "list").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("user", "show", "nobody"), 1),
        (("user", "disable", "nobody"), 1),
        (("user", "set-role", "admin", "root"), 2),
        (("apikey", "revoke", NO_KEY), 1),
        (("apikey", "list", "--user", "nobody"), 1),
        (("apikey", "create", "--user", "admin", "--name", "k", "--scope", "keys:export"), 2),
        (("apikey", "create", "--user", "admin", "--name", "k", "--expires-at", "tomorrow"), 2),
        (("apikey", "create", "--user", "admin", "--name", "k", "--expires-at", "2020-01-01T00:00:00Z"), 2),
        (("apikey", "create", "--user", "admin", "--name", "k", "--expires-at", "2999-01-01"), 2),
        (("apikey", "create", "--user", "admin", "--name", "two\nlines"), 2),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(here: Here, arguments: tuple[str, ...], code: int) -> None:
    before = answer(here, "user", "list"), answer(here, "apikey", "list")
    done = here(*arguments, "--json")
    assert done.code == code, done
    assert set(done.data) == {"error"}
    assert not SECRET.search(done.out + done.err)
    assert (answer(here, "user", "list"), answer(here, "apikey", "list")) == before
