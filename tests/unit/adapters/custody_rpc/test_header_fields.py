"""A field that this version does not know is told once, and the header is read as ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from custody_core.ports import BlockTag, Found, Unknown
from custody_rpc import Limits, RpcChain
from tests.unit.adapters.custody_rpc.rude_server import RudeServer, results
from tests.unit.adapters.custody_rpc.test_answers import block

Told = list[tuple[str, str]]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with RudeServer(chain_id=1) as server:
        yield server


@pytest.fixture
def chain(server: RudeServer, told: Told) -> Iterator[RpcChain]:
    chain = RpcChain(1, [server.url], limits=Limits(attempts_max=1), trouble=lambda what, detail: told.append((what, detail)))
    yield chain
    chain.close()


def test_it_is_told_once_by_its_name(server: RudeServer, chain: RpcChain, told: Told) -> None:
    server.behaviours = [results(block(blockAccessListHash="0x" + "00" * 32, slotNumber="0x1"))]
    for _ in range(3):
        answer = chain.header(BlockTag.LATEST)
        assert isinstance(answer, Found)
        assert answer.value.number == 16
        assert answer.value.logs_bloom == bytes(256)
    assert [what for what, _ in told] == ["unknown-header-field"] * 2
    assert "(blockAccessListHash)" in told[0][1]
    assert chain.unknown_header_fields == ["blockAccessListHash", "slotNumber"]


def test_what_the_specification_knows_is_not_told(server: RudeServer, chain: RpcChain, told: Told) -> None:
    server.behaviours = [results(block(withdrawalsRoot="0x", requestsHash="0x", blobGasUsed="0x0", uncles=[], miner="0x"))]
    assert isinstance(chain.header(BlockTag.LATEST), Found)
    assert (told, chain.unknown_header_fields) == ([], [])


def test_a_node_that_makes_up_names_does_not_fill_the_memory_or_the_log(server: RudeServer, chain: RpcChain, told: Told) -> None:
    made_up = {f"field{number}": "0x" for number in range(500)}
    server.behaviours = [results({**block(), "\x1b[2J": "0x"}), results({**block(), **made_up})]
    chain.header(BlockTag.LATEST)
    chain.header(BlockTag.LATEST)
    assert len(told) == len(chain.unknown_header_fields) == 32
    assert "\x1b" not in str(told)


@pytest.mark.parametrize(
    "changes", [{"number": 16}, {"hash": None}, {"timestamp": ["0x1"]}, {"logsBloom": 5}, {"parentHash": "0x12"}]
)
def test_a_newest_block_of_another_form_is_unknown(server: RudeServer, chain: RpcChain, changes: dict[str, object]) -> None:
    server.behaviours = [results({**block(), **changes})]
    assert isinstance(chain.header(BlockTag.LATEST), Unknown)


@pytest.mark.parametrize("body", [[], "0x", 5])
def test_what_is_no_block_is_unknown(server: RudeServer, chain: RpcChain, body: object) -> None:
    server.behaviours = [results(body)]
    assert isinstance(chain.header(BlockTag.LATEST), Unknown)
