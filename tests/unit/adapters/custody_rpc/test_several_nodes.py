"""Several nodes: reads go to the next one, broadcasts to all of them, and one that is down is done without."""

from __future__ import annotations

import gzip
import itertools
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.chain import Hash
from custody_core.domain.encoding import keccak256
from custody_core.ports import BroadcastAnswer, BroadcastOutcome, Found, Unknown
from custody_rpc import Limits, Resting, RpcChain, Waiting
from custody_rpc.broadcasting import IN_A_POOL, JOBS_MAX, RANK, Courier, Offered, combined
from tests.support.waiting import until
from tests.unit.adapters.custody_rpc.rude_server import QUERY_SECRET, SECRET, Behaviour, Http, RudeServer, error, plain, results

MEBIBYTE = 1024 * 1024
RAWS = [b"\x02one", b"\x02two"]
HASHES = ["0x" + keccak256(raw).hex() for raw in RAWS]
RECEIPT = {
    "transactionHash": HASHES[0],
    "blockHash": "0x" + "bb" * 32,
    "blockNumber": "0x10",
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x3b9aca00",
    "logs": [],
}
QUICK = Limits(connect_timeout_s=2, silence_max_s=0.3, answer_time_max_s=0.6, attempts_max=3)
PATIENT = attrs.evolve(QUICK, silence_max_s=5.0)


@attrs.define
class Stage:
    """A chain before several servers, with a clock that stands still, and what it told."""

    servers: list[RudeServer]
    chain: RpcChain
    clock: list[float]
    told: list[tuple[str, str]]
    naps_s: list[float]

    def receipt(self) -> object:
        return self.chain.receipts([Hash(HASHES[0])])[0]

    def asked(self) -> list[int]:
        return [len(server.requests) for server in self.servers]

    def pass_s(self, seconds: float) -> None:
        self.clock[0] += seconds


Staged = Callable[..., Stage]


@pytest.fixture
def staged() -> Iterator[Staged]:
    with ExitStack() as closing:

        def stage(*behaviours: Behaviour, limits: Limits = QUICK) -> Stage:
            servers = [closing.enter_context(RudeServer(behaviour, chain_id=1)) for behaviour in behaviours]
            clock, told, naps_s = [1000.0], list[tuple[str, str]](), list[float]()
            chain = RpcChain(
                1,
                [server.url for server in servers],
                limits=limits,
                waiting=Waiting(sleep=naps_s.append, monotonic_s=lambda: clock[0], chance=lambda: 0.5),
                resting=Resting(failures_max=3, rest_first_s=8, rest_max_s=60),
                trouble=lambda what, detail: told.append((what, detail)),
            )
            closing.callback(chain.close)
            assert list(chain.node_chain_ids()) == [Found(1)] * len(servers)
            return Stage(servers, chain, clock, told, naps_s)

        yield stage


def silent(_: Any) -> Http:
    time.sleep(0.6)
    return Http(hang_up=True)


# Reads


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (plain(b"slow down", 429), "HTTP 429"),
        (plain(b"", 502), "HTTP 502"),
        (silent, "was silent for 0.3 s"),
        (lambda _: Http((b'{"id":1,"resu',), length=500), "half an answer"),
        (plain(b"<html>so sorry, " + SECRET.encode() + b"</html>"), "not a JSON-RPC answer"),
        (lambda _: Http(hang_up=True), "could not be reached"),
    ],
    ids=["429", "502", "silence", "truncated", "html", "hang-up"],
)
def test_r_11_the_breaker_opens_and_the_second_provider_is_used(staged: Staged, bad: Behaviour, says: str) -> None:
    stage = staged(bad, results(RECEIPT))
    for _ in range(6):
        assert isinstance(stage.receipt(), Found)
    assert stage.asked() == [3, 6], "asked three times, then left alone"
    assert stage.naps_s == [], "nobody waits for a node while there is another one"
    first, second = stage.chain.nodes
    assert (first.name, first.is_healthy, second.is_healthy) == (stage.servers[0].host, False, True)
    assert says in (first.last_failure or "")
    ((what, detail),) = stage.told
    assert (what, says in detail) == ("node-out", True)
    for text in (detail, first.name, str(first.last_failure)):
        assert SECRET not in text
        assert QUERY_SECRET not in text


def test_r_11_a_node_that_asks_for_time_gets_it_while_there_is_another_one(staged: Staged) -> None:
    stage = staged(plain(b"", 429, Retry_After="20"), results(RECEIPT))
    for _ in range(3):
        assert isinstance(stage.receipt(), Found)
    assert stage.asked() == [1, 3]
    stage.pass_s(19)
    stage.receipt()
    assert stage.asked() == [1, 4]


