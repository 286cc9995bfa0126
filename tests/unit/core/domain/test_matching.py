"""Finding what concerns us: transfers, logs of every shape, and a filter that never hides a deposit."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.addresses import address_from_bytes, address_to_bytes
from custody_core.domain.chain import Block, BlockTransaction, InternalTransfer, Log, Logs, Receipt
from custody_core.domain.deposit import DepositKind
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.matching import (
    TokenTransfer,
    bloom_admits,
    concerning,
    internal_keys,
    match_block,
    native_key,
    read_transfer,
    token_keys,
    transfers_agree,
)
from tests.support.factories import hash32, header

OURS, OTHER, EMITTER = b"\x11" * 20, b"\x22" * 20, b"\x33" * 20
RAW = st.binary(min_size=20, max_size=20)


def word(address: bytes) -> bytes:
    return bytes(12) + address


def transfer_log(*, sender: bytes = OTHER, to: bytes = OURS, amount: int = 5, emitter: bytes = EMITTER, index: int = 0) -> Log:
    return Log(
        block_hash=hash32(1),
        transaction_hash=hash32(2),
        log_index=index,
        emitter=emitter,
        topics=(ERC20_TRANSFER_TOPIC, word(sender), word(to)),
        data=amount.to_bytes(32, "big"),
    )


def managed(*addresses: bytes) -> ManagedAddresses:
    known = ManagedAddresses()
    known.add([(sequence, address_from_bytes(raw)) for sequence, raw in enumerate(addresses or (OURS,), 1)])
    return known


def sent(*, sender: bytes = OTHER, recipient: bytes | None = OURS, value: int = 7) -> BlockTransaction:
    return BlockTransaction(hash32(), sender, recipient, nonce=0, value=value)


# Logs


def test_logs_that_concern_us_name_us_or_are_of_a_transaction_that_does() -> None:
    strangers = transfer_log(sender=OTHER, to=EMITTER, index=1)
    in_ours = attrs.evolve(strangers, transaction_hash=hash32(3), log_index=2)
    logs = Logs(hash32(1), [transfer_log(), strangers, in_ours, transfer_log(sender=OURS, to=OTHER, index=3)])
    assert [each.log_index for each in concerning(logs, managed(), {hash32(3)})] == [0, 2, 3]
    assert [each.log_index for each in concerning(logs, managed(), ())] == [0, 3]


# Blocks


def test_managed_addresses_are_known_by_their_bytes_and_by_how_far_they_were_read() -> None:
    known = managed(OURS, OTHER)
    assert known.sequence == 2
    assert OURS in known
    assert OTHER in known
    assert EMITTER not in known
    assert None not in known


def test_a_block_is_matched_for_value_to_us_and_for_anything_from_us() -> None:
    to_us, of_nothing, from_us, to_self, creation, foreign = (
        sent(),
        sent(value=0),
        sent(sender=OURS, recipient=OTHER, value=0),
        sent(sender=OURS, recipient=OURS),
        sent(sender=OURS, recipient=None, value=0),
        sent(recipient=OTHER),
    )
    matches = match_block(Block(header(1), [to_us, of_nothing, from_us, to_self, creation, foreign]), managed())
    assert matches.incoming == (to_us, to_self)
    assert matches.outgoing == (from_us, to_self, creation)
    assert matches.transaction_hashes == (to_us.hash, to_self.hash, from_us.hash, creation.hash)


def test_the_key_of_a_native_deposit_names_the_movement_and_not_its_place() -> None:
    transaction = sent()
    key = native_key(1, transaction)
    assert (key.chain_id, key.transaction_hash, key.kind, key.asset) == (1, transaction.hash, DepositKind.NATIVE, "eth")
    assert (key.sender, key.to, key.amount, key.ordinal) == (address_from_bytes(OTHER), address_from_bytes(OURS), 7, 0)
    assert not {"block", "block_hash", "number"} & {field.name for field in attrs.fields(type(key))}
    with pytest.raises(ValueError, match="creation"):
        native_key(1, sent(recipient=None))


# What contracts pay


def paid(*, sender: bytes = OTHER, recipient: bytes = OURS, value: int = 7, transaction: int = 2) -> InternalTransfer:
    return InternalTransfer(hash32(transaction), sender, recipient, value)


def test_what_a_contract_pays_to_us_needs_its_transactions_receipt() -> None:
    to_us, to_another, of_nothing, to_itself = paid(), paid(recipient=OTHER), paid(value=0), paid(sender=OURS)
    own = sent()
    matches = match_block(Block(header(1), [own]), managed(), [to_another, to_us, of_nothing, to_itself, to_us])
    assert matches.internal == (to_us, to_us)
    assert matches.transaction_hashes == (own.hash, to_us.transaction_hash)


def test_equal_internal_transfers_of_one_transaction_are_told_apart_by_their_order() -> None:
    keys = internal_keys(1, [paid(), paid(value=8), paid(), paid(transaction=3), paid(sender=EMITTER)])
    assert [(key.transaction_hash, key.amount, key.ordinal) for key in keys] == [
        (hash32(2), 7, 0),
        (hash32(2), 8, 0),
        (hash32(2), 7, 1),
        (hash32(3), 7, 0),
        (hash32(2), 7, 0),
    ]
    assert {(key.kind, key.asset, key.to) for key in keys} == {(DepositKind.INTERNAL, "eth", address_from_bytes(OURS))}
    assert len(set(keys)) == len(keys)


def test_the_same_movement_found_in_two_ways_would_be_two_deposits_so_it_is_looked_for_in_one() -> None:
    """Why a transaction's own value must never be among its internal transfers."""
    transaction = sent()
    same = InternalTransfer(transaction.hash, transaction.sender, OURS, transaction.value)
    assert native_key(1, transaction) != internal_keys(1, [same])[0]


