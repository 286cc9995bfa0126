"""Mainnet-like blocks: 200 transactions and 500 logs each, half of them of transfers, with every planned transaction in its place.

Hashes link. A transaction's hash, the roots of transactions and receipts, the blooms and the block's hash are those of the fields
that are shown. Managed addresses have signed what they send. What a scanner does not check is chance: states, withdrawals, and the
signatures of strangers.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

import attrs

from custody_core.domain.encoding import ERC20_TRANSFER_SELECTOR, ERC20_TRANSFER_TOPIC, RlpValue, keccak256, rlp_encode
from tests.benchmarks.replay.plan import CHAIN_ID, TRUE_ONES, Kind, Plan, Planned
from tests.benchmarks.replay.trie import list_root

TRANSACTIONS, TRANSFERS, OTHER_LOGS = 200, 250, 250
FIRST_TIMESTAMP_S = 1_750_000_000
BASE_FEE_WEI = 7 * 10**9
_TRANSFER_KINDS = 25 * (0,) + 5 * (1,) + 1 * (2,)
"""How the transfers that concern nobody fall to listed tokens, to unlisted ones, and to tokens that are not fungible."""


Signature = tuple[int, int, int]
"""y-parity, r, s"""


@attrs.frozen
class EmittedLog:
    """A log before it is in a block."""

    emitter: bytes
    topics: tuple[bytes, ...]
    data: bytes


@attrs.frozen
class Act:
    """A transaction before it is in a block."""

    sender: bytes
    to: bytes
    value: int
    data: bytes
    nonce: int
    succeeds: bool = True
    logs: tuple[EmittedLog, ...] = ()
    deposit: Kind | None = None
    """What is to be found in it, for `managed`."""
    managed: bytes = b""


@attrs.frozen
class ReplayedLog:
    """What a filter asks of a log, and the log as JSON."""

    emitter: bytes
    topics: tuple[bytes, ...]
    json: bytes


@attrs.frozen
class Deposit:
    """What a scanner has to find: `asset` is `eth` or a token's contract; amounts in the smallest unit."""

    transaction_hash: str
    asset: str
    to: str
    amount: int


@attrs.frozen
class ReplayedBlock:
    """A block in the forms in which it is asked for. JSON everywhere."""

    number: int
    hash: str
    full: bytes
    bare: bytes
    receipts: dict[str, bytes]
    logs: tuple[ReplayedLog, ...]
    deposits: tuple[Deposit, ...]


def make_blocks(plan: Plan) -> Iterator[ReplayedBlock]:
    """Blocks 0 (empty) to `plan.blocks`."""
    planned: dict[int, list[Planned]] = defaultdict(list)
    for each in plan.planned:
        planned[each.block].append(each)
    parent = bytes(32)
    for number in range(plan.blocks + 1):
        chance = random.Random(f"{plan.seed}/{number}")
        acts = _acts(plan, planned[number], chance) if number else []
        block, parent = _block(number, parent, acts, [_signature(plan, act, chance) for act in acts], chance)
        yield block


