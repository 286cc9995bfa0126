"""The books."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody_core.domain.ledger import Account, AccountKind, PostingGroup, Reason, WalletAccounts, moves, net_by_account
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.wallet import Wallet
from custody_core.errors import Conflict, InsufficientFunds
from custody_core.ports import Store, Unit
from tests.support import factories as make
from tests.unit.contracts.store import given as stored

ETH = make.ETH


def accounts(wallet: Wallet) -> WalletAccounts:
    """The ether accounts of a wallet."""
    return WalletAccounts(make.CHAIN_ID, ETH.key, wallet.id)


class BookContract:
    """Groups are kept as posted; balances are their sum; what belongs to an owner never goes below zero."""

    @pytest.mark.parametrize("amount", [1, 2**63, 2**255, UINT256_MAX])
    def test_amounts_are_exact(self, store: Store, amount: int) -> None:
        wallet = stored.wallet(store)
        credit = make.credit(wallet, amount)
        stored.write(store, lambda unit: unit.post([credit]))
        with store.reading() as unit:
            assert unit.balance(accounts(wallet).available) == amount
            assert unit.balance(accounts(wallet).external) == -amount
            assert unit.balance(accounts(wallet).reserved) == 0
            assert [group for _, group in unit.posting_groups(after=0, limit=9)] == [credit]

    def test_the_other_side_may_go_beyond_256_bits(self, store: Store) -> None:
        wallets = [stored.wallet(store) for _ in range(3)]
        stored.write(store, lambda unit: unit.post([make.credit(wallet, UINT256_MAX) for wallet in wallets]))
        assert stored.read(store, lambda unit: unit.balance(accounts(wallets[0]).external)) == -3 * UINT256_MAX

    def test_what_is_not_there_is_not_spent(self, store: Store) -> None:
        wallet = stored.wallet(store)
        stored.write(store, lambda unit: unit.post([make.credit(wallet, 10)]))
        with pytest.raises(InsufficientFunds) as refused:
            stored.write(store, lambda unit: unit.post([make.hold(wallet, 11)]))
        assert refused.value.extra == {"asset": "eth", "available": "10", "required": "11"}
        with store.reading() as unit:
            assert unit.balances(wallet.id) == {accounts(wallet).available: 10}
            assert len(unit.posting_groups(after=0, limit=9)) == 1
        stored.write(store, lambda unit: unit.post([make.hold(wallet, 10)]))
        assert stored.read(store, lambda unit: unit.balances(wallet.id)) == {
            accounts(wallet).available: 0,
            accounts(wallet).reserved: 10,
        }

    def test_a_wallet_that_never_had_anything_spends_nothing(self, store: Store) -> None:
        wallet = stored.wallet(store)
        with pytest.raises(InsufficientFunds):
            stored.write(store, lambda unit: unit.post([make.hold(wallet, 1)]))
        assert stored.read(store, lambda unit: unit.balances(wallet.id)) == {}

    def test_two_spenders_never_spend_the_same(self, store: Store) -> None:
        wallet = stored.wallet(store)
        stored.write(store, lambda unit: unit.post([make.credit(wallet, 10)]))

        def spend() -> int:
            spent = 0
            for _ in range(8):
                try:
                    stored.persistently(store, lambda unit: unit.post([make.hold(wallet, 1)]))
                    spent += 1
                except InsufficientFunds:
                    pass
            return spent

        assert sum(stored.at_once(spend, spend)) == 10
        assert stored.read(store, lambda unit: unit.balance(accounts(wallet).available)) == 0

    def test_a_cause_is_posted_once(self, store: Store) -> None:
        wallet = stored.wallet(store)
        credit = make.credit(wallet, 10)
        stored.write(store, lambda unit: unit.post([credit]))
        for again in ([credit], [make.credit(wallet, 1), make.credit(wallet, 99, reference=credit.reference)]):
            with pytest.raises(Conflict), store.transaction() as unit:
                unit.post(again)
        assert stored.read(store, lambda unit: unit.balance(accounts(wallet).available)) == 10
        stored.write(store, lambda unit: unit.post([make.hold(wallet, 1, reference=credit.reference)]))

    def test_posting_none_is_fine(self, store: Store) -> None:
        stored.write(store, lambda unit: unit.post([]))

    def test_groups_come_in_their_order_page_by_page(self, store: Store) -> None:
        wallet = stored.wallet(store)
        groups = [make.credit(wallet, amount, height=None if amount == 2 else amount) for amount in range(1, 8)]
        for group in groups:
            with store.transaction() as unit:
                unit.post([group])
        read: list[tuple[int, PostingGroup]] = []
        with store.reading() as unit:
            while page := unit.posting_groups(after=read[-1][0] if read else 0, limit=3):
                assert len(page) <= 3
                read += page
        assert [group for _, group in read] == groups
        assert [position for position, _ in read] == sorted({position for position, _ in read})

    def test_totals_cover_every_wallet_and_all_of_its_accounts(self, store: Store) -> None:
        rich, poor = stored.wallet(store), stored.wallet(store)
        (pooled,) = stored.pooled(store)
        suspense = accounts(rich).of(AccountKind.SUSPENSE)
        missing = PostingGroup(
            make.CHAIN_ID, "alarm", Reason.SEND_SETTLED, make.NOW, 3, moves((suspense, accounts(rich).external, 4))
        )
        token = make.token().asset
        stored.write(
            store,
            lambda unit: unit.post([make.credit(rich, 10), make.hold(rich, 3), missing, make.credit(rich, 5, asset=token)]),
        )
        everyone = [(rich, {"eth": 6, token.key: 5}), (poor, {}), (pooled, {})]
        with store.reading() as unit:
            assert unit.wallet_totals(make.CHAIN_ID, after_wallet_id="", limit=9) == everyone
            assert unit.wallet_totals(make.CHAIN_ID, after_wallet_id=rich.id, limit=1) == everyone[1:2]
            assert unit.wallet_totals(1, after_wallet_id="", limit=1) == [(rich, {})]

    # Every example makes a wallet of its own, so a store may serve several; and each adapter's class runs this on its own store.
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
    @given(movements=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, UINT256_MAX)), min_size=1, max_size=8))
    def test_balances_are_the_sum_of_the_postings(self, store: Store, movements: list[tuple[int, int, int]]) -> None:
        wallet = stored.wallet(store)
        of = [accounts(wallet).of(kind) for kind in AccountKind]
        for source, target, amount in movements:
            with store.transaction() as unit:
                _try(unit, of[source], of[target], amount)
        groups = [group for _, group in stored.read(store, lambda unit: unit.posting_groups(after=0, limit=10_000))]
        sums: dict[Account, int] = defaultdict(int, net_by_account(groups))
        with store.reading() as unit:
            assert {account: unit.balance(account) for account in of} == {account: sums[account] for account in of}
            assert unit.balances_of(of) == {account: sums[account] for account in of}
            assert all(balance == sums[account] for account, balance in unit.balances(wallet.id).items())
            assert all(unit.balance(accounts(wallet).of(kind)) >= 0 for kind in list(AccountKind)[:3])


def _try(unit: Unit, source: Account, target: Account, amount: int) -> None:
    if source == target:
        return
    group = PostingGroup(make.CHAIN_ID, f"move-{make.number()}", Reason.SEND_HELD, make.NOW, None, moves((source, target, amount)))
    try:
        unit.post([group])
    except InsufficientFunds:
        assert unit.balance(source) < amount
