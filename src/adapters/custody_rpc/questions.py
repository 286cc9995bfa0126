"""Each question of the port, to one node, with the checks of its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from custody_core.domain.addresses import Address, address_to_bytes
from custody_core.domain.chain import Block, BlockRef, Hash, Header, Logs, Receipt
from custody_core.domain.encoding import ERC20_BALANCE_OF_SELECTOR, transaction_hash
from custody_core.domain.fees import TIER_PERCENTILES, FeeHistory
from custody_core.ports import (
    Absent,
    AccountState,
    Answer,
    BlockTag,
    BroadcastAnswer,
    BroadcastOutcome,
    Call,
    Found,
    Reverted,
    SignedBytes,
)
from custody_rpc import bulk, wire
from custody_rpc.broadcast_errors import broadcast_outcome
from custody_rpc.envelopes import NoReply, Reply, Request, Result, RpcError
from custody_rpc.node import Node
from custody_rpc.read_errors import ReadFault, is_unsupported, read_fault
from custody_rpc.recovering import signer_of
from custody_rpc.reverts import revert_reason

R = TypeVar("R")

FULL_BLOCKS_PER_BATCH_MAX: Final = 20
"""Some 10 MB of the largest mainnet blocks."""

FEE_HISTORY_BLOCKS: Final = 20


def chain_id(node: Node) -> Answer[int]:
    return _present(node, node.answer(node.ask_one(Request("eth_chainId", ()), str), wire.quantity))


def _at(at: int | BlockTag) -> str:
    return at.value if isinstance(at, BlockTag) else hex(at)


def _present(node: Node, answer: Answer[R]) -> Answer[R]:
    """For methods that never answer null."""
    return node.unknown("answered null") if isinstance(answer, Absent) else answer


def _block_requests(numbers: Sequence[int | BlockTag], *, full: bool) -> list[Request]:
    return [Request("eth_getBlockByNumber", (_at(number), full)) for number in numbers]


def header(node: Node, at: int | BlockTag) -> Answer[Header]:
    return tagged(node, [at])[0] if isinstance(at, BlockTag) else headers(node, [at])[0]


def _nobody(_names: Iterable[str], _node: str) -> None:
    """Looks away."""


def tagged(node: Node, tags: Sequence[BlockTag], look: Callable[[Iterable[str], str], None] = _nobody) -> list[Answer[Header]]:
    """The headers at `tags`. `look` is shown the names of all fields that the node, named, has in them."""

    def convert(fields: Mapping[str, object]) -> Header:
        look(fields, node.name)
        return wire.header(wire.header_of(fields))

    return [_tagged(node, reply, convert) for reply in node.ask(_block_requests(tags, full=False), dict[str, Any])]


def _tagged(node: Node, reply: Reply[R], convert: Callable[[R], Header]) -> Answer[Header]:
    if isinstance(reply, RpcError) and read_fault(reply) in {ReadFault.UNKNOWN_BLOCK, ReadFault.UNSUPPORTED}:
        return Absent()
    return node.answer(reply, convert)


def synced_head(node: Node) -> Answer[Header]:
    """The newest header, unless the node says that it is still syncing. Some providers do not let anybody ask them that."""
    reply = node.ask_one(Request("eth_syncing", ()), object)
    match reply:
        case Result(value=value) if value:  # how far it has come; else false
            return node.unknown("is still syncing")
        case NoReply(reason=reason, is_refused=False):
            return node.unknown(reason)
        case _:
            return header(node, BlockTag.LATEST)


def headers(node: Node, numbers: Sequence[int]) -> list[Answer[Header]]:
    replies = node.ask(_block_requests(numbers, full=False), wire.WireHeader)
    return _linked(node, numbers, [node.answer(reply, wire.header) for reply in replies], lambda header: header)


def blocks(node: Node, numbers: Sequence[int]) -> list[Answer[Block]]:
    replies = node.ask(_block_requests(numbers, full=True), wire.WireBlock, batch_max=FULL_BLOCKS_PER_BATCH_MAX)
    return _linked(node, numbers, [node.answer(reply, bulk.block) for reply in replies], lambda block: block.header)


def _linked(node: Node, numbers: Sequence[int], answers: Sequence[Answer[R]], header_of: Callable[[R], Header]) -> list[Answer[R]]:
    """`answers`, with those unknown that have another height than was asked for, or another parent than the answer below them."""
    checked: list[Answer[R]] = []
    hashes: dict[int, Hash] = {}
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, Found):
            header = header_of(answer.value)
            if header.number != number:
                checked.append(node.unknown(f"sent block {header.number} when asked for {number}"))
                continue
            if hashes.get(number - 1, header.parent_hash) != header.parent_hash:
                checked.append(node.unknown(f"sent blocks of two forks at {number - 1} and {number}"))
                continue
            hashes[number] = header.hash
        checked.append(answer)
    return checked


def logs(node: Node, block_hashes: Sequence[Hash], topic: bytes, emitters: Sequence[bytes]) -> list[Answer[Logs]]:
    """`Absent`: a block has more of them than the node tells at once."""
    contracts, topics = ["0x" + emitter.hex() for emitter in emitters], ["0x" + topic.hex()]
    requests = [Request("eth_getLogs", ({"blockHash": each, "address": contracts, "topics": topics},)) for each in block_hashes]
    replies = node.ask(requests, list[wire.WireLog], batch_max=FULL_BLOCKS_PER_BATCH_MAX)
    known = frozenset(emitters)
    answers: list[Answer[Logs]] = [
        _present(node, node.answer(reply, partial(bulk.BlockLogs, block_hash=block_hash, topic=topic, emitters=known)))
        for block_hash, reply in zip(block_hashes, replies, strict=True)
    ]
    for index in [index for index, reply in enumerate(replies) if _is_too_much(reply)]:
        if len(requests) == 1:
            answers[index] = Absent()
        else:  # others in its batch may have been too much
            (answers[index],) = logs(node, [block_hashes[index]], topic, emitters)
    return answers


def _is_too_much(reply: Reply[R]) -> bool:
    return isinstance(reply, RpcError) and read_fault(reply) is ReadFault.TOO_MUCH


def logs_of_receipts(node: Node, block_hashes: Sequence[Hash], topic: bytes, emitters: Sequence[bytes]) -> list[Answer[Logs]]:
    """The same logs out of the receipts of whole blocks. `Absent`: the node does not offer these."""
    requests = [Request("eth_getBlockReceipts", (each,)) for each in block_hashes]
    replies = node.ask(requests, list[wire.WireReceipt], batch_max=FULL_BLOCKS_PER_BATCH_MAX)
    answers = [_held(node, block_hash, reply, topic, emitters) for block_hash, reply in zip(block_hashes, replies, strict=True)]
    without = [index for index, reply in enumerate(replies) if isinstance(reply, Result) and reply.value == []]
    counts = node.ask([Request("eth_getBlockTransactionCountByHash", (block_hashes[index],)) for index in without], str)
    for index, count in zip(without, counts, strict=True):
        if node.answer(count, wire.quantity) != Found(0):
            answers[index] = node.unknown(f"sent no receipts of block {block_hashes[index]}, which has transactions")
    return answers


def _held(
    node: Node, block_hash: Hash, reply: Reply[list[wire.WireReceipt]], topic: bytes, emitters: Sequence[bytes]
) -> Answer[Logs]:
    if isinstance(reply, RpcError) and is_unsupported(reply):
        return Absent()
    answer = _present(node, node.answer(reply, lambda receipts: [wire.receipt(each) for each in receipts]))
    if not isinstance(answer, Found):
        return answer
    if any(receipt.block_hash != block_hash for receipt in answer.value):
        return node.unknown("sent the receipts of another block")
    held = [log for receipt in answer.value for log in receipt.logs if log.topics[:1] == (topic,) and log.emitter in emitters]
    return Found(Logs(block_hash, sorted(held, key=lambda log: log.log_index)))


def receipts(node: Node, hashes: Sequence[Hash]) -> list[Answer[Receipt]]:
    replies = node.ask([Request("eth_getTransactionReceipt", (hash_,)) for hash_ in hashes], wire.WireReceipt)
    answers = [node.answer(reply, wire.receipt) for reply in replies]
    return [
        node.unknown("sent the receipt of another transaction")
        if isinstance(answer, Found) and answer.value.transaction_hash != hash_
        else answer
        for hash_, answer in zip(hashes, answers, strict=True)
    ]


def signed_transactions(node: Node, hashes: Sequence[Hash]) -> list[Answer[SignedBytes]]:
    replies = node.ask([Request("eth_getTransactionByHash", (hash_,)) for hash_ in hashes], wire.WireSigned)
    return [_signed(node, hash_, node.answer(reply, wire.signed)) for hash_, reply in zip(hashes, replies, strict=True)]


def _signed(node: Node, hash_: Hash, answer: Answer[bytes | None]) -> Answer[SignedBytes]:
    match answer:
        case Found(value=bytes() as raw) if "0x" + transaction_hash(raw).hex() == hash_:
            signer = signer_of(raw)
            return Found(SignedBytes(raw, signer)) if signer else node.unknown("sent a transaction that nobody can have signed")
        case Found(value=None):
            return Absent()
        case Found():
            return node.unknown("sent a transaction that has another hash")
        case Absent():
            return node.unknown("does not know a transaction of a block")
        case _:
            return answer


def account(node: Node, address: Address, at: int | BlockTag) -> Answer[AccountState]:
    methods = ("eth_getTransactionCount", "eth_getBalance")
    replies = node.ask([Request(method, (address, _at(at))) for method in methods], str)
    nonce, balance = (_present(node, node.answer(reply, wire.quantity)) for reply in replies)
    if not isinstance(nonce, Found):
        return nonce
    if not isinstance(balance, Found):
        return balance
    return Found(AccountState(nonce.value, balance.value))


def known_nonces(node: Node, addresses: Sequence[Address]) -> list[Answer[int]]:
    replies = node.ask([Request("eth_getTransactionCount", (address, "pending")) for address in addresses], str)
    return [_present(node, node.answer(reply, wire.quantity)) for reply in replies]


def known_nonces_at_head(node: Node, addresses: Sequence[Address]) -> Answer[tuple[int, Sequence[Answer[int]]]]:
    """The node's head, and then what it knows."""
    head = header(node, BlockTag.LATEST)
    return Found((head.value.number, known_nonces(node, addresses))) if isinstance(head, Found) else head


