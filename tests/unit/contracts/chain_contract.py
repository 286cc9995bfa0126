"""The contract of the `Chain` port. Subclass `ChainContract` and give it a `driver` fixture, as the tests of both adapters do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

import attrs
import pytest

from custody_core.domain.addresses import ZERO_ADDRESS, Address, address_from_bytes, address_to_bytes
from custody_core.domain.chain import Block, Hash, Header
from custody_core.domain.encoding import (
    ERC20_BALANCE_OF_SELECTOR,
    ERC20_TRANSFER_TOPIC,
    AccessList,
    FeeMarketTransaction,
    erc20_transfer_calldata,
    keccak256,
    serialize_signed,
    signing_hash,
)
from custody_core.domain.fees import GWEI, PLAIN_TRANSFER_GAS, TIER_PERCENTILES, quote
from custody_core.ports import (
    Absent,
    AccountState,
    Answer,
    BlockTag,
    BroadcastOutcome,
    Call,
    Chain,
    Found,
    Reverted,
    SignedBytes,
    Unknown,
)
from custody_keys import secp256k1

T = TypeVar("T")

ETHER = 10**18
NO_SUCH_HASH = Hash("0x" + "5a" * 32)
STRANGER = Address("0x" + "12" * 20)


class Driver(Protocol):
    """The world behind a chain, for its tests. Nothing is mined until `mine` is called; `finalized` is the head less the lag."""

    finality_lag: int

    @property
    def chain(self) -> Chain: ...
    def mine(self, blocks: int = 1) -> None: ...
    def fund(self, address: Address, wei: int) -> None: ...
    def send_ether(self, to: Address, wei: int) -> Hash: ...
    def deploy_token(self) -> Address: ...
    def deploy_reverting(self) -> Address: ...
    def send_token(self, token: Address, to: Address, amount: int) -> Hash: ...
    def reorg(self, depth: int, keep: Collection[Hash] = ()) -> None:
        """Replaces the newest `depth` blocks; only what is in `keep` is mined again, in the first of the new ones."""
        ...


class TracedDriver(Driver, Protocol):
    """A world in which contracts pay."""

    def pay_by_contract(self, to: Address, wei: int, *, in_vain: bool = False) -> Hash:
        """A contract passes on what it is sent; `in_vain`: in a call that is then taken back, while the transaction succeeds."""
        ...

    def force(self, to: Address, wei: int) -> Hash:
        """A contract destroys itself in favour of `to`."""
        ...


@attrs.frozen
class Spender:
    """An account whose key the test has."""

    chain_id: int
    private_key: bytes

    @property
    def address(self) -> Address:
        return address_from_bytes(secp256k1.address_of(self.private_key))

    def signed(
        self,
        nonce: int,
        *,
        to: Address = STRANGER,
        value: int = 1,
        fee: int = 10 * GWEI,
        tip: int = GWEI,
        gas_limit: int = PLAIN_TRANSFER_GAS,
        data: bytes = b"",
        access_list: AccessList = (),
    ) -> bytes:
        to_bytes = address_to_bytes(to)
        transaction = FeeMarketTransaction(self.chain_id, nonce, tip, fee, gas_limit, to_bytes, value, data, access_list)
        return serialize_signed(transaction, *secp256k1.sign_digest(self.private_key, signing_hash(transaction)))


def hash_of(raw: bytes) -> Hash:
    return Hash("0x" + keccak256(raw).hex())


def only(answers: Sequence[Answer[T]]) -> Answer[T]:
    """The answer to a question about one thing."""
    (answer,) = answers
    return answer


def found(answer: Answer[T]) -> T:
    assert isinstance(answer, Found), answer
    return answer.value


class ChainContract:
    """What every implementation of `Chain` does."""

    @pytest.fixture
    def chain(self, driver: Driver) -> Chain:
        return driver.chain

    @pytest.fixture
    def spender(self, driver: Driver) -> Spender:
        """An account with 100 ether."""
        spender = Spender(driver.chain.chain_id, keccak256(b"a spender of the contract suite"))
        driver.fund(spender.address, 100 * ETHER)
        driver.mine()
        return spender

    # Blocks

    def test_the_node_claims_its_chain_id(self, chain: Chain) -> None:
        assert chain.node_chain_id() == Found(chain.chain_id)

    def test_headers_link_and_keep_the_asked_order(self, driver: Driver, chain: Chain) -> None:
        driver.mine(3)
        third, first, second = (found(answer) for answer in chain.headers([3, 1, 2]))
        assert [first.number, second.number, third.number] == [1, 2, 3]
        assert (second.parent_hash, third.parent_hash) == (first.hash, second.hash)
        assert first.timestamp <= second.timestamp
        assert first.timestamp.utcoffset() is not None

    def test_above_the_head_is_absent(self, driver: Driver, chain: Chain) -> None:
        driver.mine()
        head = found(chain.header(BlockTag.LATEST)).number
        assert chain.header(head + 1) == Absent()
        assert [type(answer) for answer in chain.headers([head, head + 1])] == [Found, Absent]
        assert [type(answer) for answer in chain.blocks([head + 1, head])] == [Absent, Found]

    def test_the_final_block_trails_the_head(self, driver: Driver, chain: Chain) -> None:
        driver.mine(driver.finality_lag + 2)
        head, final = found(chain.header(BlockTag.LATEST)), found(chain.header(BlockTag.FINALIZED))
        assert head.number - final.number == driver.finality_lag
        assert found(chain.header(final.number)) == final
        assert chain.ends() == (Found(head), Found(final))

    def test_a_block_holds_its_transactions(self, driver: Driver, chain: Chain) -> None:
        transaction_hash = driver.send_ether(STRANGER, 7)
        driver.mine()
        head = found(chain.header(BlockTag.LATEST))
        (block,) = (found(answer) for answer in chain.blocks([head.number]))
        assert block.header == head
        (transaction,) = block.transactions
        assert (transaction.hash, transaction.recipient, transaction.value) == (transaction_hash, address_to_bytes(STRANGER), 7)
        assert len(transaction.sender) == 20

    def test_each_node_alone_shows_the_same_block(self, driver: Driver, chain: Chain) -> None:
        transaction_hash = driver.send_ether(STRANGER, 7)
        driver.mine()
        head = found(chain.header(BlockTag.LATEST))
        assert chain.witnesses
        for witness in chain.witnesses:
            (block,), (receipt,) = witness.blocks([head.number]), witness.receipts([transaction_hash])
            assert (found(block).header, found(receipt).block_hash) == (head, head.hash)
            assert witness.receipts([NO_SUCH_HASH]) == [Absent()]

    def test_a_receipt_that_is_doubted_is_unknown(self, driver: Driver, chain: Chain) -> None:
        transaction_hash = driver.send_ether(STRANGER, 7)
        driver.mine()
        doubted, absent = chain.receipts([transaction_hash, NO_SUCH_HASH], doubt=lambda _: "it cannot be")
        assert (type(doubted), absent) == (Unknown, Absent())
        assert isinstance(chain.receipts([transaction_hash], doubt=lambda _: None)[0], Found)

    def test_logs_that_are_doubted_are_unknown_be_they_none(self, driver: Driver, chain: Chain) -> None:
        token = driver.deploy_token()
        driver.mine()
        hashes = [found(chain.header(BlockTag.LATEST)).hash]
        driver.send_token(token, STRANGER, 7)
        driver.mine()
        hashes.append(found(chain.header(BlockTag.LATEST)).hash)
        for hash_ in hashes:
            emitters = [address_to_bytes(token)]
            doubted = chain.logs([hash_], topic=ERC20_TRANSFER_TOPIC, emitters=emitters, doubt=lambda _: "it cannot be")
            assert isinstance(only(doubted), Unknown)

    def test_one_nodes_word_about_nonces_is_taken_where_there_is_one(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        chain.broadcast([spender.signed(0)])
        driver.mine()
        assert chain.known_nonces([spender.address, STRANGER], reserved=[0, 0]) == [Found(1), Found(0)]

    def test_nothing_asked_is_nothing_answered(self, chain: Chain) -> None:
        assert not chain.headers([])
        assert not chain.blocks([])
        assert not chain.receipts([])
        assert not chain.broadcast([])

    # What is at a block

    def test_balances_are_those_of_exactly_that_block(self, driver: Driver, chain: Chain) -> None:
        token = driver.deploy_token()
        driver.send_token(token, STRANGER, 9)
        driver.send_ether(STRANGER, 5)
        driver.mine()
        then = found(chain.header(BlockTag.LATEST)).ref
        driver.send_ether(STRANGER, 6)
        driver.mine()
        now = found(chain.header(BlockTag.LATEST)).ref
        holders = [(STRANGER, None), (STRANGER, token), (ZERO_ADDRESS, token)]
        assert [found(answer) for answer in chain.balances(holders, then)] == [5, 9, 0]
        assert [found(answer) for answer in chain.balances(holders, now)] == [11, 9, 0]

    def test_balances_at_a_block_that_left_the_chain_are_unknown(self, driver: Driver, chain: Chain) -> None:
        driver.mine(2)
        orphan = found(chain.header(BlockTag.LATEST)).ref
        driver.reorg(1)
        assert [type(answer) for answer in chain.balances([(STRANGER, None)], orphan)] == [Unknown]

    def test_a_contract_without_balances_has_none_of_zero(self, driver: Driver, chain: Chain) -> None:
        driver.mine()
        at = found(chain.header(BlockTag.LATEST)).ref
        (answer,) = chain.balances([(STRANGER, STRANGER)], at)
        assert isinstance(answer, Absent)

    def test_an_account_at_a_height_and_at_a_tag(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        before = found(chain.header(BlockTag.LATEST)).number
        chain.broadcast([spender.signed(0, value=1)])
        driver.mine()
        assert found(chain.account(spender.address, before)) == AccountState(0, 100 * ETHER)
        now = found(chain.account(spender.address, BlockTag.LATEST))
        assert now.nonce == 1
        assert now.balance_wei < 100 * ETHER - 1
        assert found(chain.account(STRANGER, BlockTag.FINALIZED)) == AccountState(0, 0)

    def test_logs_of_one_block_topic_and_contract(self, driver: Driver, chain: Chain) -> None:
        token, other = driver.deploy_token(), driver.deploy_token()
        sent = driver.send_token(token, STRANGER, 9)
        driver.mine()
        head = found(chain.header(BlockTag.LATEST))
        emitters = [address_to_bytes(token), address_to_bytes(other)]
        (log,) = found(only(chain.logs([head.hash], topic=ERC20_TRANSFER_TOPIC, emitters=emitters)))
        assert (log.block_hash, log.transaction_hash, log.emitter) == (head.hash, sent, address_to_bytes(token))
        assert (log.topics[0], log.topics[2][12:]) == (ERC20_TRANSFER_TOPIC, address_to_bytes(STRANGER))
        assert log.data == (9).to_bytes(32, "big")
        assert not found(only(chain.logs([head.hash], topic=ERC20_TRANSFER_TOPIC, emitters=[address_to_bytes(other)])))
        assert not found(only(chain.logs([head.hash], topic=bytes(32), emitters=emitters)))
        assert not found(only(chain.logs([head.hash], topic=ERC20_TRANSFER_TOPIC, emitters=[])))
        assert in_bloom(head, log.emitter)
        assert in_bloom(head, ERC20_TRANSFER_TOPIC)

    def test_a_receipt_holds_the_logs_that_its_block_shows(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        token, other = driver.deploy_token(), driver.deploy_token()
        for each in (token, other):
            driver.send_token(each, spender.address, 9)
            driver.mine()
        paying = erc20_transfer_calldata(address_to_bytes(STRANGER), 4)
        raws = [
            spender.signed(nonce, to=to, value=0, data=paying, gas_limit=100_000) for nonce, to in enumerate((token, other, token))
        ]
        raws.append(spender.signed(3))
        assert {answer.outcome for answer in chain.broadcast(raws)} == {BroadcastOutcome.ACCEPTED}
        driver.mine()
        head = found(chain.header(BlockTag.LATEST))
        emitters = [address_to_bytes(token), address_to_bytes(other)]
        logs = found(only(chain.logs([head.hash], topic=ERC20_TRANSFER_TOPIC, emitters=emitters)))
        *receipts, without = (found(answer) for answer in chain.receipts([hash_of(raw) for raw in raws]))
        assert len(logs) == 3
        for receipt in receipts:
            assert receipt.logs == tuple(log for log in logs if log.transaction_hash == receipt.transaction_hash)
            assert len(receipt.logs) == 1
        assert without.logs == ()

    def test_a_mined_transaction_is_shown_as_it_was_signed(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        token = driver.deploy_token()
        driver.send_token(token, spender.address, 9)
        driver.mine()
        paying = erc20_transfer_calldata(address_to_bytes(STRANGER), 4)
        touched = ((address_to_bytes(token), (bytes(32), b"\x01" * 32)),)
        raws = [
            spender.signed(0, to=token, value=0, data=paying, gas_limit=100_000, access_list=touched),
            spender.signed(1, value=0),
            spender.signed(2, tip=1),
        ]
        assert {answer.outcome for answer in chain.broadcast(raws)} == {BroadcastOutcome.ACCEPTED}
        driver.mine()
        signed = [Found(SignedBytes(raw, spender.address)) for raw in raws]
        assert chain.signed_transactions([hash_of(raw) for raw in raws]) == signed
        assert chain.signed_transactions([]) == []

    def test_logs_of_a_block_that_the_node_does_not_have_are_unknown(self, driver: Driver, chain: Chain) -> None:
        driver.mine(2)
        orphan = found(chain.header(BlockTag.LATEST)).hash
        driver.reorg(1)
        head = found(chain.header(BlockTag.LATEST)).hash
        for block_hash in (NO_SUCH_HASH, orphan):
            answers = chain.logs([head, block_hash], topic=ERC20_TRANSFER_TOPIC, emitters=[address_to_bytes(STRANGER)])
            assert [type(answer) for answer in answers] == [Found, Unknown], answers

    def test_a_node_that_does_not_sync_shows_its_head(self, driver: Driver, chain: Chain) -> None:
        driver.mine(2)
        assert found(chain.synced_head()) == found(chain.header(BlockTag.LATEST))

    # Fees

    def test_fee_history_can_be_quoted(self, driver: Driver, chain: Chain) -> None:
        driver.send_ether(STRANGER, 1)
        driver.mine(3)
        history = found(chain.fee_history())
        assert history.base_fee_per_gas_next_wei > 0
        assert all(len(tips) == len(TIER_PERCENTILES) for tips in history.tips_wei)
        assert quote(history).base_fee_per_gas_wei == history.base_fee_per_gas_next_wei

    def test_the_gas_of_a_plain_transfer(self, chain: Chain, spender: Spender) -> None:
        assert chain.estimate_gas([Call(spender.address, STRANGER, 1)]) == [Found(PLAIN_TRANSFER_GAS)]

    def test_the_gas_of_a_token_transfer(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        token = driver.deploy_token()
        driver.send_token(token, spender.address, 9)
        driver.mine()
        gas, short = chain.estimate_gas(
            [Call(spender.address, token, 0, erc20_transfer_calldata(address_to_bytes(STRANGER), amount)) for amount in (9, 10)]
        )
        assert isinstance(gas, Found)
        assert isinstance(gas.value, int)
        assert gas.value > PLAIN_TRANSFER_GAS
        assert short == Found(Reverted("balance too low"))

    def test_the_gas_of_an_access_list(self, chain: Chain, spender: Spender) -> None:
        """EIP-2930: 2,400 for an address, 1,900 for a storage key, whether they are touched or not."""
        access_list = ((address_to_bytes(STRANGER), (bytes(32), bytes(31) + b"\x01")), (b"\x11" * 20, ()))
        (listed,) = chain.estimate_gas([Call(spender.address, STRANGER, 1, b"", access_list)])
        assert isinstance(listed, Found)
        # What a node searches for in halves may be one too many.
        assert listed.value in {PLAIN_TRANSFER_GAS + 2 * 2400 + 2 * 1900 + more for more in (0, 1)}

    def test_a_call_that_would_revert(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        assert chain.estimate_gas([Call(spender.address, driver.deploy_reverting(), 1)]) == [Found(Reverted("no ether here"))]

    def test_a_token_tells_a_balance_and_what_is_none_does_not(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        """By which a token is told from an address without code, and from other contracts."""
        token, refusing = driver.deploy_token(), driver.deploy_reverting()
        driver.send_token(token, spender.address, 9)
        driver.mine()
        asked = ERC20_BALANCE_OF_SELECTOR + bytes(12) + address_to_bytes(spender.address)
        height = found(chain.header(BlockTag.LATEST)).number
        assert chain.try_call(Call(token, token, data=asked), on_top_of=height) == Found((9).to_bytes(32, "big"))
        assert chain.try_call(Call(STRANGER, STRANGER, data=asked), on_top_of=height) == Found(b"")
        refused = chain.try_call(Call(refusing, refusing, data=asked), on_top_of=height)
        assert isinstance(refused, Found)
        assert isinstance(refused.value, Reverted)

    # Sending

    def test_a_broadcast_is_mined_once(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        raw = spender.signed(0, value=3)
        assert [answer.outcome for answer in chain.broadcast([raw])] == [BroadcastOutcome.ACCEPTED]
        assert [answer.outcome for answer in chain.broadcast([raw])] == [BroadcastOutcome.KNOWN]
        assert chain.receipts([hash_of(raw)]) == [Absent()]
        driver.mine()
        receipt, none = chain.receipts([hash_of(raw), NO_SUCH_HASH])
        head = found(chain.header(BlockTag.LATEST))
        mined = found(receipt)
        assert (mined.transaction_hash, mined.block_hash, mined.block_number) == (hash_of(raw), head.hash, head.number)
        assert mined.succeeded
        assert mined.gas_used == PLAIN_TRANSFER_GAS
        assert GWEI < mined.effective_gas_price_wei <= 10 * GWEI
        assert none == Absent()
        assert [answer.outcome for answer in chain.broadcast([raw])] == [BroadcastOutcome.NONCE_TOO_LOW]
        balance = found(chain.account(spender.address, BlockTag.LATEST)).balance_wei
        assert balance == 100 * ETHER - 3 - mined.gas_used * mined.effective_gas_price_wei

    def test_later_nonces_wait_for_the_gap_to_close(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        raws = [spender.signed(nonce) for nonce in (2, 0, 1)]
        assert [answer.outcome for answer in chain.broadcast(raws[:1])] == [BroadcastOutcome.ACCEPTED]
        driver.mine()
        assert chain.receipts([hash_of(raws[0])]) == [Absent()]
        assert [answer.outcome for answer in chain.broadcast(raws[1:])] == [BroadcastOutcome.ACCEPTED] * 2
        driver.mine()
        assert [type(answer) for answer in chain.receipts([hash_of(raw) for raw in raws])] == [Found] * 3

    def test_a_replacement_must_pay_more(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        first = spender.signed(0, value=1)
        same_fee = spender.signed(0, value=2)
        dearer = spender.signed(0, value=3, fee=10 * GWEI * 9 // 8, tip=GWEI * 9 // 8)
        outcomes = [answer.outcome for answer in chain.broadcast([first, same_fee, dearer])]
        assert outcomes == [BroadcastOutcome.ACCEPTED, BroadcastOutcome.UNDERPRICED, BroadcastOutcome.ACCEPTED]
        driver.mine()
        mined = chain.receipts([hash_of(first), hash_of(same_fee), hash_of(dearer)])
        assert [type(answer) for answer in mined] == [Absent, Absent, Found]

    def test_what_the_account_cannot_pay_for(self, chain: Chain, spender: Spender) -> None:
        (answer,) = chain.broadcast([spender.signed(0, value=100 * ETHER)])
        assert answer.outcome is BroadcastOutcome.INSUFFICIENT_FUNDS
        assert answer.detail

    def test_what_no_node_of_this_chain_takes(self, chain: Chain, spender: Spender) -> None:
        foreign = attrs.evolve(spender, chain_id=chain.chain_id + 1).signed(0)
        answers = chain.broadcast([foreign, b"\x02\xc0", spender.signed(0, gas_limit=20_999), spender.signed(0)])
        assert [answer.outcome for answer in answers] == [BroadcastOutcome.REFUSED] * 3 + [BroadcastOutcome.ACCEPTED]

    def test_a_payment_that_reverts_costs_its_gas(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        raw = spender.signed(0, to=driver.deploy_reverting(), value=ETHER, gas_limit=100_000)
        chain.broadcast([raw])
        driver.mine()
        (receipt,) = (found(answer) for answer in chain.receipts([hash_of(raw)]))
        assert not receipt.succeeded
        state = found(chain.account(spender.address, BlockTag.LATEST))
        assert state == AccountState(1, 100 * ETHER - receipt.gas_used * receipt.effective_gas_price_wei)

    # Reorganisations

    def test_a_reorganisation_takes_everything_back(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        driver.mine()
        ancestor = found(chain.header(BlockTag.LATEST))
        raw = spender.signed(0)
        chain.broadcast([raw])
        driver.mine(2)
        old = [found(answer) for answer in chain.headers([ancestor.number + 1, ancestor.number + 2])]
        driver.reorg(2)
        new = [found(answer) for answer in chain.headers([ancestor.number + 1, ancestor.number + 2])]
        assert {header.hash for header in old}.isdisjoint(header.hash for header in new)
        assert new[0].parent_hash == ancestor.hash
        assert chain.receipts([hash_of(raw)]) == [Absent()]
        assert found(chain.account(spender.address, BlockTag.LATEST)) == AccountState(0, 100 * ETHER)
        assert [answer.outcome for answer in chain.broadcast([raw])] == [BroadcastOutcome.ACCEPTED]
        driver.mine()
        assert [type(answer) for answer in chain.receipts([hash_of(raw)])] == [Found]

    def test_a_reorganisation_can_move_a_transaction(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        raw = spender.signed(0)
        chain.broadcast([raw])
        driver.mine(2)
        (before,) = (found(answer) for answer in chain.receipts([hash_of(raw)]))
        driver.reorg(2, keep=[hash_of(raw)])
        (after,) = (found(answer) for answer in chain.receipts([hash_of(raw)]))
        assert after.block_number == before.block_number
        assert after.block_hash != before.block_hash


class TracedChainContract(ChainContract):
    """What every implementation of `Chain` does whose node offers traces. Its `driver` is a `TracedDriver`."""

    def test_d_12_what_a_contract_pays_is_an_internal_transfer(self, driver: TracedDriver, chain: Chain) -> None:
        paid = driver.pay_by_contract(STRANGER, 5)
        driver.mine()
        block = newest(chain)
        (transfer,) = found(chain.internal_transfers([block])[0])
        contract = next(each.recipient for each in block.transactions if each.hash == paid)
        assert (transfer.transaction_hash, transfer.sender) == (paid, contract)
        assert (transfer.recipient, transfer.value) == (address_to_bytes(STRANGER), 5)
        assert balance(chain, STRANGER) == 5

    def test_a_transactions_own_value_is_no_internal_transfer(self, driver: TracedDriver, chain: Chain) -> None:
        driver.send_ether(STRANGER, 5)
        driver.mine()
        assert list(found(chain.internal_transfers([newest(chain)])[0])) == []

    def test_d_13_what_was_taken_back_is_no_internal_transfer(self, driver: TracedDriver, chain: Chain) -> None:
        in_vain = driver.pay_by_contract(STRANGER, 5, in_vain=True)
        driver.mine()
        (receipt,) = (found(answer) for answer in chain.receipts([in_vain]))
        assert receipt.succeeded
        assert list(found(chain.internal_transfers([newest(chain)])[0])) == []
        assert balance(chain, STRANGER) == 0

    def test_d_14_what_is_forced_on_an_address_is_no_internal_transfer(self, driver: TracedDriver, chain: Chain) -> None:
        driver.force(STRANGER, 5)
        driver.mine()
        assert list(found(chain.internal_transfers([newest(chain)])[0])) == []
        assert balance(chain, STRANGER) == 5

    def test_internal_transfers_of_several_blocks_keep_the_asked_order(self, driver: TracedDriver, chain: Chain) -> None:
        driver.pay_by_contract(STRANGER, 5)
        driver.mine()
        first = newest(chain)
        driver.mine()
        empty = newest(chain)
        driver.pay_by_contract(STRANGER, 6)
        driver.mine()
        answers = chain.internal_transfers([newest(chain), empty, first])
        assert [[each.value for each in found(answer)] for answer in answers] == [[6], [], [5]]

    def test_internal_transfers_of_a_block_that_left_the_chain_are_unknown(self, driver: TracedDriver, chain: Chain) -> None:
        driver.pay_by_contract(STRANGER, 5)
        driver.mine()
        orphan = newest(chain)
        driver.reorg(1)
        assert [type(answer) for answer in chain.internal_transfers([orphan])] == [Unknown]


def newest(chain: Chain) -> Block:
    (block,) = chain.blocks([found(chain.header(BlockTag.LATEST)).number])
    return found(block)


def balance(chain: Chain, address: Address) -> int:
    return found(chain.account(address, BlockTag.LATEST)).balance_wei


def in_bloom(header: Header, entry: bytes) -> bool:
    """Whether the header's filter may hold an address or topic (Yellow Paper, 4.3.1)."""
    assert header.logs_bloom is not None
    bloom, digest = int.from_bytes(header.logs_bloom, "big"), keccak256(entry)
    return all(bloom >> (int.from_bytes(digest[start : start + 2], "big") % 2048) & 1 for start in (0, 2, 4))
