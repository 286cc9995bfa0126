"""The in-memory chain keeps the contract of the port, and its script does what it says."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import attrs
import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from custody_core.domain.addresses import Address, address_from_bytes
from custody_core.domain.chain import Hash
from custody_core.domain.fees import GWEI
from custody_core.ports import Absent, BlockTag, BroadcastOutcome, Chain, Found, Unknown
from custody_memory.chain import MemoryChain
from custody_memory.execution import Passing
from tests.unit.contracts.chain_contract import ETHER, STRANGER, Spender, TracedChainContract, found, hash_of


@attrs.define
class MemoryDriver:
    chain: MemoryChain = attrs.field(factory=MemoryChain)
    finality_lag: int = 4

    def mine(self, blocks: int = 1) -> None:
        self.chain.mine(blocks)

    def fund(self, address: Address, wei: int) -> None:
        self.chain.fund(address, wei)

    def send_ether(self, to: Address, wei: int) -> Hash:
        return self.chain.send_ether(to, wei)

    def deploy_token(self) -> Address:
        return self.chain.deploy_token()

    def deploy_reverting(self) -> Address:
        return self.chain.deploy_reverting("no ether here")

    def send_token(self, token: Address, to: Address, amount: int) -> Hash:
        return self.chain.send_token(token, to, amount)

    def pay_by_contract(self, to: Address, wei: int, *, in_vain: bool = False) -> Hash:
        return self.chain.send_ether(self.chain.deploy_passing(to, Passing.REVERTED if in_vain else Passing.CALL), wei)

    def force(self, to: Address, wei: int) -> Hash:
        return self.chain.send_ether(self.chain.deploy_passing(to, Passing.SELF_DESTRUCT), wei)

    def reorg(self, depth: int, keep: Collection[Hash] = ()) -> None:
        self.chain.reorg(depth, keep=keep, pooled=False)


class TestMemoryChain(TracedChainContract):
    @pytest.fixture
    def driver(self) -> MemoryDriver:
        return MemoryDriver()


@pytest.fixture
def chain() -> MemoryChain:
    return MemoryChain()


@pytest.fixture
def spender(chain: MemoryChain) -> Spender:
    account = Spender(chain.chain_id, bytes(31) + b"\x07")
    chain.fund(account.address, 100 * ETHER)
    return account


def outcomes(chain: Chain, *raws: bytes) -> list[BroadcastOutcome]:
    return [answer.outcome for answer in chain.broadcast(raws)]


def test_a_stranger_to_our_code_can_sign_for_it(chain: MemoryChain) -> None:
    account = Account.from_key(b"\x09" * 32)
    chain.fund(address_from_bytes(bytes.fromhex(account.address[2:])), ETHER)
    fields = {"nonce": 0, "gas": 21_000, "maxFeePerGas": 9 * GWEI, "maxPriorityFeePerGas": GWEI, "value": 1}
    signed = account.sign_transaction({**fields, "to": STRANGER, "chainId": chain.chain_id, "type": 2})
    assert outcomes(chain, bytes(signed.raw_transaction)) == [BroadcastOutcome.ACCEPTED]


def test_the_same_script_gives_the_same_hashes() -> None:
    heads = []
    for _ in range(2):
        chain = MemoryChain()
        chain.send_ether(STRANGER, 1)
        chain.mine(3)
        chain.reorg(2)
        heads.append(chain.head)
    assert heads[0] == heads[1]


def test_blocks_are_twelve_seconds_apart(chain: MemoryChain) -> None:
    chain.mine(2)
    first, last = (found(answer) for answer in chain.headers([0, 2]))
    assert last.timestamp - first.timestamp == timedelta(seconds=24)


def test_the_recovery_of_signers_can_be_replaced() -> None:
    signer = b"\x21" * 20
    chain = MemoryChain(recover=lambda _digest, _y_parity, _r, _s: signer)
    chain.fund(address_from_bytes(signer), ETHER)
    raw = Spender(chain.chain_id, bytes(31) + b"\x07").signed(0)
    assert outcomes(chain, raw) == [BroadcastOutcome.ACCEPTED]
    chain.mine()
    (block,) = chain.blocks([1])
    assert found(block).transactions[0].sender == signer


@pytest.mark.parametrize(
    ("fee", "tip", "outcome"),
    [
        (10 * GWEI, GWEI, BroadcastOutcome.UNDERPRICED),
        (11 * GWEI, GWEI, BroadcastOutcome.UNDERPRICED),
        (10 * GWEI, GWEI * 11 // 10, BroadcastOutcome.UNDERPRICED),
        (11 * GWEI - 1, GWEI * 11 // 10, BroadcastOutcome.UNDERPRICED),
        (11 * GWEI, GWEI * 11 // 10 - 1, BroadcastOutcome.UNDERPRICED),
        (11 * GWEI, GWEI * 11 // 10, BroadcastOutcome.ACCEPTED),
    ],
)
def test_a_replacement_raises_both_fees_by_ten_percent(
    chain: MemoryChain, spender: Spender, fee: int, tip: int, outcome: BroadcastOutcome
) -> None:
    assert outcomes(chain, spender.signed(0), spender.signed(0, value=2, fee=fee, tip=tip)) == [BroadcastOutcome.ACCEPTED, outcome]


def test_the_pool_counts_what_its_sender_has_promised_already(chain: MemoryChain, spender: Spender) -> None:
    raws = [spender.signed(nonce, value=60 * ETHER) for nonce in (0, 1)]
    assert outcomes(chain, *raws) == [BroadcastOutcome.ACCEPTED, BroadcastOutcome.INSUFFICIENT_FUNDS]


def test_what_pays_less_than_the_base_fee_waits(chain: MemoryChain, spender: Spender) -> None:
    raw = spender.signed(0, fee=10 * GWEI)
    chain.set_base_fee(11 * GWEI)
    assert outcomes(chain, raw) == [BroadcastOutcome.ACCEPTED]
    chain.mine()
    assert chain.receipts([hash_of(raw)]) == [Absent()]
    assert chain.pool == [hash_of(raw)]
    chain.mine(10)  # empty blocks lower the base fee by an eighth each
    (receipt,) = chain.receipts([hash_of(raw)])
    assert found(receipt).effective_gas_price_wei <= 10 * GWEI


def test_full_blocks_raise_the_base_fee_and_the_dearest_are_mined_first(chain: MemoryChain) -> None:
    before = found(chain.fee_history()).base_fee_per_gas_next_wei
    rich = Spender(chain.chain_id, bytes(31) + b"\x08")
    chain.fund(rich.address, 10_000 * ETHER)
    target = chain.deploy_reverting()
    modest = [rich.signed(nonce, to=target, gas_limit=15_000_000) for nonce in range(3)]
    assert set(outcomes(chain, *modest)) == {BroadcastOutcome.ACCEPTED}
    eager = Spender(chain.chain_id, bytes(31) + b"\x07")
    chain.fund(eager.address, ETHER)
    assert outcomes(chain, eager.signed(0, tip=2 * GWEI)) == [BroadcastOutcome.ACCEPTED]
    chain.mine()
    (block,) = chain.blocks([1])
    assert [transaction.hash for transaction in found(block).transactions] == [
        hash_of(eager.signed(0, tip=2 * GWEI)),
        hash_of(modest[0]),
    ]
    assert found(chain.fee_history()).base_fee_per_gas_next_wei < before  # gas used, not gas asked for, moves the fee


def test_reorganised_transactions_go_back_to_the_pool(chain: MemoryChain) -> None:
    chain.mine()
    sent = chain.send_ether(STRANGER, 5)
    chain.mine()
    chain.reorg(1)
    assert chain.receipts([sent]) == [Absent()]
    assert chain.pool == [sent]
    chain.mine()
    assert [type(answer) for answer in chain.receipts([sent])] == [Found]


def test_an_outsider_can_send_again_after_a_payment_has_vanished(chain: MemoryChain) -> None:
    chain.mine()
    chain.send_ether(STRANGER, 5)
    chain.mine()
    chain.reorg(1, pooled=False)
    assert chain.pool == []
    sent = chain.send_ether(STRANGER, 6)
    chain.mine()
    assert [type(answer) for answer in chain.receipts([sent])] == [Found]


def test_finality_can_stall(chain: MemoryChain) -> None:
    chain.mine(6)
    chain.stall_finality()
    chain.mine(10)
    assert found(chain.header(BlockTag.FINALIZED)).number == 2
    chain.stall_finality(stalled=False)
    assert found(chain.header(BlockTag.FINALIZED)).number == 12


def test_only_existing_blocks_can_be_replaced(chain: MemoryChain) -> None:
    chain.mine(2)
    with pytest.raises(ValueError, match="between 1 and 2"):
        chain.reorg(3)


# Answers that are taken away


def test_a_lost_answer_leaves_the_transaction_in_the_pool(chain: MemoryChain, spender: Spender) -> None:
    chain.lose_broadcast_answers()
    raw = spender.signed(0)
    assert outcomes(chain, raw, raw) == [BroadcastOutcome.UNKNOWN, BroadcastOutcome.KNOWN]


def test_a_dropped_broadcast_leaves_nothing(chain: MemoryChain, spender: Spender) -> None:
    chain.drop_broadcasts(2)
    raw = spender.signed(0)
    assert outcomes(chain, raw, raw) == [BroadcastOutcome.UNKNOWN] * 2
    assert chain.pool == []
    assert outcomes(chain, raw) == [BroadcastOutcome.ACCEPTED]
    chain.drop(hash_of(raw))
    assert chain.pool == []


def test_failures_are_counted_by_method(chain: MemoryChain) -> None:
    chain.mine()
    chain.fail_next("blocks", times=2)
    assert isinstance(chain.header(1), Found)
    for _ in range(2):
        assert [type(answer) for answer in chain.blocks([0, 1])] == [Unknown, Unknown]
    assert [type(answer) for answer in chain.blocks([0, 1])] == [Found, Found]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(1, 5)),
            st.tuples(st.just("mine"), st.integers(1, 3)),
            st.tuples(st.just("reorg"), st.integers(1, 6)),
            st.tuples(st.just("forget"), st.integers(1, 6)),
        ),
        max_size=30,
    )
)
def test_whatever_happens_the_chain_is_one_and_its_balances_follow_from_its_blocks(script: list[tuple[str, int]]) -> None:
    chain = MemoryChain()
    for act, size in script:
        if act == "send":
            chain.send_ether(STRANGER, size)
        elif act == "mine":
            chain.mine(size)
        elif chain.head.number > 0:
            chain.reorg(min(size, chain.head.number), pooled=act == "reorg")
    blocks = [found(answer) for answer in chain.blocks(range(chain.head.number + 1))]
    received, nonces = 0, []
    for parent, block in zip([None, *blocks], blocks, strict=False):
        assert parent is None or block.header.parent_hash == parent.header.hash
        received += sum(transaction.value for transaction in block.transactions)
        nonces += [transaction.nonce for transaction in block.transactions]
        assert chain.balances([(STRANGER, None)], block.header.ref) == [Found(received)]
        receipts = [found(answer) for answer in chain.receipts([transaction.hash for transaction in block.transactions])]
        assert all(receipt.block_hash == block.header.hash for receipt in receipts)
    assert nonces == list(range(len(nonces)))
    assert all(answer == Absent() for answer in chain.receipts(chain.pool))
