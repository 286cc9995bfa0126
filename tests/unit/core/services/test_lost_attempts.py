"""What is signed with a managed key and is not in the books: known again where it is ours, booked where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from custody_core import FeeAboveCap, InsufficientFunds, Transaction, TransactionState, Wallet, ether
from custody_core.domain.addresses import address_to_bytes
from custody_core.domain.authorisation import AuthorisedPayment
from custody_core.domain.chain import Block, Hash
from custody_core.domain.encoding import FeeMarketTransaction, erc20_transfer_calldata, serialize_signed, transaction_hash
from custody_core.domain.fees import GWEI
from custody_core.domain.transaction import AttemptKind, AttemptState, Stuck
from custody_core.domain.wallet import WalletState
from custody_core.ports import Answer, Found, Keys, SignedBytes
from custody_core.services.sending import Sender
from custody_memory.mempool import Pooled
from tests.support import factories
from tests.unit.core.services.bench import FINALITY, FRIEND, Bench, contract_of

STRANGER = factories.address(0xE001)


def sign_elsewhere(bench: Bench, wallet: Wallet, unsigned: FeeMarketTransaction) -> None:
    """The same key signs, and these books do not hear of it."""
    with bench.custody._kit.store.reading() as unit:
        key = unit.sealed_keys([wallet.id])[wallet.id]
    authorised = AuthorisedPayment(wallet.id, wallet.address, "dec_lost", unsigned)
    bench.chain.broadcast([require_keys(bench).sign(authorised, key).raw])


def require_keys(bench: Bench) -> Keys:
    keys = bench.custody._kit.keys
    assert keys is not None
    return keys


def fields(bench: Bench, **changes: Any) -> FeeMarketTransaction:
    """Five ether's wei to a stranger at the first nonce."""
    return attrs.evolve(
        FeeMarketTransaction(bench.chain.chain_id, 0, GWEI, 10 * GWEI, 21_000, address_to_bytes(STRANGER), ether("0.5")), **changes
    )


def lost_attempt_of(bench: Bench, wallet: Wallet, transaction: Transaction, **changes: Any) -> None:
    """A dearer attempt of `transaction` that was signed before a restored backup forgot it."""
    again = fields(
        bench,
        nonce=transaction.nonce,
        max_fee_per_gas=transaction.fee_per_gas_max_wei,
        max_priority_fee_per_gas=transaction.fee_per_gas_max_wei,
        to=address_to_bytes(transaction.call_to),
        value=transaction.call_value_wei,
        data=transaction.call_data,
        gas_limit=transaction.gas_limit,
    )
    sign_elsewhere(bench, wallet, attrs.evolve(again, **changes))


