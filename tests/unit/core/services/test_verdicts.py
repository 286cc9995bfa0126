"""Each verdict fails when its promise is broken, and names the rows; a check that could not fail would be none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from custody_core import Transaction, ether
from custody_core.domain.deposit import DepositState
from custody_core.domain.ledger import PostingGroup, Reason, WalletAccounts, moves
from custody_core.domain.policy import Layer, Verdict
from custody_core.services.verdicts.verdict import TITLES, VIOLATIONS_MAX, Verdicts
from custody_memory.tables import Tables
from tests.support import factories
from tests.unit.core.services.bench import Bench


@attrs.frozen
class Site:
    """A service with a final send and a final deposit, whose rows a test breaks past every rule."""

    bench: Bench
    sent: Transaction

    def broken(self, how: Callable[[Tables], None]) -> dict[str, tuple[str, ...]]:
        """The violations after `how` has changed rows."""
        with self.bench.custody._kit.store.transaction() as unit:
            how(unit._tables)  # type: ignore[attr-defined]  # the store in memory
        checks = self.bench.custody.reconcile().checks
        return {check.id: check.violations for check in checks if not check.ok}

    def change(self, table: str, **changes: Any) -> dict[str, tuple[str, ...]]:
        """The violations after one row of a table has other values."""

        def how(tables: Tables) -> None:
            rows = getattr(tables, table)
            key = next(reversed(rows.rows))
            rows.put(key, attrs.evolve(rows.rows[key], **changes))

        return self.broken(how)


@pytest.fixture
def site(bench: Bench) -> Site:
    wallet = bench.wallet("alice", wei=ether("1"))
    sent = bench.send(wallet, ether("0.1"))
    bench.settle()
    bench.require_sound()
    return Site(bench, bench.transaction(sent.id))


def test_all_of_a_sound_system_hold(site: Site) -> None:
    checks = site.bench.custody.reconcile().checks
    assert [check.id for check in checks] == list(TITLES)
    assert all(check.ok for check in checks)


def test_a_deposit_that_is_not_final_is_seen_in_what_is_available(site: Site) -> None:
    found = site.change("deposits", state=DepositState.CONFIRMING)
    assert "is available and its deposit is confirming" in found["INV-4"][0]
    assert "INV-3" in found


def test_a_posting_above_the_final_block_is_seen(site: Site) -> None:
    wallet = site.bench.custody.wallets.get(site.sent.wallet_id)
    accounts = WalletAccounts(site.bench.chain.chain_id, "eth", wallet.id)
    early = PostingGroup(
        accounts.chain_id, "early", Reason.SEND_SETTLED, factories.NOW, 10**6, moves((accounts.external, accounts.available, 1))
    )
    with site.bench.custody._kit.store.transaction() as unit:
        unit.post([early])
    found = {check.id: check.violations for check in site.bench.custody.reconcile().checks}
    assert "early/send-settled is posted at block 1000000, which is not final" in found["INV-4"]


def test_a_credit_of_another_amount_is_seen(site: Site) -> None:
    def how(tables: Tables) -> None:
        key, deposit = next(iter(tables.deposits.rows.items()))
        tables.deposits.put(key, attrs.evolve(deposit, key=attrs.evolve(deposit.key, amount=7)))

    assert "is of 7 and credited with" in site.broken(how)["INV-3"][0]


def test_a_balance_that_is_not_the_sum_of_its_postings_is_seen(site: Site) -> None:
    def how(tables: Tables) -> None:
        account = next(account for account in tables.balances.rows if account.wallet_id == site.sent.wallet_id)
        tables.balances.put(account, tables.balances.rows[account] + 1)

    found = site.broken(how)
    assert len(found["INV-2"]) == 1
    assert "its postings sum to" in found["INV-2"][0]
    assert "INV-1" in found


def test_an_idempotency_key_of_what_is_not_there_is_seen(site: Site) -> None:
    owner = site.sent.owner_id
    gone, theirs = factories.transaction().id, site.sent.id
    records = [
        factories.idempotency(scope=f"{owner} POST /transactions", key="gone", object_id=gone),
        factories.idempotency(scope="usr_other POST /transactions", key="theirs", object_id=theirs),
        factories.idempotency(scope="usr_operator POST /wallets/<wallet_id>/freeze", key="fine", object_id=site.sent.wallet_id),
    ]
    with site.bench.custody._kit.store.transaction() as unit:
        unit.add_idempotency(records)
    (check,) = [check for check in site.bench.custody.reconcile().checks if check.id == "INV-8"]
    assert check.violations == (
        f"a key of {owner} POST /transactions names {gone}, which is not there",
        f"a key of usr_other POST /transactions names {theirs}, which is {owner}'s",
    )


def test_a_gap_in_the_nonces_is_seen(site: Site) -> None:
    found = site.change("transactions", nonce=7)
    assert "INV-16" in found  # its decision was for another nonce

    def how(tables: Tables) -> None:
        key, one = next(iter(tables.transactions.rows.items()))
        second = attrs.evolve(one, id=factories.transaction().id, nonce=9)
        tables.transactions.put(second.id, second)
        assert key != second.id

    assert f"{site.sent.sender} used nonce 9 after 7" in site.broken(how)["INV-9"][0]


@pytest.mark.parametrize("how", ["lost", "anothers"])
def test_a_wallet_without_its_own_key_is_seen(site: Site, how: str) -> None:
    def change(tables: Tables) -> None:
        key = tables.sealed_keys.rows[site.sent.wallet_id]
        tables.sealed_keys.discard(site.sent.wallet_id)
        if how == "anothers":
            tables.sealed_keys.put(site.sent.wallet_id, attrs.evolve(key, address=factories.address()))

    (violation,) = site.broken(change)["INV-15"]
    assert violation.startswith(site.sent.wallet_id)


def test_a_decision_that_its_policies_do_not_make_is_seen(site: Site) -> None:
    def how(tables: Tables) -> None:
        for id_, policy in tables.policies.rows.items():
            denying = {"version": 1, "rules": [{"id": "no", "when": {}, "then": {"deny": True}}]}
            tables.policies.put(id_, attrs.evolve(policy, document=denying))

    assert f"and its policies say {Verdict.DENY}" in site.broken(how)["INV-17"][0]


def test_a_policy_that_cannot_be_read_is_seen(site: Site) -> None:
    def how(tables: Tables) -> None:
        policy = factories.policy(Layer.GLOBAL, document={"version": 2})
        tables.active_policies.put((Layer.WALLET, "wal_x"), policy)

    violations = site.broken(how)["INV-17"]
    assert any("cannot be read, so it denies everything" in violation for violation in violations)
    assert any("2 policies are in force" in violation for violation in violations)


def test_a_missing_header_is_seen(site: Site) -> None:
    def how(tables: Tables) -> None:
        tables.headers.discard(sorted(tables.headers.rows)[3])

    assert len(site.broken(how)["INV-20"]) == 2


def test_no_more_is_told_than_anybody_reads() -> None:
    verdicts = Verdicts()
    verdicts.add("INV-1", (f"violation {number}" for number in range(10**6)))
    verdicts.add("INV-1", ["one more"])
    (check, *_) = verdicts.checks()
    assert len(check.violations) == VIOLATIONS_MAX
