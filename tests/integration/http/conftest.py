"""`custody serve` as its users run it: a process of its own, beside a service that does the scanner's work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import requests

from custody_core import Role, User
from custody_core.domain.access import ROLE_SCOPES
from tests.support.service import CHAIN_ID, Service
from tests.support.waiting import until

TIMEOUT_S = 30.0
STARTS_WITHIN_S = 30.0
LISTENING = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+) ")

PROGRAM = "import sys; from custody_app.cli.program import run; sys.exit(run(sys.argv[1:]))"


@attrs.define
class Web:
    """A running `custody serve`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        found = LISTENING.search(self.log.read_text("utf-8", errors="replace"))
        assert found
        return int(found[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        """The ids of its worker processes."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return [int(number) for number in listed.split()]

    def lines(self) -> list[dict[str, Any]]:
        """What it wrote, line by line."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def is_listening(self) -> bool:
        """Whether it has got so far. Fails when it has ended instead."""
        text = self.log.read_text("utf-8", errors="replace")
        if self.process.poll() is not None:
            raise AssertionError(f"custody serve ended with code {self.process.returncode}: {text[-2000:]}")
        return LISTENING.search(text) is not None and _answers(f"{self.url}/livez")

    def stop(self) -> int:
        """Asks it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(TIMEOUT_S)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=TIMEOUT_S).status_code == 200
    except requests.ConnectionError:
        return False


@attrs.frozen
class Client:
    """Somebody who calls it over real connections."""

    user: User
    key_id: str
    secret: str = attrs.field(repr=False)
    session: requests.Session = attrs.field(factory=requests.Session, repr=False)

    def call(self, method: str, url: str, *, key: str | None = None, **options: Any) -> requests.Response:
        """One request, with an idempotency key."""
        headers = {"Authorization": f"Bearer {self.secret}"} | ({"Idempotency-Key": key} if key else {})
        return self.session.request(method, url, headers=headers, timeout=TIMEOUT_S, **options)

    def get(self, url: str, **options: Any) -> requests.Response:
        return self.call("GET", url, **options)

    def post(self, url: str, key: str, body: object) -> requests.Response:
        return self.call("POST", url, key=key, json=body)


def client_of(service: Service, name: str, role: Role = Role.USER) -> Client:
    """A user in a role, with a key for all that the role may do."""
    user = service.custody.wallets.owner_named(name)
    user = service.custody.users.set_role(user.id, role) if user.role is not role else user
    key, secret = service.custody.api_keys.create(user.id, name="tests", scopes=ROLE_SCOPES[role])
    return Client(user, key.id, secret)


StartWeb = Callable[..., Web]


@pytest.fixture
def start_web(service: Service, tmp_path: Path) -> Iterator[StartWeb]:
    """Starts `custody serve` on the database of `service`, without its key file; by default waits until it answers."""
    url = service.store.engine.url.render_as_string(hide_password=False)
    with ExitStack() as running:

        def start(*arguments: str, settings: Mapping[str, str] | None = None, before: str = "", wait: bool = True) -> Web:
            """`before` is Python that runs in the process first."""
            given = {
                "DATABASE_URL": url,
                "RPC_URL": service.node.rpc_url,
                "CHAIN_ID": str(CHAIN_ID),
                "KEY_FILE": str(tmp_path / "no" / "such.key"),
                **(settings or {}),
            }
            # Compiled modules are kept, so that each start but the first is quick.
            left_out = "PYTHONDONTWRITEBYTECODE"
            environment = {name: text for name, text in os.environ.items() if not name.startswith("CUSTODY_") and name != left_out}
            environment |= {f"CUSTODY_{name}": text for name, text in given.items()}
            log = tmp_path / f"web-{len(list(tmp_path.glob('web-*.log')))}.log"
            with log.open("wb") as stream:
                command = [sys.executable, "-c", f"{before}\n{PROGRAM}", "serve", "--port", "0", *arguments]
                process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=stream, stderr=stream)
            running.callback(process.wait, TIMEOUT_S)
            running.callback(process.kill)
            web = Web(process, log)
            if wait:
                until(web.is_listening, what="custody serve answers", timeout_s=STARTS_WITHIN_S)
            return web

        yield start


@pytest.fixture
def web(start_web: StartWeb) -> Web:
    return start_web()
