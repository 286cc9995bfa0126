"""Wallets: handed out once, from a pool that is made ahead."""

from __future__ import annotations

from typing import Any

import pytest

from custody_core import (
    Custody,
    CustodyError,
    ExternalIdExists,
    IdempotencyKeyReused,
    InvalidAddress,
    InvalidRequest,
    InvalidStateTransition,
    KeyPoolEmpty,
    Limits,
    NotFound,
    ValidationFailed,
    WalletFrozen,
    WalletState,
    ether,
)
from custody_memory.chain import MemoryChain
from tests.support import factories
from tests.unit.core.services.bench import Bench, opened


def test_the_same_key_and_body_is_the_same_wallet(bench: Bench) -> None:
    ask: dict[str, Any] = {"owner": "alice", "idempotency_key": "signup", "label": "savings", "metadata": {"a": "1"}}
    wallet = bench.custody.wallets.create(**ask)
    assert bench.custody.wallets.create(**ask) == wallet
    assert [each.id for each in bench.custody.wallets.list()] == [wallet.id]
    others: list[dict[str, Any]] = [{"label": "other"}, {"metadata": {}}, {"external_id": "e"}]
    for changed in others:
        with pytest.raises(IdempotencyKeyReused):
            bench.custody.wallets.create(**(ask | changed))
    assert [each.id for each in bench.custody.wallets.list()] == [wallet.id]


def test_another_owner_with_the_same_key_gets_a_wallet_of_their_own(bench: Bench) -> None:
    one, other = (bench.custody.wallets.create(owner=owner, idempotency_key="signup") for owner in ("alice", "bob"))
    assert (one.id, one.address) != (other.id, other.address)
    assert one.owner_id != other.owner_id


def test_an_owner_is_the_same_by_name_and_by_id(bench: Bench) -> None:
    alice = bench.custody.wallets.owner_named("alice")
    by_name = bench.custody.wallets.create(owner="alice", idempotency_key="signup")
    assert by_name.owner_id == alice.id
    assert bench.custody.wallets.create(owner=alice.id, idempotency_key="signup") == by_name
    with pytest.raises(NotFound):
        bench.custody.wallets.create(owner="usr_" + alice.id[4:-1] + ("0" if alice.id[-1] != "0" else "1"), idempotency_key="k")


def test_an_external_id_names_one_wallet_of_an_owner(bench: Bench) -> None:
    bench.custody.wallets.create(owner="alice", idempotency_key="1", external_id="main")
    with pytest.raises(ExternalIdExists):
        bench.custody.wallets.create(owner="alice", idempotency_key="2", external_id="main")
    assert bench.custody.wallets.create(owner="alice", idempotency_key="2").external_id is None
    assert bench.custody.wallets.create(owner="bob", idempotency_key="1", external_id="main").external_id == "main"


@pytest.mark.parametrize(
    ("changed", "error", "pointer"),
    [
        ({"owner": ""}, ValidationFailed, "/owner"),
        ({"owner": "a\x00"}, ValidationFailed, "/owner"),
        ({"owner": "x" * 256}, ValidationFailed, "/owner"),
        ({"label": ""}, ValidationFailed, "/label"),
        ({"label": "two\nlines"}, ValidationFailed, "/label"),
        ({"external_id": "x" * 256}, ValidationFailed, "/external_id"),
        ({"metadata": {"": "x"}}, ValidationFailed, "/metadata"),
        ({"metadata": {"x" * 65: "x"}}, ValidationFailed, "/metadata"),
        ({"metadata": {"x": "x" * 256}}, ValidationFailed, "/metadata"),
        ({"metadata": {"x": "\u202e"}}, ValidationFailed, "/metadata"),
    ],
)
def test_bad_input_makes_no_wallet(bench: Bench, changed: dict[str, Any], error: type[CustodyError], pointer: str) -> None:
    with pytest.raises(error) as refusal:
        bench.custody.wallets.create(**({"owner": "alice", "idempotency_key": "k"} | changed))
    assert refusal.value.pointer == pointer
    assert bench.custody.wallets.list() == []
    assert bench.custody.wallets.create(owner="alice", idempotency_key="k").label is None


def test_wallets_beyond_the_pool_are_made_when_asked_for() -> None:
    with opened(limits=Limits(key_pool_size=2)) as bench:
        wallets = [bench.wallet() for _ in range(7)]
        assert len({each.address for each in wallets}) == 7
        sequences = [each.sequence for each in wallets]
        assert len(set(sequences)) == 7


def without_keys(bench: Bench) -> Custody:
    """A process on the same store that must not hold key material."""
    kit = bench.custody._kit
    return Custody(store=kit.store, chains=kit.chains, keys=None, clock=kit.clock, entropy=kit.entropy, observer=kit.observer)


