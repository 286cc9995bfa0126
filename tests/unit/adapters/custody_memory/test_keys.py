"""Keys in memory keep the contract of the port."""

from __future__ import annotations

from custody_memory.keys import MemoryKeys
from tests.unit.contracts.keys_contract import WALLET, KeysContract, RepeatingEntropy, SeededEntropy


class TestMemoryKeys(KeysContract):
    def make(self, entropy: SeededEntropy | RepeatingEntropy) -> MemoryKeys:
        return MemoryKeys(entropy)

    def test_a_simulation_can_be_run_again(self) -> None:
        one, two = (self.make(SeededEntropy(3)).create([WALLET]) for _ in range(2))
        assert one == two
