"""What the network and rude servers do ends as a reason: in bounded time and memory, and without our secrets."""

from __future__ import annotations

import gzip
import json
import socket
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from custody_core.domain.chain import Hash
from custody_core.domain.encoding import keccak256
from custody_core.ports import Absent, Found, Unknown
from custody_rpc import InvalidNodeUrl, Limits, RpcChain, Waiting
from tests.unit.adapters.custody_rpc.rude_server import QUERY_SECRET, SECRET, Behaviour, Http, RudeServer, error, plain, results

MEBIBYTE = 1024 * 1024
QUICK = Limits(connect_timeout_s=2, silence_max_s=0.3, answer_time_max_s=0.6, attempts_max=3)
HASHES = [Hash("0x" + digit * 64) for digit in "1234"]


@attrs.define
class Naps:
    """Remembers how long it was asked to sleep, and does not."""

    taken_s: list[float] = attrs.field(factory=list)

    def waiting(self, chance: float = 0.5) -> Waiting:
        return Waiting(sleep=self.taken_s.append, chance=lambda: chance)


@pytest.fixture
def naps() -> Naps:
    return Naps()


def chain_at(*urls: str, naps: Naps, limits: Limits = QUICK) -> RpcChain:
    return RpcChain(1, urls, limits=limits, waiting=naps.waiting())


def reason_of(answer: object) -> str:
    assert isinstance(answer, Unknown), answer
    for secret in (SECRET, QUERY_SECRET, "/v3/"):
        assert secret not in answer.reason
    assert answer.reason.isprintable()
    assert len(answer.reason) < 400
    return answer.reason


def receipt(transaction_hash: str) -> dict[str, object]:
    return {
        "transactionHash": transaction_hash,
        "blockHash": "0x" + "bb" * 32,
        "blockNumber": "0x10",
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x3b9aca00",
        "logs": [],
    }


# HTTP


@pytest.mark.parametrize(
    ("behaviour", "says", "requests"),
    [
        (plain(b"<html>so sorry, " + SECRET.encode() + b"</html>"), "not a JSON-RPC answer", 1),
        (plain(b""), "not a JSON-RPC answer", 1),
        (plain(b"[" * 100_000), "without a reply", 1),
        (plain(b'{"id":1,"result":"\xff\xfe"}'), "without a reply", 1),
        (plain(b'{"id":1,"result":"0x1","more":' + b"[" * 100_000), "not a JSON-RPC answer", 1),
        (plain(b'{"id":1,"result":"0x1","more":' + b'{"a":' * 100_000), "not a JSON-RPC answer", 1),
        (plain(b"oops " + SECRET.encode(), 502), "HTTP 502", 3),
        (plain(b"", 503, Retry_After="1"), "HTTP 503", 3),
        (plain(b"who are you", 401), "HTTP 401", 1),
        (plain(b"", 302, Location="http://127.0.0.1:1/elsewhere"), "redirects are not followed", 1),
        (plain(b"", 307, Location="/elsewhere"), "redirects are not followed", 1),
        (plain(b"x", 200, Content_Encoding="br"), "compression that was not asked for", 1),
        (plain(b"no gzip", 200, Content_Encoding="gzip"), "compression is broken", 3),
        (plain(gzip.compress(b'{"id":1}')[:-9], 200, Content_Encoding="gzip"), "half an answer", 3),
        (lambda _: Http((b'{"id":1,"resu',), length=500), "half an answer", 3),
        (lambda _: Http(hang_up=True), "could not be reached, or hung up", 3),
    ],
)
def test_every_bad_answer_is_unknown(naps: Naps, behaviour: Behaviour, says: str, requests: int) -> None:
    with RudeServer(behaviour) as server:
        answer = chain_at(server.url, naps=naps).node_chain_id()
        assert says in reason_of(answer)
        assert server.host in reason_of(answer)
        assert len(server.requests) == requests
        assert not any("elsewhere" in path for path in server.paths)


def test_nobody_listens(naps: Naps) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "could not be reached" in reason_of(chain_at(f"http://127.0.0.1:{port}/{SECRET}", naps=naps).node_chain_id())
    assert len(naps.taken_s) == 2


def test_a_name_that_does_not_resolve(naps: Naps) -> None:
    answer = chain_at(f"https://user:{SECRET}@no-such-host.invalid/v3/{SECRET}", naps=naps).node_chain_id()
    assert reason_of(answer).startswith("https://no-such-host.invalid ")


def test_silence_ends(naps: Naps) -> None:
    def silent(_: Any) -> Http:
        time.sleep(0.8)
        return Http(hang_up=True)

    with RudeServer(silent) as server:
        answer = chain_at(server.url, naps=naps, limits=attrs.evolve(QUICK, attempts_max=1)).node_chain_id()
    assert "was silent for 0.3 s" in reason_of(answer)


