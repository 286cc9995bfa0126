"""What P6 and P7 stand on: a funded service on PostgreSQL, servers before it, and a client that loads them."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from custody_app.bootstrap import open_service
from custody_app.config import load_settings
from custody_app.observers import QuietObserver
from custody_core import ether
from custody_core.domain.access import ROLE_SCOPES, Role
from tests.benchmarks.environments import ROOT
from tests.benchmarks.worker import Worker
from tests.support.devnode import DevNode
from tests.support.postgres import PostgresServer
from tests.support.program import CUSTODY, Program
from tests.support.waiting import until

WALLETS = 100
CONNECTIONS = 16
SECONDS = 2.0
STARTS_WITHIN_S = 30.0
STOPS_WITHIN_S = 15.0


@attrs.frozen
class Measured:
    """What the client saw. Latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


@attrs.define
class Site:
    """A service with funded wallets of one user, whose API key is `secret`. `server` is the PostgreSQL that it is on."""

    program: Program
    node: DevNode
    postgres: PostgresServer
    database: str
    wallet_ids: Sequence[str]
    secret: str = attrs.field(repr=False)
    client: Worker = attrs.field(repr=False)

    @contextmanager
    def serving(self, *command: str) -> Iterator[int]:
        """Runs a server on the port that replaces `{port}` in its command, until the end; the port."""
        port = _free_port()
        environment = {**self.program.environment, "PROMETHEUS_MULTIPROC_DIR": tempfile.mkdtemp(dir=self.program.folder)}
        process = subprocess.Popen(
            [word.format(port=port) for word in command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # a line for each request
        )
        try:
            until(lambda: process.poll() is not None or _listens(port), what="a server listens", timeout_s=STARTS_WITHIN_S)
            if process.poll() is not None:
                raise RuntimeError(f"a server ended at once: {' '.join(command)}")
            yield port
        finally:
            process.terminate()
            try:
                process.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def request(self, method: str, path: str, *, body: str = "", key: str = "", signed_in: bool = True) -> str:
        """A request as it goes over the wire."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        lines += [f"Authorization: Bearer {self.secret}"] if signed_in else []
        lines += [f"Idempotency-Key: {key}"] if key else []
        lines += ["Content-Type: application/json"] if body else []
        return "\r\n".join([*lines, "", body])

    def load(
        self, port: int, requests: Sequence[str], *, status: int, seconds: float = SECONDS, rate: float | None = None
    ) -> Measured:
        """Loads a server over 16 connections. Raises `AssertionError` when an answer had another status."""
        told = self.client.ask("run", port=port, requests=requests, connections=CONNECTIONS, seconds=seconds, rate=rate)
        if list(told["statuses"]) != [str(status)]:
            raise AssertionError(f"answers that were not all {status}: {told['statuses']}")
        return Measured(told["per_second"], told["p50_ms"], told["p99_ms"])


SERVE = (str(CUSTODY), "serve", "--port", "{port}")
"""`custody serve` as it is installed, with its own numbers of workers and threads."""


def other_server(kind: str) -> tuple[str, ...]:
    """A server of `peers/web.py`."""
    return (sys.executable, "-m", "tests.benchmarks.peers.web", kind, "{port}")


@contextmanager
def prepared_site() -> Iterator[Site]:
    """Everything but the servers, on a PostgreSQL and a node of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(PostgresServer())
        database = postgres.create_database()
        node = stack.enter_context(DevNode(block_time_s=1))
        program = Program(
            folder,
            {
                "DATABASE_URL": postgres.database_url(database),
                "KEY_FILE": str(folder / "custody.key"),
                "RPC_URL": node.rpc_url,
                "CHAIN_ID": str(node.chain_id),
                "KEY_POOL_SIZE": str(WALLETS),
            },
        )
        wallet_ids, secret = _filled(program, node)
        client = stack.enter_context(Worker(Path(sys.executable), "load"))
        yield Site(program, node, postgres, database, wallet_ids, secret, client)


def _filled(program: Program, node: DevNode) -> tuple[list[str], str]:
    """Wallets with ether that is final, all of one user, and that user's API key."""
    settings = load_settings({f"CUSTODY_{name}": text for name, text in program.settings.items()})
    with open_service(settings, observer=QuietObserver(), create=True) as opened:
        custody = opened.custody
        custody.make_ready()
        user = custody.wallets.owner_named("bench")
        wallets = [custody.wallets.create(owner=user.id, idempotency_key=f"wallet-{number}") for number in range(WALLETS)]
        deposits = [node.send_from_dev_account(wallet.address, ether("20")) for wallet in wallets]
        node.mined(deposits[-1])
        node.finalize()
        custody.tick()
        if not all(custody.wallets.balances(wallet.id)[0].available for wallet in wallets):
            raise AssertionError("the wallets are not funded")
        _, secret = custody.api_keys.create(user.id, name="bench", scopes=ROLE_SCOPES[Role.USER])
        return [wallet.id for wallet in wallets], secret


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
