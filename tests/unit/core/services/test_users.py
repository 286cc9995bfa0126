"""Users: who is found, what each change leaves behind, and what a disabled owner may no longer begin."""

from __future__ import annotations

import pytest

from custody_core import (
    InvalidRequest,
    InvalidStateTransition,
    NotFound,
    Role,
    TransactionState,
    Unauthenticated,
    ValidationFailed,
    ether,
)
from tests.support import factories
from tests.unit.core.services.bench import Bench


def audit_of(bench: Bench, object_id: str) -> list[tuple[str, str, dict[str, str]]]:
    """(action, actor, detail) of every audit row about one object, in order."""
    bench.custody.seal()
    with bench.custody._kit.store.reading() as unit:
        rows = unit.audit(after_sequence=0, limit=10_000)
    return [(row.action, row.actor, dict(row.detail)) for row in rows if row.object_id == object_id]


def test_an_admin_is_made_once_and_never_overruled(bench: Bench) -> None:
    users = bench.custody.users
    admin = users.ensure_admin()
    assert (admin.issuer, admin.subject, admin.role) == ("local", "admin", Role.ADMIN)
    assert users.ensure_admin() == admin
    lowered = users.set_role(admin.id, Role.USER)
    assert users.ensure_admin() == lowered
    assert [action for action, _, _ in audit_of(bench, admin.id)] == ["user.created", "user.role_set"]


def test_users_are_found_by_id_and_by_their_local_name_and_never_made_by_looking(bench: Bench) -> None:
    users = bench.custody.users
    alice = bench.custody.wallets.owner_named("alice")
    assert users.get(alice.id) == users.named(alice.id) == users.named("alice") == alice
    for unknown in (factories.user().id, "bob", "usr_", "", "wal_1"):
        with pytest.raises(NotFound):
            users.get(unknown)
        with pytest.raises(NotFound):
            users.named(unknown)
    assert users.list() == [alice]


def test_users_are_listed_newest_first_in_pages(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.custody.wallets.owner_named(name)
        bench.clock.advance(1)
    first = bench.custody.users.list(limit=2)
    assert [user.subject for user in first] == ["c", "b"]
    assert [user.subject for user in bench.custody.users.list(limit=2, before_id=first[-1].id)] == ["a"]
    with pytest.raises(InvalidRequest):
        bench.custody.users.list(limit=201)


def test_each_change_is_audited_with_who_made_it_and_no_change_is_not(bench: Bench) -> None:
    users = bench.custody.users
    alice = bench.custody.wallets.owner_named("alice")
    for _ in range(2):
        users.set_role(alice.id, "approver", actor="usr_boss")
    disabled = users.disable(alice.id, actor="usr_boss")
    bench.clock.advance(1)
    assert users.disable(alice.id, actor="usr_boss") == disabled
    enabled = users.enable(alice.id, actor="usr_boss")
    assert users.enable(alice.id, actor="usr_boss") == enabled
    assert (enabled.disabled_at, enabled.role, enabled.version) == (None, Role.APPROVER, 4)
    assert audit_of(bench, alice.id) == [
        ("user.created", "system", {"role": "user"}),
        ("user.role_set", "usr_boss", {"role": "approver", "role_before": "user"}),
        ("user.disabled", "usr_boss", {}),
        ("user.enabled", "usr_boss", {}),
    ]


def test_an_unknown_role_is_refused_by_name(bench: Bench) -> None:
    alice = bench.custody.wallets.owner_named("alice")
    with pytest.raises(ValidationFailed) as refused:
        bench.custody.users.set_role(alice.id, "root")
    assert refused.value.pointer == "/role"
    with pytest.raises(NotFound):
        bench.custody.users.set_role(factories.user().id, "admin")
    assert bench.custody.users.get(alice.id) == alice


def test_nothing_new_is_begun_for_a_disabled_owner(bench: Bench) -> None:
    wallet = bench.wallet("alice", wei=ether("1"))
    assert wallet.owner_id is not None
    bench.custody.users.disable(wallet.owner_id)
    for owner in ("alice", wallet.owner_id):
        with pytest.raises(InvalidStateTransition, match="disabled"):
            bench.custody.wallets.create(owner=owner, idempotency_key="another")
    with pytest.raises(InvalidStateTransition, match="disabled"):
        bench.send(wallet, idempotency_key="payout")
    assert (bench.outgoing(wallet), bench.balance(wallet).reserved) == ([], 0)

    bench.custody.users.enable(wallet.owner_id)
    assert bench.send(wallet, idempotency_key="payout").state is TransactionState.QUEUED
    assert bench.custody.wallets.create(owner="alice", idempotency_key="another").owner_id == wallet.owner_id


def test_what_was_answered_before_is_answered_to_a_disabled_owner_too(bench: Bench) -> None:
    wallet = bench.wallet("alice", wei=ether("1"), key="first")
    sent = bench.send(wallet, idempotency_key="payout")
    assert wallet.owner_id is not None
    bench.custody.users.disable(wallet.owner_id)
    assert bench.custody.wallets.create(owner="alice", idempotency_key="first") == wallet
    assert bench.send(wallet, idempotency_key="payout") == sent


def test_a_queued_send_of_an_owner_disabled_before_its_nonce_is_rejected_and_never_signed(bench: Bench) -> None:
    wallet, other = bench.wallet("alice", wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    sent, of_other = bench.send(wallet), bench.send(other)
    assert bench.balance(wallet).reserved > 0
    bench.custody.users.disable(sent.owner_id)
    bench.settle()

    rejected = bench.transaction(sent.id)
    assert (rejected.state, rejected.nonce, rejected.attempts) == (TransactionState.REJECTED, None, ())
    assert rejected.reason == "the owner is disabled"
    assert (bench.balance(wallet).available, bench.balance(wallet).reserved) == (ether("1"), 0)
    assert audit_of(bench, sent.id)[-1][0] == "transaction.rejected"
    assert bench.events(sent.id)[-1] == "transaction.rejected"
    assert bench.transaction(of_other.id).state is TransactionState.COMPLETED
    bench.require_sound()


def test_a_send_that_has_its_nonce_goes_on(bench: Bench) -> None:
    wallet = bench.wallet("alice", wei=ether("1"))
    sent = bench.send(wallet)
    bench.rounds()
    assert bench.transaction(sent.id).nonce is not None
    bench.custody.users.disable(sent.owner_id)
    bench.settle()
    assert bench.transaction(sent.id).state is TransactionState.COMPLETED
    bench.require_sound()


def test_disabling_ends_what_keys_may_do_at_once_and_enabling_brings_it_back(bench: Bench) -> None:
    alice = bench.custody.wallets.owner_named("alice")
    _, secret = bench.custody.api_keys.create(alice.id, name="k", scopes=["wallets:read"])
    bench.custody.users.disable(alice.id)
    with pytest.raises(Unauthenticated):
        bench.custody.api_keys.authenticate(secret)
    bench.custody.users.enable(alice.id)
    assert bench.custody.api_keys.authenticate(secret).user.id == alice.id
