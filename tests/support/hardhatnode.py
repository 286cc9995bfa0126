"""A second, independent node: hardhat, whose pool, fee rules and answers are other code than anvil's.

What it does that anvil does not: it wants 10 % more of both fees from a replacement, keeps a transaction whose fee cap is below
the base fee, and keeps what was reorged out. What it does not do: receipts of a block, traces, blocks behind the head that are not
final (`finalized` is the head), and reorganisations, which are made of its snapshots here.
"""

import os
import re
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tests.support.devnode import DevNode
from tools.hardhat.install import INSTALLED, find_hardhat, find_node

LISTENING = re.compile(r"JSON-RPC server at http://127\.0\.0\.1:(\d+)")
SNAPSHOTS_MAX = 20
"""How many of the newest blocks can be replaced."""


class HardhatNode(DevNode):
    """One running hardhat, with the interface of `DevNode` as far as it goes: `raw_transaction` is missing.

    Mines a block per transaction unless `mining=False`. With `mining=False` it has no transactions out of their order, as it
    should: while it mines each at once, it refuses a nonce that is not the next one.
    """

    def __init__(self, *, chain_id: int = 31337, mining: bool = True) -> None:
        program, node = find_hardhat(), find_node(os.environ)
        if program is None or node is None:
            raise FileNotFoundError("hardhat is not installed; next step: make node")
        command = [str(node), str(program), "node", "--hostname", "127.0.0.1", "--port", "0", "--chain-id", str(chain_id)]
        self._home = tempfile.TemporaryDirectory(prefix="hardhat-")
        # A home of its own: it neither reads a user's settings nor asks about telemetry.
        variables = {"HOME": self._home.name, "XDG_CONFIG_HOME": self._home.name, "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"}
        self._snapshots: list[str] = []
        try:
            self._start(command, chain_id=chain_id, listening=LISTENING, folder=INSTALLED, variables=variables)
        except BaseException:
            self._home.cleanup()
            raise
        self.set_automine(on=mining)

    def stop(self) -> None:
        super().stop()
        self._home.cleanup()

    def mine(self, blocks: int = 1) -> None:
        """One after another, since each can be taken back by `reorg`."""
        for _ in range(blocks):
            self._snapshots = [*self._snapshots, self.raw("evm_snapshot")][-SNAPSHOTS_MAX:]
            self.raw("hardhat_mine", "0x1")

    def finalize(self) -> None:
        """Nothing to do: here the head is final."""

    def reorg(self, depth: int, transactions: Sequence[tuple[str, int]] = ()) -> None:
        """Not from signed bytes: see `replace_blocks`."""
        raise NotImplementedError

    def replace_blocks(self, depth: int, keep: Collection[str] = ()) -> None:
        """Replaces the newest `depth` blocks, which `mine` must have made. Of their transactions, the hashes in `keep` stay."""
        *self._snapshots, snapshot = self._snapshots[: len(self._snapshots) - depth + 1]
        if self.raw("evm_revert", snapshot) is not True:
            raise LookupError(f"cannot take back {depth} blocks")
        for transaction in self.pending():
            if transaction["hash"] not in keep:
                self.drop(transaction["hash"])
        later = int(self.block()["timestamp"], 16) + 1000 + next(self._ids)
        self.raw("evm_setNextBlockTimestamp", hex(later))  # another timestamp, another hash
        self.mine(depth)

    def pending(self) -> list[dict[str, Any]]:
        """The transactions in its pool that could be mined next."""
        found: list[dict[str, Any]] = self.raw("eth_pendingTransactions")
        return found

    def set_balance(self, address: str, wei: int) -> None:
        self.raw("hardhat_setBalance", address, hex(wei))

    def set_next_base_fee(self, base_fee_per_gas_wei: int) -> None:
        self.raw("hardhat_setNextBlockBaseFeePerGas", hex(base_fee_per_gas_wei))

    def drop(self, transaction_hash: str) -> None:
        self.raw("hardhat_dropTransaction", transaction_hash)


def hardhat_folder() -> Path:
    """Where it is installed; raises FileNotFoundError."""
    if find_hardhat() is None or find_node(os.environ) is None:
        raise FileNotFoundError("hardhat is not installed; next step: make node")
    return INSTALLED
