"""A node that answers, and wrongly, beside an honest one: the honest one's answer is used, and no two forks are mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import attrs
import pytest

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash, Receipt
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_core.ports import Absent, BlockTag, Found, Unknown
from custody_rpc import Limits, RpcChain
from custody_rpc.several import LATE_BLOCKS
from tests.unit.adapters.custody_rpc.rude_server import RudeServer

TRANSACTION = Hash("0x" + "77" * 32)
TOKEN = bytes.fromhex("aa" * 20)
SENDER = Address("0x" + "12" * 20)
REFUSED = {"code": -32601, "message": "no such thing here"}

Say = Callable[..., Any]


@attrs.define
class Node:
    """A node by what it says: method → its result from the parameters; an error where that has a `code`."""

    says: dict[str, Say]
    asked: list[str] = attrs.field(factory=list)

    def __call__(self, request: Any) -> Any:
        calls = request if isinstance(request, list) else [request]
        replies = [self._reply(call) for call in calls]
        return replies if isinstance(request, list) else replies[0]

    def _reply(self, call: Mapping[str, Any]) -> Any:
        self.asked.append(call["method"])
        say = self.says.get(call["method"])
        value = say(*call["params"]) if say else REFUSED
        key = "error" if isinstance(value, dict) and "code" in value else "result"
        return {"jsonrpc": "2.0", "id": call["id"], key: value}


Stand = Callable[..., RpcChain]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def stand(told: list[str]) -> Iterator[Stand]:
    with ExitStack() as closing:

        def before(*nodes: Node) -> RpcChain:
            servers = [closing.enter_context(RudeServer(node, chain_id=1)) for node in nodes]
            urls = [server.url for server in servers]
            chain = RpcChain(1, urls, limits=Limits(attempts_max=1), trouble=lambda what, _: told.append(what))
            closing.callback(chain.close)
            return chain

        yield before


def block_hash(number: int, fork: str = "a") -> Hash:
    return Hash("0x" + fork * 32 + f"{number:032x}")


def blocks_up_to(head: int, *, fork: str = "a", forks_at: int = 0, final: int = 0) -> dict[str, Say]:
    """A chain: fork `a` below `forks_at`, and `fork` from there on."""

    def own(number: int) -> Hash:
        return block_hash(number, fork if number >= forks_at else "a")

    def block(at: str, _full: bool) -> Any:
        number = {"latest": head, "finalized": final}.get(at)
        number = int(at, 16) if number is None else number
        if number > head:
            return None
        return {
            "number": hex(number),
            "hash": own(number),
            "parentHash": own(number - 1),
            "timestamp": "0x67748580",
            "logsBloom": None,
            "transactions": [],
        }

    return {"eth_getBlockByNumber": block}


def receipt(gas_used: int = 21_000, logs: list[Any] | None = None) -> dict[str, Any]:
    return {
        "transactionHash": TRANSACTION,
        "blockHash": block_hash(5),
        "blockNumber": "0x5",
        "status": "0x1",
        "gasUsed": hex(gas_used),
        "effectiveGasPrice": "0x3b9aca00",
        "logs": logs or [],
    }


def transfer_log() -> dict[str, Any]:
    return {
        "blockHash": block_hash(5),
        "transactionHash": TRANSACTION,
        "logIndex": "0x0",
        "address": "0x" + TOKEN.hex(),
        "topics": ["0x" + ERC20_TRANSFER_TOPIC.hex()],
        "data": "0x",
    }


# Receipts


def expensive(found: Receipt) -> str | None:
    return "it cost too much" if found.gas_used > 100_000 else None


def test_an_impossible_receipt_of_the_first_node_does_not_hide_the_second_ones(stand: Stand, told: list[str]) -> None:
    wrong, honest = (Node({"eth_getTransactionReceipt": lambda _, gas=gas: receipt(gas)}) for gas in (10**9, 21_000))
    (answer,) = stand(wrong, honest).receipts([TRANSACTION], doubt=expensive)
    assert isinstance(answer, Found)
    assert answer.value.gas_used == 21_000
    assert told == ["node-disagreement"]


def test_a_receipt_that_no_node_gets_right_is_unknown(stand: Stand, told: list[str]) -> None:
    wrong = Node({"eth_getTransactionReceipt": lambda _: receipt(10**9)})
    for nodes in ([wrong], [wrong, wrong], [wrong, Node({"eth_getTransactionReceipt": lambda _: REFUSED})]):
        (answer,) = stand(*nodes).receipts([TRANSACTION], doubt=expensive)
        assert isinstance(answer, Unknown)
    assert told == []


def test_r_08_a_receipt_that_the_first_node_does_not_have_is_the_second_ones(stand: Stand) -> None:
    late, honest = Node({"eth_getTransactionReceipt": lambda _: None}), Node({"eth_getTransactionReceipt": lambda _: receipt()})
    assert isinstance(stand(late, honest).receipts([TRANSACTION])[0], Found)
    assert stand(late, late).receipts([TRANSACTION]) == [Absent()]


# Heads and blocks


def numbers(answers: Any) -> list[Any]:
    return [answer.value.hash if isinstance(answer, Found) else type(answer) for answer in answers]


def test_r_07_blocks_that_the_first_node_does_not_have_yet_are_the_second_ones(stand: Stand) -> None:
    chain = stand(Node(blocks_up_to(5)), Node(blocks_up_to(8)))
    head = chain.header(BlockTag.LATEST)
    assert isinstance(head, Found)
    assert head.value.number == 8
    assert numbers(chain.headers([4, 5, 6, 7, 8, 9])) == [*(block_hash(number) for number in range(4, 9)), Absent]
    assert all(isinstance(answer, Found) for answer in chain.blocks([4, 5, 6, 7, 8]))
    assert isinstance(chain.header(8), Found)


def test_a_header_that_is_null_at_the_first_node_is_the_second_ones(stand: Stand) -> None:
    empty = Node(blocks_up_to(8) | {"eth_getBlockByNumber": lambda *_: None})
    assert numbers(stand(empty, Node(blocks_up_to(8))).headers([7, 8])) == [block_hash(7), block_hash(8)]


@pytest.mark.parametrize("forks_at", [3, 5])
def test_blocks_of_two_forks_are_never_mixed(stand: Stand, forks_at: int) -> None:
    chain = stand(Node(blocks_up_to(5)), Node(blocks_up_to(8, fork="b", forks_at=forks_at)))
    assert numbers(chain.headers([4, 5, 6])) == [block_hash(4), block_hash(5), Absent]
    assert [type(answer) for answer in chain.blocks([4, 5, 6])] == [Found, Found, Absent]


def test_a_fork_that_begins_above_the_first_nodes_head_is_followed(stand: Stand) -> None:
    chain = stand(Node(blocks_up_to(5)), Node(blocks_up_to(8, fork="b", forks_at=6)))
    assert numbers(chain.headers([5, 6, 7])) == [block_hash(5), block_hash(6, "b"), block_hash(7, "b")]


def test_r_09_a_first_node_whose_head_goes_back_takes_nothing_back(stand: Stand) -> None:
    first = Node(blocks_up_to(8))
    chain = stand(first, Node(blocks_up_to(8)))
    before = chain.header(BlockTag.LATEST)
    first.says = blocks_up_to(5)
    assert chain.header(BlockTag.LATEST) == before


@pytest.mark.parametrize(("behind", "final"), [(LATE_BLOCKS - 1, 10), (LATE_BLOCKS, 80)])
def test_final_is_what_the_more_careful_node_says_unless_it_is_late(stand: Stand, behind: int, final: int) -> None:
    for order in (1, -1):
        nodes = [Node(blocks_up_to(100 - behind, final=10)), Node(blocks_up_to(100, final=80))][::order]
        chain = stand(*nodes)
        chain.header(BlockTag.LATEST)
        answer = chain.header(BlockTag.FINALIZED)
        assert isinstance(answer, Found)
        assert answer.value.number == final


# Logs


def logs(chain: RpcChain) -> Any:
    (answer,) = chain.logs([block_hash(5)], topic=ERC20_TRANSFER_TOPIC, emitters=[TOKEN])
    return Found(list(answer.value)) if isinstance(answer, Found) else answer


def witness(*, shown: bool, receipts: Any) -> Node:
    return Node({"eth_getLogs": lambda _: [transfer_log()] if shown else [], "eth_getBlockReceipts": lambda _: receipts})


def test_r_07_logs_that_the_first_node_leaves_out_are_the_second_ones(stand: Stand, told: list[str]) -> None:
    late, honest = witness(shown=False, receipts=None), witness(shown=True, receipts=None)
    assert len(logs(stand(late, honest)).value) == 1
    assert "eth_getBlockReceipts" not in late.asked + honest.asked
    assert told == ["node-disagreement"]


@pytest.mark.parametrize("nodes", [1, 2])
def test_logs_that_every_node_leaves_out_are_found_in_the_receipts_of_the_block(stand: Stand, nodes: int) -> None:
    full = [receipt(logs=[transfer_log(), transfer_log() | {"address": "0x" + "bb" * 20, "logIndex": "0x1"}])]
    answer = logs(stand(*[witness(shown=False, receipts=full) for _ in range(nodes)]))
    assert [log.emitter for log in answer.value] == [TOKEN]


def test_no_logs_are_none_when_the_receipts_of_the_block_agree(stand: Stand, told: list[str]) -> None:
    node = witness(shown=False, receipts=[receipt()])
    assert logs(stand(node)) == Found([])
    assert node.asked == ["eth_getLogs", "eth_getBlockReceipts"]
    assert told == []


@pytest.mark.parametrize(
    "receipts",
    [None, {"code": -32000, "message": "busy"}, [receipt() | {"blockHash": block_hash(6)}], {}],
    ids=["not there", "busy", "of another block", "nonsense"],
)
def test_no_logs_are_unknown_while_the_receipts_of_the_block_are(stand: Stand, receipts: Any) -> None:
    assert isinstance(logs(stand(witness(shown=False, receipts=receipts))), Unknown)


def test_no_logs_are_none_where_no_node_tells_a_blocks_receipts(stand: Stand) -> None:
    without = witness(shown=False, receipts=REFUSED)
    assert logs(stand(without)) == Found([])
    assert logs(stand(without, without)) == Found([])
    assert len(logs(stand(without, witness(shown=False, receipts=[receipt(logs=[transfer_log()])]))).value) == 1
    (doubted,) = stand(without).logs([block_hash(5)], topic=ERC20_TRANSFER_TOPIC, emitters=[TOKEN], doubt=lambda _: "there is one")
    assert isinstance(doubted, Unknown)


TOO_MANY = {"code": -32005, "message": "query returned more than 10000 results"}


def crowded_node(receipts: Any) -> Node:
    return Node({"eth_getLogs": lambda _: TOO_MANY, "eth_getBlockReceipts": lambda _: receipts})


@pytest.mark.parametrize("nodes", [1, 2])
def test_r_17_logs_of_one_block_that_are_too_many_to_be_told_are_found_in_its_receipts(stand: Stand, nodes: int) -> None:
    full = [receipt(logs=[transfer_log()])]
    assert len(logs(stand(*[crowded_node(full) for _ in range(nodes)])).value) == 1


def test_r_17_a_second_node_that_tells_them_is_asked_first(stand: Stand) -> None:
    first, second = crowded_node([receipt()]), witness(shown=True, receipts=None)
    assert len(logs(stand(first, second)).value) == 1
    assert first.asked == ["eth_getLogs"]


@pytest.mark.parametrize("receipts", [REFUSED, {"code": -32000, "message": "busy"}, None], ids=["not offered", "busy", "not there"])
def test_r_17_logs_that_nobody_tells_are_unknown_and_never_none(stand: Stand, receipts: Any) -> None:
    assert isinstance(logs(stand(crowded_node(receipts))), Unknown)
    assert isinstance(logs(stand(crowded_node(receipts), witness(shown=False, receipts=REFUSED))), Unknown)


def test_r_17_a_block_beside_a_crowded_one_is_asked_for_alone(stand: Stand) -> None:
    def say(asked: Mapping[str, Any]) -> Any:
        return TOO_MANY if asked["blockHash"] == block_hash(5) else [transfer_log() | {"blockHash": asked["blockHash"]}]

    node = Node({"eth_getLogs": say, "eth_getBlockReceipts": lambda _: [receipt(logs=[transfer_log()])]})
    answers = stand(node).logs([block_hash(5), block_hash(6)], topic=ERC20_TRANSFER_TOPIC, emitters=[TOKEN])
    assert [len(answer.value) for answer in answers if isinstance(answer, Found)] == [1, 1]
    assert node.asked == ["eth_getLogs"] * 3 + ["eth_getBlockReceipts"]


# Nonces


def counting(count: int | None, head: int = 8) -> Node:
    said = REFUSED if count is None else hex(count)
    return Node(blocks_up_to(head) | {"eth_getTransactionCount": lambda *_: said})


@pytest.mark.parametrize(
    ("counts", "known"),
    [
        ([7], 7),
        ([5, 7], 5),
        ([7, 5], 5),
        ([7, 7], 7),
        ([7, 5, 7], 7),
        ([7, 5, 5], 5),
        ([9, 5, 7], 7),
        ([7, None], None),
        ([None, 7], None),
        ([5, None], 5),
        ([None, 5], 5),
    ],
)
def test_more_transactions_than_were_reserved_are_believed_when_two_nodes_know_them(
    stand: Stand, counts: list[int | None], known: int | None
) -> None:
    (answer,) = stand(*[counting(count) for count in counts]).known_nonces([SENDER], reserved=[5])
    assert answer == Found(known) if known is not None else isinstance(answer, Unknown)


def test_a_node_that_is_behind_does_not_contradict_one_that_knows_more(stand: Stand, told: list[str]) -> None:
    (answer,) = stand(counting(7, head=9), counting(5, head=8)).known_nonces([SENDER], reserved=[5])
    assert isinstance(answer, Unknown)
    assert told == ["node-disagreement"]


def test_what_was_reserved_costs_one_question(stand: Stand) -> None:
    first, second = counting(5), counting(5)
    assert stand(first, second).known_nonces([SENDER], reserved=[5]) == [Found(5)]
    assert (first.asked, second.asked) == (["eth_getTransactionCount"], [])


# One node alone


def test_a_witness_is_one_node_alone(stand: Stand) -> None:
    chain = stand(Node(blocks_up_to(5)), Node(blocks_up_to(8) | {"eth_getTransactionReceipt": lambda _: receipt()}))
    first, second = chain.witnesses
    assert [type(node.blocks([8])[0]) for node in (first, second)] == [Absent, Found]
    assert [type(node.receipts([TRANSACTION])[0]) for node in (first, second)] == [Unknown, Found]


def logs_of_witnesses(chain: RpcChain, emitters: Sequence[bytes] = (TOKEN,)) -> list[Any]:
    asked = [each.logs([block_hash(5)], topic=ERC20_TRANSFER_TOPIC, emitters=emitters)[0] for each in chain.witnesses]
    return [len(each.value) if isinstance(each, Found) else each for each in asked]


def test_a_witness_shows_its_own_logs_and_where_there_are_none_those_of_its_own_receipts(stand: Stand) -> None:
    full = [receipt(logs=[transfer_log()])]
    nodes = [
        witness(shown=True, receipts=None),
        witness(shown=False, receipts=full),
        witness(shown=False, receipts=[receipt()]),
        witness(shown=False, receipts=REFUSED),
    ]
    assert logs_of_witnesses(stand(*nodes)) == [1, 1, 0, 0]
    assert logs_of_witnesses(stand(*nodes), emitters=()) == [0, 0, 0, 0], "no contracts are not all of them"
    (unsure,) = logs_of_witnesses(stand(witness(shown=False, receipts=None)))
    assert isinstance(unsure, Unknown)