def test_a_drip_ends(naps: Naps) -> None:
    def drip() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.05)  # always sooner than a read would time out
            yield b" "

    with RudeServer(lambda _: Http(drip(), length=1000)) as server:
        started_s = time.monotonic()
        answer = chain_at(server.url, naps=naps, limits=attrs.evolve(QUICK, attempts_max=1)).node_chain_id()
        assert time.monotonic() - started_s < 2
    assert "did not finish its answer within 0.6 s" in reason_of(answer)


@pytest.mark.parametrize("compressed", [False, True])
def test_an_endless_answer_costs_bounded_memory(naps: Naps, compressed: bool) -> None:
    limits = Limits(answer_bytes_max=8 * MEBIBYTE)
    body = b" " * (50 * MEBIBYTE)
    sent = gzip.compress(body, 1) if compressed else body
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    del body
    with RudeServer(lambda _: Http((sent,), headers=headers, length=len(sent))) as server:
        chain = chain_at(server.url, naps=naps, limits=limits)
        tracemalloc.start()
        answer = chain.node_chain_id()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert f"sent more than {8 * MEBIBYTE} bytes" in reason_of(answer)
    assert peak < 20 * MEBIBYTE
    assert len(server.requests) == 1


def test_a_large_honest_answer_is_read_whether_compressed_or_not(naps: Naps) -> None:
    padded = json.dumps({"id": 0, "result": "0x1", "padding": "x" * (20 * MEBIBYTE)}).encode()

    def compressed(request: Any) -> Http:
        body = padded.replace(b'"id": 0', b'"id": %d' % request["id"], 1)
        return Http((gzip.compress(body, 1),), headers={"Content-Encoding": "gzip"})

    def bare(request: Any) -> Http:
        return Http((padded.replace(b'"id": 0', b'"id": %d' % request["id"], 1),))

    with RudeServer(compressed, bare) as server:
        chain = chain_at(server.url, naps=naps, limits=Limits())
        assert [chain.node_chain_id(), chain.node_chain_id()] == [Found(1), Found(1)]


def test_connections_are_kept(naps: Naps) -> None:
    with RudeServer(results("0x1")) as server:
        chain = chain_at(server.url, naps=naps)
        assert {chain.node_chain_id() for _ in range(5)} == {Found(1)}
        assert server.connections == 1
        chain.close()


# Trying again


def test_trouble_that_passes_is_waited_out(naps: Naps) -> None:
    with RudeServer(plain(b"", 502), lambda _: Http(hang_up=True), results("0x1")) as server:
        assert chain_at(server.url, naps=naps).node_chain_id() == Found(1)
    assert naps.taken_s == [0.25, 0.5]


def test_the_wait_that_a_node_asks_for_is_kept_but_bounded(naps: Naps) -> None:
    behaviours = [plain(b"", 429, Retry_After=after) for after in ("2", "86400", "Wed, 21 Oct 2026 07:28:00 GMT", "-5")]
    with RudeServer(*behaviours, results("0x1")) as server:
        assert chain_at(server.url, naps=naps, limits=attrs.evolve(QUICK, attempts_max=5)).node_chain_id() == Found(1)
    assert naps.taken_s == [2, 5, 1, 2]


@pytest.mark.parametrize(("chance", "wait_s"), [(0.0, 0.125), (0.999, 0.37475)])
def test_waits_differ_between_callers(chance: float, wait_s: float) -> None:
    naps = Naps()
    with RudeServer(plain(b"", 500), results("0x1")) as server:
        RpcChain(1, [server.url], waiting=naps.waiting(chance)).node_chain_id()
    assert naps.taken_s == [pytest.approx(wait_s)]


def test_a_broadcast_is_sent_once(naps: Naps) -> None:
    with RudeServer(plain(b"", 502), chain_id=1) as server:
        (answer,) = chain_at(server.url, naps=naps).broadcast([b"\x02"])
        assert (answer.outcome.value, len(server.requests)) == ("unknown", 1)
    assert SECRET not in answer.detail


def test_the_next_node_is_asked_for_what_is_unknown(naps: Naps) -> None:
    def half(request: Any) -> Any:
        return [{"id": request[0]["id"], "result": receipt(HASHES[0])}, {"id": request[1]["id"], "error": {"message": "busy"}}]

    with RudeServer(half, chain_id=1) as first, RudeServer(results(receipt(HASHES[1])), chain_id=1) as second:
        answers = chain_at(first.url, second.url, naps=naps).receipts(HASHES[:2])
        assert [found.value.transaction_hash for found in answers if isinstance(found, Found)] == HASHES[:2]
        assert [call["params"] for call in second.requests] == [[HASHES[1]]]


