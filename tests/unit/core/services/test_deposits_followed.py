"""Following a chain: what arrives is credited once, when it is final, and to whom it belongs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import pytest

from custody_core import Deposit, DepositState, Limits, Transaction, TransactionState, Wallet, WalletFrozen, WalletState, ether
from custody_core.domain.addresses import Address
from custody_core.domain.authorisation import AuthorisedPayment
from custody_core.domain.chain import Hash, Header, Receipt
from custody_core.domain.deposit import DepositKind
from custody_core.domain.encoding import FeeMarketTransaction
from custody_core.domain.fees import GWEI
from custody_core.domain.tokens import Token
from custody_core.ports import Answer, BlockTag, Doubt, Found, no_doubt
from custody_core.services.following import Round
from custody_core.services.foreign_use import frozen_because
from custody_memory.chain import MemoryChain
from tests.support import factories
from tests.unit.core.services.bench import FINALITY, FRIEND, Bench, contract_of, opened


def test_d01_a_deposit_shows_at_once_and_counts_when_final(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, ether("1"))
    for _ in range(FINALITY):
        bench.blocks(1)
        assert [each.state for each in bench.deposits(wallet)] == [DepositState.CONFIRMING]
        assert (bench.balance(wallet).available, bench.balance(wallet).pending_in) == (0, ether("1"))
    bench.blocks(1)
    assert (bench.balance(wallet).available, bench.balance(wallet).pending_in) == (ether("1"), 0)
    bench.blocks(5)
    (deposit,) = bench.deposits(wallet)
    assert bench.events(deposit.id) == ["transaction.confirming", "transaction.completed"]
    bench.require_sound()


def test_an_address_is_watched_from_its_birth_before_it_has_an_owner() -> None:
    with opened() as bench:
        pooled = [each for each in bench.custody.audit.list(limit=100) if each.action == "wallet.made"]
        wallet = bench.wallet()
        assert wallet.id in {each.object_id for each in pooled}
        later = bench.custody.wallets.create(owner="bob", idempotency_key="later")
        bench.chain.send_ether(later.address, ether("1"))
        bench.blocks(FINALITY + 1)
        assert bench.balance(later).available == ether("1")


class Interrupted(MemoryChain):
    """A node that is asked for receipts while, once, something else happens."""

    happens: Callable[[], object] | None = None

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        happens, self.happens = self.happens, None
        if happens:
            happens()
        return super().receipts(transaction_hashes, doubt=doubt)


def born_while_its_block_is_read(target: Address) -> tuple[Wallet, int]:
    """The wallet that is made after a block was matched and before it is saved, and what the block's 2 ether to `target` gave it.

    The same calls make the same keys, so that a second run knows where the first one's wallet will be.
    """
    chain, born = Interrupted(), list[Wallet]()
    with opened(chain=chain, limits=Limits(key_pool_size=1)) as bench:
        known = bench.wallet()
        chain.send_ether(known.address, ether("1"))
        chain.send_ether(target, ether("2"))
        chain.mine()
        chain.happens = lambda: born.append(bench.wallet("bob", key="born-late"))
        bench.custody.follow(chain.chain_id)
        assert bench.custody.chains.states()[0].cursor.hash == chain.head.hash, "it is read again at once"
        bench.blocks(FINALITY)
        assert bench.balance(known).available == ether("1")
        bench.require_sound()
        return born[0], bench.balance(born[0]).available


def test_d20_an_address_that_is_born_while_its_block_is_read_misses_nothing() -> None:
    wallet, nothing = born_while_its_block_is_read(FRIEND)
    same, credited = born_while_its_block_is_read(wallet.address)
    assert (same.address, nothing, credited) == (wallet.address, 0, ether("2"))


def test_a_deposit_that_came_before_the_owner_is_the_owners() -> None:
    chain = MemoryChain()
    with opened(chain=chain, limits=Limits(key_pool_size=1)) as bench:
        with bench.custody._kit.store.reading() as unit:
            ((_, address),) = unit.addresses_after(0, 10)
        chain.send_ether(address, ether("1"))
        bench.blocks(FINALITY + 1)
        wallet = bench.wallet()
        assert wallet.address == address
        assert bench.balance(wallet).available == ether("1")
        bench.require_sound()


def test_r01_and_r02_a_deposit_whose_block_leaves_the_chain_is_credited_once_where_it_comes_back(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, ether("1"))
    bench.blocks(2)
    (first,) = bench.deposits(wallet)
    bench.chain.reorg(2)
    bench.rounds()
    (gone,) = bench.deposits(wallet)
    assert (gone.id, gone.state, bench.balance(wallet).pending_in) == (first.id, DepositState.ORPHANED, 0)
    bench.blocks(FINALITY + 3)
    (back,) = bench.deposits(wallet)
    assert (back.id, back.state) == (first.id, DepositState.COMPLETED)
    assert back.block != first.block
    assert bench.balance(wallet).available == ether("1")
    assert bench.events(back.id) == [f"transaction.{step}" for step in ("confirming", "orphaned", "confirming", "completed")]
    bench.require_sound()


def test_a_deposit_that_never_comes_back_is_never_credited(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, ether("1"))
    bench.blocks(2)
    bench.chain.reorg(2, pooled=False)
    bench.blocks(3 * FINALITY)
    (gone,) = bench.deposits(wallet)
    assert gone.state is DepositState.ORPHANED
    assert bench.balance(wallet).total == 0
    bench.require_sound()


def test_dust_is_quarantined_and_told_why() -> None:
    with opened(limits=Limits(dust_wei=1000, key_pool_size=1)) as bench:
        wallet = bench.wallet()
        bench.chain.send_ether(wallet.address, 999)
        bench.chain.send_ether(wallet.address, 1000)
        bench.blocks(FINALITY + 1)
        dust, whole = sorted(bench.deposits(wallet), key=lambda each: each.key.amount)
        assert (dust.state, dust.reason) == (DepositState.QUARANTINED, "below the dust threshold")
        assert whole.state is DepositState.COMPLETED
        balance = bench.balance(wallet)
        assert (balance.available, balance.quarantined, balance.total) == (1000, 999, 1999)
        bench.require_sound()


def test_nothing_sent_with_a_value_of_zero_is_a_deposit(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, 0)
    bench.blocks(FINALITY + 1)
    assert bench.deposits(wallet) == []


# Tokens


def test_a_listed_token_is_credited_and_an_unlisted_one_is_not(bench: Bench) -> None:
    token, wallet, unlisted = bench.token(), bench.wallet(), bench.chain.deploy_token()
    bench.chain.send_token(unlisted, wallet.address, 7)
    bench.pay_in_token(wallet, token, 1_500_000)
    (deposit,) = bench.deposits(wallet)
    assert (deposit.key.kind, deposit.asset, deposit.state) == (DepositKind.TOKEN, token, DepositState.COMPLETED)
    assert bench.balance(wallet, "usdc").available == 1_500_000
    assert {each.asset.alias for each in bench.custody.wallets.balances(wallet.id)} == {"eth", "usdc"}
    bench.require_sound()


def test_two_equal_token_transfers_are_two_deposits(bench: Bench) -> None:
    token, wallet = bench.token(), bench.wallet()
    bench.chain.send_token(contract_of(token), wallet.address, 5)
    bench.pay_in_token(wallet, token, 5)
    assert [each.state for each in bench.deposits(wallet)] == [DepositState.COMPLETED] * 2
    assert bench.balance(wallet, "usdc").available == 10


def test_a_disabled_token_is_quarantined_when_it_arrives(bench: Bench) -> None:
    token, wallet = bench.token(), bench.wallet()
    bench.pay_in_token(wallet, token, 5)
    (listed,) = bench.custody.tokens.list()
    bench.custody.tokens.disable(listed.id)
    bench.pay_in_token(wallet, token, 7)
    first, second = bench.deposits(wallet)
    assert (first.state, second.state) == (DepositState.COMPLETED, DepositState.QUARANTINED)
    assert second.reason == "the token is not listed any more"
    balance = bench.balance(wallet, "usdc")
    assert (balance.available, balance.quarantined) == (5, 7)
    bench.require_sound()


# A node that does not answer, or answers otherwise


@pytest.mark.parametrize("method", ["header", "blocks", "receipts"])
def test_a_block_that_cannot_be_read_whole_is_read_later_and_never_skipped(bench: Bench, method: str) -> None:
    wallet = bench.wallet()
    bench.chain.send_ether(wallet.address, ether("1"))
    bench.chain.mine()
    cursor = bench.custody.chains.list()[0].state.cursor
    bench.chain.fail_next(method)
    assert bench.custody.follow(bench.chain.chain_id) is Round.WAITING
    assert (bench.custody.chains.list()[0].state.cursor, bench.deposits(wallet)) == (cursor, [])
    bench.blocks(FINALITY)
    assert bench.balance(wallet).available == ether("1")


def test_a_node_that_keeps_the_logs_to_itself_stops_the_cursor(bench: Bench) -> None:
    token, wallet = bench.token(), bench.wallet()
    bench.chain.send_token(contract_of(token), wallet.address, 5)
    bench.chain.mine()
    bench.chain.fail_next("logs")
    assert bench.custody.follow(bench.chain.chain_id) is Round.WAITING
    assert bench.deposits(wallet) == []
    bench.blocks(FINALITY)
    assert bench.balance(wallet, "usdc").available == 5


def test_a_final_block_that_changes_stops_the_line_until_somebody_has_looked(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.blocks(FINALITY)
    bench.chain.reorg(bench.chain.head.number)
    bench.chain.mine()
    assert bench.custody.follow(bench.chain.chain_id) is Round.HALTED
    (status,) = bench.custody.chains.list()
    assert status.state.halted_reason is not None
    assert bench.balance(wallet).available == ether("1"), "nothing is reversed by itself"
    bench.rounds(5)
    assert bench.alarms() == ["finality-breached"]
    with bench.custody._kit.store.reading() as unit:
        assert [row.action for row in unit.audit(after_sequence=0, limit=1_000)].count("chain.halted") == 1


class AnotherFinalBlock(MemoryChain):
    """A node whose final block has another hash than the block that it showed at that height, while `lies`."""

    lies = True

    def header(self, at: int | BlockTag) -> Answer[Header]:
        answer = super().header(at)
        if self.lies and at is BlockTag.FINALIZED and isinstance(answer, Found) and answer.value.number > 0:
            return Found(attrs.evolve(answer.value, hash=factories.hash32(7)))
        return answer


def test_a_final_block_that_the_node_contradicts_is_not_taken_for_final() -> None:
    chain = AnotherFinalBlock()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        bench.chain.send_ether(wallet.address, ether("1"))
        bench.blocks(3 * FINALITY)
        assert bench.balance(wallet).available == 0
        chain.lies = False
        bench.blocks(1)
        assert bench.balance(wallet).available == ether("1")


class FailedOnChain(MemoryChain):
    """A node on which nothing that outsiders send succeeds, while `fails`: the value stays where it was."""

    fails = True

    def receipts(self, transaction_hashes: Sequence[Hash], *, doubt: Doubt[Receipt] = no_doubt) -> Sequence[Answer[Receipt]]:
        answers = super().receipts(transaction_hashes, doubt=doubt)
        if not self.fails:
            return answers
        return [Found(attrs.evolve(each.value, succeeded=False)) if isinstance(each, Found) else each for each in answers]


def test_d02_value_in_a_transaction_that_failed_is_no_deposit() -> None:
    chain = FailedOnChain()
    with opened(chain=chain) as bench:
        wallet = bench.wallet()
        chain.send_ether(wallet.address, ether("1"))
        bench.blocks(FINALITY + 1)
        assert bench.deposits(wallet) == []
        chain.fails = False
        bench.pay_in(wallet, ether("2"))
        assert bench.balance(wallet).total == ether("2")


def test_without_finality_nothing_is_credited(bench: Bench) -> None:
    wallet = bench.wallet()
    bench.chain.stall_finality()
    bench.chain.send_ether(wallet.address, ether("1"))
    bench.blocks(20)
    assert bench.balance(wallet).available == 0
    bench.chain.stall_finality(stalled=False)
    bench.blocks(1)
    assert bench.balance(wallet).available == ether("1")


def test_a_depth_where_one_is_set_stands_in_for_the_nodes_tag() -> None:
    chain = MemoryChain()
    chain.stall_finality()
    with opened(chain=chain, limits=Limits(confirmations={chain.chain_id: 2}, key_pool_size=1)) as bench:
        wallet = bench.wallet()
        chain.send_ether(wallet.address, ether("1"))
        bench.blocks(1)
        assert bench.balance(wallet).available == 0
        bench.blocks(1)
        assert bench.balance(wallet).available == ether("1")


def sign_elsewhere(bench: Bench, wallet: Wallet) -> None:
    """Somebody else has the wallet's key, and uses it."""
    kit = bench.custody._kit
    assert kit.keys is not None
    elsewhere = FeeMarketTransaction(bench.chain.chain_id, 0, GWEI, 10 * GWEI, 21_000, b"\x77" * 20, 5)
    with kit.store.reading() as unit:
        key = unit.sealed_keys([wallet.id])[wallet.id]
    authorised = AuthorisedPayment(wallet.id, wallet.address, "dec_elsewhere", elsewhere)
    bench.chain.broadcast([kit.keys.sign(authorised, key).raw])
    bench.blocks(1)


