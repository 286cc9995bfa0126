"""A real Ethereum node of one's own: anvil on a free loopback port, started in some 50 ms and always ended."""

import os
import re
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import requests

from tests.support.waiting import until
from tools.devnode.install import find_anvil

REQUEST_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")


@attrs.frozen
class DevAccount:
    """One of the accounts that every anvil funds with 10 000 ether; the keys are public knowledge."""

    address: str
    private_key: str = attrs.field(repr=False)


DEV_ACCOUNTS = (
    DevAccount(
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    ),
    DevAccount(
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    ),
    DevAccount(
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    ),
)


class NodeError(Exception):
    """The node answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data


def anvil_program() -> Path:
    program = find_anvil(os.environ)
    if program is None:
        raise FileNotFoundError("anvil is not installed; next step: make node")
    return program


def stop_process(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()  # tracing a large block can keep it from hearing SIGTERM
        process.wait()


class DevNode:
    """One running anvil. With the default two slots per epoch `finalized` is the head less four, `safe` less two.

    Mines a block per transaction, unless `block_time_s` (a block per so many seconds) or `mining=False` (only when
    told to) says otherwise. `port=0` takes a free one; `arguments` are passed on to anvil.
    """

    def __init__(
        self,
        *,
        chain_id: int = 31337,
        slots_in_an_epoch: int = 2,
        block_time_s: float | None = None,
        mining: bool = True,
        port: int = 0,
        arguments: Sequence[str] = (),
        program: Path | None = None,
    ) -> None:
        command = [str(program or anvil_program()), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--chain-id", str(chain_id), "--slots-in-an-epoch", str(slots_in_an_epoch)]
        if block_time_s is not None:
            command += ["--block-time", str(block_time_s)]
        if not mining:
            command += ["--no-mining"]
        # Else it leaves gigabytes of old states in the developer's home, and becomes slower with each run.
        states = tempfile.mkdtemp(prefix="devnode-states-")
        self._end_states = weakref.finalize(self, shutil.rmtree, states, ignore_errors=True)
        command += ["--cache-path", states]
        self._start([*command, *arguments], chain_id=chain_id, listening=LISTENING)

    def _start(
        self,
        command: Sequence[str],
        *,
        chain_id: int,
        listening: re.Pattern[str],
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Runs `command` until `listening` finds its port in what it prints."""
        self.chain_id = chain_id
        self._listening = listening
        self._ids = count(1)
        # A file, not a pipe: nobody has to keep reading it.
        with tempfile.NamedTemporaryFile(prefix="devnode-", suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            environment = {**os.environ, **(variables or {})}
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment)
        # Ends the process at the latest when the interpreter ends.
        self._end = weakref.finalize(self, stop_process, self._process)
        self._end_log = weakref.finalize(self, self._log.unlink, missing_ok=True)
        try:
            self.port = until(self._listening_port, what="the node listens", timeout_s=20)
        except BaseException:
            self.stop()
            raise
        self.rpc_url = f"http://127.0.0.1:{self.port}"
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _listening_port(self) -> int | None:
        text = self._log.read_text("utf-8", errors="replace")
        if self._process.poll() is not None:
            raise RuntimeError(f"the node ended with code {self._process.returncode}: {text[-500:]}")
        found = self._listening.search(text)
        return int(found.group(1)) if found else None

    def stop(self) -> None:
        """Ends the node; may be called again."""
        self._end()
        self._end_log()
        if hasattr(self, "_end_states"):
            self._end_states()
        if hasattr(self, "_session"):
            self._session.close()

    # Calls

    def raw(self, method: str, *params: object) -> Any:
        """The `result` of one JSON-RPC call as parsed JSON; raises NodeError."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        reply = self._session.post(self.rpc_url, json=request, timeout=REQUEST_TIMEOUT_S).json()
        if "error" in reply:
            error = reply["error"]
            raise NodeError(error["code"], error["message"], error.get("data"))
        return reply["result"]

    def head(self) -> int:
        return int(self.raw("eth_blockNumber"), 16)

    def block(self, which: int | str = "latest", *, full: bool = False) -> dict[str, Any]:
        """A block by number, tag or hash, as the node words it."""
        by_hash = isinstance(which, str) and len(which) == 66
        method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
        found: dict[str, Any] | None = self.raw(method, hex(which) if isinstance(which, int) else which, full)
        if found is None:
            raise LookupError(f"no block {which}")
        return found

    def balance(self, address: str, which: int | str = "latest") -> int:
        """Wei."""
        return int(self.raw("eth_getBalance", address, hex(which) if isinstance(which, int) else which), 16)

    def nonce(self, address: str, tag: str = "latest") -> int:
        return int(self.raw("eth_getTransactionCount", address, tag), 16)

    def transaction(self, transaction_hash: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.raw("eth_getTransactionByHash", transaction_hash)
        return found

    def receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.raw("eth_getTransactionReceipt", transaction_hash)
        return found

    def raw_transaction(self, transaction_hash: str) -> str:
        """The signed bytes of a transaction that the node knows, as hex."""
        signed: str = self.raw("debug_getRawTransaction", transaction_hash)
        return signed

    # Acts

    def send_from_dev_account(
        self, to: str | None, value_wei: int = 0, data: str = "0x", *, sender: str = DEV_ACCOUNTS[0].address, **fields: Any
    ) -> str:
        """Sends from a funded account; gives the hash, at once. `fields` are more fields of the transaction."""
        transaction = {"from": sender, "value": hex(value_wei), "data": data, **fields}
        if to is not None:
            transaction["to"] = to
        transaction_hash: str = self.raw("eth_sendTransaction", transaction)
        return transaction_hash

    def send_raw(self, signed: bytes) -> str:
        transaction_hash: str = self.raw("eth_sendRawTransaction", "0x" + signed.hex())
        return transaction_hash

    def mined(self, transaction_hash: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """Waits for the receipt: even when a block is mined per transaction it may come a moment later."""
        return until(lambda: self.receipt(transaction_hash), what=f"{transaction_hash} mined", timeout_s=timeout_s)

    def mine(self, blocks: int = 1) -> None:
        self.raw("anvil_mine", hex(blocks))

    def finalize(self) -> None:
        """Mines until all that is in a block now is final."""
        target = self.head()
        while int(self.block("finalized")["number"], 16) < target:
            self.mine()

    def reorg(self, depth: int, transactions: Sequence[tuple[str, int]] = ()) -> None:
        """Replaces the newest `depth` blocks. `transactions` are (signed bytes as hex, index of the new block) pairs.

        Unlike geth, anvil does not put the other transactions of the old blocks back into its pool.
        """
        self.raw("anvil_reorg", depth, [list(pair) for pair in transactions])

    def set_balance(self, address: str, wei: int) -> None:
        """Ether from nowhere, without a transaction."""
        self.raw("anvil_setBalance", address, hex(wei))

    def set_automine(self, on: bool) -> None:
        self.raw("evm_setAutomine", on)

    def set_next_base_fee(self, base_fee_per_gas_wei: int) -> None:
        self.raw("anvil_setNextBlockBaseFeePerGas", hex(base_fee_per_gas_wei))

    def drop(self, transaction_hash: str) -> None:
        """Removes a transaction from the pool; those with later nonces may go with it."""
        self.raw("anvil_dropTransaction", transaction_hash)
