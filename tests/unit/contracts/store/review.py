"""Pages for those who check the books or show them."""

from __future__ import annotations

from datetime import timedelta

import attrs

from custody_core.domain.addresses import Address
from custody_core.domain.ids import IdPrefix
from custody_core.domain.ledger import AccountKind, PostingGroup, Reason, WalletAccounts, moves
from custody_core.domain.nonce import ForeignUse
from custody_core.domain.suspense import SuspenseMovement, booked, filled
from custody_core.domain.wallet import Wallet
from custody_core.ports import AccountSum, EntryFilter, Store, Unit
from tests.support import factories as make
from tests.unit.contracts.store import given as stored


def accounts(wallet: Wallet) -> WalletAccounts:
    """The ether accounts of a wallet."""
    return WalletAccounts(make.CHAIN_ID, make.ETH.key, wallet.id)


def into_suspense(wallet: Wallet, amount: int, *, height: int = 3) -> PostingGroup:
    """Something was found, or with a negative amount explained."""
    of = accounts(wallet)
    source, target = (of.external, of.suspense) if amount > 0 else (of.suspense, of.external)
    reference = make.identifier(IdPrefix.AUDIT)
    return PostingGroup(make.CHAIN_ID, reference, Reason.SUSPENSE_FOUND, make.NOW, height, moves((source, target, abs(amount))))


