"""Whatever happens, in whatever order: nobody is paid twice, nothing is lost, and when the trouble ends everything ends.

Blocks come and are taken back (never below the final one), answers are lost, fees jump, owners send, cancel and freeze. After each
step the books are sound; after the last one, with the trouble gone, every send and every deposit comes to its end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody_core import (
    Asset,
    DepositState,
    FeeAboveCap,
    FeeUnavailable,
    InsufficientFunds,
    NodeUnavailable,
    SimulationReverted,
    Transaction,
    TransactionState,
    Wallet,
    WalletFrozen,
    WalletState,
    ether,
)
from custody_core.domain.fees import GWEI
from custody_memory.execution import Passing
from tests.unit.core.services.bench import FINALITY, FRIEND, Bench, contract_of, opened

FAILING = (
    "header",
    "synced_head",
    "headers",
    "blocks",
    "logs",
    "internal_transfers",
    "receipts",
    "account",
    "fee_history",
    "estimate_gas",
    "broadcast",
)
AMOUNTS = st.integers(1, ether("0.4"))

# What can happen, and with what values: each is a method of `Story`.
STEPS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "tick": st.tuples(st.sampled_from([0, 1, 11, 31, 91])),
    "mine": st.tuples(st.integers(1, 3)),
    "reorganise": st.tuples(st.integers(1, FINALITY - 1), st.booleans()),
    "fail": st.tuples(st.sampled_from(FAILING)),
    "lose": st.tuples(st.booleans()),
    "fees": st.tuples(st.sampled_from([GWEI // 10, GWEI, 5 * GWEI, 80 * GWEI])),
    "pay_in": st.tuples(st.integers(0, 1), AMOUNTS),
    "pay_by_contract": st.tuples(st.integers(0, 1), AMOUNTS, st.booleans(), st.integers(1, 2)),
    "pay_in_tokens": st.tuples(st.integers(0, 1), st.integers(1, 100)),
    "send": st.tuples(st.integers(0, 1), AMOUNTS, st.booleans()),
    "send_tokens": st.tuples(st.integers(0, 1), st.integers(1, 100), st.booleans()),
    "cancel": st.tuples(st.integers(0, 5)),
    "speed_up": st.tuples(st.integers(0, 5)),
    "freeze": st.tuples(st.integers(0, 1)),
    "unfreeze": st.tuples(st.integers(0, 1)),
}
STORIES = st.lists(st.sampled_from(sorted(STEPS)).flatmap(lambda name: st.tuples(st.just(name), STEPS[name])), max_size=40)


class Story:
    """Two wallets with ether and tokens, and all that can happen to them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.token: Asset = bench.token()
        self.wallets: tuple[Wallet, Wallet] = (bench.wallet("alice", wei=ether("1")), bench.wallet("bob", wei=ether("1")))
        for wallet in self.wallets:
            bench.pay_in_token(wallet, self.token, 100)

    def tick(self, seconds: int) -> None:
        self.bench.rounds(seconds=seconds)

    def mine(self, count: int) -> None:
        self.bench.chain.mine(count)

    def reorganise(self, depth: int, pooled: bool) -> None:
        self.bench.chain.reorg(depth, pooled=pooled)

    def fail(self, method: str) -> None:
        self.bench.chain.fail_next(method)

    def lose(self, arrives: bool) -> None:
        if arrives:
            self.bench.chain.lose_broadcast_answers()
        else:
            self.bench.chain.drop_broadcasts()

    def fees(self, base_fee_per_gas_wei: int) -> None:
        self.bench.chain.set_base_fee(base_fee_per_gas_wei)

    def pay_in(self, whose: int, amount: int) -> None:
        self.bench.chain.send_ether(self.wallets[whose].address, amount)

    def pay_by_contract(self, whose: int, amount: int, in_vain: bool, parts: int) -> None:
        how = Passing.REVERTED if in_vain else Passing.CALL
        chain = self.bench.chain
        chain.send_ether(chain.deploy_passing(self.wallets[whose].address, how, parts=parts), amount)

    def pay_in_tokens(self, whose: int, amount: int) -> None:
        self.bench.chain.send_token(contract_of(self.token), self.wallets[whose].address, amount)

    def send(self, whose: int, amount: int, inside: bool, asset: str = "eth") -> None:
        to = self.wallets[1 - whose].address if inside else FRIEND
        with suppress(InsufficientFunds, NodeUnavailable, FeeUnavailable, WalletFrozen, SimulationReverted):
            self.bench.send(self.wallets[whose], amount, asset=asset, to=to)

    def send_tokens(self, whose: int, amount: int, inside: bool) -> None:
        self.send(whose, amount, inside, self.token.alias)

    def freeze(self, whose: int) -> None:
        self.bench.custody.wallets.freeze(self.wallets[whose].id, reason="for a while")

    def cancel(self, which: int) -> None:
        sends = self.sends()
        if which < len(sends) and sends[which].state in {TransactionState.QUEUED, TransactionState.BROADCASTING}:
            self.bench.custody.transactions.cancel(sends[which].id)

    def speed_up(self, which: int) -> None:
        sends = self.sends()
        if which < len(sends) and sends[which].state is TransactionState.BROADCASTING:
            with suppress(FeeAboveCap):
                self.bench.custody.transactions.speed_up(sends[which].id)

    def unfreeze(self, whose: int) -> None:
        if self.bench.custody.wallets.get(self.wallets[whose].id).state is WalletState.FROZEN:
            self.bench.custody.wallets.unfreeze(self.wallets[whose].id)

    def sends(self) -> list[Transaction]:
        return [each for wallet in self.wallets for each in self.bench.outgoing(wallet)]

    def require_sound(self) -> None:
        """Everything that reconciliation checks, but for what the node would have to answer while it is failing."""
        checks = self.bench.custody.reconcile().checks
        wrong = {check.id: [each for each in check.violations if "does not say" not in each] for check in checks}
        assert {id_: violations for id_, violations in wrong.items() if violations} == {}

    def trouble_ends(self) -> None:
        bench = self.bench
        for whose in (0, 1):
            self.unfreeze(whose)
        bench.chain.set_base_fee(GWEI // 10)
        for _ in range(30):
            bench.rounds(seconds=91)
            bench.chain.mine()

    def require_the_end(self) -> None:
        bench = self.bench
        bench.require_sound()
        assert [each.state for each in self.sends() if not each.is_final] == []
        for wallet in self.wallets:
            assert {each.state for each in bench.deposits(wallet)} <= {DepositState.COMPLETED, DepositState.ORPHANED}
            for line in bench.custody.wallets.balances(wallet.id, live=True):
                assert line.on_chain is not None
                assert (line.reserved, line.pending_in, line.available) == (0, 0, line.on_chain.amount)
        assert set(bench.alarms()) <= {"fee-at-cap"}, "a person is asked only about fees, which do rise above caps here"
        assert bench.custody.audit.verify().first_broken is None


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(STORIES)
def test_r06_whatever_happens_nothing_is_lost_or_paid_twice(story: list[tuple[str, tuple[Any, ...]]]) -> None:
    with opened() as bench:
        told = Story(bench)
        for name, values in story:
            getattr(told, name)(*values)
            told.require_sound()
        told.trouble_ends()
        told.require_the_end()
