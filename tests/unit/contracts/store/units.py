"""Units: all or nothing, one after the other, one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from custody_core.domain.ledger import WalletAccounts
from custody_core.domain.outflow import Outflow
from custody_core.domain.wallet import Wallet
from custody_core.errors import BrokenInvariant, Conflict, InsufficientFunds
from custody_core.ports import EVERY_MOVEMENT, Store, Unit
from tests.support import factories as make
from tests.unit.contracts.store import given


class Boom(Exception):
    """Something that a service did not expect."""


class UnitContract:
    """A unit is committed altogether or leaves nothing, and units that lock the same take turns."""

    def test_a_clean_exit_commits_everything(self, store: Store) -> None:
        user, token = make.user(), make.token()
        with store.transaction() as unit:
            unit.add_user(user)
            unit.add_token(token)
        assert given.read(store, lambda unit: (unit.user(user.id), unit.token(token.id))) == (user, token)

    @pytest.mark.parametrize("error", [Boom, KeyboardInterrupt])
    def test_an_exception_leaves_nothing(self, store: Store, error: type[BaseException]) -> None:
        wallet = given.wallet(store)
        before = _everything(store)
        with pytest.raises(error), store.transaction() as unit:  # noqa: PT012  # the unit is what is tested
            _write_to_every_table(unit, wallet.id)
            raise error
        assert _everything(store) == before
        given.write(store, lambda unit: unit.add_user(make.user()))  # and the next writer gets its turn

    def test_a_unit_sees_its_own_writes(self, store: Store) -> None:
        user = make.user()
        with store.transaction() as unit:
            unit.add_user(user)
            assert unit.user(user.id) == user
            assert unit.user_by_subject(user.issuer, user.subject) == user

    def test_a_refused_statement_that_is_swallowed_still_undoes_the_unit(self, store: Store) -> None:
        user, other = make.user(), make.user()
        given.write(store, lambda unit: unit.add_user(user))
        with pytest.raises(Conflict), store.transaction() as unit:  # noqa: PT012  # the unit is what is tested
            unit.add_user(other)
            with pytest.raises(Conflict):
                unit.add_user(user)
        assert given.read(store, lambda unit: unit.user(other.id)) is None

    def test_reading_sees_one_moment(self, store: Store) -> None:
        wallet = given.wallet(store)
        account = WalletAccounts(make.CHAIN_ID, "eth", wallet.id).available
        with store.reading() as unit:
            assert unit.balance(account) == 0
            given.at_once(lambda: given.write(store, lambda unit: unit.post([make.credit(wallet, 7)])))
            assert unit.balance(account) == 0
            assert unit.posting_groups(after=0, limit=10) == []
            assert unit.balances(wallet.id) == {}
        assert given.read(store, lambda unit: unit.balance(account)) == 7

    def test_reading_refuses_to_write_and_to_lock(self, store: Store) -> None:
        wallet = given.wallet(store)
        before = _everything(store)
        for write in _writes(wallet.id):
            with pytest.raises(BrokenInvariant), store.reading() as unit:
                write(unit)
        assert _everything(store) == before

    @pytest.mark.parametrize("lock", ["wallet", "wallets", "chain", "pool"])
    def test_units_that_lock_the_same_run_one_after_the_other(self, store: Store, lock: str) -> None:
        """Each reads a counter and writes it one higher: none of the increments is lost, and nobody has to try again."""
        wallet = given.wallet(store)
        given.write(store, lambda unit: unit.add_chain(make.chain_state(), make.header(0)))

        def increment() -> None:
            for _ in range(10):
                with store.transaction() as unit:
                    _lock(unit, lock, wallet.id)
                    unit.put_setting("counter", str(int(unit.setting("counter") or b"0") + 1).encode())

        given.at_once(*[increment] * 4)
        assert given.read(store, lambda unit: unit.setting("counter")) == b"40"

    def test_units_that_lock_the_same_wallets_in_any_order_never_wait_for_each_other_in_a_circle(self, store: Store) -> None:
        """One of them would be told `Conflict`, which nobody here catches. A counter shows that they were locked."""
        ids = [given.wallet(store).id for _ in range(5)]

        def increment(asked: Sequence[str]) -> None:
            for _ in range(10):
                with store.transaction() as unit:
                    unit.wallets_by_id(asked, lock=True)
                    unit.put_setting("counter", str(int(unit.setting("counter") or b"0") + 1).encode())

        given.at_once(*[partial(increment, asked) for asked in (ids, ids[::-1], [*ids[2:], *ids[:2]], ids[::-1])])
        assert given.read(store, lambda unit: unit.setting("counter")) == b"40"

    def test_postings_of_many_at_once_to_one_account_all_count(self, store: Store) -> None:
        wallets = [given.wallet(store) for _ in range(4)]

        def credit(wallet: Wallet) -> None:
            for _ in range(5):
                given.persistently(store, lambda unit: unit.post([make.credit(wallet, 3)]))

        given.at_once(*[partial(credit, wallet) for wallet in [*wallets, *wallets]])
        external = WalletAccounts(make.CHAIN_ID, "eth", wallets[0].id).external
        assert given.read(store, lambda unit: unit.balance(external)) == -4 * 2 * 5 * 3

    def test_of_many_that_take_more_than_half_of_an_account_one_succeeds(self, store: Store) -> None:
        wallet = given.wallet(store)
        given.write(store, lambda unit: unit.post([make.credit(wallet, 100)]))

        def take() -> bool:
            try:
                given.persistently(store, lambda unit: unit.post([make.hold(wallet, 80, reference=f"take-{make.number()}")]))
            except InsufficientFunds:
                return False
            return True

        assert sorted(given.at_once(*[take] * 8)) == [False] * 7 + [True]

    def test_what_is_written_is_not_seen_before_its_commit(self, store: Store) -> None:
        written, seen = threading.Event(), threading.Event()
        user = make.user()

        def write() -> None:
            with store.transaction() as unit:
                unit.add_user(user)
                written.set()
                assert seen.wait(30)

        def look() -> bool:
            assert written.wait(30)
            try:
                return given.read(store, lambda unit: unit.user(user.id)) is None
            finally:
                seen.set()

        assert given.at_once(write, look) == [None, True]
        assert given.read(store, lambda unit: unit.user(user.id)) == user


def _lock(unit: Unit, what: str, wallet_id: str) -> None:
    match what:
        case "wallet":
            unit.wallet(wallet_id, lock=True)
        case "wallets":
            unit.wallets_by_id([wallet_id], lock=True)
        case "chain":
            unit.chain(make.CHAIN_ID, lock=True)
        case _:
            unit.lock_pool()


def _writes(wallet_id: str) -> list[Callable[[Unit], object]]:
    """Every method that writes or locks, once."""
    wallet = make.wallet()
    transaction, deposit = make.transaction(), make.deposit()
    now = make.NOW
    sealed = make.audit_event(sequence=1, hash=bytes(32))
    return [
        lambda unit: unit.add_user(make.user()),
        lambda unit: unit.save_user(make.user(version=2)),
        lambda unit: unit.lock_pool(),
        lambda unit: unit.add_wallets([wallet], [make.sealed_key(wallet)]),
        lambda unit: unit.pooled_wallet(),
        lambda unit: unit.wallet(wallet_id, lock=True),
        lambda unit: unit.wallets_by_id([wallet_id], lock=True),
        lambda unit: unit.save_wallet(make.wallet(version=2)),
        lambda unit: unit.add_transactions([transaction]),
        lambda unit: unit.save_transactions([make.transaction(version=2)]),
        lambda unit: unit.claim_due(chain_id=1, now=now, until=now, limit=1),
        lambda unit: unit.put_nonce_lines([make.nonce_line()]),
        lambda unit: unit.add_deposits([deposit]),
        lambda unit: unit.save_deposits([make.deposit(version=2)]),
        lambda unit: unit.chain(1, lock=True),
        lambda unit: unit.add_chain(make.chain_state(), make.header(0)),
        lambda unit: unit.save_chain(make.chain_state(version=2)),
        lambda unit: unit.add_headers(1, [make.header(0)]),
        lambda unit: unit.remove_headers(1, above=0),
        lambda unit: unit.add_token(make.token()),
        lambda unit: unit.save_token(make.token(version=2)),
        lambda unit: unit.post([make.credit(wallet)]),
        lambda unit: unit.publish_policy(make.policy()),
        lambda unit: unit.add_decisions([make.decision(transaction)]),
        lambda unit: unit.add_idempotency([make.idempotency()]),
        lambda unit: unit.add_audit([make.audit_event()]),
        lambda unit: unit.add_events([make.event()]),
        lambda unit: unit.save_sealed_audit([sealed]),
        lambda unit: unit.number_events(1),
        lambda unit: unit.take_lease("follow", holder="a", now=now, until=now),
        lambda unit: unit.put_setting("name", b"value"),
    ]


def _write_to_every_table(unit: Unit, wallet_id: str) -> None:
    wallet = unit.wallet(wallet_id, lock=True)
    assert wallet is not None
    assert wallet.owner_id is not None
    new = make.wallet(wallet.owner_id, external_id="new")
    transaction = make.broadcasting(new)
    unit.add_user(make.user())
    unit.lock_pool()
    unit.add_wallets([new], [make.sealed_key(new)])
    unit.add_transactions([transaction])
    unit.put_nonce_lines([make.nonce_line()])
    unit.put_outflows([Outflow(make.CHAIN_ID, make.hash32(), 0, new.id, "eth", 1, make.block_ref(1))])
    unit.add_deposits([make.deposit(new)])
    unit.add_chain(make.chain_state(), make.header(0))
    unit.add_token(make.token())
    unit.post([make.credit(new)])
    unit.publish_policy(make.policy())
    unit.add_decisions([make.decision(transaction)])
    unit.add_idempotency([make.idempotency()])
    unit.add_audit([make.audit_event()])
    unit.add_events([make.event()])
    unit.number_events(10)
    unit.take_lease("follow", holder="a", now=make.NOW, until=make.NOW)
    unit.put_setting("name", b"value")


def _everything(store: Store) -> list[object]:
    with store.reading() as unit:
        return [
            unit.wallets(owner_id=None, limit=99),
            unit.addresses_after(0, 99),
            unit.transactions(EVERY_MOVEMENT, limit=99),
            unit.outflows(make.CHAIN_ID, up_to=99),
            unit.deposits(EVERY_MOVEMENT, limit=99),
            unit.chains(),
            unit.headers(make.CHAIN_ID, first=0, last=999),
            unit.tokens(),
            unit.posting_groups(after=0, limit=99),
            unit.wallet_totals(make.CHAIN_ID, after_wallet_id="", limit=99),
            unit.active_policies(),
            unit.unsealed_audit(99),
            unit.audit(after_sequence=0, limit=99),
            unit.events(after_sequence=0, limit=99),
            unit.setting("name"),
        ]
