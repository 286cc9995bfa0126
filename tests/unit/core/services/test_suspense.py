"""What an address holds and nothing explains: found, kept apart, explained or booked; and what is missing is never hidden."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from custody_core import (
    Asset,
    DepositState,
    InsufficientFunds,
    InvalidAmount,
    Limits,
    NotFound,
    UnsupportedAsset,
    ValidationFailed,
    Wallet,
    ether,
)
from custody_core.domain.addresses import Address
from custody_core.domain.chain import BlockRef
from custody_core.domain.deposit import NOT_COVERED
from custody_core.domain.ledger import PostingGroup, Reason
from custody_core.domain.tokens import TokenState
from custody_core.ports import Answer, Unknown
from tests.support import factories
from tests.unit.core.services.bench import FINALITY, Bench, contract_of, opened

MISMATCH = "reconciliation-mismatch"
LONG_AGO_S = 600
"""A block of that age waits for no balance any more."""


def in_suspense(bench: Bench, wallet: Wallet) -> dict[str, int]:
    return {line.asset.alias: line.amount for line in bench.custody.suspense.list() if line.wallet.id == wallet.id}


def force(bench: Bench, wallet: Wallet, wei: int) -> None:
    """Ether that no transaction names and no log tells of, until it is final."""
    bench.chain.fund(wallet.address, wei)
    bench.chain.mine(FINALITY + 1)
    bench.custody.follow(bench.chain.chain_id)


def solvency(bench: Bench) -> tuple[str, ...]:
    (check,) = [check for check in bench.custody.reconcile().checks if check.id == "INV-1"]
    return check.violations


class TestSurplus:
    def test_goes_into_suspense_and_not_to_the_owner(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 7)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {"eth": 7}
        assert bench.balance(wallet).total == ether("1")

    def test_raises_one_alarm_for_one_finding(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 7)
        for _ in range(3):
            assert solvency(bench) == ()
        bench.blocks(8)
        assert bench.alarms() == [MISMATCH]
        force(bench, wallet, 1)
        assert solvency(bench) == ()
        assert bench.alarms() == [MISMATCH, MISMATCH]
        assert in_suspense(bench, wallet) == {"eth": 8}

    def test_is_found_by_the_background_work_within_one_pass(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 5)
        bench.rounds(3, seconds=6)
        assert in_suspense(bench, wallet) == {"eth": 5}
        assert bench.alarms() == [MISMATCH]

    def test_says_since_when(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 5)
        final = bench.custody.chains.states()[0].final.number
        solvency(bench)
        (line,) = bench.custody.suspense.list()
        assert line.height == final
        assert line.since == bench.clock.now()

    def test_of_a_wallet_in_the_pool_is_found_too(self, bench: Bench) -> None:
        with bench.custody._kit.store.reading() as unit:
            page = unit.wallet_totals(bench.chain.chain_id, after_wallet_id="", limit=9)
        pooled = next(wallet for wallet, _ in page if wallet.owner_id is None)
        force(bench, pooled, 5)
        solvency(bench)
        assert in_suspense(bench, pooled) == {"eth": 5}

    def test_is_posted_at_the_final_block_with_an_audit_row(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 5)
        final = bench.custody.chains.states()[0].final.number
        solvency(bench)
        group = last_group(bench)
        assert (group.reason, group.height) == (Reason.SUSPENSE_FOUND, final)
        bench.custody.seal()
        assert group.reference in {row.id for row in bench.custody.audit.newest() if row.action == "suspense.found"}

    def test_of_a_token_that_came_before_it_was_listed_does_not_disable_it(self, bench: Bench) -> None:
        wallet = bench.wallet()
        contract = bench.chain.deploy_token()
        bench.chain.mint(contract, wallet.address, 40)
        bench.chain.mine()
        listed = bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract, alias="usdc", decimals=6)
        bench.pay_in_token(wallet, listed.asset, 2)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {"usdc": 40}
        assert bench.custody.tokens.list()[0].state is TokenState.LISTED

    def test_of_a_token_is_found_in_a_wallet_that_never_had_any_of_it(self, bench: Bench) -> None:
        had, never, contract = bench.wallet("a"), bench.wallet("b"), bench.chain.deploy_token()
        for wallet in (had, never):
            bench.chain.send_token(contract, wallet.address, 7)
        bench.chain.mine(FINALITY + 1)
        bench.custody.follow(bench.chain.chain_id)
        listed = bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract, alias="usdc", decimals=6).asset
        bench.pay_in_token(had, listed, 1)
        bench.custody.reconcile(held_only=True)
        assert (in_suspense(bench, had), in_suspense(bench, never)) == ({"usdc": 7}, {})
        assert solvency(bench) == ()
        assert (in_suspense(bench, had), in_suspense(bench, never)) == ({"usdc": 7}, {"usdc": 7})
        assert bench.custody.tokens.list()[0].state is TokenState.LISTED
        bench.custody.scans.rescan(1, bench.custody.chains.states()[0].cursor.number)
        bench.require_sound()
        assert (bench.balance(had, "usdc").available, bench.balance(never, "usdc").available) == (8, 7)

    def test_of_a_token_whose_balances_grow_by_themselves_disables_it(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 100)
        rebase(bench, token, wallet, 50)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {"usdc": 50}
        assert bench.custody.tokens.list()[0].state is TokenState.DISABLED
        bench.pay_in_token(wallet, token, 1)
        assert bench.balance(wallet, "usdc").available == 100
        assert bench.balance(wallet, "usdc").quarantined == 1


class TestDeficitOfEther:
    """All that moves ether is read, so it is the books that are wrong."""

    def test_is_never_booked_away(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=100)
        force(bench, wallet, -10)
        for _ in range(2):
            (violation,) = solvency(bench)
            assert wallet.id in violation
            assert "holds 90" in violation
            assert "the books say 100" in violation
        assert bench.balance(wallet).total == 100
        assert in_suspense(bench, wallet) == {}
        assert bench.alarms() == [MISMATCH]

    def test_clears_its_alarm_when_the_books_hold_again(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=100)
        force(bench, wallet, -10)
        solvency(bench)
        force(bench, wallet, 10)
        assert solvency(bench) == ()
        assert bench.events(wallet.id)[-2:] == ["alarm.raised", "alarm.cleared"]
        force(bench, wallet, -1)
        solvency(bench)
        assert bench.alarms() == [MISMATCH, MISMATCH]

    def test_is_covered_by_suspense_first(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=100)
        force(bench, wallet, 10)
        assert solvency(bench) == ()
        force(bench, wallet, -15)
        assert len(solvency(bench)) == 1
        assert in_suspense(bench, wallet) == {}
        assert last_group(bench).reason is Reason.SUSPENSE_EXPLAINED


class TestDeficitOfAToken:
    """Its contract keeps books of its own, and does not tell of all that it does to them."""

    def test_is_a_hole_in_suspense_with_one_alarm(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 100)
        rebase(bench, token, wallet, -10)
        final = bench.custody.chains.states()[0].final.number
        for _ in range(2):
            assert solvency(bench) == ()
        assert bench.balance(wallet, "usdc").total == 100
        assert in_suspense(bench, wallet) == {"usdc": -10}
        assert (last_group(bench).reason, last_group(bench).height) == (Reason.SUSPENSE_LACKING, final)
        assert bench.alarms() == [MISMATCH]

    def test_disables_the_token_with_its_reason(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 100)
        rebase(bench, token, wallet, -10)
        solvency(bench)
        assert bench.custody.tokens.list()[0].state is TokenState.DISABLED
        bench.custody.seal()
        (row,) = [row for row in bench.custody.audit.newest() if row.action == "token.disabled"]
        assert "Transfer" in row.detail["reason"]

    def test_is_filled_by_what_comes_back_and_the_alarm_is_cleared(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 100)
        rebase(bench, token, wallet, -10)
        solvency(bench)
        rebase(bench, token, wallet, 4)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {"usdc": -6}
        assert bench.events(wallet.id)[-1] == "alarm.raised"
        rebase(bench, token, wallet, 6)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {}
        assert bench.events(wallet.id)[-1] == "alarm.cleared"
        assert bench.alarms() == [MISMATCH]

    def test_takes_what_suspense_holds_and_goes_below_zero(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 100)
        rebase(bench, token, wallet, 10)
        assert solvency(bench) == ()
        rebase(bench, token, wallet, -15)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {"usdc": -5}
        assert bench.events(wallet.id)[-1] == "alarm.raised"


class TestAFeeOnTransfer:
    """D-06: a token whose contract keeps a part of what it moves, while its event tells of the whole."""

    @pytest.mark.parametrize("commits_of", [1, 50])
    def test_d_06_is_not_credited_and_what_is_missing_is_in_suspense(self, commits_of: int) -> None:
        with opened(limits=Limits(key_pool_size=3, blocks_per_commit_max=commits_of)) as bench:
            wallet, other = bench.wallet(), bench.wallet("bob")
            token = fee_token(bench)
            bench.chain.send_token(contract_of(token), wallet.address, 100)
            bench.chain.mine()
            bench.chain.send_token(contract_of(token), other.address, 50)
            bench.chain.mine(FINALITY + 1)
            bench.rounds(3)
            for holder, amount in ((wallet, 100), (other, 50)):
                balance = bench.balance(holder, "fee")
                assert (balance.available, balance.quarantined) == (0, amount)
                (deposit,) = bench.deposits(holder)
                assert (deposit.state, deposit.reason) == (DepositState.QUARANTINED, NOT_COVERED)
            assert solvency(bench) == ()
            assert in_suspense(bench, wallet) | {"bob": in_suspense(bench, other)["fee"]} == {"fee": -10, "bob": -5}
            assert bench.alarms() == [MISMATCH, MISMATCH]
            assert bench.custody.tokens.list()[0].state is TokenState.DISABLED

    def test_is_doubted_while_it_is_confirming_already(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), fee_token(bench)
        bench.chain.send_token(contract_of(token), wallet.address, 100)
        bench.blocks(1)
        (deposit,) = bench.deposits(wallet)
        assert (deposit.state, deposit.reason) == (DepositState.CONFIRMING, NOT_COVERED)
        bench.chain.reorg(1)
        bench.blocks(FINALITY + 2)
        (again,) = bench.deposits(wallet)
        assert (again.id, again.state, again.reason) == (deposit.id, DepositState.QUARANTINED, NOT_COVERED)

    def test_is_found_by_a_scan_of_a_token_that_was_listed_later_too(self, bench: Bench) -> None:
        wallet, contract = bench.wallet(), bench.chain.deploy_token(fee_percent=10)
        bench.chain.send_token(contract, wallet.address, 100)
        bench.blocks(FINALITY + 1)
        bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract, alias="fee", decimals=6)
        (found,) = bench.custody.scans.rescan(1, bench.custody.chains.states()[0].cursor.number).missing.deposits
        assert (found.state, found.reason) == (DepositState.QUARANTINED, NOT_COVERED)

    def test_an_honest_token_beside_it_in_the_same_block_is_credited(self, bench: Bench) -> None:
        wallet, honest, token = bench.wallet(), bench.token(), fee_token(bench)
        bench.chain.send_token(contract_of(token), wallet.address, 100)
        bench.chain.send_token(contract_of(honest), wallet.address, 100)
        bench.blocks(FINALITY + 1)
        assert (bench.balance(wallet, "usdc").available, bench.balance(wallet, "fee").available) == (100, 0)

    def test_where_the_node_keeps_no_such_balances_the_comparison_finds_it(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), fee_token(bench)
        bench.chain.send_token(contract_of(token), wallet.address, 100)
        bench.chain.mine()
        bench.clock.advance(LONG_AGO_S)
        bench.chain.fail_next("balances", 2)
        bench.custody.follow(bench.chain.chain_id)
        bench.chain.mine(FINALITY + 1)
        bench.custody.follow(bench.chain.chain_id)
        assert bench.balance(wallet, "fee").available == 100
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {"fee": -10}
        assert bench.custody.tokens.list()[0].state is TokenState.DISABLED

    def test_a_young_block_waits_for_a_node_that_is_busy(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), fee_token(bench)
        bench.chain.send_token(contract_of(token), wallet.address, 100)
        bench.chain.mine()
        bench.chain.fail_next("balances", 2)
        bench.rounds()
        assert bench.deposits(wallet) == [], "nothing is concluded from a block that was not read whole"
        bench.blocks(FINALITY + 1)
        assert [each.reason for each in bench.deposits(wallet)] == [NOT_COVERED]

    @pytest.mark.parametrize("told_times", [2, 3], ids=["nothing", "only after it"])
    def test_what_one_node_has_shown_to_be_short_is_not_believed_because_the_block_alone_is_not_told(
        self, bench: Bench, told_times: int
    ) -> None:
        wallet, token = bench.wallet(), fee_token(bench)
        bench.chain.send_token(contract_of(token), wallet.address, 1000)
        bench.blocks(1)
        bench.chain.send_token(contract_of(token), wallet.address, 100)
        bench.chain.mine()
        bench.clock.advance(LONG_AGO_S)
        told, asked = bench.chain.balances, []

        def silent_later(holders: Sequence[tuple[Address, Address | None]], at: BlockRef) -> Sequence[Answer[int]]:
            asked.append(at)
            is_told = len(asked) <= 2 or (told_times == 3 and len(asked) == 4)
            return told(holders, at) if is_told else [Unknown("the node is silent")] * len(holders)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bench.chain, "balances", silent_later)
            bench.rounds()
        assert [each.reason for each in bench.deposits(wallet) if each.key.amount == 100] == [NOT_COVERED]

    def test_a_released_deposit_and_a_filled_hole_leave_what_came(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), fee_token(bench)
        bench.pay_in_token(wallet, token, 100)
        assert solvency(bench) == ()
        bench.custody.transactions.release(bench.deposits(wallet)[0].id, note="the issuer tells of the fee")
        assert bench.custody.suspense.fill(wallet.id, asset="fee", amount=10, note="the token's fee", actor="usr_1") == 0
        assert bench.balance(wallet, "fee").available == 90
        bench.require_sound()
        assert bench.events(wallet.id)[-1] == "alarm.cleared"


class TestExplanation:
    def test_takes_out_again_what_is_credited_later(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 5)
        solvency(bench)
        credit_by_scan(bench, wallet, 5)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {}
        assert bench.balance(wallet).available == ether("1") + 5
        assert bench.events(wallet.id)[-2:] == ["alarm.raised", "alarm.cleared"]


class TestBooking:
    def test_gives_it_to_the_owner(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 10)
        solvency(bench)
        assert bench.custody.suspense.book(wallet.id, asset="eth", amount=4, note="a withdrawal of their validator") == 6
        assert bench.balance(wallet).available == ether("1") + 4
        assert in_suspense(bench, wallet) == {"eth": 6}
        assert "alarm.cleared" not in bench.events(wallet.id)
        assert bench.custody.suspense.book(wallet.id, asset="eth", amount=6, note="and the rest of it", actor="usr_1") == 0
        assert in_suspense(bench, wallet) == {}
        assert bench.events(wallet.id)[-1] == "alarm.cleared"
        assert solvency(bench) == ()
        booked = [row for row in bench.custody.audit.newest() if row.action == "suspense.booked"]
        assert [(row.actor, row.detail["amount"], row.detail["note"]) for row in booked] == [
            ("usr_1", "6", "and the rest of it"),
            ("system", "4", "a withdrawal of their validator"),
        ]

    def test_needs_what_is_there_and_a_note(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 10)
        solvency(bench)
        book = bench.custody.suspense.book
        with pytest.raises(InsufficientFunds) as refused:
            book(wallet.id, asset="eth", amount=11, note="too much")
        assert refused.value.extra["available"] == "10"
        with pytest.raises(ValidationFailed):
            book(wallet.id, asset="eth", amount=1, note="")
        with pytest.raises(UnsupportedAsset):
            book(wallet.id, asset="usdt", amount=1, note="no such token")
        with pytest.raises(NotFound):
            book(factories.wallet().id, asset="eth", amount=1, note="no such wallet")
        with pytest.raises(NotFound):
            book(wallet.id, asset="eth", amount=1, note="no such chain", chain_id=1)
        assert in_suspense(bench, wallet) == {"eth": 10}


class TestFilling:
    def test_takes_it_from_the_owner_and_says_what_is_missing_still(self, bench: Bench) -> None:
        wallet, token = bench.wallet(), bench.token()
        bench.pay_in_token(wallet, token, 100)
        rebase(bench, token, wallet, -10)
        solvency(bench)
        assert bench.custody.suspense.fill(wallet.id, asset="usdc", amount=4, note="theirs to bear") == -6
        assert (bench.balance(wallet, "usdc").available, in_suspense(bench, wallet)) == (96, {"usdc": -6})
        assert bench.custody.suspense.fill(wallet.id, asset="usdc", amount=6, note="and the rest", actor="usr_1") == 0
        assert last_group(bench).reason is Reason.SUSPENSE_FILLED
        assert bench.events(wallet.id)[-1] == "alarm.cleared"
        bench.require_sound()
        filled = [row for row in bench.custody.audit.newest() if row.action == "suspense.filled"]
        assert [(row.actor, row.detail["amount"], row.detail["note"]) for row in filled] == [
            ("usr_1", "6", "and the rest"),
            ("system", "4", "theirs to bear"),
        ]

    def test_needs_a_hole_so_large_and_what_the_owner_has(self, bench: Bench) -> None:
        wallet, token = bench.wallet(wei=ether("1")), bench.token()
        bench.pay_in_token(wallet, token, 100)
        rebase(bench, token, wallet, -100)
        rebase(bench, token, wallet, 30)
        solvency(bench)
        fill = bench.custody.suspense.fill
        with pytest.raises(InvalidAmount, match="70 is missing"):
            fill(wallet.id, asset="usdc", amount=71, note="too much")
        with pytest.raises(InvalidAmount, match="0 is missing"):
            fill(wallet.id, asset="eth", amount=1, note="no hole")
        with pytest.raises(ValidationFailed):
            fill(wallet.id, asset="usdc", amount=1, note="")
        bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract_of(token), alias="usdc", decimals=6)
        bench.send(wallet, 20, asset="usdc")
        rebase(bench, token, wallet, -30)
        solvency(bench)
        with pytest.raises(InsufficientFunds) as refused:
            fill(wallet.id, asset="usdc", amount=100, note="more than they have")
        assert refused.value.extra["available"] == "80"
        assert in_suspense(bench, wallet) == {"usdc": -100}


class TestRaces:
    def test_a_block_that_becomes_final_meanwhile_is_waited_for(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 5)
        real, asked = bench.chain.balances, 0

        def balances(*asked_for: object) -> object:
            nonlocal asked
            asked += 1
            answers = real(*asked_for)  # type: ignore[arg-type]
            if asked == 2:  # the second look: between its answer and its booking a deposit becomes final
                bench.chain.send_ether(wallet.address, 3)
                bench.chain.mine(FINALITY + 1)
                bench.custody.follow(bench.chain.chain_id)
            return answers

        monkeypatch.setattr(bench.chain, "balances", balances)
        assert solvency(bench) == ()
        assert in_suspense(bench, wallet) == {"eth": 5}
        assert bench.balance(wallet).available == ether("1") + 3
        assert asked > 2

    def test_nothing_is_booked_while_the_node_does_not_say(self, bench: Bench) -> None:
        wallet = bench.wallet(wei=ether("1"))
        force(bench, wallet, 5)
        bench.chain.fail_next("balances")
        assert any("does not say" in violation for violation in solvency(bench))
        assert in_suspense(bench, wallet) == {}


def last_group(bench: Bench) -> PostingGroup:
    with bench.custody._kit.store.reading() as unit:
        return unit.posting_groups(after=0, limit=999)[-1][1]


def rebase(bench: Bench, token: Asset, wallet: Wallet, change: int) -> None:
    """Another balance without an event, until it is final."""
    bench.chain.mint(contract_of(token), wallet.address, change)
    bench.chain.mine(FINALITY + 1)
    bench.custody.follow(bench.chain.chain_id)


def fee_token(bench: Bench) -> Asset:
    """A listed token that keeps a tenth of what it moves."""
    contract = bench.chain.deploy_token(fee_percent=10)
    return bench.custody.tokens.add(chain_id=bench.chain.chain_id, address=contract, alias="fee", decimals=6).asset


def credit_by_scan(bench: Bench, wallet: Wallet, amount: int) -> None:
    """What a scan of old blocks does when it finds a movement that was overlooked."""
    final = bench.custody.chains.states()[0].final.number
    with bench.custody._kit.store.transaction() as unit:
        unit.post([factories.credit(wallet, amount, height=final)])
