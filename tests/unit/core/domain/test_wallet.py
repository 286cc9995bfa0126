"""Wallets: an owner once, frozen and opened again, a version more each time."""

from __future__ import annotations

import pytest

from custody_core.domain.wallet import Wallet, WalletState, freeze, give_owner, unfreeze
from custody_core.errors import InvalidStateTransition, WalletFrozen
from tests.support import factories
from tests.support.factories import NOW


def given_to(wallet: Wallet, owner_id: str) -> Wallet:
    return give_owner(wallet, owner_id=owner_id, label="savings", external_id="e-1", metadata={"k": "v"}, now=NOW)


def test_an_owner_is_given_once_and_changes_neither_key_nor_address() -> None:
    pooled = factories.wallet()
    owned = given_to(pooled, "usr_a")
    assert (owned.owner_id, owned.label, owned.external_id, owned.metadata) == ("usr_a", "savings", "e-1", {"k": "v"})
    assert (owned.id, owned.address, owned.sequence) == (pooled.id, pooled.address, pooled.sequence)
    assert owned.version == pooled.version + 1
    with pytest.raises(InvalidStateTransition):
        given_to(owned, "usr_b")


def test_what_the_caller_does_to_its_metadata_later_is_not_ours() -> None:
    metadata = {"k": "v"}
    owned = give_owner(factories.wallet(), owner_id="usr_a", label=None, external_id=None, metadata=metadata, now=NOW)
    metadata["k"] = "changed"
    assert owned.metadata == {"k": "v"}


def test_freezing_tells_why_and_opening_forgets_it() -> None:
    frozen = freeze(factories.wallet("usr_a"), reason="lost phone", by="usr_a", now=NOW)
    assert (frozen.state, frozen.state_reason, frozen.version) == (WalletState.FROZEN, "lost phone", 2)
    again = freeze(frozen, reason="court order", by="usr_admin", now=NOW)
    assert (again.state, again.state_reason, again.frozen_by) == (WalletState.FROZEN, "court order", "usr_admin")
    opened = unfreeze(again, now=NOW)
    assert (opened.state, opened.state_reason, opened.frozen_by, opened.version) == (WalletState.OPEN, None, None, 4)


def test_only_a_frozen_wallet_is_unfrozen_and_a_closed_one_stays_closed() -> None:
    closed = factories.wallet("usr_a", state=WalletState.CLOSED)
    for wallet in (closed, factories.wallet("usr_a")):
        with pytest.raises(InvalidStateTransition):
            unfreeze(wallet, now=NOW)
    with pytest.raises(InvalidStateTransition):
        freeze(closed, reason="?", by="usr_a", now=NOW)


def test_an_owner_opens_what_the_owner_froze() -> None:
    frozen = freeze(factories.wallet("usr_a"), reason="lost phone", by="usr_a", now=NOW)
    assert unfreeze(frozen, by_owner=True, now=NOW).state is WalletState.OPEN


@pytest.mark.parametrize("by", ["usr_admin", "system"])
def test_an_owner_does_not_open_what_somebody_else_froze(by: str) -> None:
    frozen = freeze(factories.wallet("usr_a"), reason="court order", by=by, now=NOW)
    assert freeze(frozen, reason="mine", by="usr_a", now=NOW) == frozen, "freezing it again does not make it the owner's"
    with pytest.raises(WalletFrozen):
        unfreeze(frozen, by_owner=True, now=NOW)
    assert unfreeze(frozen, now=NOW).state is WalletState.OPEN


def test_what_an_owner_froze_and_an_operator_after_them_is_the_operators() -> None:
    frozen = freeze(factories.wallet("usr_a"), reason="lost phone", by="usr_a", now=NOW)
    again = freeze(frozen, reason="court order", by="usr_admin", now=NOW)
    with pytest.raises(WalletFrozen):
        unfreeze(again, by_owner=True, now=NOW)
