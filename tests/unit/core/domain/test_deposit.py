"""Incoming transactions: every edge of the table, no other, and books that credit once."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.deposit import (
    TRANSITIONS,
    Deposit,
    DepositFact,
    DepositState,
    Finalised,
    Orphaned,
    Released,
    SeenAgain,
    decide,
)
from custody_core.domain.ledger import WALLET_KINDS, AccountKind, PostingGroup, Reason, WalletAccounts, net_by_account
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.tokens import Asset
from custody_core.errors import IllegalTransition
from tests.support import factories
from tests.support.factories import CHAIN_ID, ETH, NOW

USDC = Asset(CHAIN_ID, factories.address(5), "usdc", 6)
FACTS: list[DepositFact] = [
    SeenAgain(factories.block_ref(104, fork=1)),
    Orphaned(),
    Finalised(),
    Finalised(quarantine_reason="below the dust threshold"),
    Released(),
]
FACT_TYPES = [SeenAgain, Orphaned, Finalised, Released]


def test_the_table_has_a_row_for_every_state() -> None:
    assert set(TRANSITIONS) == set(DepositState)


@pytest.mark.parametrize("state", DepositState)
@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: repr(fact)[:30])
def test_the_table_decides_what_can_happen(state: DepositState, fact: DepositFact) -> None:
    deposit = factories.deposit(state=state)
    if type(fact) not in TRANSITIONS[state]:
        with pytest.raises(IllegalTransition, match=deposit.id):
            decide(deposit, fact, NOW)
        return
    change = decide(deposit, fact, NOW)
    assert change.deposit.state in TRANSITIONS[state][type(fact)]
    assert change.event == change.deposit.state
    assert (change.deposit.id, change.deposit.key, change.deposit.version) == (deposit.id, deposit.key, deposit.version + 1)


@pytest.mark.parametrize(
    ("state", "fact", "reason", "source", "target"),
    [
        (DepositState.CONFIRMING, Finalised(), Reason.DEPOSIT_CREDITED, AccountKind.EXTERNAL, AccountKind.AVAILABLE),
        (DepositState.CONFIRMING, Finalised("dust"), Reason.DEPOSIT_QUARANTINED, AccountKind.EXTERNAL, AccountKind.QUARANTINED),
        (DepositState.QUARANTINED, Released(), Reason.DEPOSIT_RELEASED, AccountKind.QUARANTINED, AccountKind.AVAILABLE),
    ],
)
@pytest.mark.parametrize("asset", [ETH, USDC], ids=["ether", "token"])
def test_what_is_posted(
    state: DepositState, fact: DepositFact, reason: Reason, source: AccountKind, target: AccountKind, asset: Asset
) -> None:
    deposit = factories.deposit(state=state, asset=asset, amount=UINT256_MAX)
    (group,) = decide(deposit, fact, NOW).postings
    accounts = WalletAccounts(CHAIN_ID, asset.key, deposit.wallet_id)
    assert (group.reference, group.reason) == (deposit.id, reason)
    assert net_by_account([group]) == {accounts.of(source): -UINT256_MAX, accounts.of(target): UINT256_MAX}
    on_the_chain = source is AccountKind.EXTERNAL
    assert group.height == (deposit.block.number if on_the_chain else None)


def test_a_deposit_that_is_mined_again_names_its_new_block() -> None:
    gone = decide(factories.deposit(), Orphaned(), NOW).deposit
    back = decide(gone, SeenAgain(factories.block_ref(104, fork=1)), NOW).deposit
    assert (back.state, back.block) == (DepositState.CONFIRMING, factories.block_ref(104, fork=1))
    (group,) = decide(back, Finalised(), NOW).postings
    assert group.height == 104


@given(st.lists(st.sampled_from(FACTS), max_size=20), st.integers(1, UINT256_MAX))
def test_whatever_happens_a_deposit_is_credited_at_most_once_and_only_when_final(facts: list[DepositFact], amount: int) -> None:
    deposit: Deposit = factories.deposit(amount=amount)
    groups: list[PostingGroup] = []
    for fact in facts:
        before = deposit
        try:
            change = decide(deposit, fact, NOW)
        except IllegalTransition:
            assert type(fact) not in TRANSITIONS[before.state]
            continue
        deposit, groups = change.deposit, [*groups, *change.postings]
    held = {account.kind: amount for account, amount in net_by_account(groups).items() if account.kind in WALLET_KINDS and amount}
    assert (
        held
        == {
            DepositState.CONFIRMING: {},
            DepositState.ORPHANED: {},
            DepositState.COMPLETED: {AccountKind.AVAILABLE: amount},
            DepositState.QUARANTINED: {AccountKind.QUARANTINED: amount},
        }[deposit.state]
    )
    names = [(group.reference, group.reason) for group in groups]
    assert len(names) == len(set(names))


def test_two_equal_movements_are_told_apart_by_their_ordinal() -> None:
    key = factories.deposit().key
    assert key != attrs.evolve(key, ordinal=1)
    assert len({key, attrs.evolve(key), attrs.evolve(key, ordinal=1)}) == 2
