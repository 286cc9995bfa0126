"""However many addresses are ours and however they are held, every one of them is found."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain import managed
from custody_core.domain.addresses import address_from_bytes
from custody_core.domain.managed import ManagedAddresses

HEADS = st.sampled_from([bytes(8), bytes(7) + b"\x01", b"\x7f" + bytes(7), b"\xff" * 8])
RAW = st.one_of(st.binary(min_size=20, max_size=20), st.tuples(HEADS, st.binary(min_size=12, max_size=12)).map(b"".join))


def added(pages: list[list[bytes]]) -> ManagedAddresses:
    known, sequence = ManagedAddresses(), 0
    for page in pages:
        rows = [(sequence + place, address_from_bytes(raw)) for place, raw in enumerate(page, 1)]
        known.add(rows)
        sequence += len(page)
    assert known.sequence == sequence
    return known


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few are held whole that a test's handful is folded again and again."""
    monkeypatch.setattr(managed, "SET_MAX", 5)
    monkeypatch.setattr(managed, "NEWEST_MAX", 3)


@pytest.mark.usefixtures("small")
class TestFolded:
    """Properties that hold on both sides of each limit."""

    @given(st.data())
    def test_it_is_a_set_that_may_take_one_address_for_another_that_begins_alike(self, data: st.DataObject) -> None:
        own = data.draw(st.lists(RAW, max_size=40, unique=True))
        page = data.draw(st.integers(1, 9))
        known, plain = added([own[at : at + page] for at in range(0, len(own), page)]), set(own)
        column = [*plain, *data.draw(st.lists(st.one_of(RAW, st.none()), max_size=20))]
        assert len(known._newest) + len(known._prefixes) == len(plain)
        assert all(raw in known for raw in plain)
        heads = {raw[:8] for raw in plain}
        for place in known.hits(column):
            raw = column[place]
            assert raw is not None
            assert raw in plain or (not known.is_exact and raw[:8] in heads)
        assert {column[place] for place in known.hits(column)} >= plain
        assert None not in known

    def test_beyond_the_limit_a_yes_has_to_be_confirmed(self) -> None:
        own = [bytes([number]) * 20 for number in range(6)]
        assert added([own[:5]]).is_exact
        known = added([own])
        assert not known.is_exact
        alike = own[3][:8] + bytes(12)
        assert list(known.hits([alike, own[0], b"\x99" * 20])) == [0, 1]
        assert alike not in added([own[:5]])


def test_ten_thousands_of_addresses_take_eight_bytes_each() -> None:
    chance = random.Random(7)
    own = [chance.randbytes(20) for _ in range(managed.SET_MAX + 5_000)]
    known = added([own[at : at + 10_000] for at in range(0, len(own), 10_000)])
    assert len(known._newest) + len(known._prefixes) == len(own)
    assert all(raw in known for raw in own)
    assert not known.hits([chance.randbytes(20) for _ in range(10_000)])
    held = sum(sys.getsizeof(part) for part in (known._prefixes, known._newest))
    assert held < 1.3 * 8 * len(own)


def test_what_was_confirmed_is_exact_however_much_it_is() -> None:
    own = [number.to_bytes(20, "big") for number in range(managed.SET_MAX + 1)]
    known = ManagedAddresses.exactly(own, sequence=9)
    assert (known.is_exact, known.sequence) == (True, 9)
    assert own[-1] in known
    assert own[0][:8] + b"\xff" * 12 not in known
