"""What a node answers is compared with what it was asked, and a number is only what the specification makes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef, Hash
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC, U256_MAX, keccak256
from custody_core.domain.fees import FeeHistory
from custody_core.ports import Absent, AccountState, BlockTag, BroadcastOutcome, Call, Found, Reverted, Unknown
from custody_rpc import Limits, RpcChain
from tests.unit.adapters.custody_rpc.rude_server import SECRET, Http, RudeServer, error, results

SENDER, TOKEN = Address("0x" + "a1" * 20), Address("0x" + "c0" * 20)
BLOCK_HASH, OTHER_HASH = Hash("0x" + "bb" * 32), Hash("0x" + "0b" * 32)
TOPIC = "0x" + ERC20_TRANSFER_TOPIC.hex()
AT = BlockRef(16, BLOCK_HASH, datetime(2025, 1, 1, tzinfo=UTC))


@attrs.frozen
class Stage:
    """A chain before a server."""

    server: RudeServer
    chain: RpcChain

    def plays(self, *behaviours: Any) -> RpcChain:
        self.server.behaviours = list(behaviours)
        return self.chain

    @property
    def asked(self) -> Any:
        return self.server.requests[-1]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with RudeServer(chain_id=1) as server:
        chain = RpcChain(1, [server.url], limits=Limits(attempts_max=1))
        assert chain.node_chain_id() == Found(1)
        server.chain_id = None  # what a node claims is asked and judged below, too
        yield Stage(server, chain)


def block(number: int = 16, *, own: str = BLOCK_HASH, parent: str = OTHER_HASH, **changes: object) -> dict[str, object]:
    fields = {
        "number": hex(number),
        "hash": own,
        "parentHash": parent,
        "timestamp": "0x67748580",
        "logsBloom": "0x" + "00" * 256,
        "transactions": [],
        "size": "0x1",
    }
    return {**fields, **changes}


def transaction(**changes: object) -> dict[str, object]:
    fields = {"hash": OTHER_HASH, "from": SENDER, "to": None, "nonce": "0x0", "value": "0x1", "input": "0x", "type": "0x7e"}
    return {**fields, **changes}


def log(**changes: object) -> dict[str, object]:
    fields = {
        "blockHash": BLOCK_HASH,
        "transactionHash": OTHER_HASH,
        "logIndex": "0x0",
        "address": TOKEN.upper().replace("0X", "0x"),
        "topics": [TOPIC],
        "data": "0x",
        "removed": False,
    }
    return {**fields, **changes}


NO_NUMBERS = [
    "",
    "0x",
    "1",
    "16",
    "-0x1",
    "0x-1",
    "+0x1",
    "0x_1",
    "0x1_0",
    " 0x1",
    "0x1 ",
    "0xg",
    "0X1",
    "0x٣",
    "0x1.0",
    hex(U256_MAX + 1),
]


@pytest.mark.parametrize(
    "syncing", [{"startingBlock": "0x0", "currentBlock": "0x10", "highestBlock": "0xff"}, {"isSyncing": 1}, True, "0x10"]
)
def test_r_15_the_head_of_a_node_that_is_still_syncing_is_not_taken(stage: Stage, syncing: object) -> None:
    answer = stage.plays(results(syncing), results(block())).synced_head()
    assert isinstance(answer, Unknown)
    assert "is still syncing" in answer.reason


@pytest.mark.parametrize(
    "said",
    [results(False), results(None), error("the method eth_syncing does not exist", -32601), lambda _: Http(status=403)],
    ids=["false", "null", "no such method", "forbidden"],
)
def test_r_15_a_node_that_does_not_say_that_it_syncs_is_taken_at_its_head(stage: Stage, said: Any) -> None:
    answer = stage.plays(said, results(block())).synced_head()
    assert isinstance(answer, Found)
    assert answer.value.number == 16


@pytest.mark.parametrize("said", [lambda _: Http(status=502), lambda _: Http(hang_up=True)], ids=["502", "hang-up"])
def test_r_15_silence_about_syncing_is_no_word_that_all_is_well(stage: Stage, said: Any) -> None:
    assert isinstance(stage.plays(said, results(block())).synced_head(), Unknown)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_quantity_is_unknown(stage: Stage, text: str) -> None:
    assert isinstance(stage.plays(results(text)).node_chain_id(), Unknown)
    assert isinstance(stage.plays(results("0x1", text)).account(SENDER, 1), Unknown)
    assert isinstance(stage.plays(results(block(number=1, number_=0) | {"number": text})).header(1), Unknown)


@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, None])
def test_a_number_in_json_is_no_quantity(stage: Stage, value: object) -> None:
    assert isinstance(stage.plays(results(value)).node_chain_id(), Unknown)
    assert isinstance(stage.plays(results(value, "0x1")).account(SENDER, BlockTag.LATEST), Unknown)
    assert isinstance(stage.plays(results(value)).balances([(SENDER, None)], AT)[0], Unknown)


@pytest.mark.parametrize(("text", "number"), [("0x0", 0), ("0x00", 0), ("0xFf", 255), (hex(U256_MAX), U256_MAX)])
def test_quantities(stage: Stage, text: str, number: int) -> None:
    assert stage.plays(results("0x7", text)).account(SENDER, 16) == Found(AccountState(7, number))
    assert [call["params"] for call in stage.asked] == [[SENDER, "0x10"]] * 2


Ask = Callable[[RpcChain], Any]

QUESTIONS: dict[str, Ask] = {
    "eth_chainId": lambda chain: chain.node_chain_id(),
    "eth_getBlockByNumber": lambda chain: chain.header(16),
    "eth_getTransactionReceipt": lambda chain: chain.receipts([OTHER_HASH])[0],
    "eth_getBalance": lambda chain: chain.balances([(SENDER, None)], AT)[0],
    "eth_call": lambda chain: chain.balances([(SENDER, TOKEN)], AT)[0],
    "eth_estimateGas": lambda chain: chain.estimate_gas([Call(SENDER, TOKEN)])[0],
    "eth_feeHistory": lambda chain: chain.fee_history(),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("value", ["16", "-0x10", "0x-10", 16, -1, "", "0x"], ids=repr)
def test_r_12_a_number_in_another_form_is_a_fault_of_the_node_and_never_0(stage: Stage, ask: Ask, value: object) -> None:
    whole = {"number": value, "status": value, "gasUsed": value, "baseFeePerGas": [value], "reward": [[value] * 3]}
    for result in (value, {**block(), **whole}):
        assert isinstance(ask(stage.plays(results(result))), Absent if (ask, result) == (QUESTIONS["eth_call"], "0x") else Unknown)


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("eth_call", "0x" + "0" * 63),
        ("eth_getBlockByNumber", block(own="0x" + "b" * 63)),
        ("eth_getTransactionReceipt", {"transactionHash": "0x" + "0b" * 31 + "0"}),
    ],
)
def test_r_12_an_odd_number_of_digits_is_no_data(stage: Stage, method: str, result: object) -> None:
    assert isinstance(QUESTIONS[method](stage.plays(results(result))), Unknown)


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_r_12_a_reply_with_neither_result_nor_error_is_a_fault_of_the_node(stage: Stage, ask: Ask) -> None:
    def neither(request: Any) -> Any:
        return {"jsonrpc": "2.0", "id": request["id"]}

    answer = ask(stage.plays(neither))
    assert isinstance(answer, Unknown)
    assert "neither or both of result and error" in answer.reason


# Blocks


def test_a_header(stage: Stage) -> None:
    header = stage.plays(results(block())).header(16)
    assert isinstance(header, Found)
    assert header.value.ref == AT
    assert header.value.logs_bloom == bytes(256)
    assert stage.asked["params"] == ["0x10", False]


@pytest.mark.parametrize(
    "changes",
    [
        {"hash": None},
        {"hash": "0x" + "b" * 63},
        {"hash": "0x" + "b" * 65},
        {"hash": "0x" + "bb " * 20 + "bbbb"},
        {"hash": "bb" * 33},
        {"parentHash": "0x"},
        {"number": "0x11"},
        {"timestamp": "0xffffffffffffffff"},
        {"logsBloom": "0x00"},
        {"transactions": [OTHER_HASH]},
        {"transactions": None},
        {"transactions": [transaction(hash="0x1")]},
        {"transactions": [transaction(to="0x")]},
        {"transactions": [transaction(**{"from": "0x" + "a" * 39})]},
        {"transactions": [transaction(value="1000")]},
        {"transactions": [transaction(nonce=None)]},
    ],
)
def test_a_block_of_another_form_is_unknown(stage: Stage, changes: dict[str, object]) -> None:
    (answer,) = stage.plays(results({**block(), **changes})).blocks([16])
    assert isinstance(answer, Unknown), answer


@pytest.mark.parametrize("field", ["number", "hash", "parentHash", "timestamp", "transactions"])
def test_a_block_without_a_needed_field_is_unknown(stage: Stage, field: str) -> None:
    (answer,) = stage.plays(results({name: value for name, value in block().items() if name != field})).blocks([16])
    assert isinstance(answer, Unknown)


def test_a_block_with_a_transaction_of_a_type_not_yet_invented(stage: Stage) -> None:
    (answer,) = stage.plays(results(block(transactions=[transaction(), transaction(to=TOKEN)]))).blocks([16])
    assert isinstance(answer, Found)
    assert [found.recipient for found in answer.value.transactions] == [None, bytes.fromhex(TOKEN[2:])]


def test_blocks_of_two_forks_are_not_one_chain(stage: Stage) -> None:
    lower, upper, stray = block(16), block(17, own=OTHER_HASH, parent=BLOCK_HASH), block(17, own=OTHER_HASH, parent=OTHER_HASH)
    assert [type(answer) for answer in stage.plays(results(lower, upper)).headers([16, 17])] == [Found, Found]
    for ask in (stage.chain.headers, stage.chain.blocks):
        stage.plays(results(lower, stray))
        assert [type(answer) for answer in ask([16, 17])] == [Found, Unknown]


@pytest.mark.parametrize("text", ["Invalid params", "finalized block not found", "unknown block", "invalid argument 0: hex string"])
def test_a_node_without_the_final_tag(stage: Stage, text: str) -> None:
    assert stage.plays(error(text, -32602)).header(BlockTag.FINALIZED) == Absent()
    assert isinstance(stage.plays(error(text, -32602)).header(16), Unknown)


def test_a_busy_node_is_not_one_without_the_final_tag(stage: Stage) -> None:
    assert isinstance(stage.plays(error("rate limit reached")).header(BlockTag.FINALIZED), Unknown)


# Logs


def ask_logs(stage: Stage, *logs: object) -> Any:
    emitters = [bytes.fromhex(TOKEN[2:])]
    (answer,) = stage.plays(results(list(logs))).logs([BLOCK_HASH], topic=ERC20_TRANSFER_TOPIC, emitters=emitters)
    return answer


def test_logs_are_asked_for_by_hash_and_come_in_order_and_once(stage: Stage) -> None:
    one, two = log(logIndex="0x1", data="0x01"), log(logIndex="0xa", data="0x02")
    answer = ask_logs(stage, two, one, two)
    assert isinstance(answer, Found)
    assert [(found.log_index, found.data) for found in answer.value] == [(1, b"\x01"), (10, b"\x02")]
    assert stage.asked["params"] == [{"blockHash": BLOCK_HASH, "address": [TOKEN], "topics": [TOPIC]}]


@pytest.mark.parametrize(
    "changes",
    [
        {"blockHash": OTHER_HASH},
        {"blockHash": None},
        {"address": SENDER},
        {"topics": []},
        {"topics": [OTHER_HASH]},
        {"topics": [TOPIC, "0x01"]},
        {"transactionHash": None},
        {"logIndex": None},
        {"data": "0x123"},
        {"removed": True},
    ],
)
def test_a_log_that_does_not_fit_the_question_spoils_the_answer(stage: Stage, changes: dict[str, object]) -> None:
    assert isinstance(ask_logs(stage, log(logIndex="0x1"), log(**changes)), Unknown)


def test_two_logs_at_one_place_contradict_each_other(stage: Stage) -> None:
    assert isinstance(ask_logs(stage, log(), log(data="0x01")), Unknown)


def test_no_list_of_logs_is_not_an_empty_one(stage: Stage) -> None:
    emitters = [bytes.fromhex(TOKEN[2:])]
    for behaviour in (results(None), results({}), error("unknown block")):
        (answer,) = stage.plays(behaviour).logs([BLOCK_HASH], topic=ERC20_TRANSFER_TOPIC, emitters=emitters)
        assert isinstance(answer, Unknown)


# Receipts


@pytest.mark.parametrize(
    "changes",
    [
        {"status": None},
        {"status": "0x2"},
        {"transactionHash": BLOCK_HASH},
        {"blockHash": None},
        {"effectiveGasPrice": None},
        {"gasUsed": "21000"},
        {"logs": None},
        {"logs": [log(transactionHash=BLOCK_HASH)]},
        {"logs": [log(transactionHash=OTHER_HASH, blockHash=OTHER_HASH)]},
        {"logs": [log(transactionHash=OTHER_HASH, data="0x0")]},
    ],
)
def test_a_receipt_that_does_not_say_what_became_of_it_is_unknown(stage: Stage, changes: dict[str, object]) -> None:
    receipt = {
        "transactionHash": OTHER_HASH,
        "blockHash": BLOCK_HASH,
        "blockNumber": "0x10",
        "status": "0x0",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x7",
        "logs": [log(transactionHash=OTHER_HASH)],
    }
    (whole,) = stage.plays(results(receipt)).receipts([OTHER_HASH])
    assert isinstance(whole, Found)
    assert not whole.value.succeeded
    assert [each.emitter for each in whole.value.logs] == [bytes.fromhex(TOKEN[2:])]
    (answer,) = stage.plays(results({**receipt, **changes})).receipts([OTHER_HASH])
    assert isinstance(answer, Unknown)


# Balances


def test_balances_are_asked_for_by_hash(stage: Stage) -> None:
    word = "0x" + (9).to_bytes(32, "big").hex()
    answers = stage.plays(results("0x5", word)).balances([(SENDER, None), (SENDER, TOKEN)], AT)
    assert answers == [Found(5), Found(9)]
    ether, token = stage.asked
    at = {"blockHash": BLOCK_HASH, "requireCanonical": True}
    assert (ether["method"], ether["params"]) == ("eth_getBalance", [SENDER, at])
    assert (token["method"], token["params"]) == ("eth_call", [{"to": TOKEN, "data": "0x70a08231" + "00" * 12 + SENDER[2:]}, at])


def test_a_token_that_is_not_there_answers_nothing_and_that_is_not_0(stage: Stage) -> None:
    assert isinstance(stage.plays(results("0x")).balances([(SENDER, TOKEN)], AT)[0], Absent)


@pytest.mark.parametrize("word", ["0x09", "0x" + "00" * 64, "9"])
def test_a_token_that_answers_no_word_has_no_balance(stage: Stage, word: str) -> None:
    assert isinstance(stage.plays(results(word)).balances([(SENDER, TOKEN)], AT)[0], Unknown)


def test_a_node_that_knows_no_blocks_by_hash_is_asked_by_number(stage: Stage) -> None:
    old = error("invalid argument 1: json: cannot unmarshal object into Go value of type string")
    chain = stage.plays(old, results(block()), results("0x5"), results(block()))
    assert chain.balances([(SENDER, None)], AT) == [Found(5)]
    chain = stage.plays(old, results(block()), results("0x5"), results(block(own=OTHER_HASH)))
    assert isinstance(chain.balances([(SENDER, None)], AT)[0], Unknown)


def test_a_pruned_balance_is_unknown(stage: Stage) -> None:
    assert isinstance(stage.plays(error("missing trie node")).balances([(SENDER, None)], AT)[0], Unknown)


# Fees


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, FeeHistory(7, [(1, 2, 3)])),
        ({"reward": None}, FeeHistory(7, [])),
        ({"baseFeePerGas": []}, None),
        ({"baseFeePerGas": None}, None),
        ({"baseFeePerGas": ["0x1", "-0x1"]}, None),
        ({"baseFeePerGas": ["0x1", None]}, None),
        ({"reward": [["0x1", "0x2"]]}, None),
        ({"reward": [["0x1", "0x2", "-0x3"]]}, None),
        ({"reward": [None]}, None),
    ],
)
def test_fee_history(stage: Stage, changes: dict[str, object], expected: FeeHistory | None) -> None:
    whole = {"oldestBlock": "0x1", "baseFeePerGas": ["0x5", "0x7"], "gasUsedRatio": [0.5], "reward": [["0x1", "0x2", "0x3"]]}
    answer = stage.plays(results({**whole, **changes})).fee_history()
    assert isinstance(answer, Unknown) if expected is None else answer == Found(expected)
    assert stage.asked["params"][1:] == ["latest", [20, 50, 85]]


def test_no_fee_history(stage: Stage) -> None:
    assert isinstance(stage.plays(results(None)).fee_history(), Unknown)


def test_estimates(stage: Stage) -> None:
    call = Call(SENDER, TOKEN, 5, b"\xab")
    assert stage.plays(results("0x5208")).estimate_gas([call])[0] == Found(21_000)
    assert stage.asked["params"] == [{"from": SENDER, "to": TOKEN, "value": "0x5", "data": "0xab"}, "latest"]
    listed = Call(SENDER, TOKEN, 5, b"\xab", ((bytes.fromhex(TOKEN[2:]), (bytes(32),)),))
    stage.plays(results("0x5208")).estimate_gas([listed])
    assert stage.asked["params"][0]["accessList"] == [{"address": TOKEN.lower(), "storageKeys": ["0x" + "00" * 32]}]
    assert stage.plays(error("execution reverted: no", 3)).estimate_gas([call])[0] == Found(Reverted("no"))
    assert isinstance(stage.plays(results("0x0")).estimate_gas([call])[0], Unknown)
    assert isinstance(stage.plays(results(None)).estimate_gas([call])[0], Unknown)
    poor = stage.plays(error("insufficient funds for transfer")).estimate_gas([call])[0]
    assert isinstance(poor, Unknown)
    assert "insufficient funds" in poor.reason


# Broadcasts


def test_a_broadcast_is_accepted_only_under_its_own_hash(stage: Stage) -> None:
    raws = [b"\x02one", b"\x02two"]
    own = "0x" + keccak256(raws[0]).hex()
    answers = stage.plays(results(own, own)).broadcast(raws)
    assert [answer.outcome for answer in answers] == [BroadcastOutcome.ACCEPTED, BroadcastOutcome.UNKNOWN]
    assert [call["params"] for call in stage.asked] == [["0x" + raw.hex()] for raw in raws]
    (null,) = stage.plays(results(None)).broadcast(raws[:1])
    assert null.outcome is BroadcastOutcome.UNKNOWN


def test_the_text_of_a_refusal_is_shown_without_our_secrets(stage: Stage) -> None:
    (answer,) = stage.plays(error(f"nonce too low\n for {SECRET}")).broadcast([b"\x02"])
    assert answer.outcome is BroadcastOutcome.NONCE_TOO_LOW
    assert answer.detail == "nonce too low  for …"
