"""JSON-RPC over HTTP from ready-made bytes, so that a benchmark measures its client and not its server.

Serves one chain on two ports: `near` answers at once, `far` after a delay, as a node elsewhere does. A program of its own:
`python -m tests.benchmarks.replay.server SEED BLOCKS DELAY_MS` writes one JSON line that says where it listens and what is to be
found, and ends with its stdin.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import attrs
import msgspec

from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from tests.benchmarks.replay.blocks import Deposit, ReplayedBlock, make_blocks
from tests.benchmarks.replay.plan import CHAIN_ID, make_plan

FINAL_DEPTH = 10
HELD_FIRST = 10**30
"""What everybody holds of every token before the first block."""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_NULL = b"null"


class UnknownMethod(Exception):
    """What is not replayed."""


class Replayed:
    """A chain, asked by method and parameters; results as JSON."""

    def __init__(self, blocks: Sequence[ReplayedBlock]) -> None:
        self._blocks = blocks
        self._numbers = {block.hash: block.number for block in blocks}
        self._places = {hash_: block.number for block in blocks for hash_ in block.receipts}
        self._receipts = {hash_: receipt for block in blocks for hash_, receipt in block.receipts.items()}
        self._filtered: dict[tuple[int, str, str], bytes] = {}
        self._block_receipts: dict[int, bytes] = {}
        self._moved = _moved(blocks)
        self._methods: Mapping[str, Callable[..., bytes]] = {
            "eth_chainId": lambda: _quantity(CHAIN_ID),
            "net_version": lambda: b'"%d"' % CHAIN_ID,
            "eth_blockNumber": lambda: _quantity(len(blocks) - 1),
            "eth_syncing": lambda: b"false",
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getLogs": self._logs,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": lambda hash_: self._receipts.get(hash_, _NULL),
            "eth_getBlockReceipts": self._receipts_of_block,
            "eth_getTransactionCount": lambda *_: _quantity(0),
            "eth_getBalance": lambda *_: _quantity(0),
            "eth_getCode": lambda *_: b'"0x"',
            "eth_call": self._call,
        }

    def answer(self, body: bytes) -> bytes:
        """The answer to the body of a request, a batch or not."""
        asked = msgspec.json.decode(body)
        if isinstance(asked, list):
            return b"[" + b",".join([self._reply(call) for call in asked]) + b"]"
        return self._reply(asked)

    def _reply(self, call: Mapping[str, Any]) -> bytes:
        id_ = msgspec.json.encode(call["id"])
        method = self._methods.get(call["method"])
        if method is None:
            return b'{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"the method does not exist"}}' % id_
        return b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (id_, method(*call.get("params", ())))

    def _block_by_number(self, at: str, full: bool) -> bytes:
        number = self._number(at)
        return self._form(number, full=full) if number < len(self._blocks) else _NULL

    def _block_by_hash(self, hash_: str, full: bool) -> bytes:
        number = self._numbers.get(hash_)
        return _NULL if number is None else self._form(number, full=full)

    def _form(self, number: int, *, full: bool) -> bytes:
        return self._blocks[number].full if full else self._blocks[number].bare

    def _transaction(self, hash_: str) -> bytes:
        """Asked for so seldom that it is not kept ready."""
        if hash_ not in self._places:
            return _NULL
        block = msgspec.json.decode(self._blocks[self._places[hash_]].full)
        return msgspec.json.encode(next(each for each in block["transactions"] if each["hash"] == hash_))

    def _receipts_of_block(self, at: str) -> bytes:
        number = self._number(at)
        if number not in self._block_receipts:
            self._block_receipts[number] = b"[" + b",".join(self._blocks[number].receipts.values()) + b"]"
        return self._block_receipts[number]

    def _logs(self, wanted: Mapping[str, Any]) -> bytes:
        if "blockHash" in wanted:
            numbers = range(at := self._numbers[wanted["blockHash"]], at + 1)
        else:
            numbers = range(self._number(wanted["fromBlock"]), self._number(wanted["toBlock"]) + 1)
        emitters, topics = json.dumps(wanted.get("address")), json.dumps(wanted.get("topics"))
        parts = [self._logs_of(number, emitters, topics) for number in numbers]
        return b"[" + b",".join(part for part in parts if part) + b"]"

    def _logs_of(self, number: int, emitters_text: str, topics_text: str) -> bytes:
        key = number, emitters_text, topics_text
        if key not in self._filtered:
            emitters, topics = json.loads(emitters_text.lower()), json.loads(topics_text.lower())
            known = None if emitters is None else {emitters} if isinstance(emitters, str) else set(emitters)
            first = (topics or [None])[0]
            firsts = None if first is None else {first} if isinstance(first, str) else set(first)
            self._filtered[key] = b",".join(
                log.json
                for log in self._blocks[number].logs
                if (known is None or "0x" + log.emitter.hex() in known) and (firsts is None or "0x" + log.topics[0].hex() in firsts)
            )
        return self._filtered[key]

    def _call(self, call: Mapping[str, str], at: str | Mapping[str, str]) -> bytes:
        """Only what somebody holds of a token is ever asked for."""
        number = self._number(at) if isinstance(at, str) else self._numbers[at["blockHash"]]
        told = self._moved.get((call["to"].lower(), call["data"][-40:].lower()), ())
        return b'"0x%064x"' % (HELD_FIRST + sum(amount for block, amount in told if block <= number))

    def _number(self, at: str) -> int:
        head = len(self._blocks) - 1
        tags = {"latest": head, "pending": head, "earliest": 0, "safe": head - FINAL_DEPTH, "finalized": head - FINAL_DEPTH}
        return tags[at] if at in tags else int(at, 16)


def _moved(blocks: Sequence[ReplayedBlock]) -> Mapping[tuple[str, str], Sequence[tuple[int, int]]]:
    """By token and holder: what came or went, and in which block."""
    moved: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for block in blocks:
        for log in block.logs:
            if log.topics[0] == ERC20_TRANSFER_TOPIC and len(log.topics) == 3:
                amount = int(msgspec.json.decode(log.json)["data"], 16)
                for topic, change in ((log.topics[1], -amount), (log.topics[2], amount)):
                    moved["0x" + log.emitter.hex(), topic[12:].hex()].append((block.number, change))
    return moved


def _quantity(number: int) -> bytes:
    return b'"%s"' % hex(number).encode()


class Port:
    """Serves a chain on a port of its own, a thread for each connection."""

    def __init__(self, replayed: Replayed, delay_s: float) -> None:
        self._replayed, self._delay_s = replayed, delay_s
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            reader = connection.makefile("rb")
            while length := _length(reader):
                answer = self._replayed.answer(reader.read(length))
                if self._delay_s:
                    time.sleep(self._delay_s)
                connection.sendall(_HEAD % len(answer))
                connection.sendall(answer)


def _length(reader: Any) -> int:
    """The length of the body whose head is read here; 0 where there is no further request."""
    length = 0
    while (line := reader.readline()) not in {b"\r\n", b""}:
        name, _, text = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(text)
    return length


def main(arguments: Sequence[str]) -> None:
    seed, count, delay_ms = map(int, arguments)
    plan = make_plan(seed, count)
    blocks = list(make_blocks(plan))
    replayed = Replayed(blocks)
    near, far = Port(replayed, 0.0), Port(replayed, delay_ms / 1000)
    deposits: list[Deposit] = list(chain.from_iterable(block.deposits for block in blocks))
    told = {
        "near": near.url,
        "far": far.url,
        "managed": ["0x" + each.hex() for each in plan.managed],
        "tokens": ["0x" + each.hex() for each in plan.listed],
        "deposits": [[block.number, attrs.asdict(each)] for block in blocks for each in block.deposits],
    }
    if len(deposits) != len(set(deposits)):
        raise AssertionError("two deposits are alike")
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
