"""Deposits that are put aside, and an operator who gives them to their owner; each token has its own threshold."""

from __future__ import annotations

import pytest

from custody_core import (
    Asset,
    Deposit,
    DepositState,
    InvalidAmount,
    InvalidStateTransition,
    Limits,
    NotFound,
    ValidationFailed,
    Wallet,
    ether,
)
from custody_core.domain.ids import IdPrefix
from tests.support import factories
from tests.unit.core.services.bench import FINALITY, Bench, contract_of, opened


def put_aside(bench: Bench, wallet: Wallet, token: Asset, amount: int = 5) -> Deposit:
    """A token deposit below the token's threshold, final."""
    (listed,) = [each for each in bench.custody.tokens.list() if each.asset == token]
    bench.custody.tokens.set_dust(listed.id, amount + 1)
    bench.pay_in_token(wallet, token, amount)
    (deposit,) = bench.deposits(wallet)
    assert deposit.state is DepositState.QUARANTINED
    return deposit


def test_what_is_released_can_be_spent_and_who_did_it_is_kept(bench: Bench) -> None:
    wallet, token = bench.wallet(), bench.token()
    deposit = put_aside(bench, wallet, token)
    assert (bench.balance(wallet, "usdc").available, bench.balance(wallet, "usdc").quarantined) == (0, 5)
    released = bench.custody.transactions.release(deposit.id, note="their first test payment", actor="usr_operator")
    assert (released.state, released.version) == (DepositState.COMPLETED, deposit.version + 1)
    assert (bench.balance(wallet, "usdc").available, bench.balance(wallet, "usdc").quarantined) == (5, 0)
    assert bench.events(deposit.id) == ["transaction.confirming", "transaction.quarantined", "transaction.completed"]
    (row,) = [each for each in bench.custody.audit.list(limit=200) if each.action == "deposit.released"]
    assert (row.actor, row.object_id) == ("usr_operator", deposit.id)
    assert dict(row.detail) == {"note": "their first test payment", "reason": "below the dust threshold"}
    bench.require_sound()


def test_it_is_released_once(bench: Bench) -> None:
    wallet = bench.wallet()
    deposit = put_aside(bench, wallet, bench.token())
    bench.custody.transactions.release(deposit.id, note="theirs")
    with pytest.raises(InvalidStateTransition, match="the deposit is completed"):
        bench.custody.transactions.release(deposit.id, note="theirs")
    assert bench.balance(wallet, "usdc").available == 5


def test_d18_what_comes_to_a_disabled_owner_is_theirs_when_an_operator_says_so(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, ether("1"))
    bench.blocks(1)
    bench.custody.users.disable(bench.custody.wallets.owner_named("alice").id)
    bench.blocks(FINALITY)
    (deposit,) = bench.deposits(wallet)
    assert (deposit.state, deposit.reason) == (DepositState.QUARANTINED, "the owner is disabled")
    bench.custody.transactions.release(deposit.id, note="the court says so")
    assert bench.balance(wallet).available == ether("1")
    bench.require_sound()


def test_nothing_else_is_released(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    (deposit,) = bench.deposits(wallet)
    quarantined = put_aside(bench, bench.wallet("bob"), bench.token())
    for id_, refusal in (
        (deposit.id, InvalidStateTransition),
        (bench.send(wallet).id, InvalidStateTransition),
        (factories.identifier(IdPrefix.TRANSACTION), NotFound),
        ("x", NotFound),
    ):
        with pytest.raises(refusal):
            bench.custody.transactions.release(id_, note="x")
    with pytest.raises(NotFound):
        bench.custody.transactions.release(quarantined.id, note="x", owner_id=wallet.owner_id)
    with pytest.raises(ValidationFailed):
        bench.custody.transactions.release(quarantined.id, note="")
    assert bench.deposits(bench.custody.wallets.get(quarantined.wallet_id)) == [quarantined]


def test_each_token_has_its_own_threshold_and_ether_has_its_own() -> None:
    with opened(limits=Limits(dust_wei=100, key_pool_size=3)) as bench:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 5)
        assert bench.balance(wallet, "usdc").available == 5, "ether's threshold is not a token's"
        (listed,) = bench.custody.tokens.list()
        again = bench.custody.tokens.add(
            chain_id=bench.chain.chain_id, address=contract_of(token), alias="usdc", decimals=6, dust=6
        )
        assert (again.id, again.dust) == (listed.id, 6)
        for amount in (5, 6):
            bench.pay_in_token(wallet, token, amount)
        assert [(each.key.amount, each.state) for each in bench.deposits(wallet)] == [
            (5, DepositState.COMPLETED),
            (5, DepositState.QUARANTINED),
            (6, DepositState.COMPLETED),
        ]
        actions = [each.action for each in bench.custody.audit.list(limit=1000)]
        assert (actions.count("token.dust-set"), actions.count("token.listed")) == (1, 1)
        bench.require_sound()


def test_a_token_that_is_listed_again_keeps_its_threshold(bench: Bench) -> None:
    token = bench.token()
    (listed,) = bench.custody.tokens.list()
    bench.custody.tokens.set_dust(listed.id, 7)
    again = bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract_of(token), alias="usdc", decimals=6)
    assert again.dust == 7


@pytest.mark.parametrize("dust", [-1, 2**256, True, "7"])
def test_a_threshold_is_an_amount(bench: Bench, dust: int) -> None:
    bench.token()
    (listed,) = bench.custody.tokens.list()
    with pytest.raises((ValidationFailed, InvalidAmount)):
        bench.custody.tokens.set_dust(listed.id, dust)
    assert bench.custody.tokens.list() == [listed]
