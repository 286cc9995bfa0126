"""P2 and P3: other ways to scan a replayed chain for deposits, and the limit. None of them keeps anything."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson  # type: ignore[import-not-found]  # the peers' environment has it, the project's has not
import requests
from web3 import Web3  # type: ignore[import-not-found]  # as orjson

from tests.benchmarks.peers.serving import serve

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
Found = tuple[str, str, str, int]
"""A deposit: transaction hash, asset, recipient, amount."""


class Peers:
    """Each goes over blocks 1 to `blocks` and returns its seconds and seconds of processor time."""

    def prepare(self, managed: Sequence[str], tokens: Sequence[str], deposits: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Takes in what a scanner is told, and what it has to find."""
        self._managed, self._tokens, self._deposits = frozenset(managed), list(tokens), deposits

    def web3(self, url: str, blocks: int) -> dict[str, float]:
        """`get_block(full)` and `get_logs` of each block, and the receipts of what matches, as web3.py makes them."""
        eth = Web3(Web3.HTTPProvider(url)).eth
        tokens = [Web3.to_checksum_address(each) for each in self._tokens]

        def scan(number: int) -> Iterator[Found]:
            block = eth.get_block(number, full_transactions=True)
            for each in block["transactions"]:
                to = (each.get("to") or "").lower()
                concerns = each["value"] and to in self._managed and each["from"].lower() != to
                if concerns and eth.get_transaction_receipt(each["hash"])["status"] == 1:
                    yield each["hash"].to_0x_hex(), "eth", to, each["value"]
            for log in eth.get_logs({"fromBlock": number, "toBlock": number, "address": tokens, "topics": [TRANSFER]}):
                yield from self._deposit(
                    [topic.to_0x_hex() for topic in log["topics"]],
                    log["data"].to_0x_hex(),
                    log["transactionHash"].to_0x_hex(),
                    log["address"].lower(),
                )

        return self._timed(scan, blocks)

    def naive(self, url: str, blocks: int) -> dict[str, float]:
        """Requests and json, a block and its receipts at a time."""

        def ask(method: str, *params: object) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return requests.post(url, json=body, timeout=60).json()["result"]

        tokens = frozenset(self._tokens)

        def scan(number: int) -> Iterator[Found]:
            block, receipts = ask("eth_getBlockByNumber", hex(number), True), ask("eth_getBlockReceipts", hex(number))
            for each, receipt in zip(block["transactions"], receipts, strict=True):
                value = int(each["value"], 16)
                if value and each["to"] in self._managed and each["from"] != each["to"] and receipt["status"] == "0x1":
                    yield each["hash"], "eth", each["to"], value
                for log in receipt["logs"]:
                    if log["address"] in tokens and log["topics"][0] == TRANSFER:
                        yield from self._deposit(log["topics"], log["data"], log["transactionHash"], log["address"])

        return self._timed(scan, blocks)

    def limit(self, url: str, blocks: int, batch: int) -> dict[str, float]:
        """The answers that ours reads, but for a few receipts, in batches of ours' size: fetched and parsed, no more."""
        session = requests.Session()
        session.trust_env = False

        def ask(calls: Sequence[tuple[str, Sequence[object]]]) -> Any:
            body = [{"jsonrpc": "2.0", "id": id_, "method": name, "params": params} for id_, (name, params) in enumerate(calls)]
            with session.post(url, data=orjson.dumps(body), headers={"Content-Type": "application/json"}, stream=True) as answer:
                return orjson.loads(answer.raw.read())

        gc.collect()
        started = time.perf_counter(), time.process_time()
        for first in range(1, blocks + 1, batch):
            numbers = range(first, min(first + batch, blocks + 1))
            full = ask([("eth_getBlockByNumber", [hex(number), True]) for number in numbers])
            hashes = [each["result"]["hash"] for each in full]
            ask([("eth_getLogs", [{"blockHash": each, "address": self._tokens, "topics": [TRANSFER]}]) for each in hashes])
        return {"wall_s": time.perf_counter() - started[0], "cpu_s": time.process_time() - started[1]}

    def _deposit(self, topics: Sequence[str], data: str, hash_: str, token: str) -> Iterator[Found]:
        if len(topics) == 3 and int(data, 16):
            sender, to = ("0x" + topic[26:] for topic in topics[1:])
            if to in self._managed and sender != to:
                yield hash_, token, to, int(data, 16)

    def _timed(self, scan: Callable[[int], Iterator[Found]], blocks: int) -> dict[str, float]:
        wanted = sorted(tuple(each.values()) for number, each in self._deposits if number <= blocks)
        gc.collect()
        started = time.perf_counter(), time.process_time()
        found = [each for number in range(1, blocks + 1) for each in scan(number)]
        took_s, cpu_s = time.perf_counter() - started[0], time.process_time() - started[1]
        if sorted(found) != wanted:
            raise AssertionError(f"{len(found)} deposits were found, not exactly the {len(wanted)} that there are")
        return {"wall_s": took_s, "cpu_s": cpu_s}


if __name__ == "__main__":
    peers = Peers()
    serve({"prepare": peers.prepare, "web3": peers.web3, "naive": peers.naive, "limit": peers.limit})
