"""What `custody doctor` says of sends that need somebody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from custody_app import doctor_sends
from custody_core.domain.transaction import State, Stuck, Transaction
from tests.support import factories
from tests.support.factories import NOW
from tests.unit.core.services.bench import opened

LATER = NOW + timedelta(hours=1)


def said_of(transaction: Transaction) -> str | None:
    return doctor_sends._way_out(transaction, LATER)


@pytest.mark.parametrize(
    ("transaction", "part"),
    [
        (factories.broadcasting(stuck=Stuck.FEE_AT_CAP), "the market asks more"),
        (factories.broadcasting(stuck=Stuck.PASSED_OVER), "no block takes it"),
        (factories.broadcasting(parked_reason="provider-fee-cap"), "no node passes on"),
        (factories.broadcasting(), "nobody can say whether one will"),
        (factories.transaction(parked_reason="wallet-frozen"), "custody wallet unfreeze"),
        (factories.transaction(), "see that `custody scanner` runs"),
    ],
    ids=["cap", "passed-over", "provider", "unknown", "frozen", "untouched"],
)
def test_what_needs_somebody_has_a_way_out(transaction: Transaction, part: str) -> None:
    assert part in (said_of(transaction) or "")


@pytest.mark.parametrize(
    "transaction",
    [factories.transaction(parked_reason="in-flight-limit"), factories.transaction(created_at=LATER)],
    ids=["in its turn", "new"],
)
def test_what_is_as_it_should_be_is_not_told(transaction: Transaction) -> None:
    assert said_of(transaction) is None


def test_a_nonce_that_is_not_signed_while_later_ones_wait_is_a_gap() -> None:
    wallet: dict[str, Any] = {"wallet_id": "wal_one", "created_at": LATER}
    attempt = factories.attempt()

    def reserved(nonce: int, **changes: Any) -> Transaction:
        return factories.transaction(state=State.PENDING_SIGNATURE, nonce=nonce, attempts=(attempt,), **(wallet | changes))

    waiting = [reserved(3), *(factories.broadcasting(nonce=nonce, **wallet) for nonce in (4, 5))]
    (gap,) = doctor_sends._gaps([*waiting, reserved(6), reserved(0, wallet_id="wal_other")])
    assert gap.name == waiting[0].id
    assert "nonce 3 of wal_one is not signed, and 2 later ones wait" in gap.detail


def test_all_is_well_where_nothing_waits() -> None:
    with opened() as bench:
        assert [finding.ok for finding in doctor_sends.waiting(bench.custody, LATER)] == [True]


def test_a_wallet_that_was_stopped_is_told_with_its_way_out() -> None:
    wallet = attrs.evolve(factories.wallet(), state_reason="its key was used elsewhere; see `custody chain adopt`")
    (finding,) = doctor_sends.stopped([wallet])
    assert (finding.name, finding.ok) == (wallet.id, False)
    assert "custody chain adopt" in finding.detail