# Logs


@given(RAW, RAW, st.integers(0, 2**256 - 1))
def test_a_well_formed_transfer_is_read(sender: bytes, to: bytes, amount: int) -> None:
    assert read_transfer(transfer_log(sender=sender, to=to, amount=amount)) == TokenTransfer(sender, to, amount)


GOOD = transfer_log()
MISSHAPEN = {
    "short data": attrs.evolve(GOOD, data=GOOD.data[:31]),
    "no data": attrs.evolve(GOOD, data=b""),
    "33 bytes of data": attrs.evolve(GOOD, data=GOOD.data + b"\0"),
    "64 bytes of data": attrs.evolve(GOOD, data=GOOD.data * 2),
    "one topic": attrs.evolve(GOOD, topics=GOOD.topics[:1]),
    "two topics": attrs.evolve(GOOD, topics=GOOD.topics[:2]),
    "no topics": attrs.evolve(GOOD, topics=()),
    "four topics (ERC-721)": attrs.evolve(GOOD, topics=(*GOOD.topics, bytes(32)), data=b""),
    "four topics and data": attrs.evolve(GOOD, topics=(*GOOD.topics, bytes(32))),
    "another event": attrs.evolve(GOOD, topics=(bytes(32), *GOOD.topics[1:])),
    "dirty upper bytes in the sender": attrs.evolve(GOOD, topics=(GOOD.topics[0], b"\x01" + GOOD.topics[1][1:], GOOD.topics[2])),
    "dirty upper bytes in the recipient": attrs.evolve(GOOD, topics=(*GOOD.topics[:2], bytes(11) + b"\x01" + OURS)),
    "a short topic": attrs.evolve(GOOD, topics=(*GOOD.topics[:2], OURS)),
    "a long topic": attrs.evolve(GOOD, topics=(*GOOD.topics[:2], bytes(13) + OURS)),
}


@pytest.mark.parametrize("log", MISSHAPEN.values(), ids=MISSHAPEN)
def test_d11_a_misshapen_log_is_no_transfer_and_stops_nothing(log: Log) -> None:
    assert read_transfer(log) is None
    assert [key.amount for key in token_keys(1, [log, GOOD], managed())] == [5]


@given(st.lists(st.binary(max_size=40), max_size=5), st.binary(max_size=70))
def test_d11_no_log_that_a_contract_can_emit_makes_the_reader_fall_over(topics: list[bytes], data: bytes) -> None:
    log = attrs.evolve(GOOD, topics=(ERC20_TRANSFER_TOPIC, *topics), data=data)
    transfer = read_transfer(log)
    assert transfer is None or (len(topics), len(data)) == (2, 32)
    token_keys(1, [log], managed())


def test_movements_of_nothing_to_oneself_and_to_others_are_no_deposits() -> None:
    logs = [transfer_log(amount=0), transfer_log(sender=OURS), transfer_log(to=OTHER)]
    assert token_keys(1, logs, managed()) == []


def test_a_transfer_between_two_managed_wallets_is_a_deposit_of_the_second() -> None:
    (key,) = token_keys(1, [transfer_log(sender=OTHER, to=OURS)], managed(OURS, OTHER))
    assert (address_to_bytes(key.sender), address_to_bytes(key.to)) == (OTHER, OURS)