class ReviewContract:
    """Everything is found, in order, page by page."""

    def test_rows_are_counted(self, store: Store) -> None:
        before = stored.read(store, lambda unit: unit.row_counts())
        wallet = stored.wallet(store)
        stored.write(store, lambda unit: unit.post([make.credit(wallet, 1)]))
        counts = stored.read(store, lambda unit: unit.row_counts())
        assert counts.wallets == before.wallets + 1
        assert counts.posting_groups == before.posting_groups + 1
        assert counts.accounts == before.accounts + 2

    def test_accounts_come_with_the_sum_of_their_postings(self, store: Store) -> None:
        rich, poor = stored.wallet(store), stored.wallet(store)
        huge = 2**255
        stored.write(store, lambda unit: unit.post([make.credit(rich, huge), make.credit(rich, huge), make.hold(rich, 3)]))
        stored.write(store, lambda unit: unit.post([make.credit(poor, 1)]))
        found: list[AccountSum] = []
        with store.reading() as unit:
            while page := unit.accounts_with_sums(after=found[-1].position if found else 0, limit=2):
                assert len(page) <= 2
                found += page
        sums = {each.account: each.postings_sum for each in found}
        assert sums == {
            accounts(rich).available: 2 * huge - 3,
            accounts(rich).reserved: 3,
            accounts(rich).external: -2 * huge - 1,
            accounts(poor).available: 1,
        }
        assert all(each.balance == each.postings_sum for each in found)
        assert len(found) == len(sums)

    def test_causes_are_found_by_their_reference(self, store: Store) -> None:
        wallet = stored.wallet(store)
        credit, hold = make.credit(wallet, 5, height=7), make.hold(wallet, 1)
        stored.write(store, lambda unit: unit.post([credit, hold]))
        found = stored.read(store, lambda unit: unit.causes([credit.reference, hold.reference, "nothing"]))
        assert found == {credit.reference: {Reason.DEPOSIT_CREDITED: 7}, hold.reference: {Reason.SEND_HELD: None}}

    def test_hashes_are_those_of_our_chain(self, store: Store) -> None:
        line = make.header_chain(0, 3)

        def follow(unit: Unit) -> None:
            unit.add_chain(make.chain_state(), line[0])
            unit.add_headers(make.CHAIN_ID, line[1:])

        stored.write(store, follow)
        with store.transaction() as unit:
            unit.remove_headers(make.CHAIN_ID, above=line[-2].number)
        wanted = [line[0].number, line[-2].number, line[-1].number, 10**9]
        found = stored.read(store, lambda unit: unit.canonical_hashes(make.CHAIN_ID, wanted))
        assert found == {line[0].number: line[0].hash, line[-2].number: line[-2].hash}

    def test_nonces_come_by_sender_and_number(self, store: Store) -> None:
        wallets = [stored.wallet(store) for _ in range(2)]
        sent = [make.broadcasting(wallet, nonce=nonce) for wallet in wallets for nonce in (2, 10, 1)]
        stored.write(store, lambda unit: unit.add_transactions([*sent, make.transaction(wallets[0])]))
        address = wallets[0].address
        foreign = [ForeignUse(make.CHAIN_ID, address, nonce, make.hash32(), make.block_ref(7)) for nonce in (10, 3, 4)]
        stored.write(store, lambda unit: unit.put_foreign_uses(foreign))
        stored.write(store, lambda unit: unit.settle_foreign_uses(make.CHAIN_ID, [each.hash for each in foreign[:2]]))
        expected = sorted([*((each.sender, each.nonce or 0) for each in sent), (address, 3)])
        read: list[tuple[Address, int]] = []
        with store.reading() as unit:
            while page := unit.used_nonces(make.CHAIN_ID, after=read[-1] if read else (Address(""), -1), limit=2):
                read += page
            assert unit.used_nonces(1, after=(Address(""), -1), limit=2) == []
        assert read == expected

    def test_used_keys_come_by_scope_and_key(self, store: Store) -> None:
        records = [make.idempotency(scope=f"usr_{scope} POST /x", key=key) for scope in "ab" for key in "xyz"]
        stored.write(store, lambda unit: unit.add_idempotency(records))
        with store.reading() as unit:
            first = unit.idempotency_after("", "", limit=4)
            rest = unit.idempotency_after(first[-1].scope, first[-1].key, limit=4)
        assert [*first, *rest] == records

    def test_policies_are_found_after_another_one_was_published(self, store: Store) -> None:
        old, new = make.policy(), make.policy()
        for policy in (old, new):
            with store.transaction() as unit:
                unit.publish_policy(policy)
        assert stored.read(store, lambda unit: unit.policies_by_id([old.id, new.id, "pol_none"])) == {old.id: old, new.id: new}

    def test_suspense_shows_what_is_not_at_zero(self, store: Store) -> None:
        wallets = [stored.wallet(store) for _ in range(4)]
        stored.write(store, lambda unit: unit.post([make.credit(wallets[3], 1)]))
        for wallet, amounts in ((wallets[0], (4, 6)), (wallets[1], (5, -5)), (wallets[2], (-2,))):
            for amount in amounts:
                with store.transaction() as unit:
                    unit.post([into_suspense(wallet, amount)])
        with store.reading() as unit:
            (first,) = unit.suspense(after=0, limit=1)
            (second,) = unit.suspense(after=first.position, limit=9)
        assert (first.account, first.balance) == (accounts(wallets[0]).suspense, 10)
        assert first.movements == (SuspenseMovement(4, make.NOW, 3), SuspenseMovement(6, make.NOW, 3))
        assert (second.account, second.balance) == (accounts(wallets[2]).suspense, -2)

    def test_what_was_booked_from_suspense_is_told_less_what_filled_it_again(self, store: Store) -> None:
        wallet, other = stored.wallet(store), stored.wallet(store)
        of, now = accounts(wallet), make.NOW
        stored.write(store, lambda unit: unit.post([into_suspense(wallet, 20), into_suspense(other, 20)]))
        stored.write(
            store, lambda unit: unit.post([booked(of, 12, reference="aud_1", now=now), booked(of, 3, reference="aud_2", now=now)])
        )
        with store.reading() as unit:
            assert (unit.booked_from_suspense(of.suspense), unit.booked_from_suspense(accounts(other).suspense)) == (15, 0)
        stored.write(store, lambda unit: unit.post([filled(of, 5, reference="aud_3", now=now)]))
        with store.reading() as unit:
            assert unit.booked_from_suspense(of.suspense) == 10
            assert unit.booked_from_suspense(WalletAccounts(1, "eth", wallet.id).suspense) == 0

    def test_what_left_a_wallet_out_of_suspense_is_taken_from_it_and_not_booked(self, store: Store) -> None:
        wallet = stored.wallet(store)
        of, now = accounts(wallet), make.NOW
        left = moves((of.available, of.external, 2), (of.suspense, of.external, 7))
        stored.write(store, lambda unit: unit.post([into_suspense(wallet, 20), make.credit(wallet, 2)]))
        stored.write(store, lambda unit: unit.post([PostingGroup(of.chain_id, "0x1/0", Reason.MOVED_ELSEWHERE, now, 4, left)]))
        stored.write(store, lambda unit: unit.post([booked(of, 3, reference="aud_1", now=now)]))
        with store.reading() as unit:
            assert (unit.booked_from_suspense(of.suspense), unit.taken_from_suspense(of.suspense)) == (3, 10)

    def test_the_first_height_is_that_of_the_wallets_asset(self, store: Store) -> None:
        wallet, other = stored.wallet(store), stored.wallet(store)
        token = make.token().asset
        groups = [
            make.credit(other, 1, height=1),
            make.credit(wallet, 1, height=9),
            make.credit(wallet, 1, height=4),
            make.credit(wallet, 1, height=2, asset=token),
            make.hold(wallet, 1),
        ]
        stored.write(store, lambda unit: unit.post(groups))
        with store.reading() as unit:
            assert unit.first_height(accounts(wallet).available) == 4
            assert unit.first_height(WalletAccounts(make.CHAIN_ID, token.key, wallet.id).available) == 2
            assert unit.first_height(WalletAccounts(1, "eth", wallet.id).available) is None

    def test_entries_are_narrowed_down_and_whole(self, store: Store) -> None:
        alice, bob = stored.wallet(store), stored.wallet(store)
        token = make.token().asset
        groups = [
            make.credit(alice, 1),
            make.credit(bob, 2),
            make.credit(alice, 3, asset=token),
            attrs.evolve(make.credit(alice, 4), posted_at=make.NOW + timedelta(days=1)),
        ]
        for group in groups:
            with store.transaction() as unit:
                unit.post([group])

        def entries(limit: int = 9, before: int | None = None, **wanted: object) -> list[PostingGroup]:
            asked = EntryFilter(**{"owner_id": None, **wanted})  # type: ignore[arg-type]
            return [group for _, group in stored.read(store, lambda unit: unit.entries(asked, limit=limit, before=before))]

        assert entries() == groups[::-1]
        assert entries(limit=2) == [groups[3], groups[2]]
        assert entries(wallet_id=bob.id) == [groups[1]]
        assert entries(owner_id=alice.owner_id) == [groups[3], groups[2], groups[0]]
        assert entries(owner_id="usr_nobody") == []
        assert entries(wallet_id=alice.id, asset=token.key) == [groups[2]]
        assert entries(chain_id=1) == []
        assert entries(wallet_id=alice.id, since=make.NOW + timedelta(hours=1)) == [groups[3]]
        assert entries(wallet_id=alice.id, until=make.NOW + timedelta(hours=1)) == [groups[2], groups[0]]
        third = stored.read(store, lambda unit: unit.entries(EntryFilter(owner_id=None), limit=9))[1][0]
        assert entries(before=third) == [groups[1], groups[0]]

    def test_sums_are_of_what_was_posted_before(self, store: Store) -> None:
        wallet = stored.wallet(store)
        groups = [
            make.credit(wallet, 2**255),
            make.hold(wallet, 3),
            attrs.evolve(make.credit(wallet, 4), posted_at=make.NOW + timedelta(days=1)),
        ]
        for group in groups:
            with store.transaction() as unit:
                unit.post([group])
        of = accounts(wallet)
        with store.reading() as unit:
            positions = [position for position, _ in unit.entries(EntryFilter(owner_id=None), limit=9)]
            assert unit.sums(wallet.id) == {of.available: 2**255 + 1, of.reserved: 3}
            assert unit.sums(wallet.id, before=positions[1]) == {of.available: 2**255}
            assert unit.sums(wallet.id, until=make.NOW + timedelta(days=1)) == {of.available: 2**255 - 3, of.reserved: 3}
            assert unit.sums(wallet.id, until=make.NOW) == {}
            assert all(account.kind is not AccountKind.EXTERNAL for account in unit.sums(wallet.id))
