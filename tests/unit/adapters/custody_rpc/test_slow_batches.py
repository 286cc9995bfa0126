"""Batches that take too long: asked for in parts where the node lives, and at a bounded cost where it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from custody_core.domain.chain import Block, BlockTransaction, Hash, Header
from custody_core.ports import Answer, BroadcastOutcome, Found, Unknown
from custody_rpc import Limits, Resting, RpcChain, Waiting
from custody_rpc.pace import STEADY_BATCHES, Pace
from tests.unit.adapters.custody_rpc.rude_server import Behaviour, Http, RudeServer

SILENCE_MAX_S = 0.3
COUNT = 20
"""One full batch of blocks."""


def hash_of(number: int) -> Hash:
    return Hash(f"0x{number + 1:064x}")


def one(call: Any) -> dict[str, Any]:
    number = int(call["params"][0], 16)
    fields = {"number": hex(number), "hash": hash_of(number), "parentHash": hash_of(number - 1)}
    return {"jsonrpc": "2.0", "id": call["id"], "result": {**fields, "timestamp": "0x1", "transactions": []}}


def answered(request: Any) -> Any:
    return [one(call) for call in request] if isinstance(request, list) else one(request)


def size_of(request: Any) -> int:
    return len(request) if isinstance(request, list) else 1


def silence(_: Any) -> Http:
    time.sleep(3 * SILENCE_MAX_S)
    return Http(hang_up=True)


def dripping(_: Any) -> Http:
    def chunks() -> Any:
        for _ in range(40):
            time.sleep(0.05)
            yield b" "

    return Http(chunks(), length=1000)


TOO_SLOW: dict[str, Behaviour] = {
    "silence": silence,
    "a gateway that waits no longer": lambda _: Http((b"upstream timed out",), 504),
    "a gateway whose node broke off": lambda _: Http((b"",), 502),
    "half an answer": lambda _: Http((b'[{"id":1,"resu',), length=5000),
    "an answer that drips": dripping,
    "hanging up": lambda _: Http(hang_up=True),
}


def slow_above(size_max: int, how: Behaviour, sizes: list[int]) -> Behaviour:
    def behave(request: Any) -> Any:
        sizes.append(size_of(request))
        return (how if size_of(request) > size_max else answered)(request)

    return behave


@attrs.define
class Stage:
    chain: RpcChain
    told: list[tuple[str, str]]

    def blocks(self, count: int = COUNT) -> Sequence[Answer[Any]]:
        return self.chain.blocks(range(1, count + 1))


def with_chain(*urls: str, test: Callable[[Stage], None], attempts_max: int = 1) -> None:
    told: list[tuple[str, str]] = []
    chain = RpcChain(
        1,
        urls,
        limits=Limits(attempts_max=attempts_max, silence_max_s=SILENCE_MAX_S, answer_time_max_s=2 * SILENCE_MAX_S),
        waiting=Waiting(sleep=lambda _: None),
        resting=Resting(failures_max=2),
        trouble=lambda what, detail: told.append((what, detail)),
    )
    try:
        test(Stage(chain, told))
    finally:
        chain.close()


def is_read_whole(answers: Sequence[Answer[Any]]) -> bool:
    return [type(answer) for answer in answers] == [Found] * len(answers)


@pytest.mark.parametrize("how", TOO_SLOW.values(), ids=TOO_SLOW)
def test_r_17_a_batch_that_takes_too_long_is_asked_for_in_parts_and_harms_no_health(how: Behaviour) -> None:
    sizes: list[int] = []

    def test(stage: Stage) -> None:
        assert is_read_whole(stage.blocks(COUNT // 2))  # with no more than these, nothing is read ahead
        assert (stage.chain.nodes[0].is_healthy, stage.chain.nodes[0].failures) == (True, 0)

    with RudeServer(slow_above(3, how, sizes), chain_id=1) as server:
        with_chain(server.url, test=test)
    assert sizes[:5] == [10, 1, 5, 1, 2]
    assert max(sizes[5:]) <= 3


def test_the_size_that_worked_is_remembered() -> None:
    sizes: list[int] = []

    def test(stage: Stage) -> None:
        for _ in range(2):  # a batch that is small anyway halves what the next ones get, and no more
            assert is_read_whole(stage.blocks(COUNT // 2))
            sizes.clear()
        assert is_read_whole(stage.blocks(COUNT // 2))
        assert max(sizes) <= 3, "none was too slow again"

    with RudeServer(slow_above(3, TOO_SLOW["hanging up"], sizes), chain_id=1) as server:
        with_chain(server.url, test=test)


@pytest.mark.parametrize("attempts_max", [1, 3])
def test_a_dead_node_costs_one_wait_more_and_falls_out(attempts_max: int) -> None:
    sizes: list[int] = []

    def test(stage: Stage) -> None:
        stage.chain.node_chain_id()
        for _ in range(2):
            sizes.clear()
            answers = stage.blocks(COUNT // 2)
            assert [type(answer) for answer in answers] == [Unknown] * (COUNT // 2)
            assert sizes == [10] + [1] * attempts_max
        assert not stage.chain.nodes[0].is_healthy
        assert [what for what, _ in stage.told] == ["node-out"]

    with RudeServer(slow_above(0, TOO_SLOW["a gateway that waits no longer"], sizes), chain_id=1) as server:
        with_chain(server.url, test=test, attempts_max=attempts_max)


def test_batches_that_are_on_their_way_together_and_too_slow_harm_no_health() -> None:
    sizes: list[int] = []

    def test(stage: Stage) -> None:
        assert is_read_whole(stage.blocks(4 * COUNT))
        assert stage.told == []
        assert stage.chain.nodes[0].is_healthy

    with RudeServer(slow_above(5, TOO_SLOW["hanging up"], sizes), chain_id=1) as server:
        with_chain(server.url, test=test)


def test_what_may_be_sent_only_once_is_not_sent_in_parts() -> None:
    sizes: list[int] = []

    def test(stage: Stage) -> None:
        answers = stage.chain.broadcast([b"\x02one", b"\x02two"])
        assert [answer.outcome for answer in answers] == [BroadcastOutcome.UNKNOWN] * 2
        assert sizes == [2]

    with RudeServer(slow_above(1, TOO_SLOW["hanging up"], sizes), chain_id=1) as server:
        with_chain(server.url, test=test)


def test_what_is_wrong_with_the_first_alone_keeps_no_other_from_being_asked() -> None:
    def behave(request: Any) -> Any:
        if size_of(request) > 3:
            return Http(hang_up=True)
        calls = request if isinstance(request, list) else [request]
        if calls[0]["params"][0] == "0x1":
            return Http((b"",), 403)
        return answered(request)

    def test(stage: Stage) -> None:
        assert [type(answer) for answer in stage.blocks(COUNT // 2)] == [Unknown] + [Found] * (COUNT // 2 - 1)

    with RudeServer(behave, chain_id=1) as server:
        with_chain(server.url, test=test)


def traced(call: Any) -> dict[str, Any]:
    number = int(call["params"][0], 16)
    action = {"from": f"0x{1:040x}", "to": f"0x{2:040x}", "value": "0x0", "callType": "call"}
    trace = {"type": "call", "action": action, "blockHash": hash_of(number), "transactionHash": hash_of(1000 + number)}
    return {"jsonrpc": "2.0", "id": call["id"], "result": [trace]}


def block_of(number: int) -> Block:
    header = Header(number, hash_of(number), hash_of(number - 1), datetime(2025, 1, 1, tzinfo=UTC))
    return Block(header, [BlockTransaction(hash_of(1000 + number), bytes(20), bytes(20), 0, 1)])


@pytest.mark.parametrize("heavy", [1, 2, 3])
def test_a_block_that_takes_too_long_to_trace_hides_no_other_ones_and_makes_no_other_batch_smaller(heavy: int) -> None:
    sizes: list[int] = []

    def behave(request: Any) -> Any:
        calls = request if isinstance(request, list) else [request]
        if calls[0]["method"] != "trace_block":
            sizes.append(size_of(request))
            return answered(request)
        if heavy in [int(call["params"][0], 16) for call in calls]:
            return Http(hang_up=True)
        return [traced(call) for call in calls] if isinstance(request, list) else traced(request)

    def test(stage: Stage) -> None:
        told = stage.chain.internal_transfers([block_of(number) for number in (1, 2, 3)])
        assert [type(each) for each in told] == [Unknown if number == heavy else Found for number in (1, 2, 3)]
        sizes.clear()
        assert is_read_whole(stage.blocks(COUNT))
        assert sizes[0] == COUNT

    with RudeServer(behave, chain_id=1) as server:
        with_chain(server.url, test=test)


def test_a_size_that_took_too_long_is_not_tried_again_soon() -> None:
    pace = Pace()
    threads = [threading.Thread(target=pace.was_too_slow, args=(20,), kwargs={"of": 20}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pace.batch_max(20) == 10, "four at once say it once"
    for _ in range(STEADY_BATCHES - 1):
        pace.was_taken()
    assert pace.batch_max(20) == 10
    pace.was_taken()
    assert pace.batch_max(20) == 12


def test_a_small_batch_that_takes_too_long_makes_large_ones_no_smaller_than_half() -> None:
    pace = Pace()
    pace.was_too_slow(2, of=100)
    assert pace.batch_max(20) == 10
