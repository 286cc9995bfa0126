"""Headers whose logs bloom is all zeros: some chains and nodes do not fill it in, and it must not hide a deposit."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from custody_core.domain.chain import Block, Hash, Logs
from custody_core.ports import Answer, Doubt, Found, no_doubt
from custody_memory.chain import MemoryChain
from tests.unit.core.services.bench import opened


class WithoutBlooms(MemoryChain):
    """Sends zeros for every bloom, and counts the blocks whose logs it is asked for."""

    asked = 0

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return [Found(_zeroed(each.value)) if isinstance(each, Found) else each for each in super().blocks(numbers)]

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        self.asked += len(block_hashes)
        return super().logs(block_hashes, topic=topic, emitters=emitters, doubt=doubt)


def _zeroed(block: Block) -> Block:
    return attrs.evolve(block, header=attrs.evolve(block.header, logs_bloom=bytes(256)))


def test_a_token_deposit_under_a_bloom_of_zeros_is_found() -> None:
    with opened(chain=WithoutBlooms()) as bench:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 5)
        assert bench.balance(wallet, token.alias).available == 5
        bench.require_sound()


def test_of_a_block_without_transactions_zeros_are_believed() -> None:
    chain = WithoutBlooms()
    with opened(chain=chain) as bench:
        bench.token()
        bench.blocks(5)
        assert chain.asked == 0
