"""Identifiers: they sort by time, nobody guesses one, and one kind is never taken for another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.ids import ENTROPY_BYTES, IdPrefix, is_id, make_id

MOMENTS = st.datetimes(datetime(2015, 7, 30), datetime(2500, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given a zone by `timezones`
CHANCE = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)
PREFIXES = st.sampled_from(IdPrefix)

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


@given(PREFIXES, MOMENTS, CHANCE)
def test_an_id_says_what_it_is_and_holds_all_of_its_chance(prefix: IdPrefix, now: datetime, entropy: bytes) -> None:
    made = make_id(prefix, now, entropy)
    body = made.removeprefix(f"{prefix}_")
    assert len(body) == 26
    assert set(body) <= set(CROCKFORD)
    value = 0
    for character in body:
        value = value * 32 + CROCKFORD.index(character)
    assert value % 2**80 == int.from_bytes(entropy, "big")
    assert abs(value // 2**80 - (now - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)) <= 1
    assert is_id(made, prefix)
    assert not any(is_id(made, other) for other in IdPrefix if other is not prefix)


@given(MOMENTS, st.timedeltas(timedelta(milliseconds=1), timedelta(days=3650)), CHANCE, CHANCE)
def test_ids_sort_by_time(earlier: datetime, gap: timedelta, one: bytes, other: bytes) -> None:
    first, second = make_id(IdPrefix.WALLET, earlier, one), make_id(IdPrefix.WALLET, earlier + gap, other)
    assert first[: len("wal_") + 10] <= second[: len("wal_") + 10]
    assert make_id(IdPrefix.WALLET, earlier + timedelta(milliseconds=2), other) > first


def test_an_id_has_eighty_bits_that_nobody_can_guess() -> None:
    assert ENTROPY_BYTES * 8 >= 80


@pytest.mark.parametrize("count", [0, 9, 11, 16])
def test_too_little_or_too_much_chance_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="random bytes"):
        make_id(IdPrefix.USER, datetime(2026, 1, 1, tzinfo=UTC), bytes(count))


GOOD = make_id(IdPrefix.WALLET, datetime(2026, 1, 1, tzinfo=UTC), bytes(range(10)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wal_",
        GOOD + "\n",
        GOOD + "0",
        GOOD[:-1],
        GOOD.upper(),
        GOOD[:-1] + "i",
        GOOD[:-1] + "l",
        GOOD[:-1] + "o",
        GOOD[:-1] + "u",
        GOOD[:4] + "8" + GOOD[5:],  # more than 128 bits
        GOOD[:-1] + "\uff11",
        GOOD.replace("_", "-"),
        "wal_" + "'; drop table wallet --".ljust(26, "0"),
    ],
)
def test_what_is_no_id_is_told_apart(text: str) -> None:
    assert is_id(GOOD, IdPrefix.WALLET)
    assert not is_id(text, IdPrefix.WALLET)
