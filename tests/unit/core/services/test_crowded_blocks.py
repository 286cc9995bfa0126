"""Blocks with very many logs, logs of any shape, and commits of any size: each deposit is found once, and no block is split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core import DepositState, Limits, ether
from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.chain import Hash, Log, Logs, Receipt
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_core.ports import Answer, Doubt, Found, Unknown, no_doubt
from custody_core.services.following import Round
from custody_memory.chain import MemoryChain
from tests.unit.core.services.bench import FINALITY, Bench, contract_of, opened

LOGS = 100_000
OURS_EVERY = 50


class Retold(MemoryChain):
    """A chain on which `retell` makes other logs of each block's, and of each receipt's likewise."""

    retell: Callable[[Sequence[Log]], Sequence[Log]] = staticmethod(lambda logs: logs)

    def logs(
        self, block_hashes: Sequence[Hash], *, topic: bytes, emitters: Sequence[bytes], doubt: Doubt[Logs] = no_doubt
    ) -> Sequence[Answer[Logs]]:
        answers = super().logs(block_hashes, topic=topic, emitters=emitters)
        told = [
            Found(Logs(each.value.block_hash, self.retell(list(each.value)))) if isinstance(each, Found) else each
            for each in answers
        ]
        return [Unknown(why) if isinstance(each, Found) and (why := doubt(each.value)) else each for each in told]

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes, doubt=doubt)
        return [
            Found(attrs.evolve(each.value, logs=tuple(self.retell(each.value.logs)))) if isinstance(each, Found) else each
            for each in answers
        ]


def crowd(logs: Sequence[Log]) -> Sequence[Log]:
    """Of one transfer a hundred thousand, each fiftieth of which is to the same recipient, with amounts of 1, 2, 3…"""
    crowded: list[Log] = []
    for log in logs:
        for index in range(LOGS):
            to = log.topics[2] if index % OURS_EVERY == 0 else bytes(28) + index.to_bytes(4, "big")
            amount = (index // OURS_EVERY + 1).to_bytes(32, "big")
            crowded.append(attrs.evolve(log, log_index=index, topics=(*log.topics[:2], to), data=amount))
    return crowded


def test_d_21_of_a_hundred_thousand_logs_in_one_block_each_of_ours_is_credited_once() -> None:
    chain = Retold()
    with opened(chain=chain) as bench:
        wallet, token = bench.wallet(), bench.token()
        chain.retell = crowd
        ours = LOGS // OURS_EVERY
        chain.send_token(contract_of(token), wallet.address, ours * (ours + 1) // 2)
        chain.mine(FINALITY + 1)
        assert bench.custody.follow(chain.chain_id) is Round.IDLE
        with bench.custody._kit.store.reading() as unit:
            assert unit.row_counts().deposits == ours
        assert bench.balance(wallet, token.alias).available == ours * (ours + 1) // 2
        bench.custody.follow(chain.chain_id)
        assert bench.balance(wallet, token.alias).available == ours * (ours + 1) // 2


@pytest.mark.parametrize("blocks_per_commit", range(1, 9))
def test_d_21_wherever_a_commit_ends_no_deposit_is_lost_or_doubled(blocks_per_commit: int) -> None:
    with opened(limits=Limits(key_pool_size=1, blocks_per_commit_max=blocks_per_commit)) as bench:
        wallet, token = bench.wallet(), bench.token()
        for number in range(8):
            bench.chain.send_ether(wallet.address, ether("1") + number)
            bench.chain.send_token(contract_of(token), wallet.address, number + 1)
            bench.chain.mine()
        bench.chain.mine(FINALITY)
        assert bench.custody.follow(bench.chain.chain_id) is Round.IDLE
        assert [each.state for each in bench.deposits(wallet)] == [DepositState.COMPLETED] * 16
        assert bench.balance(wallet).available == 8 * ether("1") + 28
        assert bench.balance(wallet, token.alias).available == 36
        bench.require_sound()


def of_any_shape(ours: bytes) -> st.SearchStrategy[tuple[tuple[bytes, ...], bytes]]:
    """Topics and data that begin as a transfer's do, and may be anything else then but a transfer to `ours`."""
    word = bytes(12) + ours
    dirty = b"\x01" + bytes(11) + ours
    topics = st.lists(st.sampled_from([word, dirty, bytes(32), b"", ours, word + b"\x00"]), max_size=4)
    data = st.sampled_from([b"", bytes(31) + b"\x07", bytes(30) + b"\x07", bytes(32) + b"\x07", bytes(64), bytes(32)])
    shapes = st.tuples(topics.map(tuple), data)
    return shapes.filter(
        lambda shape: not (len(shape[0]) == 2 and all(len(each) == 32 for each in shape[0]) and len(shape[1]) == 32)
    )