@given(st.lists(st.tuples(st.sampled_from([OTHER, EMITTER]), st.integers(1, 3), st.sampled_from([EMITTER, OTHER])), max_size=12))
def test_equal_transfers_in_one_transaction_are_as_many_deposits(rows: list[tuple[bytes, int, bytes]]) -> None:
    logs = [
        transfer_log(sender=sender, amount=amount, emitter=emitter, index=index)
        for index, (sender, amount, emitter) in enumerate(rows)
    ]
    keys = token_keys(1, logs, managed())
    assert len(keys) == len(set(keys)) == len(rows)
    assert [(address_to_bytes(key.sender), key.amount, bytes.fromhex(key.asset[2:])) for key in keys] == rows
    for key in keys:
        equals = [each for each in keys if attrs.evolve(each, ordinal=0) == attrs.evolve(key, ordinal=0)]
        assert [each.ordinal for each in equals] == list(range(len(equals)))


def test_equal_transfers_in_two_transactions_do_not_count_together() -> None:
    other = attrs.evolve(GOOD, transaction_hash=hash32(99))
    assert [key.ordinal for key in token_keys(1, [GOOD, other, GOOD], managed())] == [0, 0, 1]


# The filter


def yellow_paper_bloom(entries: Sequence[bytes]) -> bytes:
    """M of the Yellow Paper, 4.3.1: for each entry the low 11 bits of the first three pairs of bytes of its Keccak-256."""
    bits = bytearray(256)
    for entry in entries:
        digest = keccak(entry)
        for pair in (digest[0:2], digest[2:4], digest[4:6]):
            bit = int.from_bytes(pair, "big") % 2048
            bits[255 - bit // 8] |= 1 << (bit % 8)
    return bytes(bits)


@given(
    st.lists(st.tuples(RAW, st.lists(st.binary(min_size=32, max_size=32), max_size=4)), max_size=20), RAW, st.lists(RAW, max_size=5)
)
def test_the_filter_never_hides_a_log_of_a_listed_token(
    noise: list[tuple[bytes, list[bytes]]], emitter: bytes, others: list[bytes]
) -> None:
    entries = [entry for address, topics in noise for entry in (address, *topics)]
    bloom = yellow_paper_bloom([*entries, emitter, ERC20_TRANSFER_TOPIC])
    assert bloom_admits(bloom, topic=ERC20_TRANSFER_TOPIC, emitters=[*others, emitter])


@given(st.lists(RAW, max_size=10), st.lists(RAW, max_size=3))
def test_the_filter_says_perhaps_only_where_every_bit_is_set(entries: list[bytes], emitters: list[bytes]) -> None:
    bloom = yellow_paper_bloom(entries)

    def has(value: bytes) -> bool:
        alone = int.from_bytes(yellow_paper_bloom([value]), "big")
        return alone & int.from_bytes(bloom, "big") == alone

    expected = has(ERC20_TRANSFER_TOPIC) and any(has(emitter) for emitter in emitters)
    assert bloom_admits(bloom, topic=ERC20_TRANSFER_TOPIC, emitters=emitters) == expected


def test_an_empty_filter_hides_everything_and_a_missing_one_nothing() -> None:
    assert not bloom_admits(bytes(256), topic=ERC20_TRANSFER_TOPIC, emitters=[EMITTER])
    assert bloom_admits(bytes([255]) * 256, topic=ERC20_TRANSFER_TOPIC, emitters=[EMITTER])
    assert bloom_admits(None, topic=ERC20_TRANSFER_TOPIC, emitters=[EMITTER])


# Receipts and a block's logs


def receipt_of(*logs: Log) -> Receipt:
    return Receipt(hash32(2), hash32(1), 1, True, 50_000, 1, logs)


def test_receipts_and_the_blocks_logs_agree_when_they_tell_of_the_same_listed_transfers() -> None:
    one, two = transfer_log(index=0), transfer_log(index=1)
    approval = attrs.evolve(one, log_index=2, topics=(bytes(32), *one.topics[1:]))
    unlisted, nameless = transfer_log(emitter=OTHER, index=3), attrs.evolve(one, log_index=4, topics=())
    elsewhere = attrs.evolve(one, transaction_hash=hash32(3), log_index=5)
    assert transfers_agree([one, two, elsewhere], [receipt_of(one, two, approval, unlisted, nameless)], [EMITTER])
    assert transfers_agree([elsewhere], [], [EMITTER])
    assert transfers_agree([], [receipt_of(one)], [])


@pytest.mark.parametrize(
    "other",
    [
        transfer_log(index=1),
        transfer_log(amount=6),
        transfer_log(to=OTHER),
        transfer_log(emitter=OTHER),
    ],
    ids=["index", "amount", "recipient", "emitter"],
)
def test_a_transfer_that_only_one_of_both_tells_of_is_a_disagreement(other: Log) -> None:
    one, emitters = transfer_log(), [EMITTER, OTHER]
    assert not transfers_agree([], [receipt_of(one)], emitters)
    assert not transfers_agree([one], [receipt_of()], emitters)
    assert not transfers_agree([other], [receipt_of(one)], emitters)
    assert not transfers_agree([one], [receipt_of(one, other)], emitters)