def balances(node: Node, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
    by_hash = {"blockHash": at.hash, "requireCanonical": True}  # EIP-1898
    replies = node.ask([_balance_request(*holder, by_hash) for holder in holders], str)
    if any(isinstance(reply, RpcError) and read_fault(reply) is ReadFault.UNSUPPORTED for reply in replies):
        return _balances_by_number(node, holders, at)
    return _balance_answers(node, holders, replies)


def _balances_by_number(node: Node, holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
    """For nodes without EIP-1898: the balances count if the block at that height was the same before and after."""
    before = headers(node, [at.number])[0]
    replies = node.ask([_balance_request(*holder, hex(at.number)) for holder in holders], str)
    after = headers(node, [at.number])[0]
    for answer in (before, after):
        if not isinstance(answer, Found) or answer.value.hash != at.hash:
            return [node.unknown(f"does not have block {at.number} as we know it") for _ in holders]
    return _balance_answers(node, holders, replies)


def _balance_request(holder: Address, token: Address | None, block: object) -> Request:
    if token is None:
        return Request("eth_getBalance", (holder, block))
    calldata = ERC20_BALANCE_OF_SELECTOR + bytes(12) + address_to_bytes(holder)
    return Request("eth_call", ({"to": token, "data": "0x" + calldata.hex()}, block))


def _balance_answers(
    node: Node, holders: Sequence[tuple[Address, Address | None]], replies: Sequence[Reply[str]]
) -> list[Answer[int]]:
    return [
        Absent()
        if token and reply == _NOTHING
        else _present(node, node.answer(reply, wire.quantity if token is None else _uint256))
        for (_, token), reply in zip(holders, replies, strict=True)
    ]


_NOTHING: Final = Result("0x")
"""What a call of an address without code returns."""


def _uint256(text: str) -> int:
    return int.from_bytes(wire.data(text, 32), "big")


def fee_history(node: Node) -> Answer[FeeHistory]:
    params = (hex(FEE_HISTORY_BLOCKS), BlockTag.LATEST, list(TIER_PERCENTILES.values()))
    return _present(node, node.answer(node.ask_one(Request("eth_feeHistory", params), wire.WireFeeHistory), wire.fee_history))


def estimate_gas(node: Node, calls: Sequence[Call]) -> list[Answer[int | Reverted]]:
    replies = node.ask([Request("eth_estimateGas", (_tried(call), BlockTag.LATEST)) for call in calls], str)
    return [_estimate(node, reply) for reply in replies]


def _tried(call: Call) -> Mapping[str, object]:
    tried: dict[str, object] = {"from": call.sender, "to": call.to, "value": hex(call.value_wei), "data": "0x" + call.data.hex()}
    if call.access_list:  # left out where there is none: nodes from before EIP-2930 do not know it
        tried["accessList"] = [
            {"address": "0x" + address.hex(), "storageKeys": ["0x" + key.hex() for key in keys]}
            for address, keys in call.access_list
        ]
    return tried


def _estimate(node: Node, reply: Reply[str]) -> Answer[int | Reverted]:
    if isinstance(reply, RpcError) and read_fault(reply) is ReadFault.REVERTED:
        return Found(Reverted(revert_reason(reply)))
    answer = _present(node, node.answer(reply, wire.quantity))
    return node.unknown("estimates that a call costs no gas") if answer == Found(0) else answer


def try_call(node: Node, call: Call, on_top_of: int) -> Answer[bytes | Reverted]:
    reply = node.ask_one(Request("eth_call", (_tried(call), hex(on_top_of))), str)
    if isinstance(reply, RpcError) and read_fault(reply) is ReadFault.REVERTED:
        return Found(Reverted(revert_reason(reply)))
    return _present(node, node.answer(reply, wire.data))


def broadcast(node: Node, raws: Sequence[bytes]) -> list[BroadcastAnswer]:
    requests = [Request("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in raws]
    replies = node.ask(requests, str, repeatable=False)
    return [_broadcast_answer(node, raw, reply) for raw, reply in zip(raws, replies, strict=True)]


def _broadcast_answer(node: Node, raw: bytes, reply: Reply[str]) -> BroadcastAnswer:
    match reply:
        case Result(value=str() as text) if text.lower() == "0x" + transaction_hash(raw).hex():
            return BroadcastAnswer(BroadcastOutcome.ACCEPTED)
        case Result():
            return BroadcastAnswer(BroadcastOutcome.UNKNOWN, node.unknown("accepted it under another hash").reason)
        case RpcError():
            return BroadcastAnswer(broadcast_outcome(reply), node.shown(reply.message))
        case NoReply():
            return BroadcastAnswer(BroadcastOutcome.UNKNOWN, node.unknown(reply.reason).reason)
