"""Policies and decisions, idempotency, audit, events, leases and settings."""

from __future__ import annotations

import json
from datetime import timedelta

import attrs
import pytest

from custody_core.domain.audit import GENESIS_HASH, AuditEvent, first_broken, seal
from custody_core.domain.money import UINT256_MAX
from custody_core.domain.policy import Layer, Verdict
from custody_core.errors import BrokenInvariant, Conflict
from custody_core.ports import AuditHead, Store
from tests.support import factories as make
from tests.unit.contracts.store import given

SECOND = timedelta(seconds=1)


class RecordContract:
    """What was decided, said and done is kept, in order, and not changed afterwards."""

    def test_the_newest_policy_of_a_layer_and_subject_is_the_active_one(self, store: Store) -> None:
        old, new = make.policy(), make.policy(document={"version": 1, "rules": [{"id": "é", "when": {}, "then": {"deny": True}}]})
        of_owner, of_other = make.policy(Layer.OWNER, "usr_1"), make.policy(Layer.OWNER, "usr_2")
        of_wallet = make.policy(Layer.WALLET, "usr_1")
        assert given.read(store, lambda unit: unit.active_policies()) == []
        for policy in (old, of_owner, of_other, of_wallet, new):
            with store.transaction() as unit:
                unit.publish_policy(policy)
        active = given.read(store, lambda unit: unit.active_policies())
        assert sorted(active, key=lambda policy: policy.id) == [new, of_owner, of_other, of_wallet]
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.publish_policy(old))

    def test_decisions_are_kept_with_all_of_their_inputs(self, store: Store) -> None:
        wallet = given.wallet(store)
        ether = make.transaction(wallet, amount=UINT256_MAX)
        token = make.transaction(wallet, asset=make.token().asset)
        keys = (bytes(32), b"\x01" * 32)
        call = make.transaction(wallet, type="contract_call", amount=0, data=bytes(range(256)), access_list=((b"\x02" * 20, keys),))
        given.transactions(store, ether, token, call)
        allowed, denied, called = make.decision(ether, nonce=3), make.decision(token), make.decision(call, nonce=4)
        inputs = attrs.evolve(called.evaluation.inputs, token="usdc")
        called = attrs.evolve(called, evaluation=attrs.evolve(called.evaluation, inputs=inputs))
        denied = attrs.evolve(denied, evaluation=attrs.evolve(denied.evaluation, verdict=Verdict.DENY, rules=()))
        given.write(store, lambda unit: unit.add_decisions([allowed, denied, called]))
        found = given.read(store, lambda unit: unit.decisions([allowed.id, denied.id, called.id, "dec_none"]))
        assert found == {allowed.id: allowed, denied.id: denied, called.id: called}
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_decisions([allowed]))

    def test_an_idempotency_key_is_used_once_in_its_scope(self, store: Store) -> None:
        record = make.idempotency("key")
        given.write(store, lambda unit: unit.add_idempotency([record]))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_idempotency([make.idempotency("key")]))
        given.write(store, lambda unit: unit.add_idempotency([make.idempotency("key", scope="another")]))
        with store.reading() as unit:
            assert unit.idempotency(record.scope, "key") == record
            assert unit.idempotency(record.scope, "KEY") is None
            wanted = [(record.scope, "key"), (record.scope, "KEY"), ("nowhere", "key")]
            assert unit.idempotency_records(wanted) == {wanted[0]: record}
            assert unit.idempotency_records([]) == {}

    def test_an_answer_comes_back_as_it_was_given_with_its_order(self, store: Store) -> None:
        answer = {"b": "2", "a": ["é\u202e", 1, True, None], "metadata": {"z": "", "y": "\U0001f4b8"}, "amount": str(UINT256_MAX)}
        given.write(store, lambda unit: unit.add_idempotency([make.idempotency("key", answer=answer)]))
        found = given.read(store, lambda unit: unit.idempotency(make.idempotency("key").scope, "key"))
        assert found is not None
        assert json.dumps(found.answer) == json.dumps(answer)

    def test_of_two_callers_with_one_key_one_is_told(self, store: Store) -> None:
        def use() -> str:
            try:
                given.write(store, lambda unit: unit.add_idempotency([make.idempotency("key")]))
            except Conflict:
                return "conflict"
            return "used"

        assert sorted(given.at_once(use, use)) == ["conflict", "used"]

    def test_audit_rows_are_sealed_in_the_order_in_which_they_were_added(self, store: Store) -> None:
        third, first, second = (make.audit_event() for _ in range(3))
        given.write(store, lambda unit: unit.add_audit([first]))
        given.write(store, lambda unit: unit.add_audit([second, third]))
        with store.reading() as unit:
            assert unit.audit_head() == AuditHead(0, GENESIS_HASH)
            assert unit.unsealed_audit(2) == [first, second]
            assert unit.audit(after_sequence=0, limit=9) == []
        assert _seal(store, 2) == 2
        assert _seal(store, 2) == 1
        with store.reading() as unit:
            rows = unit.audit(after_sequence=0, limit=9)
            assert [row.id for row in rows] == [first.id, second.id, third.id]
            assert [row.sequence for row in rows] == [1, 2, 3]
            assert first_broken(rows) is None
            assert unit.audit_head() == AuditHead(3, rows[-1].hash or b"")
            assert unit.audit(after_sequence=1, limit=1) == rows[1:2]
            assert unit.unsealed_audit(9) == []

    def test_audit_rows_are_added_unnumbered_and_once(self, store: Store) -> None:
        row = make.audit_event()
        given.write(store, lambda unit: unit.add_audit([row]))
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_audit([row]))
        for numbered in (make.audit_event(sequence=1, hash=bytes(32)), make.audit_event(sequence=9)):
            with pytest.raises(BrokenInvariant), store.transaction() as unit:
                unit.add_audit([numbered])

    def test_a_second_sealer_is_told(self, store: Store) -> None:
        given.write(store, lambda unit: unit.add_audit([make.audit_event(), make.audit_event()]))
        with store.reading() as unit:
            rows = unit.unsealed_audit(9)
        sealed = seal(rows, last_sequence=0, last_hash=GENESIS_HASH)
        given.write(store, lambda unit: unit.save_sealed_audit(sealed[:1]))
        for late in (sealed[:1], sealed, seal(rows[1:], last_sequence=5, last_hash=GENESIS_HASH)):
            with pytest.raises(Conflict), store.transaction() as unit:
                unit.save_sealed_audit(late)
        given.write(store, lambda unit: unit.save_sealed_audit(sealed[1:]))
        assert given.read(store, lambda unit: unit.audit(after_sequence=0, limit=9)) == list(sealed)

    def test_sealing_changes_nothing_else(self, store: Store) -> None:
        given.write(store, lambda unit: unit.add_audit([make.audit_event()]))
        (row,) = given.read(store, lambda unit: unit.unsealed_audit(9))
        (forged,) = seal([attrs.evolve(row, actor="nobody")], last_sequence=0, last_hash=GENESIS_HASH)
        with pytest.raises(BrokenInvariant):
            given.write(store, lambda unit: unit.save_sealed_audit([forged]))

    def test_events_get_their_numbers_in_the_order_in_which_they_were_added(self, store: Store) -> None:
        owner = given.user(store)
        first, second, third = (
            make.event(),
            make.event(owner_id=owner.id, data={"nested": {"a": ["é", 1, True, None]}}),
            make.event(),
        )
        given.write(store, lambda unit: unit.add_events([third, first]))
        given.write(store, lambda unit: unit.add_events([second]))
        assert given.read(store, lambda unit: unit.events(after_sequence=0, limit=9)) == []
        assert [given.write(store, lambda unit: unit.number_events(2)) for _ in range(3)] == [2, 1, 0]
        numbered = [attrs.evolve(event, sequence=number) for number, event in enumerate((third, first, second), 1)]
        with store.reading() as unit:
            assert unit.events(after_sequence=0, limit=9) == numbered
            assert unit.events(after_sequence=1, limit=1) == numbered[1:2]
            assert unit.events(after_sequence=0, limit=9, owner_id=owner.id) == numbered[2:]
            assert unit.events(after_sequence=3, limit=9, owner_id=owner.id) == []
            assert unit.event(second.id) == numbered[2]
            assert unit.event("evt_none") is None
        with pytest.raises(Conflict):
            given.write(store, lambda unit: unit.add_events([first]))

    def test_a_lease_is_held_by_one_until_it_ends(self, store: Store) -> None:
        def take(holder: str, *, at: int, until: int) -> bool:
            now, end = make.NOW + at * SECOND, make.NOW + until * SECOND
            return given.write(store, lambda unit: unit.take_lease("follow", holder=holder, now=now, until=end))

        assert take("a", at=0, until=10)
        assert not take("b", at=9, until=19)
        assert take("a", at=9, until=20)
        assert not take("b", at=19, until=29)
        assert take("b", at=20, until=30)
        assert not take("a", at=21, until=31)
        assert given.read(store, lambda unit: unit.lease_until("follow")) == make.NOW + 30 * SECOND
        assert given.read(store, lambda unit: unit.lease_until("nothing")) is None
        assert given.write(store, lambda unit: unit.take_lease("seal", holder="a", now=make.NOW, until=make.NOW + SECOND))

    def test_one_of_two_at_once_gets_the_lease(self, store: Store) -> None:
        def take(holder: str) -> bool:
            return given.persistently(
                store, lambda unit: unit.take_lease("follow", holder=holder, now=make.NOW, until=make.NOW + SECOND)
            )

        assert sorted(given.at_once(lambda: take("a"), lambda: take("b"))) == [False, True]

    def test_settings_are_bytes_that_may_be_replaced(self, store: Store) -> None:
        assert given.read(store, lambda unit: unit.setting("name")) is None
        for value in (bytes(range(256)), b""):
            with store.transaction() as unit:
                unit.put_setting("name", value)
            assert given.read(store, lambda unit: unit.setting("name")) == value


def _seal(store: Store, limit: int) -> int:
    with store.transaction() as unit:
        head = unit.audit_head()
        sealed: tuple[AuditEvent, ...] = seal(unit.unsealed_audit(limit), last_sequence=head.sequence, last_hash=head.hash)
        unit.save_sealed_audit(sealed)
        return len(sealed)