def test_a_node_of_another_chain_is_skipped_and_one_of_ours_verified_once(naps: Naps) -> None:
    with (
        RudeServer(results(receipt(HASHES[0])), chain_id=5) as foreign,
        RudeServer(results(receipt(HASHES[0])), chain_id=1) as ours,
    ):
        chain = chain_at(foreign.url, ours.url, naps=naps)
        assert list(chain.node_chain_ids()) == [Found(5), Found(1)]
        for _ in range(2):
            (found,) = chain.receipts(HASHES[:1])
            assert isinstance(found, Found)
        assert (foreign.requests, len(ours.requests)) == ([], 2)
        assert len(ours.paths) == 3, "verified once, by node_chain_ids"


def test_a_node_that_was_silent_is_verified_before_its_first_use(naps: Naps) -> None:
    with RudeServer(plain(b"", 502), chain_id=1) as first, RudeServer(plain(b"", 502)) as silent:
        chain = chain_at(first.url, silent.url, naps=naps)
        assert isinstance(chain.node_chain_ids()[1], Unknown)
        silent.behaviours, silent.chain_id = [results(receipt(HASHES[0]))], 5
        silent.requests.clear()
        assert "is on chain 5, not on 1" in reason_of(chain.receipts(HASHES[:1])[0])
        assert "HTTP 502" in chain.broadcast([b"\x02"])[0].detail
        assert (chain.nodes[1].is_healthy, chain.nodes[1].last_failure) == (False, "is on chain 5, not on 1")
        assert silent.requests == []
        silent.chain_id = 1
        assert isinstance(chain.receipts(HASHES[:1])[0], Found)


# Batches


def test_answers_may_come_in_any_order(naps: Naps) -> None:
    def shuffled(request: Any) -> Any:
        return [{"id": call["id"], "result": receipt(call["params"][0])} for call in reversed(request)]

    with RudeServer(shuffled, chain_id=1) as server:
        answers = chain_at(server.url, naps=naps).receipts(HASHES)
        ids = [call["id"] for call in server.requests[0]]
    assert [found.value.transaction_hash for found in answers if isinstance(found, Found)] == HASHES
    assert len(set(ids)) == len(HASHES)


def test_a_bad_reply_harms_no_other(naps: Naps) -> None:
    def mixed(request: Any) -> Any:
        ids = [call["id"] for call in request]
        good = receipt(HASHES[0])
        foreign = {"id": max(ids) + 1000, "result": good}
        doubled = {"id": ids[1], "result": receipt(HASHES[1])}
        malformed = {"id": ids[2], "result": {"transactionHash": 7}}
        return [
            foreign,
            doubled,
            {"id": ids[0], "result": good},
            malformed,
            doubled,
            None,
            "?",
            {"id": str(ids[3]), "result": None},
        ]

    with RudeServer(mixed, chain_id=1) as server:
        answers = chain_at(server.url, naps=naps).receipts(HASHES)
    assert isinstance(answers[0], Found)
    assert "replied twice" in reason_of(answers[1])
    assert "not of the expected form" in reason_of(answers[2])
    assert "without a reply" in reason_of(answers[3])


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ({}, "neither or both"),
        ({"error": None}, "neither or both"),
        ({"result": None, "error": None}, None),
        ({"result": receipt(HASHES[0]), "error": {"code": 1, "message": "and yet"}}, "neither or both"),
        ({"error": {"code": 1, "message": f"no such project: {SECRET}\n\x1b[31m"}}, "refused: no such project: …"),
        ({"error": {"code": 1, "message": "\ud800 half a character"}}, "refused: \ufffd half a character"),
        ({"error": "a string"}, "not of the expected form"),
        ({"error": {"code": -1, "message": "x" * 10_000}}, "refused: xxx"),
        ({"result": {"a": 1}}, "not of the expected form"),
    ],
)
def test_a_reply_is_a_result_or_an_error(naps: Naps, reply: dict[str, object], says: str | None) -> None:
    with RudeServer(lambda request: {"jsonrpc": "2.0", "id": request["id"], **reply}, chain_id=1) as server:
        (answer,) = chain_at(server.url, naps=naps).receipts(HASHES[:1])
    if says is None:
        assert answer == Absent()
    else:
        assert says in reason_of(answer)


@pytest.mark.parametrize("answer_id", [None, 0, "1", 10**30, 1.0, [1]])
def test_a_reply_to_another_call_is_none(naps: Naps, answer_id: object) -> None:
    with RudeServer(lambda _: {"id": answer_id, "result": "0x1"}) as server:
        reason_of(chain_at(server.url, naps=naps).node_chain_id())