def test_somebody_who_signs_with_a_managed_key_stops_the_wallet(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    sign_elsewhere(bench, wallet)
    stopped = bench.custody.wallets.get(wallet.id)
    assert (stopped.state, stopped.state_reason) == (WalletState.FROZEN, frozen_because(bench.chain.chain_id))
    assert bench.alarms() == ["nonce-foreign"]
    assert "wallet.frozen" in bench.events(wallet.id)


def test_an_owner_who_froze_a_wallet_does_not_open_it_once_its_key_was_used_elsewhere(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.custody.wallets.freeze(wallet.id, reason="lost phone", owner_id=wallet.owner_id)
    sign_elsewhere(bench, wallet)
    with pytest.raises(WalletFrozen):
        bench.custody.wallets.unfreeze(wallet.id, owner_id=wallet.owner_id)
    assert bench.custody.wallets.get(wallet.id).state_reason == "lost phone"


def test_both_directions_are_listed_newest_first_and_page_by_page(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    bench.pay_in(wallet, ether("1"))
    sent = bench.send(wallet)
    everything = bench.custody.transactions.list(wallet_id=wallet.id)
    assert [isinstance(each, Deposit) for each in everything] == [False, True, True]
    assert everything[0] == sent
    paged: list[Transaction | Deposit] = []
    before: str | None = None
    while page := bench.custody.transactions.list(wallet_id=wallet.id, limit=1, before_id=before):
        paged += page
        before = page[-1].id
    assert paged == list(everything)
    waiting = bench.custody.transactions.list(wallet_id=wallet.id, state="queued")
    assert [each.state for each in waiting] == [TransactionState.QUEUED]


class ListsMeanwhile(MemoryChain):
    """A node that takes so long over a block that somebody lists a token meanwhile."""

    meanwhile: Callable[[], object] | None = None

    def receipts(self, transaction_hashes: Sequence[Hash], **doubt: Any) -> Sequence[Answer[Receipt]]:
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()
        return super().receipts(transaction_hashes, **doubt)


def test_a_deposit_in_the_block_that_is_read_while_its_token_is_listed_is_not_lost() -> None:
    with opened(chain=(chain := ListsMeanwhile())) as bench:
        wallet, contract = bench.wallet(), chain.deploy_token()
        chain.send_token(contract, wallet.address, 7)
        chain.send_ether(wallet.address, 1)
        listed: list[Token] = []
        add = partial(bench.custody.tokens.add, chain_id=chain.chain_id, address=contract, alias="usdc", decimals=6)
        chain.meanwhile = lambda: listed.append(add())
        bench.blocks(1)
        assert bench.custody.chains.states()[0].cursor.hash == chain.head.hash, "it is read again at once"
        bench.blocks(FINALITY)
        assert len(listed) == 1
        assert bench.balance(wallet, "usdc").available == 7
        bench.require_sound()
