"""Addresses: EIP-55, what is refused, and who is never a recipient."""

from __future__ import annotations

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import assume, given
from hypothesis import strategies as st

from custody_core.domain.addresses import (
    PRECOMPILE_MAX,
    ZERO_ADDRESS,
    Address,
    address_from_bytes,
    address_to_bytes,
    parse_address,
    require_recipient,
)
from custody_core.errors import InvalidAddress
from tests.support import factories

RAW = st.binary(min_size=20, max_size=20)

# The test vectors of EIP-55.
EIP_55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]
GOOD = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

MALFORMED: list[object] = [
    GOOD[2:],  # no 0x
    "0X" + GOOD[2:],
    GOOD[:-2],  # 19 bytes
    GOOD + "00",  # 21 bytes
    GOOD[:-1],
    GOOD[:-1] + "\uff11",  # a full-width digit
    GOOD + "\n",
    " " + GOOD,
    GOOD[:-1] + "g",
    "vitalik.eth",
    "",
    "0x",
    None,
    0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED,
    bytes.fromhex(GOOD[2:]),
]


@pytest.mark.parametrize("text", MALFORMED, ids=repr)
def test_s21_what_has_not_the_form_of_an_address_is_refused(text: object) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        parse_address(text)
    assert (refusal.value.pointer, refusal.value.extra["rule"]) == ("/to", "address-format")


@pytest.mark.parametrize("text", [GOOD.replace("A", "a", 1), GOOD[:2] + GOOD[2:].swapcase(), "0x" + GOOD[2:].upper()])
def test_s21_a_wrong_checksum_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        parse_address(text)
    assert (refusal.value.pointer, refusal.value.extra["rule"]) == ("/to", "address-checksum")


@pytest.mark.parametrize("text", EIP_55)
def test_the_published_examples_of_eip_55_are_accepted_as_they_are(text: str) -> None:
    assert parse_address(text) == text
    assert parse_address(text.lower()) == text


@given(RAW)
def test_an_address_is_its_eip_55_text_and_reads_back(raw: bytes) -> None:
    address = address_from_bytes(raw)
    assert str(address) == str(to_checksum_address(raw))
    assert parse_address(address) == parse_address("0x" + raw.hex()) == address
    assert address_to_bytes(address) == raw


@given(RAW, st.data())
def test_one_letter_in_the_wrong_case_is_noticed(raw: bytes, data: st.DataObject) -> None:
    address = address_from_bytes(raw)
    letters = [index for index, character in enumerate(address[2:], 2) if character.isalpha()]
    assume(letters)
    index = data.draw(st.sampled_from(letters))
    wrong = address[:index] + address[index].swapcase() + address[index + 1 :]
    assume(wrong != address.lower())
    with pytest.raises(InvalidAddress):
        parse_address(wrong)


@pytest.mark.parametrize("length", [0, 19, 21, 32])
def test_an_address_has_twenty_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        address_from_bytes(bytes(length))


SENDER, TOKEN = factories.address(), factories.address()


@pytest.mark.parametrize(
    ("to", "rule"),
    [
        (ZERO_ADDRESS, "recipient-zero-address"),
        (address_from_bytes((1).to_bytes(20, "big")), "recipient-precompile"),
        (address_from_bytes((0x100).to_bytes(20, "big")), "recipient-precompile"),
        (address_from_bytes(PRECOMPILE_MAX.to_bytes(20, "big")), "recipient-precompile"),
        (SENDER, "recipient-own-address"),
        (TOKEN, "recipient-token-contract"),
    ],
)
def test_s21_a_recipient_that_can_only_be_a_mistake_is_refused_by_a_named_rule(to: Address, rule: str) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        require_recipient(to, sender=SENDER, token=TOKEN)
    assert (refusal.value.pointer, refusal.value.extra["rule"]) == ("/to", rule)


def test_any_other_recipient_passes() -> None:
    require_recipient(address_from_bytes((PRECOMPILE_MAX + 1).to_bytes(20, "big")), sender=SENDER, token=TOKEN)
    require_recipient(TOKEN, sender=SENDER, token=None)
    require_recipient(factories.address(), sender=SENDER, token=None)
