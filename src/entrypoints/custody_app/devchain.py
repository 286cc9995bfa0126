"""A local dev chain for the demo: anvil on a free loopback port, always ended with the process that started it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import requests

from custody_app.children import Children
from custody_app.config import ConfigurationError
from custody_core import NodeUnavailable

CHAIN_ID = 31337

SLOTS_IN_AN_EPOCH = 2

CONFIRMATIONS_UNTIL_FINAL = 2 * SLOTS_IN_AN_EPOCH + 1
"""Anvil calls the block two epochs below its head final; the block itself is the first confirmation."""

BLOCK_TIME_S = 1

_STARTS_WITHIN_S = 20.0
_ANSWERS_WITHIN_S = 10.0
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
_INSTALLED = "node_modules/@foundry-rs/anvil-*/bin/anvil"


class DevChain:
    """A running dev chain, as its users outside of our service see it."""

    def __init__(self, port: int) -> None:
        self.rpc_url = f"http://127.0.0.1:{port}"
        self._ids = count(1)
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, *params: object) -> Any:
        """The `result` of one JSON-RPC call. Raises `NodeUnavailable`."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            answer = self._session.post(self.rpc_url, json=request, timeout=_ANSWERS_WITHIN_S).json()
        except (requests.RequestException, ValueError):
            raise NodeUnavailable("the dev chain does not answer") from None
        if "result" not in answer:
            raise NodeUnavailable(f"the dev chain refused {method}")
        return answer["result"]

    def outsider(self) -> str:
        """The address of an account that the chain has funded and that is not ours."""
        accounts: list[str] = self.call("eth_accounts")
        return accounts[0]

    def send_from_outside(self, to: str, amount_wei: int) -> str:
        """Ether from the outsider; the transaction's hash."""
        sent: str = self.call("eth_sendTransaction", {"from": self.outsider(), "to": to, "value": hex(amount_wei)})
        return sent

    def balance(self, address: str) -> int:
        """Wei at the head."""
        return int(self.call("eth_getBalance", address, "latest"), 16)

    def close(self) -> None:
        """Lets go of connections."""
        self._session.close()


@contextmanager
def dev_chain(children: Children, *, log: Path) -> Iterator[DevChain]:
    """Starts anvil and ends it afterwards, whatever happens. Raises `ConfigurationError` where there is none."""
    command = [
        *(str(find_anvil(os.environ)), "--host", "127.0.0.1", "--port", "0", "--chain-id", str(CHAIN_ID)),
        *("--slots-in-an-epoch", str(SLOTS_IN_AN_EPOCH), "--block-time", str(BLOCK_TIME_S)),
    ]
    with log.open("wb") as output, children.running(command, stdout=output, stderr=output) as process:
        chain = DevChain(_port(process, log))
        try:
            yield chain
        finally:
            chain.close()


def find_anvil(environment: Mapping[str, str]) -> Path:
    """The anvil to use: CUSTODY_ANVIL, else the one that `make node` installed, else one on PATH. Raises `ConfigurationError`."""
    named = environment.get("CUSTODY_ANVIL")
    installed = sorted(Path(".tools").glob(_INSTALLED))
    on_path = shutil.which("anvil", path=environment.get("PATH"))
    found = named or (installed[0] if installed else on_path)
    if found is None or not os.access(found, os.X_OK):
        raise ConfigurationError("there is no dev chain to start: run `make node`, or name an anvil in CUSTODY_ANVIL")
    return Path(found).absolute()


def _port(process: subprocess.Popen[Any], log: Path) -> int:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        found = _LISTENING.search(log.read_text("utf-8", errors="replace"))
        if found:
            return int(found[1])
        time.sleep(0.02)
    raise ConfigurationError(f"the dev chain does not start; its output is in {log}")
