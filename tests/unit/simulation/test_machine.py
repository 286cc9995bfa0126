"""The same world driven by hypothesis: what people, the chain and trouble do, in any order, ends well."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from custody_core import InvalidStateTransition
from custody_core.errors import FeeAboveCap, InsufficientFunds
from tests.unit.simulation.failures import Failure, require
from tests.unit.simulation.gate import Fate
from tests.unit.simulation.rehearsal import Rehearsal
from tests.unit.simulation.zoo import ZOO, planted

ETHER = 10**18
SHORT = 12
FATES = st.sampled_from([Fate.KILLED_BEFORE, Fate.KILLED_AFTER, Fate.LOST_BEFORE, Fate.LOST_AFTER, Fate.REFUSED])


class Machine(RuleBasedStateMachine):
    """One wallet, whatever happens to it. What is promised is judged at every commit; at the end everything comes to its end."""

    on: Rehearsal
    strikes: dict[int, Fate]

    @initialize(wei=st.integers(1, 5), tokens=st.integers(0, 500))
    def begin(self, wei: int, tokens: int) -> None:
        self.strikes = {}
        self.on = Rehearsal(self.strikes)
        self.on.fund(wei * ETHER, tokens)
        self.on.arm()
        self.asked = 0

    @rule(amount=st.sampled_from([1, ETHER // 10, ETHER]))
    def pays_ether(self, amount: int) -> None:
        self.on.tree.send_ether(self.on.wallet.address, amount)

    @rule(amount=st.integers(0, 100))
    def pays_tokens(self, amount: int) -> None:
        self.on.tree.send_token(self.on.token, self.on.wallet.address, amount)

    @rule(parts=st.sampled_from([1, 2]))
    def pays_by_a_contract(self, parts: int) -> None:
        self.on.tree.send_ether(self.on.tree.deploy_passing(self.on.wallet.address, parts=parts), ETHER)

    @rule(amount=st.sampled_from([1, ETHER // 10, ETHER]))
    def sends_ether(self, amount: int) -> None:
        self._send(amount=amount)

    @rule(amount=st.integers(1, 200))
    def sends_tokens(self, amount: int) -> None:
        self._send(asset="usdc", amount=amount)

    @precondition(lambda self: self.on.sends)
    @rule(data=st.data())
    def asks_again(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.on.sends)))
        before = self.on.transaction(self.on.sends[key])
        self._send(key, asset=before.asset.alias, amount=before.amount)
        require(self.on.sends[key] == before.id, "INV-8", f"{key} made another send")

    @precondition(lambda self: self.on.sends)
    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        sent = self.on.sends[data.draw(st.sampled_from(sorted(self.on.sends)))]
        with suppress(InvalidStateTransition, FeeAboveCap):
            self.on.ask(lambda custody: custody.transactions.cancel(sent))

    @precondition(lambda self: self.on.sends)
    @rule(data=st.data())
    def speeds_up(self, data: st.DataObject) -> None:
        sent = self.on.sends[data.draw(st.sampled_from(sorted(self.on.sends)))]
        with suppress(InvalidStateTransition, FeeAboveCap):
            self.on.ask(lambda custody: custody.transactions.speed_up(sent))

    @rule(seconds=st.sampled_from([1, 30, 120]))
    def works(self, seconds: int) -> None:
        self.on.rounds(seconds=seconds)

    @rule(count=st.integers(1, 4))
    def mines(self, count: int) -> None:
        self.on.tree.mine(count)

    @rule()
    def mines_nothing(self) -> None:
        self.on.tree.mine_nothing()

    @rule(pooled=st.booleans(), keeps=st.booleans())
    def reorganises(self, pooled: bool, keeps: bool) -> None:
        tree = self.on.tree
        if tree.head.number - tree.final > 1:
            newest = [each.hash for each in tree.block(tree.head.number).included]
            tree.reorg(1, keep=newest if keeps else (), pooled=pooled)

    @rule()
    def forgets(self) -> None:
        for hash_ in self.on.tree.pool[:1]:
            self.on.tree.drop(hash_)

    @rule(gwei=st.sampled_from([1, 3, 40]))
    def prices(self, gwei: int) -> None:
        self.on.market(gwei)

    @rule(calls=st.integers(1, 12), fate=FATES)
    def strikes_soon(self, calls: int, fate: Fate) -> None:
        self.strikes[len(self.on.calls) + calls] = fate

    def teardown(self) -> None:
        if hasattr(self, "on"):
            self.strikes.clear()
            self.on.market(1)
            self.on.settle()
            self.on.require_sound()

    def _send(self, key: str | None = None, **request: Any) -> None:
        self.asked += key is None
        with suppress(InsufficientFunds, FeeAboveCap):
            self.on.send(key or f"send-{self.asked}", **request)


SETTINGS = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

TestMachine = Machine.TestCase
TestMachine.settings = SETTINGS


def test_it_sees_a_planted_bug_and_shrinks_it() -> None:
    bug = next(bug for bug in ZOO if bug.what == "a key is not kept with its answer")
    with planted(bug), pytest.raises(Failure, match="INV-8") as failed:
        run_state_machine_as_test(Machine, settings=SETTINGS)
    steps = [line for line in "\n".join(failed.value.__notes__).splitlines() if line.startswith("state.")]
    assert 0 < len(steps) <= SHORT
