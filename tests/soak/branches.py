"""The newest blocks of a chain as one node tells of them: as they were a while ago, or as nobody ever mined them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from eth_utils.crypto import keccak

from tests.support.devnode import DevNode
from tests.support.faults import Say

Json = dict[str, Any]

TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
BLOOM_OF_ANYTHING = "0x" + "ff" * 256
INVENTED_LOG_INDEX = 9000
INVENTED_TOKENS = 777
STRANGER = "0x" + "5a" * 20


@attrs.frozen
class Branch:
    """Blocks by height, with everything in them. `final` is what the node calls final."""

    blocks: Mapping[int, Json]
    receipts: Mapping[str, Json]
    traces: Mapping[int, Sequence[Json]]
    final: Json

    @property
    def top(self) -> int:
        """The height of the newest block."""
        return max(self.blocks)

    def says(self, method: str, params: Sequence[Any]) -> Say | None:
        """The answer, None where this branch is like everybody's."""
        match method:
            case "eth_getBlockByNumber":
                return self._block(params[0], full=params[1])
            case "eth_getTransactionReceipt":
                return Say(self.receipts[params[0]]) if params[0] in self.receipts else None
            case "eth_getLogs" if (number := self._number_of(params[0].get("blockHash"))) is not None:
                return Say([log for log in self._logs(number) if _is_wanted(log, params[0])])
            case "eth_getBlockReceipts" if (number := self._number_of(params[0])) is not None:
                return Say(self._receipts(number))
            case "trace_block" if int(params[0], 16) >= min(self.blocks):
                return Say(self.traces.get(int(params[0], 16)))
            case _:
                return None

    def with_invented(self, below: int, count: int, payments: Invention, *, is_final: bool) -> Branch:
        """The same up to the block at height `below`, and then `count` that nobody mined."""
        blocks = {number: block for number, block in self.blocks.items() if number <= below}
        receipts = {hash_: each for hash_, each in self.receipts.items() if int(each["blockNumber"], 16) <= below}
        traces = {number: each for number, each in self.traces.items() if number <= below}
        for number in range(below + 1, below + count + 1):
            real = self.blocks.get(number, {"transactions": []})["transactions"]
            borrowed = [(each, self.receipts[each["hash"]]) for each in real]
            block, found, traces[number] = payments.block_above(blocks[number - 1], borrowed)
            blocks[number] = block
            receipts |= {each["transactionHash"]: each for each in found}
        return Branch(blocks, receipts, traces, blocks[max(blocks) - 1] if is_final else self.final)

    def up_to(self, top: int, *, final: int) -> Branch:
        """What the node tells before it has the blocks above `top`; final is the block at height `final`, if that is of here."""
        blocks = {number: block for number, block in self.blocks.items() if number <= top}
        return attrs.evolve(self, blocks=blocks, final=blocks.get(final, self.final))

    def _block(self, which: str, *, full: bool) -> Say | None:
        if which == "finalized":
            return Say(_shown(self.final, full=full))
        number = self.top if which == "latest" else int(which, 16) if which.startswith("0x") else None
        if number is None or number < min(self.blocks):
            return None
        return Say(_shown(self.blocks[number], full=full) if number in self.blocks else None)

    def _number_of(self, block_hash: object) -> int | None:
        return next((number for number, block in self.blocks.items() if block["hash"] == block_hash), None)

    def _receipts(self, number: int) -> list[Json]:
        return [self.receipts[each["hash"]] for each in self.blocks[number]["transactions"]]

    def _logs(self, number: int) -> list[Json]:
        return [log for receipt in self._receipts(number) for log in receipt["logs"]]


