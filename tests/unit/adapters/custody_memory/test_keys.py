"""Keys in memory keep the contract of the port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import custody_core
import custody_memory
from custody_memory.keys import MemoryKeys
from tests.unit.contracts.keys_contract import WALLET, KeysContract, RepeatingEntropy, SeededEntropy


class TestMemoryKeys(KeysContract):
    def make(self, entropy: SeededEntropy | RepeatingEntropy) -> MemoryKeys:
        return MemoryKeys(entropy)

    def test_a_simulation_can_be_run_again(self) -> None:
        one, two = (self.make(SeededEntropy(3)).create([WALLET]) for _ in range(2))
        assert one == two


def test_python_survives_the_import_where_warnings_are_errors() -> None:
    """Those who embed the wallet run their tests that way."""
    folders = [str(Path(package.__path__[0]).parent) for package in (custody_core, custody_memory)]
    program = f"import sys; sys.path[:0] = {folders!r}; import custody_memory.keys"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