@pytest.mark.parametrize("kind", ["bare", "gzip-bomb"])
def test_r_11_a_giant_answer_costs_bounded_memory_and_the_second_provider_is_used(staged: Staged, kind: str) -> None:
    if kind == "bare":
        sent, headers = json.dumps({"id": 1, "result": "0x" + "0" * 50 * MEBIBYTE}).encode(), {}
    else:
        part = b" " * MEBIBYTE
        sent = b"".join([gzip.compress(part * 1000, 1)])
        headers = {"Content-Encoding": "gzip"}
    stage = staged(lambda _: Http((sent,), headers=headers, length=len(sent)), results(RECEIPT), limits=Limits(attempts_max=2))
    tracemalloc.start()
    try:
        assert isinstance(stage.receipt(), Found)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * MEBIBYTE
    assert "sent more than" in str(stage.chain.nodes[0].last_failure)
    assert stage.asked() == [1, 1]


def test_a_node_that_answers_again_is_back_without_making_anybody_wait(staged: Staged) -> None:
    stage = staged(plain(b"", 502), results(RECEIPT))
    first = stage.servers[0]
    for _ in range(3):
        stage.receipt()
    first.behaviours, first.chain_id = [silent], None
    stage.pass_s(8)
    started_s = time.monotonic()
    assert isinstance(stage.receipt(), Found)
    assert time.monotonic() - started_s < 0.25, "it is tried beside the question"
    until(lambda: stage.chain.nodes[0].failures == 4, what="the try failed")
    first.behaviours, first.chain_id = [results(RECEIPT)], 1
    stage.pass_s(8)
    stage.receipt()
    assert not stage.chain.nodes[0].is_healthy, "the second rest is longer"
    stage.pass_s(60)
    stage.receipt()
    until(lambda: stage.chain.nodes[0].is_healthy, what="the node is back")
    until(lambda: [what for what, _ in stage.told] == ["node-out", "node-back"], what="both are told")
    answered = stage.asked()[1]
    assert isinstance(stage.receipt(), Found)
    assert stage.asked()[1] == answered, "the preferred node is preferred again"


def test_where_all_rest_the_least_bad_one_is_still_asked(staged: Staged) -> None:
    stage = staged(plain(b"", 502), plain(b"", 503))
    for _ in range(3):
        assert isinstance(stage.receipt(), Unknown)
    assert [node.is_healthy for node in stage.chain.nodes] == [False, False]
    stage.servers[0].behaviours = stage.servers[1].behaviours = [results(RECEIPT)]
    assert isinstance(stage.receipt(), Found)
    assert sorted(node.is_healthy for node in stage.chain.nodes) == [False, True]


def test_only_the_last_node_is_waited_for(staged: Staged) -> None:
    stage = staged(plain(b"", 502), plain(b"", 502))
    assert isinstance(stage.receipt(), Unknown)
    assert stage.asked() == [1, QUICK.attempts_max]
    assert len(stage.naps_s) == QUICK.attempts_max - 1


def test_an_error_is_a_sign_of_life(staged: Staged) -> None:
    stage = staged(error("missing trie node"), error("missing trie node"))
    for _ in range(5):
        assert isinstance(stage.receipt(), Unknown)
    assert all(node.is_healthy for node in stage.chain.nodes)
    assert stage.told == []


# Broadcasts


def outcomes(stage: Stage, raws: Sequence[bytes] = RAWS) -> list[str]:
    return [answer.outcome.value for answer in stage.chain.broadcast(raws)]


def test_a_broadcast_reaches_every_node(staged: Staged) -> None:
    stage = staged(results(*HASHES), results(*HASHES), results(*HASHES))
    assert outcomes(stage) == ["accepted", "accepted"]
    until(lambda: stage.asked() == [1, 1, 1], what="all were asked")
    sent = [[call["params"] for call in server.requests[0]] for server in stage.servers]
    assert sent == [[["0x" + raw.hex()] for raw in RAWS]] * 3


def test_one_success_is_success(staged: Staged) -> None:
    stage = staged(error("internal error"), plain(b"", 502), results(*HASHES))
    assert outcomes(stage) == ["accepted", "accepted"]
    assert stage.told == []


def test_each_transaction_has_an_answer_of_its_own(staged: Staged) -> None:
    def first_only(request: Any) -> Any:
        refused = {"id": request[1]["id"], "error": {"code": -32000, "message": "nonce too low"}}
        return [{"id": request[0]["id"], "result": HASHES[0]}, refused]

    stage = staged(first_only, error("insufficient funds for gas * price + value"))
    answers = stage.chain.broadcast(RAWS)
    assert [answer.outcome.value for answer in answers] == ["accepted", "nonce_too_low"]
    assert answers[1].detail == f"{stage.servers[0].host}: nonce too low"


@pytest.mark.parametrize("dead", [silent, lambda _: Http(hang_up=True)], ids=["silent", "hangs up"])
def test_a_dead_node_delays_no_broadcast(staged: Staged, dead: Behaviour) -> None:
    def hung(request: Any) -> Any:
        time.sleep(1.5)
        return dead(request)

    stage = staged(hung, results(*HASHES), limits=PATIENT)
    started_s = time.monotonic()
    assert outcomes(stage) == ["accepted", "accepted"]
    assert time.monotonic() - started_s < 1.0