def test_o_03_a_mined_attempt_that_the_books_have_lost_settles_its_transaction(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    lost_attempt_of(bench, wallet, bench.transaction(made.id))
    bench.settle()
    done = bench.transaction(made.id)
    assert [each.state for each in done.attempts] == [AttemptState.SENT, AttemptState.FOUND]
    assert done.inclusion is not None
    assert (done.state, done.inclusion.attempt_id) == (TransactionState.COMPLETED, done.attempts[1].id)
    assert bench.custody.wallets.get(wallet.id).state is WalletState.OPEN
    assert bench.alarms() == []
    bench.require_sound()


def test_o_03_so_does_a_lost_attempt_of_a_token_send(bench: Bench) -> None:
    wallet, token = bench.wallet(wei=ether("1")), bench.token()
    bench.pay_in_token(wallet, token, 50)
    made = bench.send(wallet, 20, asset="usdc")
    bench.rounds()
    lost_attempt_of(bench, wallet, bench.transaction(made.id))
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED
    assert bench.balance(wallet, "usdc").available == 30
    bench.require_sound()


def test_o_03_a_lost_cancellation_cancels(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    lost_attempt_of(bench, wallet, bench.transaction(made.id), to=address_to_bytes(wallet.address), value=0)
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.CANCELLED
    bench.require_sound()


def test_o_03_a_lost_attempt_that_a_reorganisation_drops_is_sent_again_as_it_is(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    lost_attempt_of(bench, wallet, bench.transaction(made.id))
    bench.blocks(2)
    bench.chain.reorg(2, pooled=False)
    bench.settle()
    done = bench.transaction(made.id)
    assert [each.state for each in done.attempts] == [AttemptState.SENT, AttemptState.FOUND]
    assert done.state is TransactionState.COMPLETED
    bench.require_sound()


def test_a_node_that_does_not_show_the_bytes_makes_the_chain_wait(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    lost_attempt_of(bench, wallet, bench.transaction(made.id))
    bench.chain.fail_next("signed_transactions")
    bench.blocks(1)
    assert bench.transaction(made.id).state is TransactionState.BROADCASTING
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED


def test_what_somebody_else_spent_is_booked_when_it_is_final(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    sign_elsewhere(bench, wallet, fields(bench))
    bench.blocks(1)
    assert bench.balance(wallet).available == ether("1"), "not before it is final"
    bench.blocks(FINALITY)
    assert ether("0.4999") < bench.balance(wallet).available < ether("0.5")
    assert bench.alarms() == ["nonce-foreign"]
    bench.require_sound()


def test_what_somebody_else_has_in_the_pool_stops_the_wallet_before_a_nonce_is_reserved(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    sign_elsewhere(bench, wallet, fields(bench))
    made = bench.send(wallet)
    bench.custody.advance(bench.chain.chain_id)  # no block has shown it
    assert bench.custody.wallets.get(wallet.id).state is WalletState.FROZEN
    assert bench.transaction(made.id).nonce is None
    assert bench.alarms() == ["nonce-foreign"]


def test_two_transactions_that_somebody_else_put_into_one_block_stop_one_wallet_and_nothing_else(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    for nonce in (0, 1):
        sign_elsewhere(bench, wallet, fields(bench, nonce=nonce, value=ether("0.1")))
    bench.blocks(FINALITY + 2)
    assert bench.custody.chains.states()[0].cursor.number == bench.chain.head.number
    assert bench.custody.wallets.get(wallet.id).state is WalletState.FROZEN
    assert bench.alarms() == ["nonce-foreign", "nonce-foreign"]
    bench.require_sound()


def test_o_03_a_queued_send_that_lost_bytes_may_have_paid_is_not_paid_again_whatever_nonce_they_had(bench: Bench) -> None:
    """Restored books gave the nonce to another send before the lost bytes were mined at it."""
    wallet = bench.wallet(wei=ether("2"))
    lost = bench.send(wallet, ether("0.5"), fee_per_gas_max_wei=20 * GWEI)
    bench.chain.set_base_fee(60 * GWEI)
    bench.rounds()
    other = bench.send(wallet, ether("0.1"), to=STRANGER, fee_per_gas_max_wei=400 * GWEI)
    bench.chain.drop_broadcasts()
    bench.rounds()
    assert (bench.transaction(lost.id).nonce, bench.transaction(other.id).nonce) == (None, 0)
    bench.chain.set_base_fee(GWEI)
    sign_elsewhere(bench, wallet, fields(bench, max_fee_per_gas=17 * GWEI, to=address_to_bytes(FRIEND)))
    bench.chain.mine()
    bench.custody.follow(bench.chain.chain_id)
    bench.blocks(FINALITY + 1)
    bench.custody.chains.adopt(bench.chain.chain_id)
    bench.settle()
    assert bench.transaction(lost.id).state is TransactionState.FAILED
    (paid,) = bench.chain.balances([(FRIEND, None)], bench.chain.head.ref)
    assert paid == Found(ether("0.5"))
    bench.require_sound()


def forge(bench: Bench, wallet: Wallet, unsigned: FeeMarketTransaction) -> None:
    """A node says that this came from the wallet's address; nobody's key has signed it."""
    raw = serialize_signed(unsigned, 0, 1, 1)
    hash_ = Hash("0x" + transaction_hash(raw).hex())
    bench.chain._signed[hash_] = SignedBytes(raw, STRANGER)
    bench.chain._pool.put(Pooled(hash_, address_to_bytes(wallet.address), unsigned))


def test_a_transaction_that_a_node_made_up_is_nobodys_attempt_and_stops_no_wallet(bench: Bench) -> None:
    wallet, victim = bench.wallet(wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    made = bench.send(wallet, ether("0.5"))
    bench.rounds()
    sent = bench.transaction(made.id)
    forge(bench, wallet, fields(bench, to=address_to_bytes(sent.to), max_priority_fee_per_gas=8 * GWEI))
    forge(bench, victim, fields(bench))
    bench.blocks(2)
    assert bench.transaction(made.id).state is TransactionState.BROADCASTING
    bench.chain.reorg(2, pooled=False)
    for _ in range(3):
        bench.rounds(seconds=31)
        bench.blocks(1)
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED
    assert {bench.custody.wallets.get(each.id).state for each in (wallet, victim)} == {WalletState.OPEN}
    bench.require_sound()


def test_no_send_fails_because_a_node_made_up_the_nonce_of_what_the_books_have_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.2"))
    bench.rounds()
    sign_elsewhere(bench, wallet, fields(bench, nonce=1, value=ether("0.1")))
    _, lost = bench.chain.pool
    shown = bench.chain.blocks

    def blocks(numbers: Sequence[int]) -> Sequence[Answer[Block]]:
        return [Found(_with_one_at_nonce(each.value, lost, 0)) if isinstance(each, Found) else each for each in shown(numbers)]

    with monkeypatch.context() as patch:
        patch.setattr(bench.chain, "blocks", blocks)
        bench.blocks(FINALITY + 1)
        assert bench.transaction(made.id).state is TransactionState.BROADCASTING, "nothing is concluded"
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.COMPLETED
    assert bench.alarms() == ["nonce-foreign"]
    bench.require_sound()


def _with_one_at_nonce(block: Block, hash_: Hash, nonce: int) -> Block:
    """The block without all others."""
    return attrs.evolve(block, transactions=[attrs.evolve(each, nonce=nonce) for each in block.transactions if each.hash == hash_])


def test_o_03_a_lost_cancellation_that_a_reorganisation_drops_is_followed_by_no_payment(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"), fee_per_gas_max_wei=200 * GWEI)
    bench.rounds()
    cancelling = {
        "to": address_to_bytes(wallet.address),
        "value": 0,
        "max_fee_per_gas": 8 * GWEI,
        "max_priority_fee_per_gas": 4 * GWEI,
    }
    lost_attempt_of(bench, wallet, bench.transaction(made.id), **cancelling)
    bench.blocks(1)
    bench.chain.reorg(1, pooled=False)
    bench.chain.set_base_fee(30 * GWEI)
    bench.rounds(4, seconds=91)
    bench.settle()
    assert bench.transaction(made.id).state is TransactionState.CANCELLED
    bench.require_sound()


def test_a_wallet_whose_key_was_used_before_it_had_an_owner_is_given_to_nobody(bench: Bench) -> None:
    kit = bench.custody._kit
    with kit.store.transaction() as unit:
        pooled = unit.pooled_wallet()
    assert pooled is not None
    bench.chain.fund(pooled.address, ether("1"))
    sign_elsewhere(bench, pooled, fields(bench))
    bench.blocks(FINALITY + 1)
    assert pooled.id not in {bench.wallet(f"user-{number}").id for number in range(4)}


def test_what_somebody_else_spent_in_a_block_that_is_gone_is_not_booked(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    sign_elsewhere(bench, wallet, fields(bench))
    bench.blocks(2)
    bench.chain.reorg(2, pooled=False)
    bench.blocks(FINALITY + 3)
    assert bench.balance(wallet).available == ether("1")
    bench.require_sound()


def test_what_somebody_else_spent_of_what_was_promised_is_a_hole_that_nobodys_balance_pays_for(bench: Bench) -> None:
    wallet = bench.wallet(wei=ether("1"))
    first = bench.send(wallet, ether("0.7"))
    bench.rounds()
    sign_elsewhere(bench, wallet, fields(bench, max_priority_fee_per_gas=4 * GWEI, max_fee_per_gas=40 * GWEI))
    bench.settle()
    assert bench.transaction(first.id).state is TransactionState.FAILED
    assert ether("0.49") < bench.balance(wallet).available < ether("0.5"), "the failed one's hold was given back first"
    bench.require_sound()


def test_tokens_that_somebody_else_moved_are_booked(bench: Bench) -> None:
    wallet, token = bench.wallet(wei=ether("1")), bench.token()
    bench.pay_in_token(wallet, token, 50)
    data = erc20_transfer_calldata(address_to_bytes(STRANGER), 20)
    sign_elsewhere(bench, wallet, fields(bench, to=address_to_bytes(contract_of(token)), value=0, data=data, gas_limit=100_000))
    bench.blocks(FINALITY + 1)
    assert bench.balance(wallet, "usdc").available == 30
    bench.require_sound()


def test_o_03_books_that_are_older_than_the_chain_are_found_out_when_work_begins(bench: Bench) -> None:
    """Before anything is claimed, and although the blocks that tell it are not followed yet."""
    wallet, other = bench.wallet(wei=ether("1")), bench.wallet("bob", wei=ether("1"))
    for each in (wallet, other):
        bench.send(each)
    bench.settle()
    sign_elsewhere(bench, wallet, fields(bench, nonce=1))
    bench.chain.mine()
    restarted = Sender(bench.custody._kit, require_keys(bench))
    bench.chain.fail_next("known_nonces")
    sent = bench.send(other)
    restarted.advance(bench.chain.chain_id)
    assert bench.transaction(sent.id).state is TransactionState.BROADCASTING, "who is not asked about holds nobody up"
    assert bench.custody.wallets.get(wallet.id).state is WalletState.OPEN
    bench.clock.advance(10)
    restarted.advance(bench.chain.chain_id)
    assert bench.custody.wallets.get(wallet.id).state is WalletState.FROZEN, "what nobody answered is asked again"
    assert bench.custody.wallets.get(other.id).state is WalletState.OPEN
    assert bench.alarms() == ["nonce-foreign"]


# Cancelling above the cap


def capped(bench: Bench) -> tuple[Wallet, Transaction]:
    """A send that offers as much as it may, while the market asks far more."""
    wallet = bench.wallet(wei=ether("1"))
    made = bench.send(wallet, ether("0.5"), fee_per_gas_max_wei=4 * GWEI)
    bench.rounds()
    bench.chain.set_base_fee(100 * GWEI)
    bench.rounds(6, seconds=91)
    assert bench.transaction(made.id).stuck is Stuck.FEE_AT_CAP
    return wallet, made


def test_s_23_above_the_cap_a_cancellation_that_may_cost_more_takes_the_payment_back(bench: Bench) -> None:
    wallet, made = capped(bench)
    bench.custody.transactions.cancel(made.id)
    bench.rounds(3, seconds=91)
    assert bench.transaction(made.id).state is TransactionState.BROADCASTING, "within the payment's own cap it waits"
    asked = bench.custody.transactions.cancel(made.id, fee_per_gas_max_wei=250 * GWEI)
    assert asked == bench.custody.transactions.cancel(made.id, fee_per_gas_max_wei=250 * GWEI)
    assert bench.balance(wallet).reserved == ether("0.5") + 21_000 * 250 * GWEI
    bench.rounds(3, seconds=91)
    assert {each.kind for each in bench.transaction(made.id).attempts} == set(AttemptKind)
    bench.settle()
    done = bench.transaction(made.id)
    assert done.inclusion is not None
    assert (done.state, done.stuck) == (TransactionState.CANCELLED, None)
    assert done.inclusion.fee_wei > 21_000 * 4 * GWEI
    assert (bench.balance(wallet).reserved, bench.balance(wallet).available) == (0, ether("1") - done.inclusion.fee_wei)
    bench.require_sound()


def test_a_cancellations_own_cap_is_bounded_and_paid_for(bench: Bench) -> None:
    wallet, made = capped(bench)
    ceiling = bench.custody._kit.limits.fee_per_gas_max_wei
    with pytest.raises(FeeAboveCap):
        bench.custody.transactions.cancel(made.id, fee_per_gas_max_wei=ceiling + 1)
    spent = bench.balance(wallet).available - 21_000 * 300 * GWEI
    bench.send(wallet, spent, fee_per_gas_max_wei=300 * GWEI)
    with pytest.raises(InsufficientFunds):
        bench.custody.transactions.cancel(made.id, fee_per_gas_max_wei=ceiling)
    assert bench.transaction(made.id).cancel_requested_at is None


def test_what_was_stuck_at_its_cap_is_not_any_more_when_the_market_falls(bench: Bench) -> None:
    _, made = capped(bench)
    bench.chain.set_base_fee(GWEI)
    bench.rounds()
    assert bench.transaction(made.id).stuck is None