def test_an_error_for_a_whole_batch_is_told_for_each_call(naps: Naps) -> None:
    with RudeServer(
        lambda _: {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Invalid request"}}, chain_id=1
    ) as server:
        answers = chain_at(server.url, naps=naps).receipts(HASHES)
    assert all("refused: Invalid request" in reason_of(answer) for answer in answers)


def test_a_batch_that_is_too_large_is_halved(naps: Naps) -> None:
    def at_most_one(request: Any) -> Any:
        if isinstance(request, list):
            return error("batch too large")(request)
        return {"id": request["id"], "result": receipt(request["params"][0])}

    with RudeServer(at_most_one, chain_id=1) as server:
        answers = chain_at(server.url, naps=naps).receipts(HASHES)
    assert [found.value.transaction_hash for found in answers if isinstance(found, Found)] == HASHES


def refusing_above(size_max_bytes: int, sizes: list[int]) -> Behaviour:
    """Answers for receipts, and HTTP 413 to larger bodies."""

    def behave(request: Any) -> Any:
        sizes.append(len(json.dumps(request, separators=(",", ":"))))
        if sizes[-1] > size_max_bytes:
            return Http((b"<html>Request Entity Too Large</html>",), 413)
        calls = request if isinstance(request, list) else [request]
        replies = [{"id": call["id"], "result": receipt(call["params"][0])} for call in calls]
        return replies if isinstance(request, list) else replies[0]

    return behave


def test_a_batch_whose_body_a_server_refuses_is_halved_and_harms_no_health(naps: Naps) -> None:
    sizes: list[int] = []
    many = [Hash("0x" + keccak256(b"%d" % number).hex()) for number in range(40)]
    with RudeServer(refusing_above(1500, sizes), chain_id=1) as server:
        chain = chain_at(server.url, naps=naps)
        answers = chain.receipts(many)
        assert [found.value.transaction_hash for found in answers if isinstance(found, Found)] == many
        assert (chain.nodes[0].is_healthy, chain.nodes[0].last_failure, naps.taken_s) == (True, None, [])
    assert max(sizes) > 1500


def test_a_single_call_that_is_too_large_is_refused_and_says_nothing_about_the_node(naps: Naps) -> None:
    sizes: list[int] = []
    with RudeServer(refusing_above(10, sizes), chain_id=1) as server:
        chain = chain_at(server.url, naps=naps)
        for _ in range(5):
            assert "answered HTTP 413" in reason_of(chain.receipts(HASHES[:1])[0])
            assert [answer.outcome.value for answer in chain.broadcast([b"\x02"])] == ["unknown"]
        assert (chain.nodes[0].is_healthy, chain.nodes[0].failures) == (True, 0)
    assert len(sizes) == 10, "each was sent once"


def test_no_batch_is_larger_than_a_megabyte_though_a_single_call_may_be(naps: Naps) -> None:
    taken: list[tuple[int, list[str]]] = []

    def behave(request: Any) -> Any:
        calls = request if isinstance(request, list) else [request]
        taken.append((len(json.dumps(request, separators=(",", ":"))), [call["params"][0] for call in calls]))
        replies = [{"id": call["id"], "error": {"message": "already known"}} for call in calls]
        return replies if isinstance(request, list) else replies[0]

    lengths = (100_000, 120_000, 600_000, 100_000, 90_000, 80_000, 70_000, 60_000)
    raws = [bytes([number]) * length for number, length in enumerate(lengths)]
    with RudeServer(behave, chain_id=1) as server:
        answers = chain_at(server.url, naps=naps).broadcast(raws)
    assert [answer.outcome.value for answer in answers] == ["known"] * len(raws)
    assert [raw for _, some in taken for raw in some] == ["0x" + raw.hex() for raw in raws], "each once, and in order"
    assert [len(some) for size, some in taken if size > 1_000_000] == [1]
    assert max(len(some) for _, some in taken) > 1


# URLs and the environment


@pytest.mark.parametrize(
    "url",
    [
        "",
        "node",
        "ftp://node",
        "https://",
        "https://host:port",
        "http://node.example",
        "http://10.0.0.1:8545",
        "ws://127.0.0.1",
        "http://[::1",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidNodeUrl) as refused:
        RpcChain(1, [f"{url}/{SECRET}" if "://" in url else url])
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", ["https://node.example/key", "http://localhost:8545", "http://127.0.0.9", "http://[::1]:8545"])
def test_urls_that_are_taken(url: str) -> None:
    RpcChain(1, [url])
    RpcChain(1, [url.replace("localhost", "node.example")], allow_http=True)


def test_no_url_is_refused() -> None:
    with pytest.raises(InvalidNodeUrl):
        RpcChain(1, [])


def test_the_environment_has_no_say(naps: Naps, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with RudeServer(results("0x1")) as server:
        assert chain_at(server.url, naps=naps).node_chain_id() == Found(1)
