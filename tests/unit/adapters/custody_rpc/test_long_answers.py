"""Answers that are longer than is read, together and not alone; and receipts that a node leaves out altogether."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custody_core.domain.chain import Hash
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_core.ports import Found, Unknown
from custody_rpc import Limits, RpcChain
from tests.unit.adapters.custody_rpc.rude_server import RudeServer

ANSWER_BYTES_MAX = 100_000
FILLING = "0x" + "00" * 4_000
"""Some twenty of these are more than is read."""


def hash_of(number: int) -> Hash:
    return Hash(f"0x{number + 1:064x}")


def block(number: int) -> dict[str, Any]:
    sent = {"hash": hash_of(10**6 + number), "from": "0x" + "11" * 20, "to": "0x" + "22" * 20, "nonce": "0x0", "value": "0x1"}
    return {
        "number": hex(number),
        "hash": hash_of(number),
        "parentHash": hash_of(number - 1),
        "timestamp": "0x1",
        "transactions": [{**sent, "input": FILLING}],
    }


def one(call: Mapping[str, Any]) -> dict[str, Any]:
    match call["method"]:
        case "eth_getBlockByNumber":
            result: object = block(int(call["params"][0], 16))
        case "eth_getBlockTransactionCountByHash":
            result = "0x1"
        case _:
            result = []
    return {"jsonrpc": "2.0", "id": call["id"], "result": result}


def behave(request: Any) -> Any:
    return [one(call) for call in request] if isinstance(request, list) else one(request)


def test_blocks_whose_answers_are_too_long_together_are_asked_for_in_smaller_batches() -> None:
    with RudeServer(behave, chain_id=1) as server:
        chain = RpcChain(1, [server.url], limits=Limits(attempts_max=1, answer_bytes_max=ANSWER_BYTES_MAX))
        answers = chain.blocks(range(1, 51))
        chain.close()
    assert [type(answer) for answer in answers] == [Found] * 50
    assert chain.nodes[0].is_healthy


def test_no_receipts_at_all_of_a_block_that_may_have_logs_are_no_second_witness() -> None:
    with RudeServer(behave, chain_id=1) as server:
        chain = RpcChain(1, [server.url], limits=Limits(attempts_max=1))
        (answer,) = chain.logs([hash_of(1)], topic=ERC20_TRANSFER_TOPIC, emitters=[bytes(20)])
        chain.close()
    assert isinstance(answer, Unknown)