@given(st.data())
def test_d_11_logs_of_another_shape_are_no_deposits_and_hold_nothing_up(data: st.DataObject) -> None:
    chain = Retold()
    with opened(chain=chain, limits=Limits(key_pool_size=1)) as bench:
        wallet, token = bench.wallet(), bench.token()
        shapes = data.draw(st.lists(of_any_shape(address_to_bytes(wallet.address)), min_size=1, max_size=5))

        def among(logs: Sequence[Log]) -> list[Log]:
            others = [
                attrs.evolve(log, log_index=log.log_index + at, topics=(ERC20_TRANSFER_TOPIC, *topics), data=raw)
                for log in logs
                for at, (topics, raw) in enumerate(shapes, 1)
            ]
            return [*logs, *others]

        chain.retell = among
        assert_only_the_transfer_counts(
            bench, wallet_id=wallet.id, alias=token.alias, pay=lambda: bench.pay_in_token(wallet, token, 5)
        )


def assert_only_the_transfer_counts(bench: Bench, *, wallet_id: str, alias: str, pay: Callable[[], None]) -> None:
    pay()
    (state,) = bench.custody.chains.states()
    assert state.cursor.number == bench.chain.head.number
    (line,) = [each for each in bench.custody.wallets.balances(wallet_id) if each.asset.alias == alias]
    assert (line.available, line.total) == (5, 5)


@pytest.mark.parametrize(
    ("topics", "raw"),
    [
        (2, b"\x07".rjust(32, b"\x00")),
        (1, b"\x07".rjust(32, b"\x00")),
        (3, b""),
        (2, b""),
        (2, bytes(31)),
        (2, bytes(32) + b"\x07"),
    ],
    ids=["dirty topic", "two topics", "four topics, no data", "no data", "31 bytes", "33 bytes"],
)
def test_d_11_each_shape_beside_a_deposit(topics: int, raw: bytes) -> None:
    chain = Retold()
    with opened(chain=chain, limits=Limits(key_pool_size=1)) as bench:
        wallet, token = bench.wallet(), bench.token()
        ours = bytes(12) + address_to_bytes(wallet.address)
        words = [b"\xff" + ours[1:]] * topics if len(raw) == 32 and topics == 2 else [ours] * topics

        def among(logs: Sequence[Log]) -> list[Log]:
            return [
                each
                for log in logs
                for each in (attrs.evolve(log, log_index=log.log_index + 1, topics=(ERC20_TRANSFER_TOPIC, *words), data=raw), log)
            ]

        chain.retell = among
        assert_only_the_transfer_counts(
            bench, wallet_id=wallet.id, alias=token.alias, pay=lambda: bench.pay_in_token(wallet, token, 5)
        )
        assert bench.custody.chains.misshapen_logs() == {chain.chain_id: 1}


def test_d_11_logs_of_another_shape_are_counted_once_and_told() -> None:
    chain = Retold()
    with opened(chain=chain, limits=Limits(key_pool_size=1)) as bench:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 5)
        assert bench.custody.chains.misshapen_logs() == {chain.chain_id: 0}

        def cut_short(logs: Sequence[Log]) -> list[Log]:
            return [attrs.evolve(log, data=log.data[:31]) for log in logs]

        chain.retell = cut_short
        for _ in range(2):
            chain.send_token(contract_of(token), wallet.address, 7)
            chain.mine()
        bench.blocks(FINALITY)
        assert bench.custody.chains.misshapen_logs() == {chain.chain_id: 2}
        assert "1 logs of listed tokens in block" in vars(bench.custody._kit.observer)["troubles"]["logs-misshapen"]
        bench.custody.follow(chain.chain_id)
        assert bench.custody.chains.misshapen_logs() == {chain.chain_id: 2}
        assert bench.balance(wallet, token.alias).total == 5
