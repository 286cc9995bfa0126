"""R-18: a service that was away for long reads all that it missed, block by block, and loses nothing on the way.

`make catch-up` runs the long one: 50,000 blocks with 500 deposits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from custody_core import DepositState, Limits, Wallet
from custody_core.services.following import Round
from tests.support.contracts import deploy, transact
from tests.support.devnode import DevNode
from tests.support.faultproxy import FaultProxy
from tests.support.faults import Http
from tests.support.service import CHAIN_ID, Service, running_service

BLOCKS_PER_S_MIN = 200
"""What is asked of a service that reads from a node on the same machine."""

BLOCKS_PER_DEPOSIT = 100
AWAY_S_PER_BLOCK = 2


@pytest.fixture
def node(anvil: Path) -> Iterator[DevNode]:
    """Since Cancun (EIP-4788, EIP-2935) every block writes to the state, of which anvil keeps copies: the more blocks there are,
    the slower it makes them.
    """
    with DevNode(program=anvil, arguments=["--hardfork", "shanghai"]) as node:
        yield node


def deposits_over(service: Service, wallet: Wallet, blocks: int) -> tuple[int, int]:
    """So many blocks more, with a deposit of ether and one of a token in turn, each of 1, 2, 3… units; the sums."""
    node, sums = service.node, [0, 0]
    token = deploy(node, "Good")
    service.custody.tokens.add(chain_id=CHAIN_ID, address=token.lower(), alias="good", decimals=6)
    for number in range(1, blocks // BLOCKS_PER_DEPOSIT + 1):
        is_token = number % 2
        if is_token:
            node.mined(transact(node, "Good", token, "mint", wallet.address, number))
        else:
            node.mined(node.send_from_dev_account(wallet.address, number))
        sums[is_token] += number
        node.mine(BLOCKS_PER_DEPOSIT - 1)
    return sums[0], sums[1]


def assert_each_is_there_once(service: Service, wallet: Wallet, sums: tuple[int, int], count: int) -> None:
    balances = {line.asset.alias: line.available for line in service.custody.wallets.balances(wallet.id)}
    assert (balances["eth"], balances["good"]) == sums
    with service.store.reading() as unit:
        assert unit.row_counts().deposits == count
    newest = service.custody.transactions.list(direction="incoming", limit=200)
    assert {each.state for each in newest} == {DepositState.COMPLETED}
    service.assert_reconciled()


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [5_000, pytest.param(50_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_r_18_a_service_that_was_away_catches_up_fast_and_finds_every_deposit_once(
    tmp_path: Path, node: DevNode, blocks: int
) -> None:
    with running_service(tmp_path, node) as service:
        wallet = service.wallet()
        sums = deposits_over(service, wallet, blocks)
        service.node.mine(10)
        service.clock.advance(
            AWAY_S_PER_BLOCK * blocks
        )  # the node makes blocks of the future, and tells no balances of the first ones
        service.observer.progress_made.clear()
        begun_s = time.monotonic()
        assert service.custody.follow(CHAIN_ID) is Round.IDLE
        took_s = time.monotonic() - begun_s
        reached = [done for what, done, _ in service.observer.progress_made if what.startswith("chain")]
        steps = {after - before for before, after in pairwise(reached)}
        assert max(steps) <= Limits().blocks_per_commit_max, "a commit per batch"
        service.finalize()
        assert_each_is_there_once(service, wallet, sums, blocks // BLOCKS_PER_DEPOSIT)
        assert blocks / took_s >= BLOCKS_PER_S_MIN, f"{blocks / took_s:.0f} blocks/s"


def test_r_18_what_is_missed_is_read_on_from_where_it_stopped(tmp_path: Path, node: DevNode, proxy: FaultProxy) -> None:
    """The node falls silent in the middle, and the process ends; the next one begins where the last commit was."""
    with running_service(tmp_path, node, rpc_url=proxy.url) as service:
        wallet = service.wallet()
        sums = deposits_over(service, wallet, 500)
        service.node.mine(10)
        silent = proxy.on("eth_getBlockByNumber", Http(503), skip=220)
        assert service.custody.follow(CHAIN_ID) is Round.WAITING
        stopped = service.custody.chains.states()[0].cursor.number
        assert 0 < stopped < node.head()
        service.custody.step_down()
        silent.times_left = 0
    with running_service(tmp_path, node, rpc_url=proxy.url) as service:
        first = next(done for what, done, _ in service.observer.progress_made if what.startswith("chain"))
        assert stopped < first <= stopped + Limits().blocks_per_commit_max
        service.finalize()
        assert_each_is_there_once(service, wallet, sums, 5)
