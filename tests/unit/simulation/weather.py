"""What the world does by itself: blocks, strangers who pay, and the chain's share of the trouble."""

from __future__ import annotations

from random import Random
from typing import Final

from custody_core.domain.addresses import Address, address_from_bytes, address_to_bytes
from custody_core.domain.fees import GWEI
from custody_memory.execution import Passing
from tests.unit.simulation.block_tree import BlockTree
from tests.unit.simulation.desk import Desk
from tests.unit.simulation.faults import Faults
from tests.unit.simulation.oracle import Oracle
from tests.unit.simulation.processes import Scheduler
from tests.unit.simulation.views import View

BLOCK_TIME_S: Final = 6
BASE_FEE_WEI: Final = GWEI
PAYMENTS_PER_BLOCK_MAX: Final = 3
SPENT_ELSEWHERE_WEI: Final = 10**16
STRANGER: Final = address_from_bytes(b"\xdd" * 20)


class Weather:
    """Mines, pays, and breaks the chain."""

    def __init__(
        self,
        chance: Random,
        tree: BlockTree,
        views: list[View],
        scheduler: Scheduler,
        faults: Faults,
        desk: Desk,
        token: Address,
        oracle: Oracle,
    ) -> None:
        self._chance = chance
        self._tree = tree
        self._views = views
        self._scheduler = scheduler
        self._faults = faults
        self._desk = desk
        self._token = token
        self._oracle = oracle
        self._passing: dict[tuple[Address, Passing], Address] = {}
        self.is_generous = True

    def start(self) -> None:
        """From here on a block every few seconds."""
        self._scheduler.after(BLOCK_TIME_S, "block", self._block)

    def calm_down(self) -> None:
        """No more trouble: finality moves, fees are low, nodes are in time."""
        self._tree.stall_finality(False)
        self._tree.set_base_fee(BASE_FEE_WEI // 10)
        for view in self._views:
            view.late_by = 0

    def _block(self) -> None:
        self._scheduler.after(BLOCK_TIME_S, "block", self._block)
        if self.is_generous:
            self._pay()
        self._trouble()
        self._tree.mine()

    def _trouble(self) -> None:
        roll, chance, tree = self._faults.roll, self._chance, self._tree
        if roll("fee-spike"):
            tree.set_base_fee(chance.choice((GWEI // 100, GWEI, 3 * GWEI, 40 * GWEI, 400 * GWEI)))
        if roll("finality-stalls"):
            tree.stall_finality(chance.random() < 0.5)
        if roll("pool-drops") and tree.pool:
            tree.drop(chance.choice(list(tree.pool)))
        if roll("empty-blocks"):
            tree.mine_nothing()
        if roll("foreign-use") and self._desk.wallets:
            self._use_elsewhere(chance.choice(list(self._desk.wallets.values())).address)
        for view in self._views:
            if roll("node-late"):
                view.late_by = chance.choice((0, 0, 1, 2, 5))
        depth_max = tree.head.number - tree.final - 1
        if depth_max > 0 and roll("reorg"):
            depth = chance.randrange(1, depth_max + 1)
            recent = [
                pooled.hash
                for height in range(tree.head.number - depth + 1, tree.head.number + 1)
                for pooled in tree.block(height).included
            ]
            keep = [hash_ for hash_ in recent if chance.random() < 0.3]
            tree.reorg(depth, keep=keep, pooled=not roll("reorg-forgets"))

    def _use_elsewhere(self, address: Address) -> None:
        """Somebody else has a key of ours."""
        raw, tree = address_to_bytes(address), self._tree
        wei = tree.held(None, raw, tree.head.number)
        if wei < SPENT_ELSEWHERE_WEI + 21_000 * 50 * GWEI:
            return
        hash_, nonce = tree.send_with_key_of(address, STRANGER, SPENT_ELSEWHERE_WEI)
        self._oracle.foreign[hash_] = raw, nonce

    def _pay(self) -> None:
        wallets = list(self._desk.wallets.values())
        for _ in range(self._chance.randrange(PAYMENTS_PER_BLOCK_MAX) if wallets else 0):
            self._pay_one(self._chance.choice(wallets).address)

    def _pay_one(self, to: Address) -> None:
        chance = self._chance
        amount = chance.choice((1, 10**18, 3 * 10**18, chance.randrange(10**17, 10**19)))
        match chance.randrange(5):
            case 0:
                self._tree.send_token(self._token, to, chance.randrange(1, 10_000))
            case 1:
                self._tree.send_ether(self._contract(to), amount)
            case 2:
                self._tree.send_in_vain(to, amount)
            case _:
                self._tree.send_ether(to, amount)

    def _contract(self, to: Address) -> Address:
        how = self._chance.choice((Passing.CALL, Passing.CALL, Passing.REVERTED))
        if (to, how) not in self._passing:
            self._passing[to, how] = self._tree.deploy_passing(to, how, parts=self._chance.choice((1, 2)))
        return self._passing[to, how]
