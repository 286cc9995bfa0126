"""What `docker-compose.yml` runs, in its order and with its settings, on a real PostgreSQL and node: all but the containers."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import yaml
from sqlalchemy import make_url

from tests.support.devnode import DevNode
from tests.support.postgres import PostgresNotFound, PostgresServer, binaries
from tests.support.postgres import _free_port as free_port
from tests.support.program import CUSTODY
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
SECRET = re.compile(r"\bck_[A-Za-z0-9_-]{43}")


class Host:
    """One machine in place of the containers: paths, addresses and ports are this test's, everything else is as the file says."""

    def __init__(self, folder: Path, *, rpc_url: str, database_url: str) -> None:
        self.folder = folder
        self.port = free_port()
        (folder / "database_url").write_text(database_url)
        (folder / "keys").mkdir(mode=0o700)
        self._here = {
            "CUSTODY_DATABASE_URL_FILE": str(folder / "database_url"),
            "CUSTODY_RPC_URL": rpc_url,
            "CUSTODY_KEY_FILE": str(folder / "keys" / "custody.key"),
            "CUSTODY_HOST": "127.0.0.1",
            "CUSTODY_PORT": str(self.port),
        }

    def process(self, name: str) -> subprocess.Popen[str]:
        """Starts what the service of that name runs."""
        given: dict[str, str] = SERVICES[name]["environment"]
        environment = {variable: text for variable, text in os.environ.items() if not variable.startswith("CUSTODY_")}
        environment |= {variable: self._here.get(variable, text) for variable, text in given.items()}
        command = [CUSTODY, *SERVICES[name]["command"]]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def once(self, name: str) -> str:
        """Its output, when it has succeeded."""
        with self.process(name) as process:
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """In the background; it has to end by itself when it is asked to, within the time that the file gives it."""
        with self.process(name) as process:
            try:
                yield
            finally:
                process.terminate()
                try:
                    process.communicate(timeout=int(SERVICES[name]["stop_grace_period"].removesuffix("s")))
                finally:
                    process.kill()
        assert process.returncode == 0

    def is_healthy(self) -> bool:
        """What the web container's own check says."""
        *_, program = SERVICES["web"]["healthcheck"]["test"]
        check = [CUSTODY.with_name("python"), "-c", program.replace(":8000", f":{self.port}")]
        return subprocess.run(check, stderr=subprocess.DEVNULL, check=False, timeout=30).returncode == 0


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """As in its container: nobody else's, and empty."""
    try:
        with PostgresServer() as server:
            yield server
    except PostgresNotFound as problem:
        pytest.skip(str(problem))


def prepared_database(server: PostgresServer, folder: Path) -> str:
    """Runs what the image of PostgreSQL runs in a new volume; the URL of our role there."""
    (folder / "custody_password").write_text('it\'s a "password"')
    address = make_url(server.url)
    environment = {
        "PATH": f"{binaries()}:{os.environ['PATH']}",
        "POSTGRES_USER": SERVICES["postgres"]["environment"]["POSTGRES_USER"],
        "CUSTODY_PASSWORD_FILE": str(folder / "custody_password"),
        "PGHOST": str(address.host),
        "PGPORT": str(address.port),
    }
    (script,) = [volume.split(":")[0] for volume in SERVICES["postgres"]["volumes"] if "initdb.d" in volume]
    ended = subprocess.run([ROOT / script], env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, "")
    return address.set(drivername="postgresql+psycopg", username="custody", database="custody").render_as_string()


def test_the_service_has_a_role_that_owns_its_database_and_nothing_else(own_server: PostgresServer, tmp_path: Path) -> None:
    url = prepared_database(own_server, tmp_path)
    ((is_superuser, makes_databases, makes_roles, sees_all, password),) = own_server.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolpassword FROM pg_authid WHERE rolname = 'custody'"
    )
    assert (is_superuser, makes_databases, makes_roles, sees_all) == (False, False, False, False)
    assert password.startswith("SCRAM-SHA-256")
    assert own_server.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'custody'") == [("custody",)]
    with psycopg.connect(url.replace("+psycopg", "")) as ours, pytest.raises(psycopg.errors.InsufficientPrivilege):
        ours.execute("COPY (SELECT 1) TO PROGRAM 'true'")


@pytest.mark.slow
def test_the_parts_of_the_compose_file_work_together(node: DevNode, own_server: PostgresServer, tmp_path: Path) -> None:
    host = Host(tmp_path, rpc_url=node.rpc_url, database_url=prepared_database(own_server, tmp_path))
    # `up` before `init`: the database is prepared, and nothing works before there is a key.
    assert "it was empty" in host.once("migrate")
    with host.process("scanner") as too_early:
        told, _ = too_early.communicate(timeout=60)
    assert (too_early.returncode, "custody init" in told) == (1, True), told

    found = SECRET.search(host.once("init"))
    assert found
    assert "already" in host.once("migrate")
    with ExitStack() as running:
        running.enter_context(host.running("scanner"))
        running.enter_context(host.running("web"))
        until(host.is_healthy, what="the web container is healthy", timeout_s=30)
        wallet = requests.post(
            f"http://127.0.0.1:{host.port}/v1/wallets",
            json={"label": "savings"},
            headers={"Authorization": f"Bearer {found.group()}", "Idempotency-Key": "signup"},
            timeout=30,
        )
        assert wallet.status_code == 201
        assert "eip155:31337" in host.once("command")
