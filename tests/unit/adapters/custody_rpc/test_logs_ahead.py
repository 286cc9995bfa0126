"""Logs of blocks that were read ahead: asked for once, beside the caller, and never given out for another question."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from custody_core.domain.chain import Hash
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_core.ports import Found
from custody_rpc import RpcChain
from custody_rpc.read_ahead import MANY
from tests.unit.adapters.custody_rpc.rude_server import RudeServer

TOKEN, OTHER_TOKEN = b"\xaa" * 20, b"\xbb" * 20
DEADLINE_S = 10


def hash_of(number: int) -> Hash:
    return Hash(f"0x{number + 1:064x}")


class Site:
    """A node whose every block has one transfer of each token, and what it was asked about logs."""

    def __init__(self) -> None:
        self.asked: list[tuple[Hash, str]] = []
        self.heard = threading.Condition()

    def behave(self, request: Any) -> Any:
        return [self._one(call) for call in request] if isinstance(request, list) else self._one(request)

    def require_asked(self, block_hash: Hash) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: block_hash in {each for each, _ in self.asked}, timeout=DEADLINE_S)

    def _one(self, call: Mapping[str, Any]) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber":
            number = int(call["params"][0], 16)
            parent = {"number": hex(number), "hash": hash_of(number), "parentHash": hash_of(number - 1)}
            result: object = {**parent, "timestamp": "0x1", "transactions": []}
        else:
            (wanted,) = call["params"]
            result = [self._log(wanted["blockHash"], emitter) for emitter in wanted["address"]]
            with self.heard:
                self.asked += [(wanted["blockHash"], emitter) for emitter in wanted["address"]]
                self.heard.notify_all()
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    def _log(self, block_hash: str, emitter: str) -> dict[str, object]:
        topics = ["0x" + ERC20_TRANSFER_TOPIC.hex(), "0x" + "11" * 32, "0x" + "22" * 32]
        place = {"blockHash": block_hash, "transactionHash": hash_of(10**6), "logIndex": "0x0"}
        return {**place, "address": emitter, "topics": topics, "data": "0x" + "33" * 32, "removed": False}


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def chain(site: Site) -> Iterator[RpcChain]:
    with RudeServer(site.behave, chain_id=1) as server:
        made = RpcChain(1, [server.url])
        yield made
        made.close()


def blocks(first: int) -> range:
    return range(first, first + MANY)


def emitters_of(chain: RpcChain, numbers: range, emitter: bytes) -> set[bytes]:
    answers = chain.logs([hash_of(number) for number in numbers], topic=ERC20_TRANSFER_TOPIC, emitters=[emitter])
    return {log.emitter for answer in answers if isinstance(answer, Found) for log in answer.value}


def test_logs_of_the_next_blocks_are_there_when_they_are_asked_for(site: Site, chain: RpcChain) -> None:
    emitters_of(chain, blocks(1), TOKEN)
    chain.blocks(blocks(1))
    site.require_asked(hash_of(2 * MANY))
    chain.blocks(blocks(1 + MANY))
    assert emitters_of(chain, blocks(1 + MANY), TOKEN) == {TOKEN}
    of_the_next = [each for each, _ in site.asked if each in {hash_of(number) for number in blocks(1 + MANY)}]
    assert len(of_the_next) == len(set(of_the_next)) == MANY, "each was asked for once"


def test_logs_of_another_token_are_asked_for(site: Site, chain: RpcChain) -> None:
    emitters_of(chain, blocks(1), TOKEN)
    chain.blocks(blocks(1))
    site.require_asked(hash_of(2 * MANY))
    assert emitters_of(chain, blocks(1 + MANY), OTHER_TOKEN) == {OTHER_TOKEN}
