"""A node that fails rests, ever longer, and one try lets it back."""

from __future__ import annotations

import attrs
import pytest

from custody_rpc import NodeState, Resting, Waiting
from custody_rpc.circuit import Circuit


@attrs.define
class Bench:
    """A circuit whose clock stands still, and what it told."""

    now_s: float = 100.0
    chance: float = 0.0
    told: list[NodeState] = attrs.field(factory=list)

    def circuit(self) -> Circuit:
        waiting = Waiting(monotonic_s=lambda: self.now_s, chance=lambda: self.chance)
        return Circuit("https://node", Resting(failures_max=3, rest_first_s=2, rest_max_s=10), waiting, self.told.append)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def fail(circuit: Circuit, times: int = 3) -> None:
    for _ in range(times):
        circuit.failed("did not answer")


def test_failures_in_a_row_open_it_and_are_told_once(bench: Bench) -> None:
    circuit = bench.circuit()
    fail(circuit, 2)
    circuit.succeeded()
    fail(circuit, 2)
    assert circuit.state.is_healthy
    fail(circuit, 5)
    assert circuit.is_resting
    assert bench.told == [NodeState("https://node", is_healthy=False, failures=3, last_failure="did not answer")]
    circuit.succeeded()
    circuit.succeeded()
    assert circuit.state == NodeState("https://node", is_healthy=True, failures=0, last_failure="did not answer")
    assert [state.is_healthy for state in bench.told] == [False, True]


def test_the_rest_grows_up_to_its_limit_and_one_caller_tries(bench: Bench) -> None:
    bench.chance = 0.999999
    circuit = bench.circuit()
    fail(circuit)
    rests_s = []
    for _ in range(5):
        rests_s.append(round(circuit.rests_until_s - bench.now_s))
        assert not circuit.takes_try()
        bench.now_s = circuit.rests_until_s
        assert [circuit.takes_try() for _ in range(3)] == [True, False, False]
        fail(circuit, 4)  # the try's own failure, and three of requests that were already under way
    assert rests_s == [2, 4, 8, 10, 10]
    assert len(bench.told) == 1


def test_chance_keeps_processes_apart() -> None:
    rests_s = set()
    for chance in (0.0, 0.5, 0.999):
        bench = Bench(chance=chance)
        circuit = bench.circuit()
        fail(circuit)
        rests_s.add(round(circuit.rests_until_s - bench.now_s, 3))
    assert rests_s == {1.0, 1.5, 1.999}


def test_a_try_that_never_ends_does_not_block_the_next_one(bench: Bench) -> None:
    circuit = bench.circuit()
    fail(circuit)
    bench.now_s += 1
    assert circuit.takes_try()
    bench.now_s += 1
    assert circuit.takes_try()


def test_a_node_that_asks_for_rest_gets_it_at_once_within_the_limit(bench: Bench) -> None:
    for asked_s, rest_s in ((5.0, 5), (0.5, 1), (86_400.0, 10)):
        circuit = bench.circuit()
        circuit.failed("answered HTTP 429", wait_s=asked_s)
        assert circuit.is_resting
        assert circuit.rests_until_s - bench.now_s == rest_s
    assert bench.circuit().takes_try() is False
