"""What leaves a wallet unasked: which movements count, and how they are booked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.chain import BlockTransaction, Hash, Log, Receipt
from custody_core.domain.encoding import ERC20_TRANSFER_TOPIC
from custody_core.domain.ledger import AccountKind, Reason
from custody_core.domain.managed import ManagedAddresses
from custody_core.domain.outflow import Outflow, booked, not_known, numbered, spent_by, tokens_moved
from custody_core.domain.tokens import Asset
from tests.support import factories
from tests.support.factories import CHAIN_ID, NOW

OURS, ALSO_OURS, FRIEND, STRANGER = (factories.address(number) for number in (0xA, 0xB, 0xF, 0xE))
USDC = Asset(CHAIN_ID, factories.address(5), "usdc", 6)
TX = factories.hash32()


def managed() -> ManagedAddresses:
    addresses = ManagedAddresses()
    addresses.add([(1, OURS), (2, ALSO_OURS)])
    return addresses


def log(sender: str, to: str, amount: int, *, index: int = 0, hash_: Hash = TX) -> Log:
    topics = (ERC20_TRANSFER_TOPIC, *(bytes(12) + bytes.fromhex(each[2:]) for each in (sender, to)))
    assert USDC.contract
    return Log(factories.hash32(), hash_, index, address_to_bytes(USDC.contract), topics, amount.to_bytes(32, "big"))


def receipt(*, succeeded: bool = True) -> Receipt:
    return Receipt(TX, factories.hash32(), 7, succeeded, 21_000, 10)


@pytest.mark.parametrize(("succeeded", "taken"), [(True, [5, 210_000]), (False, [210_000])])
def test_a_foreign_transaction_takes_its_value_and_its_fee_and_a_failed_one_the_fee(succeeded: bool, taken: Sequence[int]) -> None:
    transaction = BlockTransaction(TX, address_to_bytes(OURS), address_to_bytes(FRIEND), 0, 5)
    assert spent_by(transaction, receipt(succeeded=succeeded)) == [(OURS, "eth", amount) for amount in taken]


def test_what_goes_to_oneself_stays() -> None:
    transaction = BlockTransaction(TX, address_to_bytes(OURS), address_to_bytes(OURS), 0, 5)
    assert spent_by(transaction, receipt()) == [(OURS, "eth", 210_000)]
    assert tokens_moved([log(OURS, OURS, 5)], managed(), {}) == []


def test_tokens_that_others_move_count_and_those_that_our_payment_moves_do_not() -> None:
    paying = factories.broadcasting(asset=USDC, sender=OURS, to=FRIEND, amount=5)
    assert USDC.contract
    logs = [
        log(OURS, FRIEND, 5, index=0),  # the payment
        log(OURS, FRIEND, 5, index=1),  # once more: not asked for
        log(OURS, STRANGER, 5, index=2),
        log(OURS, FRIEND, 0, index=3),
        log(STRANGER, OURS, 5, index=4),
        log(ALSO_OURS, FRIEND, 9, index=5, hash_=factories.hash32()),  # by an allowance
    ]
    moved = tokens_moved(logs, managed(), {TX: paying})
    assert [(address, amount) for _, address, _, amount in moved] == [(OURS, 5), (OURS, 5), (ALSO_OURS, 9)]
    assert {asset for _, _, asset, _ in moved} == {USDC.contract}
    assert [(each.transaction_hash == TX, each.ordinal) for each in numbered(moved)] == [(True, 0), (True, 1), (False, 0)]


@given(amount=st.integers(1, 2**200), available=st.integers(0, 2**200))
def test_no_owner_goes_below_zero_and_the_address_loses_exactly_what_it_lost(amount: int, available: int) -> None:
    outflow = Outflow(CHAIN_ID, TX, 3, "wal_1", "eth", amount, factories.block_ref(7))
    group = booked(outflow, available=available, now=NOW)
    by_kind = {posting.account.kind: posting.delta for posting in group.postings}
    assert (group.reference, group.reason, group.height) == (f"{TX}/3", Reason.MOVED_ELSEWHERE, 7)
    assert available + by_kind.get(AccountKind.AVAILABLE, 0) >= 0
    assert by_kind.get(AccountKind.AVAILABLE, 0) + by_kind.get(AccountKind.SUSPENSE, 0) == -amount
    assert by_kind[AccountKind.EXTERNAL] == amount


def test_of_equal_movements_as_many_are_known_as_were_found_before() -> None:
    found = [Outflow(CHAIN_ID, TX, ordinal, "wal_a", USDC.key, 5, factories.block_ref(7)) for ordinal in range(3)]
    assert [each.ordinal for each in not_known(found, found[:1])] == [1, 2]
    assert not_known(found, found) == []
