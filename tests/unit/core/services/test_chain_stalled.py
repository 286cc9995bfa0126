"""A cursor that stands still below the head: a person is told once, and told when it is over, whatever it is that holds it up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from custody_core import Limits, Traces, ether
from custody_core.domain.chain import Block, Hash, Header, InternalTransfer, Receipt
from custody_core.ports import Answer, BlockTag, Doubt, Found, Unknown, no_doubt
from custody_core.services.following import Follower, Round
from custody_core.services.stalling import STALLED_AFTER
from custody_memory.chain import MemoryChain
from tests.unit.core.services.bench import FINALITY, Bench, opened

CHAIN = "eip155:31337"
ROUND_S = 10
ROUNDS = STALLED_AFTER // timedelta(seconds=ROUND_S)
"""As many as it takes until the alarm is due, but for one."""


class Failing(MemoryChain):
    """A node that does not answer one question about one block."""

    about: str = ""
    number = -1
    is_broken = False

    def _is_held(self, what: str, number: int) -> bool:
        return (what, number) == (self.about, self.number)

    def header(self, at: int | BlockTag) -> Answer[Header]:
        return Unknown("silence about the head") if self._is_held("header", -1) else super().header(at)

    def ends(self) -> tuple[Answer[Header], Answer[Header]]:
        return (Unknown("silence"), Unknown("silence")) if self._is_held("ends", -1) else super().ends()

    def blocks(self, numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        if self.is_broken:
            raise RuntimeError("https://a-secret")
        answers = super().blocks(numbers)
        held = [self._is_held("blocks", number) for number in numbers]
        return [Unknown("silence about a block") if is_held else answer for is_held, answer in zip(held, answers, strict=True)]

    def internal_transfers(self, blocks: Sequence[Block]) -> Sequence[Answer[Sequence[InternalTransfer]]]:
        answers = super().internal_transfers(blocks)
        held = [self._is_held("traces", block.header.number) for block in blocks]
        return [Unknown("silence about a trace") if is_held else answer for is_held, answer in zip(held, answers, strict=True)]

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes, doubt=doubt)
        return [
            Unknown("silence about a receipt")
            if isinstance(each, Found) and self._is_held("receipts", each.value.block_number)
            else each
            for each in answers
        ]


def stalled(bench: Bench, rounds: int = ROUNDS) -> list[str]:
    """What was told about the chain after so many more rounds."""
    for _ in range(rounds):
        bench.custody.follow(CHAIN_ID)
        bench.clock.advance(ROUND_S)
    return bench.events(CHAIN)


CHAIN_ID = MemoryChain().chain_id


def detail(bench: Bench) -> str:
    (alarm,) = [each for each in bench.all_events() if each.type == "alarm.raised"]
    assert alarm.data["code"] == "chain-stalled"
    return str(alarm.data["detail"])


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ("blocks", "the node does not show the next block: silence about a block"),
        ("traces", "what contracts paid in block 3: silence about a trace"),
        ("receipts", "block 3 cannot be read whole yet: silence about a receipt"),
    ],
)
@pytest.mark.parametrize("behind", [0, 200], ids=["at the head", "far behind"])
def test_r_08_a_block_that_cannot_be_read_for_minutes_raises_one_alarm(about: str, why: str, behind: int) -> None:
    chain = Failing()
    with opened(chain=chain, limits=Limits(traces={chain.chain_id: Traces.REQUIRED}, key_pool_size=3)) as bench:
        wallet = bench.wallet()
        bench.blocks(2)
        chain.about, chain.number = about, 3
        chain.send_ether(wallet.address, ether("1"))
        chain.mine(behind + 1)
        assert stalled(bench) == []
        assert stalled(bench, rounds=2 * ROUNDS) == ["alarm.raised"]
        assert "block 3 is there" in detail(bench)
        assert f"the head is {behind + 3}" in detail(bench)
        assert why in detail(bench)

        chain.about = ""
        chain.mine(FINALITY)
        assert stalled(bench, rounds=1) == ["alarm.raised", "alarm.cleared"]
        assert bench.balance(wallet).available == ether("1")
        assert stalled(bench, rounds=2 * ROUNDS) == ["alarm.raised", "alarm.cleared"]


def test_what_fails_in_a_way_that_nobody_thought_of_is_told_by_its_name_only() -> None:
    chain = Failing()
    with opened(chain=chain) as bench:
        chain.mine()
        chain.is_broken = True
        for _ in range(ROUNDS + 2):
            with pytest.raises(RuntimeError):
                bench.custody.follow(CHAIN_ID)
            bench.clock.advance(ROUND_S)
        assert detail(bench).endswith("it fails with RuntimeError")


def test_a_head_that_falls_silent_meanwhile_hides_nothing() -> None:
    chain = Failing()
    with opened(chain=chain) as bench:
        chain.about, chain.number = "blocks", 1
        chain.mine()
        assert stalled(bench, rounds=2) == []
        chain.about, chain.number = "ends", -1
        assert stalled(bench, rounds=ROUNDS) == ["alarm.raised"]


def test_a_chain_that_makes_no_blocks_and_a_node_that_says_nothing_are_no_stall() -> None:
    chain = Failing()
    with opened(chain=chain) as bench:
        assert stalled(bench, rounds=3 * ROUNDS) == []
        chain.about, chain.number = "blocks", 1
        chain.mine()
        assert stalled(bench, rounds=1) == []
        chain.about = ""
        assert bench.custody.follow(CHAIN_ID) is Round.IDLE
        assert stalled(bench, rounds=3 * ROUNDS) == []
        chain.about, chain.number = "ends", -1
        assert stalled(bench, rounds=3 * ROUNDS) == []


def test_whoever_catches_up_for_longer_than_that_is_not_stalled() -> None:
    with opened(limits=Limits(key_pool_size=1, blocks_per_commit_max=1)) as bench:
        bench.chain.mine(2 * ROUNDS)
        follower = Follower(bench.custody._kit, CHAIN_ID, holder="whoever follows")
        bench.custody.step_down()
        for _ in range(2 * ROUNDS):
            assert follower.round() is not Round.WAITING
            bench.clock.advance(ROUND_S)
        assert bench.custody.chains.list()[0].lag_blocks == 0
        assert bench.events(CHAIN) == []


def test_whoever_watches_is_told_at_once_what_a_chain_waits_for() -> None:
    with opened(chain=(chain := Failing())) as bench:
        troubles: dict[str, str] = vars(bench.custody._kit.observer)["troubles"]
        chain.about = "ends"
        bench.rounds()
        assert troubles["chain-waiting"] == f"{CHAIN}: the node does not say where its head is"