def test_a_process_without_keys_hands_out_what_is_there_and_says_when_there_is_none() -> None:
    with opened(limits=Limits(key_pool_size=2)) as bench:
        facade = without_keys(bench)
        assert facade.make_ready() == 0
        made = [facade.wallets.create(owner="alice", idempotency_key=str(each)) for each in range(2)]
        with pytest.raises(KeyPoolEmpty):
            facade.wallets.create(owner="alice", idempotency_key="2")
        bench.rounds()
        made.append(facade.wallets.create(owner="alice", idempotency_key="2"))
        assert len({each.id for each in made}) == 3


def test_no_wallet_is_made_before_its_chain_is_followed() -> None:
    chain = MemoryChain()
    chain.fail_next("header", times=10)
    with opened(chain=chain, limits=Limits(key_pool_size=1)) as bench:
        bench.custody.wallets.ensure_chains()
        assert bench.custody.chains.list() == []


def test_a_wallet_is_found_by_its_address_and_a_pooled_one_is_not(bench: Bench) -> None:
    wallet = bench.wallet()
    assert bench.custody.wallets.by_address(wallet.address.lower()) == wallet
    with bench.custody._kit.store.reading() as unit:
        others = [address for _, address in unit.addresses_after(0, 10) if address != wallet.address]
    for address in (others[0], factories.address()):
        with pytest.raises(NotFound):
            bench.custody.wallets.by_address(address)
    with pytest.raises(NotFound):
        bench.custody.wallets.by_address(wallet.address, owner_id="usr_other")
    with pytest.raises(InvalidAddress) as refusal:
        bench.custody.wallets.by_address("0x1")
    assert refusal.value.pointer == "/address"


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_a_size(bench: Bench, limit: int) -> None:
    for ask in (bench.custody.wallets.list, bench.custody.transactions.list):
        with pytest.raises(InvalidRequest):
            ask(limit=limit)


def test_wallets_are_listed_of_one_owner_page_by_page(bench: Bench) -> None:
    ours = [bench.wallet("alice") for _ in range(3)]
    bench.wallet("bob")
    owner_id = ours[0].owner_id
    first = bench.custody.wallets.list(owner_id=owner_id, limit=2)
    second = bench.custody.wallets.list(owner_id=owner_id, limit=2, before_id=first[-1].id)
    assert {each.id for each in (*first, *second)} == {each.id for each in ours}
    assert len(second) == 1


def test_what_is_left_out_of_a_description_stays(bench: Bench) -> None:
    wallets, wallet = bench.custody.wallets, bench.wallet()
    wallets.describe(wallet.id, label="savings", metadata={"a": "1"})
    assert wallets.describe(wallet.id, metadata={"a": "2"}).label == "savings"
    described = wallets.describe(wallet.id, label=None)
    assert (described.label, described.metadata) == (None, {"a": "2"})


def test_freezing_is_told_and_undone(bench: Bench) -> None:
    wallet = bench.wallet()
    with pytest.raises(InvalidStateTransition):
        bench.custody.wallets.unfreeze(wallet.id)
    assert bench.custody.wallets.freeze(wallet.id, reason="lost phone").state is WalletState.FROZEN
    assert bench.custody.wallets.unfreeze(wallet.id).state is WalletState.OPEN
    assert bench.events(wallet.id) == ["wallet.created", "wallet.frozen", "wallet.unfrozen"]


def test_an_owner_lifts_only_their_own_freeze(bench: Bench) -> None:
    wallets, wallet = bench.custody.wallets, bench.wallet()
    owner = wallet.owner_id
    wallets.freeze(wallet.id, reason="lost phone", owner_id=owner, actor=str(owner))
    assert wallets.unfreeze(wallet.id, owner_id=owner).state is WalletState.OPEN
    wallets.freeze(wallet.id, reason="court order", actor="usr_admin")
    told = len(bench.events(wallet.id))
    assert wallets.freeze(wallet.id, reason="mine", owner_id=owner).state_reason == "court order"
    assert len(bench.events(wallet.id)) == told, "what changed nothing is not told"
    with pytest.raises(WalletFrozen):
        wallets.unfreeze(wallet.id, owner_id=owner)
    assert wallets.get(wallet.id).state is WalletState.FROZEN
    assert wallets.unfreeze(wallet.id, actor="usr_admin").state is WalletState.OPEN


def test_a_new_wallet_shows_its_ether_balance_of_nothing(bench: Bench) -> None:
    (line,) = bench.custody.wallets.balances(bench.wallet().id)
    assert (line.asset.alias, line.total, line.pending_in, line.on_chain) == ("eth", 0, 0, None)


def test_a_live_balance_is_the_nodes_or_none_where_it_does_not_say(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.chain.send_ether(wallet.address, ether("2"))
    bench.blocks(1)
    (line,) = bench.custody.wallets.balances(wallet.id, live=True)
    assert line.on_chain is not None
    assert (line.available, line.pending_in, line.on_chain.amount) == (ether("1"), ether("2"), ether("3"))
    bench.chain.fail_next("balances")
    (line,) = bench.custody.wallets.balances(wallet.id, live=True)
    assert line.on_chain is None
