"""What the world does by itself: blocks, strangers who pay, and the chain's share of the trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final, TypeAlias

from custody_core.domain.addresses import Address, address_from_bytes, address_to_bytes
from custody_core.domain.chain import Hash
from custody_core.domain.fees import GWEI
from custody_core.ports import Absent, Unknown
from custody_memory.execution import Passing, TokenContract
from tests.unit.simulation.block_tree import BlockTree
from tests.unit.simulation.decisions import Decisions
from tests.unit.simulation.desk import Desk
from tests.unit.simulation.faults import Faults
from tests.unit.simulation.narrow_pool import ACCOUNT_SLOTS
from tests.unit.simulation.oracle import Oracle
from tests.unit.simulation.processes import Scheduler
from tests.unit.simulation.views import View
from tests.unit.simulation.virtual_time import MICROSECONDS, ProcessClock

BLOCK_TIME_S: Final = 6
BASE_FEE_WEI: Final = GWEI
PAYMENTS_PER_BLOCK_MAX: Final = 2
NO_PAYMENT: Final = 0.5
SPENT_ELSEWHERE_WEI: Final = 10**16
CLOCK_JUMP_MAX_US: Final = 60 * MICROSECONDS
BREACH_DEPTH_MAX: Final = 3
"""How many final blocks change at most, when finality is breached."""
FEES_PERCENT: Final = (0, 1, 50, 100)
REBASES_PERMILLE: Final = (0, 500, 990, 1_010, 3_000)
RETURNS_AFTER: Final = (None, 2, 10, 30)
"""After how many blocks what was the chain then is the chain again."""

TRACES_FAIL_FOR_S: Final = (30, 120, 300, 1_200)

Payment: TypeAlias = list[Any]
"""To which wallet, how, how much, as plain JSON."""

STRANGER: Final = address_from_bytes(b"\xdd" * 20)


class Weather:
    """Mines, pays, and breaks the chain."""

    def __init__(
        self,
        chance: Random,
        decisions: Decisions,
        tree: BlockTree,
        views: list[View],
        scheduler: Scheduler,
        faults: Faults,
        desk: Desk,
        token: Address,
        odd_token: Address | None,
        oracle: Oracle,
        clocks: Mapping[str, ProcessClock],
        *,
        has_tags: bool,
    ) -> None:
        self._chance = chance
        self._decisions = decisions
        self._tree = tree
        self._views = views
        self._scheduler = scheduler
        self._faults = faults
        self._desk = desk
        self._token = token
        self._odd_token = odd_token
        self._worthless = tree.deploy_token()
        self._oracle = oracle
        self._clocks = clocks
        self._has_tags = has_tags
        self._passing: dict[tuple[Address, Passing, int], Address] = {}
        self.is_generous = True
        self.is_torn = False
        """Whether another chain than now is going to be the chain again."""

    def start(self) -> None:
        """From here on a block every few seconds."""
        self._scheduler.after(BLOCK_TIME_S, "block", self._block)

    def calm_down(self) -> None:
        """No more trouble: finality moves, fees are low, nodes are in time."""
        self._tree.stall_finality(False)
        self._tree.set_base_fee(BASE_FEE_WEI // 10)
        self._tree.behave(self._token, TokenContract())
        self._tree.narrow()
        for view in self._views:
            view.late_by = 0
            view.says_of_traces = None
        for clock in self._clocks.values():
            clock.skew_us = 0

    def _block(self) -> None:
        self._scheduler.after(BLOCK_TIME_S, "block", self._block)
        if self.is_generous and self._desk.wallets:
            for _ in range(PAYMENTS_PER_BLOCK_MAX):
                self._pay(self._decisions.take("pays", self._draw_payment, None))
        self._trouble()
        self._tree.mine()

    def _trouble(self) -> None:
        strike, chance, tree = self._faults.strike, self._chance, self._tree
        base_fee_wei = strike("fee-spike", lambda: chance.choice((GWEI // 100, GWEI, 3 * GWEI, 40 * GWEI, 400 * GWEI)))
        if base_fee_wei is not None:
            tree.set_base_fee(base_fee_wei)
        is_stalled = strike("finality-stalls", lambda: chance.random() < 0.5) if self._has_tags else None
        if is_stalled is not None:
            tree.stall_finality(is_stalled)
        if tree.pool and (dropped := strike("pool-drops", lambda: chance.randrange(len(tree.pool)))) is not None:
            tree.drop(tree.pool[dropped % len(tree.pool)])
        slots = strike("pool-narrow", lambda: chance.choice((1, 2, ACCOUNT_SLOTS)))
        if slots is not None:
            tree.narrow(slots)
        if self._faults.roll("pool-restarts"):
            tree.forget_pool()
        if self._faults.roll("empty-blocks"):
            tree.mine_nothing()
        if self._desk.wallets and (key := strike("foreign-use", lambda: chance.choice(list(self._desk.wallets)))):
            self._use_elsewhere(key)
        self._change_tokens()
        self._keep_traces()
        for view in self._views:
            late_by = strike("node-late", lambda: chance.choice((0, 0, 1, 2, 5)))
            view.late_by = view.late_by if late_by is None else late_by
        for clock in self._clocks.values():
            clock.skew_us += strike("clock-jump", lambda: chance.randrange(-CLOCK_JUMP_MAX_US, CLOCK_JUMP_MAX_US)) or 0
        self._reorganise()
        if not tree.pasts:
            self._breach()

    def _change_tokens(self) -> None:
        """A token says no for a while; the odd one keeps a share of what it moves, or changes all balances at once."""
        strike, chance = self._faults.strike, self._chance
        says_no = strike("token-says-no", lambda: chance.random() < 0.5)
        if says_no is not None:
            self._tree.behave(self._token, TokenContract(says_no=says_no))
        if self._odd_token is None:
            return
        fee_percent = strike("token-keeps-fee", lambda: chance.choice(FEES_PERCENT))
        if fee_percent is not None:
            self._tree.behave(self._odd_token, TokenContract(fee_percent))
        permille = strike("token-rebases", lambda: chance.choice(REBASES_PERMILLE))
        if permille is not None:
            self._tree.rebase(self._odd_token, permille)

    def _keep_traces(self) -> None:
        """One node, or all, for some minutes: it is asked for traces in vain, and answers everything else."""
        chance, views = self._chance, self._views

        def draw() -> list[Any]:
            return [chance.choice((None, *range(len(views)))), chance.choice((True, False)), chance.choice(TRACES_FAIL_FOR_S)]

        struck = self._faults.strike("traces-fail", draw)
        if struck is None:
            return
        index, has_none, seconds = struck
        failing = views if index is None else views[index : index + 1]
        for view in failing:
            view.says_of_traces = Absent() if has_none else Unknown("its trace takes too long")
        self._scheduler.after(seconds, "traces are told again", lambda: _tell_traces(failing))

    def _reorganise(self) -> None:
        """Replaces blocks that are not final. What stays is told by its place among what was in them."""
        tree, chance = self._tree, self._chance
        depth_max = tree.head.number - tree.final - 1
        if depth_max <= 0:
            return

        def draw() -> tuple[int, list[int]]:
            return chance.randrange(1, depth_max + 1), [place for place in range(20) if chance.random() < 0.3]

        struck = self._faults.strike("reorg", draw)
        if struck is None:
            return
        depth = min(struck[0], depth_max)
        tree.reorg(depth, keep=self._kept(depth, struck[1]), pooled=not self._faults.roll("reorg-forgets"))

    def _kept(self, depth: int, places: list[int]) -> list[Hash]:
        """Of what is in the newest blocks what has one of these places."""
        heights = range(self._tree.head.number - depth + 1, self._tree.head.number + 1)
        recent = [pooled.hash for height in heights for pooled in self._tree.block(height).included]
        return [hash_ for place, hash_ in enumerate(recent) if place in places]

    def _breach(self) -> None:
        """Replaces final blocks, too: how many, what stays, and after how many blocks they are back."""
        tree, chance = self._tree, self._chance
        if tree.final <= BREACH_DEPTH_MAX:
            return

        def draw() -> list[Any]:
            places = [place for place in range(20) if chance.random() < 0.3]
            return [chance.randrange(BREACH_DEPTH_MAX) + 1, places, chance.choice(RETURNS_AFTER)]

        struck = self._faults.strike("finality-breach", draw)
        if struck is None:
            return
        finals, places, returns_after = struck
        depth = tree.head.number - tree.final + finals
        tree.breach(depth, keep=self._kept(depth, places), pooled=not self._faults.roll("reorg-forgets"))
        if returns_after is not None:
            self.is_torn = True
            self._scheduler.after(returns_after * BLOCK_TIME_S, "what was final before is the chain again", self._return)

    def _return(self) -> None:
        self._tree.return_to(self._tree.pasts[0])
        self.is_torn = False

    def _use_elsewhere(self, key: str) -> None:
        """Somebody else has a key of ours."""
        wallet = self._desk.wallets.get(key)
        raw, tree = address_to_bytes(wallet.address) if wallet else b"", self._tree
        if wallet is None or tree.held(None, raw, tree.head.number) < SPENT_ELSEWHERE_WEI + 21_000 * 50 * GWEI:
            return
        hash_, nonce = tree.send_with_key_of(wallet.address, STRANGER, SPENT_ELSEWHERE_WEI)
        self._oracle.foreign[hash_] = raw, nonce

    def _draw_payment(self) -> Payment | None:
        chance = self._chance
        if chance.random() < NO_PAYMENT:
            return None
        key = chance.choice(list(self._desk.wallets))
        amount = chance.choice((1, 10**18, 3 * 10**18, chance.randrange(10**17, 10**19)))
        match chance.randrange(5):
            case 0:
                odd = ("odd tokens",) * 3 if self._odd_token else ()
                kind = chance.choice(("tokens", "tokens", "tokens", "tokens twice", "worthless tokens", "no tokens", *odd))
                return [key, kind, 0 if kind == "no tokens" else chance.randrange(1, 10_000)]
            case 1:
                how = chance.choice((Passing.CALL, Passing.CALL, Passing.REVERTED))
                return [key, "by a contract", amount, how.name, chance.choice((1, 2))]
            case 2:
                return [key, "in vain", amount]
            case _:
                return [key, "ether", amount]

    def _pay(self, payment: Payment | None) -> None:
        wallet = self._desk.wallets.get(payment[0]) if payment else None
        if payment is None or wallet is None:
            return
        to, how, amount = wallet.address, *payment[1:3]
        match how:
            case "tokens" | "no tokens":
                self._tree.send_token(self._token, to, amount)
            case "odd tokens" if self._odd_token:
                self._tree.send_token(self._odd_token, to, amount)
            case "tokens twice":
                self._tree.send_tokens_twice(self._token, to, amount)
            case "worthless tokens":
                self._tree.send_token(self._worthless, to, amount)
            case "by a contract":
                self._tree.send_ether(self._contract(to, Passing[payment[3]], payment[4]), amount)
            case "in vain":
                self._tree.send_in_vain(to, amount)
            case _:
                self._tree.send_ether(to, amount)

    def _contract(self, to: Address, how: Passing, parts: int) -> Address:
        if (to, how, parts) not in self._passing:
            self._passing[to, how, parts] = self._tree.deploy_passing(to, how, parts=parts)
        return self._passing[to, how, parts]


def _tell_traces(views: Sequence[View]) -> None:
    for view in views:
        view.says_of_traces = None
