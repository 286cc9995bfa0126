"""Far behind the head: the same deposits are found, however many blocks are read at once and however addresses are held."""

from __future__ import annotations

import attrs
import pytest

from custody_core import Limits, ether
from custody_core.domain import managed
from custody_core.domain.chain import Header
from custody_core.ports import Answer, BlockTag, Found
from custody_memory.chain import MemoryChain
from tests.unit.core.services.bench import FINALITY, FRIEND, contract_of, opened

BEHIND = 25


class Boastful(MemoryChain):
    """A node that says once that its head is far above the blocks that it has."""

    boasts = False
    heads_told = 0

    def header(self, at: int | BlockTag) -> Answer[Header]:
        answer = super().header(at)
        if at is BlockTag.LATEST and isinstance(answer, Found):
            self.heads_told += 1
            if self.boasts:
                self.boasts = False
                return Found(attrs.evolve(answer.value, number=answer.value.number + 1000))
        return answer


def test_a_head_that_was_never_there_holds_nobody_up() -> None:
    chain = Boastful()
    with opened(chain=chain, limits=Limits(blocks_per_commit_max=10)) as bench:
        wallet = bench.wallet()
        chain.boasts = True
        chain.mine(15)
        chain.send_ether(wallet.address, ether("1"))
        bench.blocks(1)
        bench.blocks(1)
        assert [each.key.amount for each in bench.deposits(wallet)] == [ether("1")]


def test_the_head_is_asked_for_once_while_it_is_far() -> None:
    chain = Boastful()
    with opened(chain=chain, limits=Limits(blocks_per_commit_max=5)) as bench:
        bench.blocks(1)
        before = chain.heads_told
        chain.mine(BEHIND - 1)
        bench.blocks(1)
        assert chain.heads_told - before == 2, "at the start, and for the last commit"


def test_addresses_that_are_held_by_their_first_bytes_are_credited_and_their_like_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "SET_MAX", 0)
    monkeypatch.setattr(managed, "NEWEST_MAX", 0)
    with opened() as bench:
        ours, token = bench.wallet(), contract_of(bench.token())
        alike = type(ours.address)(ours.address[:20] + FRIEND[20:])
        for to in (ours.address, alike):
            bench.chain.send_ether(to, ether("1"))
            bench.chain.send_token(token, to, 7)
        bench.blocks(1)
        assert sorted(each.key.amount for each in bench.deposits(ours)) == [7, ether("1")]
        assert {each.key.to for each in bench.deposits(ours)} == {ours.address}


def test_tokens_that_somebody_takes_leave_the_books_where_addresses_are_held_by_their_first_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(managed, "SET_MAX", 0)
    monkeypatch.setattr(managed, "NEWEST_MAX", 0)
    with opened() as bench:
        ours, token = bench.wallet(), contract_of(bench.token())
        bench.chain.send_token(token, ours.address, 7)
        bench.blocks(FINALITY + 1)
        bench.chain.take_token(token, ours.address, 3)  # it names our address in its event, and nowhere else
        bench.blocks(FINALITY + 1)
        assert bench.balance(ours, "usdc").available == 4
        bench.require_sound()