def test_a_node_that_may_have_it_outweighs_a_refusal(staged: Staged) -> None:
    stage = staged(error("txpool is full"), lambda _: Http(hang_up=True))
    assert outcomes(stage) == ["unknown", "unknown"]


def test_a_resting_node_is_not_sent_to_and_has_no_say(staged: Staged) -> None:
    stage = staged(plain(b"", 502), error("txpool is full"))
    assert outcomes(stage) == ["unknown", "unknown"]
    for _ in range(2):
        outcomes(stage)
    assert outcomes(stage) == ["not_now", "not_now"]
    assert stage.asked() == [3, 4]


def test_a_node_of_another_chain_is_never_sent_anything(staged: Staged) -> None:
    stage = staged(results(RECEIPT), results(*HASHES))
    foreign = stage.servers[0]
    foreign.chain_id = 5
    list(stage.chain.node_chain_ids())
    assert outcomes(stage) == ["accepted", "accepted"]
    assert foreign.requests == []
    assert stage.chain.nodes[0].last_failure == "is on chain 5, not on 1"
    stage.servers[1].chain_id = 5
    list(stage.chain.node_chain_ids())
    answers = stage.chain.broadcast(RAWS)
    assert {answer.outcome for answer in answers} == {BroadcastOutcome.UNKNOWN}
    assert "is on chain 5" in answers[0].detail


def test_a_refusal_beside_a_success_is_told_and_changes_nothing(staged: Staged) -> None:
    stage = staged(results(*HASHES), error(f"exceeds block gas limit, says {SECRET}"))
    assert outcomes(stage) == ["accepted", "accepted"]
    ((what, detail),) = stage.told
    assert (what, detail) == (
        "broadcast-disputed",
        f"{stage.servers[1].host} refused what another node took: exceeds block gas limit, says …",
    )


def test_s_28_a_provider_with_a_fee_cap_of_its_own_is_told_and_the_next_one_takes_it(staged: Staged) -> None:
    words = "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)"
    stage = staged(error(words), results(*HASHES))
    assert outcomes(stage) == ["accepted", "accepted"]
    assert stage.asked() == [1, 1], "no loop"
    assert stage.told == [("provider-fee-cap", f"{stage.servers[0].host}: {words}")]
    stage.servers[1].behaviours = [error(words)]
    assert outcomes(stage) == ["fee_capped", "fee_capped"]
    assert stage.asked() == [2, 2]


@pytest.mark.parametrize("other", [lambda _: Http(hang_up=True), error("something that nobody has heard before")])
def test_s_28_a_fee_cap_is_told_although_another_node_may_have_it(staged: Staged, other: Behaviour) -> None:
    words = "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)"
    stage = staged(other, error(words))
    answer = stage.chain.broadcast(RAWS)[0]
    assert (answer.outcome, answer.fee_cap) == (BroadcastOutcome.UNKNOWN, f"{stage.servers[1].host}: {words}")
    assert "provider-fee-cap" in [what for what, _ in stage.told]


# How answers become one


def test_every_outcome_has_its_rank() -> None:
    assert set(RANK) == set(BroadcastOutcome)


@given(said=st.lists(st.sampled_from(BroadcastOutcome), min_size=1, max_size=5))
def test_the_combined_answer(said: list[BroadcastOutcome]) -> None:
    offers = [Offered(f"https://{number}", [BroadcastAnswer(outcome)]) for number, outcome in enumerate(said)]
    (answer,) = combined(offers)
    assert answer.outcome in said
    if IN_A_POOL & set(said):
        assert answer.outcome in IN_A_POOL
    elif BroadcastOutcome.UNKNOWN in said:
        assert answer.outcome in {BroadcastOutcome.UNKNOWN, BroadcastOutcome.NONCE_TOO_LOW}, "no no, while a node may have it"
    is_hidden = BroadcastOutcome.FEE_CAPPED in said and answer.outcome is BroadcastOutcome.UNKNOWN
    elsewhere = {BroadcastOutcome.UNDERPRICED, BroadcastOutcome.NOT_NOW, BroadcastOutcome.INSUFFICIENT_FUNDS}
    assert (answer.fee_cap is not None) == (is_hidden and not elsewhere & set(said))
    for other in itertools.permutations(offers):
        assert combined(other)[0].outcome is answer.outcome


def test_a_courier_works_in_order_and_takes_on_only_so_much() -> None:
    courier, done = Courier("node"), list[int]()
    gate = [True]

    def work(number: int) -> int:
        until(lambda: not gate[0], what="the gate is open")
        done.append(number)
        return number

    futures = [courier.give(partial(work, number)) for number in range(JOBS_MAX + 5)]
    assert futures[-1] is None
    gate[0] = False
    taken = [future for future in futures if future]
    assert [future.result(5) for future in taken] == done == list(range(len(taken)))
    failing = courier.give(lambda: 1 // 0)
    assert failing is not None
    assert isinstance(failing.exception(5), ZeroDivisionError)
    courier.close()
    courier.close()