@attrs.frozen
class Invention:
    """Makes up blocks that pay `wallets`: ether, by a transaction and by a contract, and the token at `token`."""

    wallets: Sequence[str]
    token: str
    amount_wei: int
    chance: random.Random
    pays: bool = True

    def block_above(self, below: Json, borrowed: Sequence[tuple[Json, Json]]) -> tuple[Json, list[Json], list[Json]]:
        """A block, its receipts and its traces. What is `borrowed` really happened, in another block: (transaction, receipt)."""
        number, block_hash = hex(int(below["number"], 16) + 1), self._word()
        place = {"blockHash": block_hash, "blockNumber": number}
        transactions: list[Json] = [{**transaction, **place} for transaction, _ in borrowed]
        receipts: list[Json] = [_moved(receipt, place) for _, receipt in borrowed]
        traces: list[Json] = [_trace(place, each["hash"], each["from"], each["to"], each["value"]) for each in transactions]
        for sender, to, amount_wei, logs in self._payments() if self.pays else ():
            hash_ = self._word()
            transactions.append({"hash": hash_, "from": sender, "to": to, "nonce": "0x0", "value": hex(amount_wei), **place})
            receipts.append(_receipt(hash_, to, place, logs))
            traces.append(_trace(place, hash_, sender, to, hex(amount_wei)))
            if logs:
                paid = _trace(place, hash_, to, self.chance.choice(self.wallets), hex(self.amount_wei))
                traces.append({**paid, "traceAddress": [0]})
        timestamp = hex(int(below["timestamp"], 16) + 1)
        header = {**below, **place, "hash": block_hash, "number": number, "parentHash": below["hash"], "timestamp": timestamp}
        return {**header, "logsBloom": BLOOM_OF_ANYTHING, "transactions": transactions}, receipts, traces

    def _payments(self) -> Sequence[tuple[str, str, int, Sequence[Json]]]:
        """Sender, recipient, value and logs: a payment, and a call that pays within and logs a transfer."""
        paid, topped = self.chance.choice(self.wallets), self.chance.choice(self.wallets)
        log = invented_log(self.token, topped)
        return [(STRANGER, paid, self.amount_wei, ()), (STRANGER, self.token, 0, (log,))]

    def _word(self) -> str:
        return "0x" + self.chance.randbytes(32).hex()


def invented_log(token: str, to: str) -> Json:
    """Says that somebody paid tokens; of no block and no transaction yet."""
    return {
        "address": token,
        "topics": [TRANSFER, _as_word(STRANGER), _as_word(to)],
        "data": "0x" + INVENTED_TOKENS.to_bytes(32, "big").hex(),
        "logIndex": hex(INVENTED_LOG_INDEX),
        "removed": False,
    }


def newest(node: DevNode, depth: int) -> Branch | None:
    """What `node` tells of its newest blocks now, None where they changed meanwhile."""
    final, top = node.block("finalized"), node.head()
    numbers = range(max(top - depth + 1, 1), top + 1)
    blocks = {number: node.block(number, full=True) for number in numbers}
    receipts = [receipt for block in blocks.values() for receipt in node.raw("eth_getBlockReceipts", block["hash"]) or ()]
    traces = {number: node.raw("trace_block", hex(number)) for number in numbers}
    found = Branch(blocks, {each["transactionHash"]: each for each in receipts}, traces, final)
    links = all(blocks[number]["parentHash"] == blocks[number - 1]["hash"] for number in numbers[1:])
    is_whole = all(each["hash"] in found.receipts for block in blocks.values() for each in block["transactions"])
    is_still = node.block(top)["hash"] == blocks[top]["hash"]
    return found if links and is_whole and is_still else None


def _shown(block: Json, *, full: bool) -> Json:
    hashes = [each if isinstance(each, str) else each["hash"] for each in block["transactions"]]
    return block if full else {**block, "transactions": hashes}


def _receipt(hash_: str, to: str, place: Json, logs: Sequence[Json]) -> Json:
    receipt = {"transactionHash": hash_, "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x1", "to": to, **place}
    return {**receipt, "logs": [{**log, **place, "transactionHash": hash_} for log in logs]}


def _is_wanted(log: Json, wanted: Json) -> bool:
    addresses = wanted.get("address") or [log["address"]]
    return log["topics"][:1] == wanted["topics"][:1] and log["address"].lower() in [each.lower() for each in addresses]


def _moved(receipt: Json, place: Json) -> Json:
    return {**receipt, **place, "logs": [{**log, **place} for log in receipt["logs"]]}


def _trace(place: Json, hash_: str, sender: str, to: str | None, value: str) -> Json:
    action = {"from": sender, "to": to, "value": value, "callType": "call", "gas": "0x0", "input": "0x"}
    return {
        "type": "call" if to else "create",
        "action": action,
        "blockHash": place["blockHash"],
        "blockNumber": int(place["blockNumber"], 16),
        "traceAddress": [],
        "transactionHash": hash_,
        "result": {"gasUsed": "0x0", "output": "0x"},
    }


def _as_word(address: str) -> str:
    return "0x" + "00" * 12 + address[2:].lower()
