"""What has to be credited, by the chain's own account: blocks, receipts, logs and traces by plain JSON-RPC.

Nothing in here is shared with the service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import attrs

from tests.support.devnode import DevNode

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
WORD_CHARACTERS = 2 + 64
ETHER = "eth"


@attrs.frozen(order=True)
class Movement:
    """A deposit as it has to be in the books. `ordinal` counts equals within the transaction."""

    transaction_hash: str
    kind: str
    asset: str
    sender: str
    to: str
    amount: int
    ordinal: int = 0


@attrs.frozen
class Oracle:
    """Looks at the chain for the sake of the addresses `ours` and the contracts `listed`, both in lower case."""

    node: DevNode
    ours: Collection[str]
    listed: Collection[str]

    def movements(self, last: int) -> list[Movement]:
        """All up to the block at that height."""
        return [movement for number in range(last + 1) for movement in self._in_block(number)]

    def balances(self, last: int) -> Mapping[tuple[str, str], int]:
        """What each address held of each asset after that block, where it is not nothing."""
        found = {(address, ETHER): self.node.balance(address, last) for address in self.ours}
        for token in self.listed:
            for address in self.ours:
                call = {"to": token, "data": "0x70a08231" + "00" * 12 + address[2:]}
                found[address, token] = int(self.node.raw("eth_call", call, hex(last)), 16)
        return {key: amount for key, amount in found.items() if amount}

    def _in_block(self, number: int) -> Iterator[Movement]:
        block = self.node.block(number, full=True)
        if not block["transactions"]:
            return
        receipts = {each["transactionHash"]: each for each in self.node.raw("eth_getBlockReceipts", block["hash"])}
        traces: dict[str, list[dict[str, Any]]] = {}
        for trace in self.node.raw("trace_block", hex(number)):
            traces.setdefault(trace["transactionHash"], []).append(trace)
        for transaction in block["transactions"]:
            if receipts[transaction["hash"]]["status"] != "0x1":
                continue
            found = [
                *self._ether(transaction),
                *self._tokens(receipts[transaction["hash"]]),
                *self._within(traces[transaction["hash"]]),
            ]
            seen: Counter[Movement] = Counter()
            for each in found:
                yield attrs.evolve(each, ordinal=seen[each])
                seen[each] += 1

    def _ether(self, transaction: dict[str, Any]) -> Iterator[Movement]:
        sender, to, amount = transaction["from"], transaction["to"], int(transaction["value"], 16)
        yield from self._counted(transaction["hash"], "native", ETHER, sender, to, amount)

    def _tokens(self, receipt: dict[str, Any]) -> Iterator[Movement]:
        for log in receipt["logs"]:
            emitter, topics, data = log["address"].lower(), log["topics"], log["data"]
            if emitter in self.listed and topics[:1] == [TRANSFER] and len(topics) == 3 and len(data) == WORD_CHARACTERS:
                sender, to = ("0x" + topic[-40:] for topic in topics[1:])
                yield from self._counted(log["transactionHash"], "token", emitter, sender, to, int(data, 16))

    def _within(self, traces: Sequence[dict[str, Any]]) -> Iterator[Movement]:
        undone = [trace["traceAddress"] for trace in traces if trace.get("error")]
        for trace in traces:
            place, action = trace["traceAddress"], trace["action"]
            is_undone = any(place[: len(each)] == each for each in undone)
            if place and trace["type"] == "call" and action["callType"] == "call" and not is_undone:
                amount = int(action["value"], 16)
                yield from self._counted(trace["transactionHash"], "internal", ETHER, action["from"], action["to"], amount)

    def _counted(self, hash_: str, kind: str, asset: str, sender: str, to: str | None, amount: int) -> Iterator[Movement]:
        if to is not None and to.lower() in self.ours and sender.lower() != to.lower() and amount:
            yield Movement(hash_, kind, asset, sender.lower(), to.lower(), amount)
