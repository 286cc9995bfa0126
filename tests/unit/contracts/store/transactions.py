"""Outgoing transactions, their attempts, and nonces."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from custody_core.domain.fees import Fees
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.nonce import ForeignUse
from custody_core.domain.outflow import Outflow
from custody_core.domain.tokens import Asset
from custody_core.domain.transaction import AttemptKind, AttemptState, State
from custody_core.domain.wallet import freeze
from custody_core.errors import BrokenInvariant, Conflict
from custody_core.ports import EVERY_MOVEMENT, MovementFilter, Store
from tests.support import factories as make
from tests.unit.contracts.store import given

SECOND = timedelta(seconds=1)


class TransactionContract:
    """A transaction is kept as it is, changed by whoever knows its newest version, and claimed by one worker at a time."""

    def test_it_is_kept_with_all_of_its_fields(self, store: Store) -> None:
        wallet = given.wallet(store)
        attempts = tuple(make.attempt(state) for state in (AttemptState.SENT, AttemptState.SIGNED, AttemptState.PLANNED))
        full = make.confirming(
            wallet,
            nonce=2**62,
            asset=Asset(make.CHAIN_ID, make.address(), "usdc", 6),
            attempts=(*make.confirming().attempts, *attempts),
            metadata={"order": "4711"},
            policy_rules=("a", "b"),
            reason="because",
            parked_reason="fee-unavailable",
            cancel_requested_at=make.NOW,
            cancel_fee_per_gas_max_wei=UINT256_MAX,
            external_id="order-4711",
            due_at=make.NOW + SECOND,
            version=9,
        )
        plain = make.transaction(wallet)
        given.transactions(store, full, plain)
        with store.reading() as unit:
            assert unit.transaction(full.id) == full
            assert unit.transaction(plain.id) == plain
            assert unit.transactions_by_id([plain.id, "txn_none", full.id]) == {full.id: full, plain.id: plain}
            assert unit.versions_of([plain.id, "txn_none", full.id]) == {full.id: 9, plain.id: plain.version}
            wanted = [(full.owner_id, "order-4711"), ("usr_other", "order-4711"), (full.owner_id, "order-4712")]
            assert unit.transactions_by_external_id(wanted) == {wanted[0]: full}
            assert unit.transactions_by_external_id([]) == {}
            assert unit.transaction("txn_none") is None
            assert unit.transactions_by_hash(make.CHAIN_ID, [make.hash32()]) == {}

    @pytest.mark.parametrize("amount", [0, 1, 2**63, 2**255, UINT256_MAX])
    def test_amounts_are_exact(self, store: Store, amount: int) -> None:
        transaction = make.transaction(given.wallet(store), amount=amount, fee_per_gas_max_wei=amount)
        given.transactions(store, transaction)
        assert given.read(store, lambda unit: unit.transaction(transaction.id)) == transaction

    def test_its_whole_life_is_saved_step_by_step(self, store: Store) -> None:
        transaction = make.transaction(given.wallet(store))
        given.transactions(store, transaction)
        planned = make.attempt()
        signed = attrs.evolve(planned, state=AttemptState.SIGNED, raw=b"\x02raw", hash=make.hash32())
        sent = attrs.evolve(signed, state=AttemptState.SENT, first_sent_at=make.NOW)
        dearer = make.attempt(kind=AttemptKind.CANCELLATION)
        included = make.confirming().inclusion
        assert included is not None
        for changes in (
            {"state": State.PENDING_SIGNATURE, "nonce": 0, "attempts": (planned,)},
            {"state": State.BROADCASTING, "attempts": (signed,)},
            {"attempts": (sent,), "due_at": make.NOW + SECOND},
            {"attempts": (sent, dearer)},
            {"state": State.CONFIRMING, "inclusion": attrs.evolve(included, attempt_id=sent.id), "due_at": None},
            {"state": State.BROADCASTING, "inclusion": None, "due_at": make.NOW},
        ):
            transaction = attrs.evolve(transaction, version=transaction.version + 1, **changes)
            with store.transaction() as unit:
                unit.save_transactions([transaction])
            with store.reading() as unit:
                assert unit.transaction(transaction.id) == transaction

    def test_one_stale_row_refuses_the_whole_batch(self, store: Store) -> None:
        wallet = given.wallet(store)
        made = [make.transaction(wallet) for _ in range(3)]
        given.transactions(store, *made)
        changed = [attrs.evolve(each, reason="changed", version=2) for each in made]
        given.write(store, lambda unit: unit.save_transactions([changed[1]]))
        for stale in (changed[1], make.transaction(wallet, version=2)):
            with pytest.raises(Conflict), store.transaction() as unit:
                unit.save_transactions([changed[0], stale, changed[2]])
        assert given.read(store, lambda unit: unit.transaction(made[0].id)) == made[0]
        assert given.read(store, lambda unit: unit.transaction(made[2].id)) == made[2]

    def test_saving_none_is_fine(self, store: Store) -> None:
        given.write(store, lambda unit: unit.save_transactions([]))

    def test_a_nonce_is_one_transaction(self, store: Store) -> None:
        wallet, other = given.wallet(store), given.wallet(store)
        given.transactions(store, make.broadcasting(wallet, nonce=0), make.broadcasting(other, nonce=0))
        waiting = make.transaction(wallet)
        given.transactions(store, waiting)
        with pytest.raises(Conflict):
            given.transactions(store, make.broadcasting(wallet, nonce=0))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.save_transactions([attrs.evolve(waiting, nonce=0, version=2)]))

    def test_a_nonce_is_kept_for_ever(self, store: Store) -> None:
        reserved = make.broadcasting(given.wallet(store), nonce=0)
        given.transactions(store, reserved)
        for nonce in (None, 1):
            with pytest.raises(BrokenInvariant), store.transaction() as unit:
                unit.save_transactions([attrs.evolve(reserved, nonce=nonce, version=2)])

    @pytest.mark.parametrize("field", ["raw", "hash"])
    def test_signed_bytes_never_change(self, store: Store, field: str) -> None:
        transaction = make.broadcasting(given.wallet(store))
        given.transactions(store, transaction)
        forged = attrs.evolve(transaction.attempts[0], **{field: b"other" if field == "raw" else make.hash32()})  # type: ignore[arg-type]
        with pytest.raises(BrokenInvariant):
            given.write(store, lambda unit: unit.save_transactions([attrs.evolve(transaction, attempts=(forged,), version=2)]))
        assert given.read(store, lambda unit: unit.transaction(transaction.id)) == transaction

    def test_an_attempt_is_not_exchanged_for_another(self, store: Store) -> None:
        transaction = make.broadcasting(given.wallet(store))
        given.transactions(store, transaction)
        with pytest.raises(BrokenInvariant):
            given.write(
                store, lambda unit: unit.save_transactions([attrs.evolve(transaction, attempts=(make.attempt(),), version=2)])
            )

    def test_a_hash_is_one_attempt(self, store: Store) -> None:
        first = make.broadcasting(given.wallet(store))
        given.transactions(store, first)
        copy = make.attempt(AttemptState.SIGNED, hash=first.hash)
        with pytest.raises(Conflict):
            given.transactions(store, make.broadcasting(given.wallet(store), attempts=(copy,)))

    def test_an_external_id_is_one_transaction_of_its_owner(self, store: Store) -> None:
        wallet = given.wallet(store)
        given.transactions(store, make.transaction(wallet, external_id="x"))
        with pytest.raises(Conflict):
            given.transactions(store, make.transaction(wallet, external_id="x"))
        given.transactions(store, make.transaction(given.wallet(store), external_id="x"))

    def test_lists_are_newest_first_filtered_and_paged(self, store: Store) -> None:
        owner = given.user(store)
        wallets = [given.wallet(store, owner), given.wallet(store, owner), given.wallet(store)]
        made = [make.transaction(wallets[index % 3]) for index in range(9)]
        made[3] = attrs.evolve(made[3], state=State.REJECTED, due_at=None)
        given.transactions(store, *made)
        newest_first = list(reversed(made))
        mine = [each for each in newest_first if each.owner_id == owner.id]
        with store.reading() as unit:
            assert unit.transactions(EVERY_MOVEMENT, limit=99) == newest_first
            assert unit.transactions(MovementFilter(owner_id=owner.id), limit=4) == mine[:4]
            assert unit.transactions(MovementFilter(owner_id=owner.id), limit=4, before_id=mine[3].id) == mine[4:]
            assert unit.transactions(MovementFilter(owner_id=owner.id, wallet_id=wallets[2].id), limit=9) == []
            rejected = MovementFilter(owner_id=None, wallet_id=wallets[0].id, state="rejected")
            assert unit.transactions(rejected, limit=9) == [made[3]]

    def test_lists_are_narrowed_by_asset_external_id_and_time(self, store: Store) -> None:
        owner, token = given.user(store), Asset(make.CHAIN_ID, make.address(), "usdc", 6)
        mine, foreign = given.wallet(store, owner), given.wallet(store)
        moments = [make.NOW + index * timedelta(microseconds=300) for index in range(6)]
        made = [
            make.transaction(
                mine,
                asset=token if index % 2 else make.ETH,
                external_id=f"order-{index}",
                id=make.identifier_at(moment),
                created_at=moment,
            )
            for index, moment in enumerate(moments)
        ]
        theirs = make.transaction(foreign, external_id="order-4", id=make.identifier_at(moments[5]), created_at=moments[5])
        given.transactions(store, *made, theirs)
        of_owner = MovementFilter(owner_id=owner.id)
        with store.reading() as unit:
            assert unit.transactions(attrs.evolve(of_owner, asset="usdc"), limit=9) == [made[5], made[3], made[1]]
            assert unit.transactions(attrs.evolve(of_owner, external_id="order-4"), limit=9) == [made[4]]
            assert unit.transactions(attrs.evolve(EVERY_MOVEMENT, external_id="order-4"), limit=9) == [theirs, made[4]]
            assert unit.transactions(attrs.evolve(of_owner, external_id="order-4", asset="usdc"), limit=9) == []
            assert unit.transactions(attrs.evolve(of_owner, created_since=moments[3]), limit=9) == [made[5], made[4], made[3]]
            both = attrs.evolve(of_owner, asset="usdc", created_since=moments[2])
            assert unit.transactions(both, limit=9, before_id=made[5].id) == [made[3]]
            assert unit.transactions(attrs.evolve(both, owner_id=foreign.owner_id, asset="eth"), limit=9) == [theirs]
            for year, count in ((1, 6), (9999, 0)):
                wanted = attrs.evolve(of_owner, created_since=datetime(year, 1, 1, tzinfo=UTC))
                assert len(unit.transactions(wanted, limit=9)) == count

    def test_due_ones_are_claimed_oldest_first_and_put_off(self, store: Store) -> None:
        wallet = given.wallet(store)
        late = make.transaction(wallet, due_at=make.NOW + SECOND)
        soon, sooner, same = (make.transaction(wallet, due_at=make.NOW - offset * SECOND) for offset in (1, 2, 1))
        never = make.confirming(wallet)
        elsewhere = make.transaction(wallet, asset=Asset(1, None, "eth", 18))
        given.transactions(store, late, soon, sooner, never, same, elsewhere)
        until = make.NOW + 10 * SECOND

        def claim(limit: int) -> list[str]:
            with store.transaction() as unit:
                claimed = unit.claim_due(chain_id=make.CHAIN_ID, now=make.NOW, until=until, limit=limit)
                assert all((each.due_at, each.version) == (until, 2) for each in claimed)
                return [each.id for each in claimed]

        assert [claim(2), claim(2), claim(2)] == [[sooner.id, soon.id], [same.id], []]
        stored = given.read(store, lambda unit: unit.transaction(soon.id))
        assert stored == attrs.evolve(soon, due_at=until, version=2)
        assert len(given.write(store, lambda unit: unit.claim_due(chain_id=make.CHAIN_ID, now=until, until=until, limit=9))) == 4

    def test_a_due_time_exactly_now_is_due(self, store: Store) -> None:
        transaction = make.transaction(given.wallet(store), due_at=make.NOW)
        given.transactions(store, transaction)
        early = make.NOW - timedelta(microseconds=1)
        with store.transaction() as unit:
            assert [unit.has_due(make.CHAIN_ID, now=moment) for moment in (early, make.NOW)] == [False, True]
            assert not unit.has_due(1, now=make.NOW)
            assert unit.claim_due(chain_id=make.CHAIN_ID, now=early, until=make.NOW, limit=9) == []
            assert len(unit.claim_due(chain_id=make.CHAIN_ID, now=make.NOW, until=make.NOW, limit=9)) == 1

    def test_two_workers_never_claim_the_same(self, store: Store) -> None:
        wallet = given.wallet(store)
        given.transactions(store, *[make.transaction(wallet) for _ in range(30)])

        def work() -> list[str]:
            claimed: list[str] = []
            for _ in range(6):
                due = given.persistently(
                    store,
                    lambda unit: unit.claim_due(chain_id=make.CHAIN_ID, now=make.NOW, until=make.NOW + SECOND, limit=5),
                )
                claimed += [each.id for each in due]
            return claimed

        first, second = given.at_once(work, work)
        assert len(first) + len(second) == len({*first, *second}) == 30

    def test_they_are_found_by_the_hashes_of_their_attempts(self, store: Store) -> None:
        wallet = given.wallet(store)
        replaced = make.broadcasting(wallet, nonce=0, attempts=(make.attempt(AttemptState.SENT), make.attempt(AttemptState.SENT)))
        other = make.broadcasting(wallet, nonce=1)
        given.transactions(store, replaced, other)
        first, second = (attempt.hash for attempt in replaced.attempts)
        assert first
        assert second
        assert other.hash
        with store.reading() as unit:
            assert unit.transactions_by_hash(make.CHAIN_ID, [first, second]) == {first: replaced, second: replaced}
            assert unit.transactions_by_hash(make.CHAIN_ID, [other.hash, make.hash32()]) == {other.hash: other}
            assert unit.transactions_by_hash(1, [first]) == {}

    def test_confirming_ones_come_by_height(self, store: Store) -> None:
        wallet = given.wallet(store)
        at = {
            height: make.confirming(wallet, nonce=nonce, block=make.block_ref(height)) for nonce, height in enumerate((12, 10, 11))
        }
        given.transactions(store, *at.values(), make.broadcasting(wallet, nonce=9))
        with store.reading() as unit:
            assert unit.confirming_transactions(make.CHAIN_ID) == [at[10], at[11], at[12]]
            assert unit.confirming_transactions(make.CHAIN_ID, above=10) == [at[11], at[12]]
            assert unit.confirming_transactions(make.CHAIN_ID, up_to=10) == [at[10]]
            assert unit.confirming_transactions(make.CHAIN_ID, above=10, up_to=11) == [at[11]]
            assert unit.confirming_transactions(1) == []

    def test_in_flight_are_those_that_hold_a_nonce_and_are_in_no_block(self, store: Store) -> None:
        wallet = given.wallet(store)
        made = [
            make.transaction(wallet),
            make.broadcasting(wallet, nonce=0, state=State.PENDING_SIGNATURE),
            make.broadcasting(wallet, nonce=1),
            make.confirming(wallet, nonce=2),
            make.confirming(wallet, nonce=3, state=State.COMPLETED),
            make.broadcasting(wallet, nonce=4, state=State.FAILED, due_at=None),
        ]
        other, idle = given.wallet(store), given.wallet(store)
        given.transactions(store, *made, make.broadcasting(other), make.broadcasting(given.wallet(store)))
        asked = [wallet.id, other.id, idle.id]
        with store.reading() as unit:
            assert unit.in_flight_of(make.CHAIN_ID, asked) == {wallet.id: 2, other.id: 1}
            assert unit.next_unmined(make.CHAIN_ID, asked) == {wallet.id: 0, other.id: 0}
            assert unit.next_unmined(1, asked) == {}
            assert unit.in_flight_of(1, asked) == {}
            assert unit.in_flight_of(make.CHAIN_ID, []) == {}

    def test_the_oldest_in_the_queue_are_found_and_the_oldest_parked_one_is_woken(self, store: Store) -> None:
        wallet, other = given.wallet(store), given.wallet(store)
        parked = {"parked_reason": "in-flight-limit", "due_at": make.NOW + timedelta(minutes=9)}
        queue = [
            make.transaction(wallet),
            *(make.transaction(wallet, **parked) for _ in range(3)),
            make.transaction(other, **parked),
            make.transaction(other, parked_reason="fee-above-cap"),
        ]
        given.transactions(store, *queue, make.broadcasting(wallet))
        mine = sorted(each.id for each in queue if each.wallet_id == wallet.id)
        with store.reading() as unit:
            assert unit.queued_of(make.CHAIN_ID, [wallet.id, other.id], first=2) == sorted([*mine[:2], queue[-2].id, queue[-1].id])
            turns = unit.queued_of(make.CHAIN_ID, [wallet.id, other.id], first=2, besides=["fee-above-cap"])
            assert turns == sorted([*mine[:2], queue[-2].id])
            assert unit.queued_of(1, [wallet.id], first=2) == []
        given.write(store, lambda unit: unit.wake_queued(make.CHAIN_ID, [wallet.id, other.id], parked_for=["x"], now=make.NOW))
        given.write(store, lambda unit: unit.wake_queued(make.CHAIN_ID, [wallet.id], parked_for=["in-flight-limit"], now=make.NOW))
        with store.reading() as unit:
            after = unit.transactions_by_id([each.id for each in queue])
        woken = [each for each in queue if after[each.id] != each]
        assert [each.id for each in woken] == [min(each.id for each in queue if each.wallet_id == wallet.id and each.parked_reason)]
        assert (after[woken[0].id].due_at, after[woken[0].id].version) == (make.NOW, woken[0].version + 1)

    def test_a_plan_whose_place_found_bytes_take_is_read_back_as_they_are(self, store: Store) -> None:
        planned = make.transaction(given.wallet(store), state=State.PENDING_SIGNATURE, nonce=3, attempts=(make.attempt(),))
        given.transactions(store, planned)
        found = make.attempt(AttemptState.FOUND, id=planned.attempts[0].id, kind=AttemptKind.CANCELLATION, fees=Fees(77, 7))
        known = attrs.evolve(planned, state=State.BROADCASTING, attempts=(found,), version=planned.version + 1)
        given.write(store, lambda unit: unit.save_transactions([known]))
        assert given.read(store, lambda unit: unit.transaction(planned.id)) == known

    def test_a_transaction_is_found_by_its_nonce(self, store: Store) -> None:
        wallet = given.wallet(store)
        sent = make.broadcasting(wallet, nonce=3)
        given.transactions(store, sent)
        wanted = [(sent.sender, 3), (sent.sender, 4), (make.address(), 3)]
        with store.reading() as unit:
            assert unit.transactions_by_nonce(make.CHAIN_ID, wanted) == {(sent.sender, 3): sent}
            assert unit.transactions_by_nonce(1, wanted) == {}

    def test_foreign_uses_are_kept_until_they_are_settled_or_leave_the_chain(self, store: Store) -> None:
        first, second, third = (
            ForeignUse(make.CHAIN_ID, make.address(), nonce, make.hash32(), make.block_ref(height))
            for nonce, height in ((1, 10), (0, 10), (5, 12))
        )
        given.write(store, lambda unit: unit.put_foreign_uses([first, second, third]))
        with store.reading() as unit:
            assert unit.unsettled_foreign_uses(make.CHAIN_ID) == [second, first, third]
            assert unit.unsettled_foreign_uses(make.CHAIN_ID, up_to=11) == [second, first]
            assert unit.unsettled_foreign_uses(1) == []
        moved = attrs.evolve(third, block=make.block_ref(13))
        given.write(store, lambda unit: unit.settle_foreign_uses(make.CHAIN_ID, [first.hash]))
        given.write(store, lambda unit: unit.put_foreign_uses([moved]))
        given.write(store, lambda unit: unit.remove_foreign_uses(make.CHAIN_ID, above=12))
        with store.reading() as unit:
            assert unit.unsettled_foreign_uses(make.CHAIN_ID) == [second]
            known = unit.known_foreign_uses(make.CHAIN_ID, [first.hash, second.hash, third.hash, make.hash32()])
            assert set(known) == {first.hash, second.hash}
            assert not unit.known_foreign_uses(1, [first.hash])

    def test_outflows_are_kept_until_they_are_booked_or_leave_the_chain(self, store: Store) -> None:
        wallet, hashes = given.wallet(store), sorted([make.hash32(), make.hash32()])
        first, second, third = (
            Outflow(make.CHAIN_ID, hash_, ordinal, wallet.id, asset, amount, make.block_ref(height))
            for hash_, ordinal, asset, amount, height in (
                (hashes[1], 0, "eth", UINT256_MAX, 10),
                (hashes[0], 1, make.address(), 1, 10),
                (hashes[0], 0, "eth", 7, 12),
            )
        )
        given.write(store, lambda unit: unit.put_outflows([first, second, third]))
        with store.reading() as unit:
            assert unit.outflows(make.CHAIN_ID, up_to=12) == [second, first, third]
            assert unit.outflows(make.CHAIN_ID, up_to=11) == [second, first]
            assert unit.outflows(1, up_to=12) == []
        moved = attrs.evolve(third, block=make.block_ref(13))
        given.write(store, lambda unit: unit.settle_outflows([first]))
        given.write(store, lambda unit: unit.put_outflows([moved]))
        given.write(store, lambda unit: unit.remove_outflows(make.CHAIN_ID, above=12))
        with store.reading() as unit:
            assert unit.outflows(make.CHAIN_ID, up_to=99) == [second]
            assert unit.outflows_of(make.CHAIN_ID, hashes) == [second, first]
            assert unit.outflows_of(make.CHAIN_ID, [hashes[1]]) == [first]
            assert unit.outflows_of(1, hashes) == []

    def test_frozen_wallets_are_found(self, store: Store) -> None:
        frozen = freeze(given.wallet(store), reason="x", by="system", now=make.NOW)
        given.wallet(store)
        given.write(store, lambda unit: unit.save_wallet(frozen))
        with store.reading() as unit:
            assert unit.frozen_wallets() == [frozen]

    def test_a_nonce_line_goes_forward_only(self, store: Store) -> None:
        line = make.nonce_line(5)
        given.write(store, lambda unit: unit.put_nonce_lines([line]))
        given.write(store, lambda unit: unit.put_nonce_lines([attrs.evolve(line, next_nonce=7)]))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.put_nonce_lines([attrs.evolve(line, next_nonce=6)]))
        with store.reading() as unit:
            assert unit.nonce_lines(line.chain_id, [line.address]) == {line.address: attrs.evolve(line, next_nonce=7)}
            assert unit.nonce_lines(1, [line.address]) == {}

    def test_of_several_nonce_lines_all_are_kept_or_none(self, store: Store) -> None:
        lines = [make.nonce_line(5) for _ in range(3)]
        unknown = make.address()
        given.write(store, lambda unit: unit.put_nonce_lines(lines))
        given.write(store, lambda unit: unit.put_nonce_lines([]))
        forward = [attrs.evolve(line, next_nonce=6) for line in lines]
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.put_nonce_lines([*forward[:2], attrs.evolve(lines[2], next_nonce=4)]))
        addresses = [line.address for line in lines]
        with store.reading() as unit:
            assert unit.nonce_lines(lines[0].chain_id, [*addresses, unknown]) == dict(zip(addresses, lines, strict=True))
