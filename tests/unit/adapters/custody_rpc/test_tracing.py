"""What contracts paid, from both dialects of traces: the same story told in each, and what is no story is not believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from custody_core.domain.chain import Block, BlockTransaction, Hash, Header
from custody_core.ports import Absent, Found, Unknown
from custody_rpc import Limits, Resting, RpcChain, Waiting
from custody_rpc.tracing import ASKED_AGAIN_AFTER_S, BELIEVED_AFTER_S, BLOCKS_PER_BATCH_MAX, TIMEOUTS_MAX
from tests.unit.adapters.custody_rpc.rude_server import Behaviour, Http, RudeServer, error, plain, results

PAYER, CONTRACT, OTHER, OURS = ("0x" + digits * 20 for digits in ("aa", "cc", "dd", "11"))
PRECOMPILE = "0x" + "00" * 19 + "04"
HASHES = [Hash("0x" + f"{number:064x}") for number in range(1, 10)]
BLOCK_HASH, OTHER_HASH = Hash("0x" + "bb" * 32), Hash("0x" + "0b" * 32)

NO_METHOD = error("the method trace_block does not exist/is not available", -32601)


def raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def block(transactions: int = 1, *, number: int = 16, own: Hash = BLOCK_HASH) -> Block:
    sent = [BlockTransaction(hash_, raw(PAYER), raw(CONTRACT), 0, 9) for hash_ in HASHES[:transactions]]
    return Block(Header(number, own, OTHER_HASH, datetime(2025, 1, 1, tzinfo=UTC)), sent)


# A story, told in both dialects


@attrs.frozen
class Told:
    """A call, in neither dialect."""

    kind: str = "call"
    sender: str = CONTRACT
    to: str = OURS
    value: int = 5
    error: str | None = None
    below: tuple[Told, ...] = ()


def flat(call: Told, hash_: str = HASHES[0], place: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """As `trace_block` tells it."""
    action: dict[str, Any] = {"from": call.sender, "to": call.to, "value": hex(call.value), "gas": "0x1", "input": "0x"}
    type_ = "call"
    if call.kind == "create":
        type_, action = "create", {"from": call.sender, "value": hex(call.value), "init": "0x", "gas": "0x1"}
    elif call.kind == "selfdestruct":
        type_, action = "suicide", {"address": call.sender, "balance": hex(call.value), "refundAddress": call.to}
    else:
        action["callType"] = call.kind
    trace = {"action": action, "blockHash": BLOCK_HASH, "blockNumber": 16, "transactionHash": hash_, "transactionPosition": 0}
    trace |= {
        "traceAddress": list(place),
        "type": type_,
        "subtraces": len(call.below),
        "result": {"gasUsed": "0x0", "output": "0x"},
    }
    if call.error:
        trace |= {"error": call.error, "result": None}
    return [trace, *(each for index, below in enumerate(call.below) for each in flat(below, hash_, (*place, index)))]


def nested(call: Told) -> dict[str, Any]:
    """As `callTracer` tells it."""
    frame = {"type": call.kind.upper(), "from": call.sender, "to": call.to, "gas": "0x0", "gasUsed": "0x0", "input": "0x"}
    if call.kind != "staticcall":
        frame["value"] = hex(call.value)
    if call.error:
        frame |= {"error": call.error}
    return frame | ({"calls": [nested(below) for below in call.below]} if call.below else {})


def tells_flat(*stories: Told) -> Behaviour:
    return results([each for hash_, story in zip(HASHES, stories, strict=False) for each in flat(story, hash_)])


def tells_nested(*stories: Told) -> Behaviour:
    answer = [{"txHash": hash_, "result": nested(story)} for hash_, story in zip(HASHES, stories, strict=False)]

    def behave(request: Any) -> Any:
        return (results(answer) if request["method"] == "debug_traceBlockByHash" else NO_METHOD)(request)

    return behave


@attrs.define
class Stage:
    chain: RpcChain
    servers: list[RudeServer]
    clock: list[float]

    def values(self, of: Block) -> list[int]:
        (answer,) = self.chain.internal_transfers([of])
        assert isinstance(answer, Found), answer
        return [transfer.value for transfer in answer.value]

    def asked(self) -> list[Any]:
        return [each["method"] for server in self.servers for each in server.requests]


Staged = Callable[..., Stage]


@pytest.fixture
def staged() -> Iterator[Staged]:
    with ExitStack() as closing:

        def stage(*behaviours: Behaviour, limits: Limits | None = None) -> Stage:
            servers = [closing.enter_context(RudeServer(behaviour, chain_id=1)) for behaviour in behaviours]
            clock = [0.0]
            chain = RpcChain(
                1,
                [server.url for server in servers],
                limits=limits or Limits(attempts_max=1),
                waiting=Waiting(sleep=lambda _: None, monotonic_s=lambda: clock[0], chance=lambda: 0.5),
                resting=Resting(failures_max=1),
            )
            closing.callback(chain.close)
            return Stage(chain, servers, clock)

        yield stage


PAID = Told()
STORIES: dict[str, tuple[list[Told], list[int]]] = {
    "nothing but the transaction": ([Told(below=())], []),
    "a contract pays": ([Told(below=(PAID,))], [5]),
    "two equal payments": ([Told(below=(PAID, PAID))], [5, 5]),
    "in the order in which they began": (
        [Told(below=(Told(value=1, below=(Told(value=2), Told(value=3))), Told(value=4)))],
        [1, 2, 3, 4],
    ),
    "more than ten calls beside each other": ([Told(below=tuple(Told(value=n + 1) for n in range(12)))], list(range(1, 13))),
    "of nothing": ([Told(below=(Told(value=0), Told(value=7)))], [7]),
    "to a precompiled contract": ([Told(below=(Told(to=PRECOMPILE, value=6), PAID))], [6, 5]),
    "D-13: reverted, with a call below that shows no error": (
        [Told(below=(Told(to=OTHER, error="Reverted", below=(PAID,)), Told(value=7)))],
        [7],
    ),
    "the call itself fails": ([Told(below=(Told(error="out of gas"), Told(value=7)))], [7]),
    "the transaction fails": ([Told(error="execution reverted", below=(PAID,))], []),
    "a delegated call shows its caller's value": ([Told(below=(Told(kind="delegatecall", below=(Told(value=7),)),))], [7]),
    "a call of foreign code on one's own account": ([Told(below=(Told(kind="callcode"), Told(value=7)))], [7]),
    "a static call": ([Told(below=(Told(kind="staticcall", value=0), Told(value=7)))], [7]),
    "a creation with value, whose constructor pays": ([Told(below=(Told(kind="create", below=(Told(value=7),)),))], [7]),
    "D-14: a self-destruction": ([Told(below=(Told(kind="selfdestruct"), Told(value=7)))], [7]),
    "several transactions": (
        [Told(below=(PAID,)), Told(), Told(error="Reverted", below=(PAID,)), Told(below=(Told(value=7),))],
        [5, 7],
    ),
    "no transactions": ([], []),
}


@pytest.mark.parametrize("tells", [tells_flat, tells_nested])
@pytest.mark.parametrize("story", STORIES)
def test_d_12_what_contracts_paid_is_read_from_either_dialect(staged: Staged, tells: Callable[..., Behaviour], story: str) -> None:
    calls, values = STORIES[story]
    stage = staged(tells(*calls))
    assert stage.values(block(len(calls))) == values


@pytest.mark.parametrize("tells", [tells_flat, tells_nested])
def test_who_paid_whom_in_which_transaction(staged: Staged, tells: Callable[..., Behaviour]) -> None:
    stage = staged(tells(Told(), Told(below=(Told(sender=CONTRACT.upper().replace("0X", "0x")),))))
    (answer,) = stage.chain.internal_transfers([block(2)])
    assert isinstance(answer, Found)
    (transfer,) = answer.value
    assert (transfer.transaction_hash, transfer.sender, transfer.recipient) == (HASHES[1], raw(CONTRACT), raw(OURS))


def test_calls_in_another_order_are_put_into_theirs(staged: Staged) -> None:
    story = Told(
        below=(Told(value=1, below=(Told(value=2),)), Told(value=3, error="Reverted", below=(Told(value=4),)), Told(value=5))
    )
    stage = staged(results(list(reversed(flat(story)))))
    assert stage.values(block()) == [1, 2, 5]


def test_the_rewards_of_a_block_are_no_transfers(staged: Staged) -> None:
    reward = {"type": "reward", "action": {"author": OURS, "rewardType": "block", "value": "0x5"}, "blockHash": BLOCK_HASH}
    stage = staged(results([*flat(Told(below=(PAID,))), reward | {"traceAddress": [], "transactionHash": None}]))
    assert stage.values(block()) == [5]


def test_a_strangers_deep_calls_are_read(staged: Staged) -> None:
    deepest = 1024
    calls = f'{{"type":"CALL","from":"{CONTRACT}","to":"{OURS}","value":"0x1","calls":['
    told = calls * deepest + "]}" * deepest
    body = '{"id":%d,"result":[{"txHash":"' + HASHES[0] + '","result":' + told + "}]}"

    def behave(request: Any) -> Any:
        return NO_METHOD(request) if request["method"] == "trace_block" else Http(((body % request["id"]).encode(),))

    assert staged(behave).values(block()) == [1] * (deepest - 1)


# What does not fit

MISFITS: dict[str, Behaviour] = {
    "null": results(None),
    "of another block": results([trace | {"blockHash": OTHER_HASH} for trace in flat(Told())]),
    "of no block": results([{**flat(Told())[0], "blockHash": None}]),
    "of nothing": results([]),
    "of a transaction that the block does not have": results([*flat(Told()), *flat(Told(), HASHES[5])]),
    "of no transaction": results([*flat(Told()), *flat(Told(), "")]),
    "without the transaction itself": results(flat(Told(below=(PAID,)))[1:]),
    "with a call that nobody made": results([*flat(Told()), *flat(PAID, place=(0, 1))]),
    "with a call twice": results([*flat(Told(below=(PAID,))), *flat(PAID, place=(0,))]),
    "with a value that is none": results([*flat(Told()), *flat(attrs.evolve(PAID, value=-5), place=(0,))]),
    "with half an address": results([*flat(Told()), *flat(attrs.evolve(PAID, to="0x11"), place=(0,))]),
}
ENTRY = {"txHash": HASHES[0], "result": nested(Told(below=(PAID,)))}
NESTED_MISFITS: dict[str, Any] = {
    "null": None,
    "too few": [],
    "too many": [ENTRY, ENTRY],
    "of another transaction": [{**ENTRY, "txHash": HASHES[1]}],
    "of another sender's": [{"result": {**nested(Told()), "from": OTHER}}],
    "of another value": [{"result": {**nested(Told(value=8)), "from": PAYER}}],
    "without a result": [{"txHash": HASHES[0]}],
    "with calls that are none": [{**ENTRY, "result": {**nested(Told()), "calls": ["CALL"]}}],
}


@pytest.mark.parametrize("answer", MISFITS.values(), ids=MISFITS)
def test_traces_that_do_not_fit_the_block_are_unknown(staged: Staged, answer: Behaviour) -> None:
    assert [type(each) for each in staged(answer).chain.internal_transfers([block()])] == [Unknown]


@pytest.mark.parametrize("answer", NESTED_MISFITS.values(), ids=NESTED_MISFITS)
def test_nested_traces_that_do_not_fit_the_block_are_unknown(staged: Staged, answer: Any) -> None:
    stage = staged(lambda request: (NO_METHOD if request["method"] == "trace_block" else results(answer))(request))
    assert [type(each) for each in stage.chain.internal_transfers([block()])] == [Unknown]


def test_nested_traces_without_hashes_are_known_by_sender_and_value(staged: Staged) -> None:
    answer = [{"result": {**nested(Told(value=9, below=(PAID,))), "from": PAYER}}]
    stage = staged(lambda request: (NO_METHOD if request["method"] == "trace_block" else results(answer))(request))
    assert stage.values(block()) == [5]


# What a node offers


def test_a_node_is_asked_in_the_dialect_that_it_has_shown(staged: Staged) -> None:
    stage = staged(tells_nested(Told(below=(PAID,))))
    for _ in range(2):
        assert stage.values(block()) == [5]
    assert stage.asked() == ["trace_block", "trace_block", "debug_traceBlockByHash", "debug_traceBlockByHash"]
    assert stage.servers[0].requests[-1]["params"] == [BLOCK_HASH, {"tracer": "callTracer"}]


@pytest.mark.parametrize(
    "refusal",
    [
        error("Method not found", -32601),
        error("no words that we know", -32601),
        error("Method trace_block is not supported", -32004),  # hardhat
        error("the method debug_traceBlockByHash does not exist/is not available"),
        error("Method not enabled", -32604),  # besu
        error("The method 'trace_block' is found but the namespace 'trace' is disabled for your endpoint."),  # nethermind
        error("trace_block is not available on the Free tier"),
        plain(b"{}", 403),
        plain(b"", 404),
    ],
)
def test_a_node_that_offers_none_says_so_and_is_asked_again_later(staged: Staged, refusal: Behaviour) -> None:
    stage = staged(refusal)
    for _ in range(3):
        assert stage.chain.internal_transfers([block()]) == [Absent()]
    assert stage.asked() == ["trace_block", "trace_block", "debug_traceBlockByHash", "debug_traceBlockByHash"]
    stage.clock[0] += ASKED_AGAIN_AFTER_S
    stage.servers[0].behaviours = [tells_flat(Told(below=(PAID,)))]
    assert stage.values(block()) == [5]


@pytest.mark.parametrize(
    "refusal", [plain(b'{"error":"response size exceeded"}', 400), plain(b"", 403), error("Method not found", -32601)]
)
@pytest.mark.parametrize("tells", [tells_flat, tells_nested])
def test_one_refusal_is_of_one_block_and_the_next_ones_are_asked_about(
    staged: Staged, tells: Callable[..., Behaviour], refusal: Behaviour
) -> None:
    told = tells(Told(below=(PAID,)))

    def behave(request: Any) -> Any:
        answer: Any = told(request)
        is_heavy = "result" in answer and request["params"][0] in {hex(17), OTHER_HASH}
        return refusal(request) if is_heavy else answer

    stage = staged(behave)
    assert stage.values(block()) == [5]
    for _ in range(3):
        assert [type(each) for each in stage.chain.internal_transfers([block(number=17, own=OTHER_HASH)])] == [Unknown]
        assert stage.values(block()) == [5]


@pytest.mark.parametrize("times", [1, 2])
def test_a_refusal_that_the_node_does_not_repeat_switches_nothing_off(staged: Staged, times: int) -> None:
    tells = tells_flat(Told(below=(PAID,)))
    stage = staged(tells)
    assert stage.values(block()) == [5]
    for _ in range(times):
        stage.servers[0].behaviours = [error("Method not found", -32601), tells]
        assert [type(each) for each in stage.chain.internal_transfers([block()])] == [Unknown]
    assert stage.values(block()) == [5]


def test_a_node_that_has_told_and_refuses_is_believed_after_a_minute(staged: Staged) -> None:
    tells, refuses = tells_flat(Told(below=(PAID,))), error("Method not found", -32601)
    stage = staged(tells)

    def answers_at(seconds: float, behaviour: Behaviour) -> type:
        stage.clock[0], stage.servers[0].behaviours = seconds, [behaviour]
        return type(stage.chain.internal_transfers([block()])[0])

    assert answers_at(0, tells) is Found
    assert answers_at(12, refuses) is answers_at(24, refuses) is Unknown
    assert answers_at(36, tells) is Found
    assert answers_at(80, refuses) is answers_at(80 + BELIEVED_AFTER_S - 1, refuses) is Unknown
    assert answers_at(80 + BELIEVED_AFTER_S, refuses) is answers_at(600, tells) is Absent
    assert answers_at(80 + BELIEVED_AFTER_S + ASKED_AGAIN_AFTER_S, tells) is Found


def test_of_several_blocks_one_that_is_told_refutes_that_the_method_is_missing(staged: Staged) -> None:
    def behave(request: Any) -> Any:
        first, second = request
        return [tells_flat(Told(below=(PAID,)))(first), error("Method not found", -32601)(second)]

    stage = staged(behave)
    answers = stage.chain.internal_transfers([block(), block(number=17, own=OTHER_HASH)])
    assert [type(each) for each in answers] == [Found, Unknown]
    assert len(stage.servers[0].requests) == 1


def test_a_node_that_does_not_know_the_tracer_offers_none(staged: Staged) -> None:
    other = [{"txHash": HASHES[0], "result": {"gas": 21_000, "failed": False, "returnValue": "", "structLogs": []}}]
    stage = staged(lambda request: (NO_METHOD if request["method"] == "trace_block" else results(other))(request))
    assert stage.chain.internal_transfers([block()]) == [Absent()]


@pytest.mark.parametrize(
    "trouble",
    [
        error("unknown block"),
        error("resource not found", -32001),
        error("Your app has exceeded its compute units per second capacity; upgrade for more", 429),
        error("daily request count exceeded, request rate limited", -32005),
        error("the method is not available at this rate", -32005),
        error("internal error"),
        plain(b"", 429),
        plain(b"", 502),
        plain(b"<html>"),
    ],
)
def test_trouble_is_no_word_about_what_a_node_offers(staged: Staged, trouble: Behaviour) -> None:
    stage = staged(trouble)
    assert [type(each) for each in stage.chain.internal_transfers([block()])] == [Unknown]
    stage.servers[0].behaviours = [tells_flat(Told(below=(PAID,)))]
    assert stage.values(block()) == [5]


@pytest.mark.parametrize(
    "hopeless",
    [
        error("required historical state unavailable (reexec=128)"),
        error("missing trie node 5e (path )"),
        error("execution timeout"),
        error("response too large"),
        plain(b'{"result":["' + b"x" * 5000 + b'"]}'),
    ],
)
def test_a_block_that_a_node_cannot_tell_of_has_no_traces_and_the_next_one_may(staged: Staged, hopeless: Behaviour) -> None:
    stage = staged(hopeless, limits=Limits(attempts_max=1, answer_bytes_max=4000))
    assert stage.chain.internal_transfers([block()]) == [Absent()]
    stage.servers[0].behaviours = [tells_flat(Told(below=(PAID,)))]
    stage.clock[0] += 1
    assert stage.values(block()) == [5]


def test_a_transaction_that_the_node_gives_up_on_leaves_its_block_without_traces(staged: Staged) -> None:
    answer = [{"txHash": HASHES[0], "error": "execution timeout"}]
    stage = staged(lambda request: (NO_METHOD if request["method"] == "trace_block" else results(answer))(request))
    assert stage.chain.internal_transfers([block()]) == [Absent()]


TIMEOUTS = {
    "geth and reth": error("request timed out", -32002),
    "besu": error("Timeout expired"),
    "nethermind": error("debug_traceBlockByHash request was canceled due to enabled timeout.", -32016),
    "erigon": error("execution aborted (timeout = 5s)"),
    "of a gateway in Go": error("context deadline exceeded"),
    "of a gateway": error("upstream request timeout", -32603),
    "of a provider": error("The request took too long to process", -32002),
    "of another": error("Unable to complete request at this time.", -32603),
}


@pytest.mark.parametrize("late", TIMEOUTS.values(), ids=TIMEOUTS)
def test_a_block_that_times_out_again_and_again_has_no_traces_and_the_next_one_may(staged: Staged, late: Behaviour) -> None:
    told = tells_flat(Told(below=(PAID,)))
    stage = staged(lambda request: (late if request["params"][0] == hex(17) else told)(request))
    heavy = block(number=17, own=OTHER_HASH)
    answers = [stage.chain.internal_transfers([heavy])[0] for _ in range(TIMEOUTS_MAX)]
    assert [type(each) for each in answers] == [Unknown] * (TIMEOUTS_MAX - 1) + [Absent]
    assert stage.values(block()) == [5]


def test_a_block_that_times_out_now_and_then_is_waited_for(staged: Staged) -> None:
    late = error("request timed out", -32002)
    stage = staged(late)
    for _ in range(2 * TIMEOUTS_MAX):
        stage.servers[0].behaviours = [late, error("internal error")]
        assert [type(stage.chain.internal_transfers([block()])[0]) for _ in range(2)] == [Unknown, Unknown]


def test_other_blocks_that_are_asked_about_meanwhile_do_not_make_a_timeout_forgotten(staged: Staged) -> None:
    told, late = tells_flat(Told(below=(PAID,))), error("request timed out", -32002)
    stage = staged(lambda request: (late if request["params"][0] == hex(17) else told)(request))
    answers = []
    for _ in range(TIMEOUTS_MAX):
        answers.append(stage.chain.internal_transfers([block(number=17, own=OTHER_HASH)])[0])
        (witness,) = stage.chain.witnesses
        assert [type(each) for each in witness.internal_transfers([block()])] == [Found]
    assert answers[-1] == Absent()


def test_of_blocks_that_time_out_together_each_is_asked_for_alone(staged: Staged) -> None:
    def behave(request: Any) -> Any:
        if isinstance(request, list):
            return error("request timed out", -32002)(request)
        return tells_flat(Told(below=(PAID,)))(request)

    stage = staged(behave)
    answers = stage.chain.internal_transfers([block(), block()])
    assert [type(each) for each in answers] == [Found, Found]


@pytest.mark.parametrize("slow", [plain(b"upstream timed out", 504), lambda _: Http(hang_up=True), error("internal error", -32603)])
def test_silence_about_a_block_is_no_word_about_its_traces(staged: Staged, slow: Behaviour) -> None:
    stage = staged(slow)
    for _ in range(2 * TIMEOUTS_MAX):
        assert [type(each) for each in stage.chain.internal_transfers([block()])] == [Unknown]


def test_of_blocks_that_are_too_long_together_each_is_asked_for_alone(staged: Staged) -> None:
    told = {"0x10": flat(Told(below=(PAID,))), "0x11": [{"x": "y" * 3000}], "0x12": []}

    def behave(request: Any) -> Any:
        calls = request if isinstance(request, list) else [request]
        return results(*(told[call["params"][0]] for call in calls))(request)

    stage = staged(behave, limits=Limits(attempts_max=1, answer_bytes_max=3000))
    answers = stage.chain.internal_transfers([block(), block(number=17, own=OTHER_HASH), block(0, number=18)])
    assert [type(each) for each in answers] == [Found, Absent, Found]


def test_blocks_are_asked_for_in_small_batches(staged: Staged) -> None:
    count = BLOCKS_PER_BATCH_MAX + 1
    stage = staged(lambda request: results(*([[]] * (len(request) if isinstance(request, list) else 1)))(request))
    assert list(stage.chain.internal_transfers([block(0, number=number) for number in range(count)])) == [Found([])] * count
    assert [len(request) for request in stage.servers[0].requests if isinstance(request, list)] == [BLOCKS_PER_BATCH_MAX]


# Several nodes


def test_the_first_node_that_has_traces_is_believed(staged: Staged) -> None:
    stage = staged(error("Method not found", -32601), tells_nested(Told(below=(PAID,))))
    assert stage.values(block()) == [5]


def test_where_one_has_none_and_another_is_silent_nothing_is_concluded(staged: Staged) -> None:
    stage = staged(error("Method not found", -32601), plain(b"", 502))
    assert [type(each) for each in stage.chain.internal_transfers([block()])] == [Unknown]
    assert stage.chain.internal_transfers([block()]) == [Absent()], "it rests, and has never told of any"


def test_while_a_node_that_has_told_is_away_nothing_is_concluded(staged: Staged) -> None:
    stage = staged(error("Method not found", -32601), tells_flat(Told(below=(PAID,))))
    assert stage.values(block()) == [5]
    stage.servers[1].behaviours = [plain(b"", 502)]
    for _ in range(3):
        assert [type(each) for each in stage.chain.internal_transfers([block()])] == [Unknown]
    assert not stage.chain.nodes[1].is_healthy