def _acts(plan: Plan, planned: Sequence[Planned], chance: random.Random) -> list[Act]:
    """The planned transactions among others, shuffled; all transfers and other logs of the block are handed out to them."""
    acts = [_planned_act(plan, each, chance) for each in planned]
    plain = [_plain(plan, chance) for _ in range(80 - len(acts) // 2)]
    callers = TRANSACTIONS - len(acts) - len(plain)
    transfers = TRANSFERS - sum(len(act.logs) for act in acts)
    logs = [_a_transfer(plan, chance) for _ in range(transfers)] + [_another_log(plan, chance) for _ in range(OTHER_LOGS)]
    chance.shuffle(logs)
    calls = [_a_call(plan, tuple(logs[index::callers]), chance) for index in range(callers)]
    acts += plain + calls
    chance.shuffle(acts)
    return acts


def _planned_act(plan: Plan, planned: Planned, chance: random.Random) -> Act:
    ours, other, amount = planned.managed, chance.choice(plan.strangers), chance.randint(10**15, 10**19)
    token, unlisted, collection = chance.choice(plan.listed), chance.choice(plan.unlisted), chance.choice(plan.collections)
    nonce = chance.randrange(1000)

    def pays(sender: bytes, to: bytes, value: int, *, succeeds: bool = True) -> Act:
        return Act(sender, to, value, b"", nonce, succeeds)

    def moves(contract: bytes, sender: bytes, to: bytes, moved: int) -> Act:
        return Act(sender, contract, 0, _transfer_call(to, moved), nonce, logs=(_transfer(contract, sender, to, moved),))

    named = EmittedLog(collection, (ERC20_TRANSFER_TOPIC, _word(other), _word(ours), amount.to_bytes(32, "big")), b"")
    acts = {
        Kind.NATIVE: pays(other, ours, amount),
        Kind.TOKEN: moves(token, other, ours, amount),
        Kind.FAILED: pays(other, ours, amount, succeeds=False),
        Kind.NO_VALUE: pays(other, ours, 0),
        Kind.NO_TOKENS: moves(token, other, ours, 0),
        Kind.NOT_FUNGIBLE: Act(other, collection, 0, _transfer_call(ours, amount), nonce, logs=(named,)),
        Kind.UNLISTED: moves(unlisted, other, ours, amount),
        Kind.OUTGOING: pays(ours, other, amount),
        Kind.OUTGOING_TOKEN: moves(token, ours, other, amount),
        Kind.TO_ITSELF: pays(ours, ours, amount),
    }
    return attrs.evolve(acts[planned.kind], deposit=planned.kind if planned.kind in TRUE_ONES else None, managed=ours)


def _plain(plan: Plan, chance: random.Random) -> Act:
    sender, to = chance.choice(plan.strangers), chance.choice(plan.strangers)
    return Act(sender, to, chance.randint(1, 10**19), b"", chance.randrange(100_000))


def _a_call(plan: Plan, logs: tuple[EmittedLog, ...], chance: random.Random) -> Act:
    data = chance.randbytes(4 + 32 * chance.choice((2, 2, 2, 4, 7, 10, 20)))
    value = chance.choice((0, 0, 0, 10**17))
    return Act(chance.choice(plan.strangers), chance.choice(plan.others), value, data, chance.randrange(100_000), logs=logs)


def _a_transfer(plan: Plan, chance: random.Random) -> EmittedLog:
    sender, to = chance.choice(plan.strangers), chance.choice(plan.strangers)
    match chance.choice(_TRANSFER_KINDS):
        case 0:
            return _transfer(chance.choice(plan.listed), sender, to, chance.randint(1, 10**20))
        case 1:
            return _transfer(chance.choice(plan.unlisted), sender, to, chance.randint(1, 10**20))
        case _:
            topics = (ERC20_TRANSFER_TOPIC, _word(sender), _word(to), chance.randbytes(2).rjust(32, b"\0"))
            return EmittedLog(chance.choice(plan.collections), topics, b"")


def _another_log(plan: Plan, chance: random.Random) -> EmittedLog:
    event = keccak256(b"event %d" % chance.randrange(20))
    topics = (event, *(_word(chance.choice(plan.strangers)) for _ in range(chance.randrange(3))))
    return EmittedLog(chance.choice(plan.others), topics, chance.randbytes(32 * chance.choice((1, 1, 2, 4, 5))))


def _transfer(emitter: bytes, sender: bytes, to: bytes, amount: int) -> EmittedLog:
    return EmittedLog(emitter, (ERC20_TRANSFER_TOPIC, _word(sender), _word(to)), amount.to_bytes(32, "big"))


def _transfer_call(to: bytes, amount: int) -> bytes:
    return ERC20_TRANSFER_SELECTOR + _word(to) + amount.to_bytes(32, "big")


def _word(address: bytes) -> bytes:
    return bytes(12) + address


# As bytes and as JSON


def _block(
    number: int, parent: bytes, acts: Sequence[Act], signatures: Sequence[Signature], chance: random.Random
) -> tuple[ReplayedBlock, bytes]:
    raws = [_raw(act, signature) for act, signature in zip(acts, signatures, strict=True)]
    hashes = [keccak256(raw) for raw in raws]
    blooms = [_bloom(act.logs) for act in acts]
    gas_used = [21_000 + 16 * len(act.data) + 2_000 * len(act.logs) for act in acts]
    totals = [sum(gas_used[: index + 1]) for index in range(len(acts))]
    receipts = [_raw_receipt(act, total, bloom) for act, total, bloom in zip(acts, totals, blooms, strict=True)]
    bloom = 0
    for each in blooms:
        bloom |= each
    fields = _header(number, parent, list_root(raws), list_root(receipts), bloom, sum(gas_used), chance)
    hash_ = keccak256(rlp_encode([bytes.fromhex(text[2:]) if is_data else int(text, 16) for _, text, is_data in fields]))
    timestamp = hex(FIRST_TIMESTAMP_S + 12 * number)
    place = f'"blockHash":"0x{hash_.hex()}","blockNumber":"{number:#x}","blockTimestamp":"{timestamp}"'
    log_index, logs, receipt_texts, bodies = 0, [], {}, []
    for index, act in enumerate(acts):
        hash_text = "0x" + hashes[index].hex()
        where = f'{place},"transactionHash":"{hash_text}","transactionIndex":"{index:#x}"'
        own = [_replayed(log, log_index + at, where) for at, log in enumerate(act.logs)]
        log_index += len(own)
        logs += own
        numbers = (index, gas_used[index], totals[index])
        receipt_texts[hash_text] = _receipt_json(act, where, numbers, blooms[index], own)
        bodies.append(_transaction_json(act, signatures[index], hash_text, f'{place},"transactionIndex":"{index:#x}"'))
    shown = ",".join(f'"{name}":"{text}"' for name, text, _ in fields)
    head = (
        f'{{"hash":"0x{hash_.hex()}",{shown},"size":"{sum(map(len, raws)) + 600:#x}","uncles":[],"withdrawals":[],"transactions":['
    )
    block = ReplayedBlock(
        number=number,
        hash="0x" + hash_.hex(),
        full=(head + ",".join(bodies) + "]}").encode(),
        bare=(head + ",".join(f'"0x{each.hex()}"' for each in hashes) + "]}").encode(),
        receipts=receipt_texts,
        logs=tuple(logs),
        deposits=tuple(_deposit(act, "0x" + each.hex()) for act, each in zip(acts, hashes, strict=True) if act.deposit),
    )
    return block, hash_


def _header(
    number: int, parent: bytes, transactions: bytes, receipts: bytes, bloom: int, gas_used: int, chance: random.Random
) -> list[tuple[str, str, bool]]:
    """(name, text, whether it is data and no quantity), in the order in which they are hashed (EIP-7685 has the last one)."""
    ommers = keccak256(rlp_encode([]))
    return [
        ("parentHash", "0x" + parent.hex(), True),
        ("sha3Uncles", "0x" + ommers.hex(), True),
        ("miner", "0x" + chance.randbytes(20).hex(), True),
        ("stateRoot", "0x" + chance.randbytes(32).hex(), True),
        ("transactionsRoot", "0x" + transactions.hex(), True),
        ("receiptsRoot", "0x" + receipts.hex(), True),
        ("logsBloom", "0x" + bloom.to_bytes(256, "big").hex(), True),
        ("difficulty", "0x0", False),
        ("number", hex(number), False),
        ("gasLimit", hex(45_000_000), False),
        ("gasUsed", hex(gas_used), False),
        ("timestamp", hex(FIRST_TIMESTAMP_S + 12 * number), False),
        ("extraData", "0x" + b"replayed".hex(), True),
        ("mixHash", "0x" + chance.randbytes(32).hex(), True),
        ("nonce", "0x" + bytes(8).hex(), True),
        ("baseFeePerGas", hex(BASE_FEE_WEI), False),
        ("withdrawalsRoot", "0x" + list_root([]).hex(), True),
        ("blobGasUsed", "0x0", False),
        ("excessBlobGas", "0x0", False),
        ("parentBeaconBlockRoot", "0x" + chance.randbytes(32).hex(), True),
        ("requestsHash", "0x" + chance.randbytes(32).hex(), True),
    ]


def _gas_limit(act: Act) -> int:
    return 21_000 if not act.data else 400_000


def _fees(act: Act) -> tuple[int, int]:
    """Cap and tip, in wei."""
    return 2 * BASE_FEE_WEI + act.nonce, 10**9


def _raw(act: Act, signature: Signature | tuple[()]) -> bytes:
    cap, tip = _fees(act)
    return b"\x02" + rlp_encode([CHAIN_ID, act.nonce, tip, cap, _gas_limit(act), act.to, act.value, act.data, [], *signature])


def _signature(plan: Plan, act: Act, chance: random.Random) -> Signature:
    if act.sender not in plan.keys:
        return chance.randrange(2), chance.getrandbits(255), chance.getrandbits(254)
    signed = plan.keys[act.sender].sign_recoverable(keccak256(_raw(act, ())), hasher=None)
    return signed[64], int.from_bytes(signed[:32], "big"), int.from_bytes(signed[32:64], "big")


def _raw_receipt(act: Act, gas_used_total: int, bloom: int) -> bytes:
    logs: list[RlpValue] = [[log.emitter, log.topics, log.data] for log in act.logs]
    return b"\x02" + rlp_encode([int(act.succeeds), gas_used_total, bloom.to_bytes(256, "big"), logs])


def _bloom(logs: Sequence[EmittedLog]) -> int:
    bits = 0
    for log in logs:
        for value in (log.emitter, *log.topics):
            bits |= _bits(value)
    return bits


@cache
def _bits(value: bytes) -> int:
    digest = keccak256(value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def _replayed(log: EmittedLog, log_index: int, where: str) -> ReplayedLog:
    topics = ",".join(f'"0x{topic.hex()}"' for topic in log.topics)
    text = (
        f'{{"address":"0x{log.emitter.hex()}","topics":[{topics}],"data":"0x{log.data.hex()}",{where},'
        f'"logIndex":"{log_index:#x}","removed":false}}'
    )
    return ReplayedLog(log.emitter, log.topics, text.encode())


def _receipt_json(act: Act, where: str, numbers: tuple[int, int, int], bloom: int, logs: Sequence[ReplayedLog]) -> bytes:
    _, gas_used, total = numbers
    head = (
        f'{{{where},"from":"0x{act.sender.hex()}","to":"0x{act.to.hex()}","contractAddress":null,"type":"0x2",'
        f'"status":"{int(act.succeeds):#x}","gasUsed":"{gas_used:#x}","cumulativeGasUsed":"{total:#x}",'
        f'"effectiveGasPrice":"{BASE_FEE_WEI + _fees(act)[1]:#x}","logsBloom":"0x{bloom.to_bytes(256, "big").hex()}","logs":['
    )
    return head.encode() + b",".join(log.json for log in logs) + b"]}"


def _transaction_json(act: Act, signature: Signature, hash_: str, where: str) -> str:
    cap, tip = _fees(act)
    parity, r, s = signature
    return (
        f'{{{where},"hash":"{hash_}","from":"0x{act.sender.hex()}","to":"0x{act.to.hex()}","gas":"{_gas_limit(act):#x}",'
        f'"gasPrice":"{BASE_FEE_WEI + tip:#x}","maxFeePerGas":"{cap:#x}","maxPriorityFeePerGas":"{tip:#x}",'
        f'"input":"0x{act.data.hex()}",'
        f'"nonce":"{act.nonce:#x}","value":"{act.value:#x}","type":"0x2","accessList":[],"chainId":"{CHAIN_ID:#x}",'
        f'"v":"{parity:#x}","r":"{r:#x}","s":"{s:#x}","yParity":"{parity:#x}"}}'
    )


def _deposit(act: Act, hash_: str) -> Deposit:
    asset, amount = (
        ("eth", act.value) if act.deposit is Kind.NATIVE else ("0x" + act.to.hex(), int.from_bytes(act.data[36:], "big"))
    )
    return Deposit(hash_, asset, "0x" + act.managed.hex(), amount)
