"""A second, independent node: the chain's contract and the path of a send, on code that shares nothing with anvil's pool."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Generator, Iterator
from pathlib import Path

import attrs
import pytest
from eth_account import Account

from custody_core import TransactionState, ether
from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.chain import Hash
from custody_core.ports import Absent, AccountState, BlockTag, BroadcastOutcome, Call, Chain, Found
from custody_rpc import RpcChain
from tests.support.contracts import artefacts, calldata
from tests.support.devnode import DEV_ACCOUNTS
from tests.support.faultproxy import FaultProxy
from tests.support.faults import ForwardThenDropReply
from tests.support.hardhatnode import HardhatNode, hardhat_folder
from tests.support.service import CHAIN_ID, Service, running_service
from tests.unit.contracts.chain_contract import STRANGER, ChainContract, Driver, Spender, found, newest

GAS = hex(200_000)
GWEI = 10**9
OUTSIDER = DEV_ACCOUNTS[1].address

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="hardhat is locked for Linux on x86-64"
)


@pytest.fixture(scope="session", autouse=True)
def hardhat() -> Path:
    try:
        return hardhat_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def node() -> Iterator[HardhatNode]:
    """A fresh chain, a block per transaction, whose head is final."""
    with HardhatNode() as node:
        yield node


@pytest.fixture
def proxied(tmp_path: Path, node: HardhatNode, proxy: FaultProxy) -> Iterator[Service]:
    """The service on SQLite, with `proxy` between it and `node`."""
    with running_service(tmp_path, node, rpc_url=proxy.url) as service:
        yield service


@attrs.define
class HardhatDriver:
    node: HardhatNode
    chain: RpcChain
    finality_lag: int = 0

    def mine(self, blocks: int = 1) -> None:
        self.node.mine(blocks)

    def fund(self, address: Address, wei: int) -> None:
        self.node.set_balance(address, wei)

    def send_ether(self, to: Address, wei: int) -> Hash:
        return Hash(self.node.send_from_dev_account(to, wei))

    def deploy_token(self) -> Address:
        return self._deploy("Good")

    def deploy_reverting(self) -> Address:
        return self._deploy("Revertor")

    def send_token(self, token: Address, to: Address, amount: int) -> Hash:
        self.node.send_from_dev_account(token, data=calldata("Good", "mint", DEV_ACCOUNTS[0].address, amount), gas=GAS)
        self.mine()
        return Hash(self.node.send_from_dev_account(token, data=calldata("Good", "transfer", to, amount), gas=GAS))

    def reorg(self, depth: int, keep: Collection[Hash] = ()) -> None:
        self.node.replace_blocks(depth, keep)

    def _deploy(self, contract: str) -> Address:
        transaction_hash = self.node.send_from_dev_account(None, data=artefacts()[contract]["bytecode"], gas=hex(2_000_000))
        self.mine()
        return parse_address(self.node.mined(transaction_hash)["contractAddress"])


class TestRpcChainOnASecondNode(ChainContract):
    @pytest.fixture
    def driver(self) -> Generator[HardhatDriver, None, None]:
        with HardhatNode(mining=False) as node:
            chain = RpcChain(node.chain_id, [node.rpc_url])
            yield HardhatDriver(node, chain)
            chain.close()

    def test_an_account_at_a_height_and_at_a_tag(self, driver: Driver, chain: Chain, spender: Spender) -> None:
        """As on any node, but here the head is final."""
        before = found(chain.header(BlockTag.LATEST)).number
        chain.broadcast([spender.signed(0, value=1)])
        driver.mine()
        assert found(chain.account(spender.address, before)) == AccountState(0, 100 * ether("1"))
        assert found(chain.account(spender.address, BlockTag.LATEST)).nonce == 1
        assert found(chain.account(STRANGER, BlockTag.FINALIZED)) == AccountState(0, 1)

    def test_a_node_without_traces_says_so(self, driver: Driver, chain: Chain) -> None:
        driver.send_ether(STRANGER, 5)
        driver.mine()
        assert chain.internal_transfers([newest(chain)]) == [Absent()]

    def test_the_gas_of_a_plain_transfer(self, chain: Chain, spender: Spender) -> None:
        """This node searches for the limit, and stops one above it."""
        assert chain.estimate_gas([Call(spender.address, STRANGER, 1)]) == [Found(21_001)]


def mined_from(node: HardhatNode, address: str) -> list[dict[str, object]]:
    """Every mined transaction from `address`, oldest first."""
    blocks = [node.block(number, full=True) for number in range(node.head() + 1)]
    return [each for block in blocks for each in block["transactions"] if each["from"] == address.lower()]


def test_s_01_a_send_on_a_second_node_is_mined_once_and_its_books_agree(proxied: Service, node: HardhatNode) -> None:
    wallet = proxied.wallet(funded_wei=ether("1"))
    before = node.balance(OUTSIDER)
    sent = proxied.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-01")
    for _ in range(3):
        proxied.custody.tick()
    (mined,) = mined_from(node, wallet.address)
    assert (mined["type"], int(str(mined["chainId"]), 16)) == ("0x2", CHAIN_ID)
    final = proxied.outgoing(sent.id)
    assert (final.state, final.hash) == (TransactionState.COMPLETED, mined["hash"])
    assert node.balance(OUTSIDER) == before + ether("0.4")
    assert proxied.available(wallet) == node.balance(wallet.address)
    proxied.assert_reconciled()


def test_s_02_an_answer_that_a_second_node_gave_and_nobody_heard_pays_once(
    proxied: Service, node: HardhatNode, proxy: FaultProxy
) -> None:
    wallet = proxied.wallet(funded_wei=ether("1"))
    proxy.on("eth_sendRawTransaction", ForwardThenDropReply(), times=2)
    sent = proxied.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="s-02")
    for _ in range(3):
        proxied.custody.advance(CHAIN_ID)
        proxied.clock.advance(31)
    calls = {json.dumps(call.params) for call in proxy.calls("eth_sendRawTransaction")}
    assert len(calls) == 1, "the same bytes every time"
    for _ in range(2):
        proxied.custody.tick()
    assert proxied.outgoing(sent.id).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    assert proxied.available(wallet) == node.balance(wallet.address)
    proxied.assert_reconciled()


def test_a_payment_that_waits_on_a_second_node_is_replaced_under_its_ten_percent_rule(proxied: Service, node: HardhatNode) -> None:
    wallet = proxied.wallet(funded_wei=ether("1"))
    node.set_automine(on=False)
    sent = proxied.custody.transactions.send(wallet.id, to=OUTSIDER, amount=ether("0.4"), idempotency_key="slow")
    proxied.custody.tick()
    proxied.clock.advance(95)
    proxied.custody.tick()
    attempts = proxied.outgoing(sent.id).attempts
    assert len(attempts) == 2
    assert [transaction["hash"] for transaction in node.pending()] == [attempts[1].hash], "the node took the dearer one"
    node.mine()
    for _ in range(2):
        proxied.custody.tick()
    assert proxied.outgoing(sent.id).state is TransactionState.COMPLETED
    assert len(mined_from(node, wallet.address)) == 1
    proxied.assert_reconciled()


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, BroadcastOutcome.KNOWN),
        ({"maxFeePerGas": 11 * GWEI - 1, "maxPriorityFeePerGas": GWEI * 11 // 10}, BroadcastOutcome.UNDERPRICED),
        ({"maxFeePerGas": 11 * GWEI, "maxPriorityFeePerGas": GWEI * 11 // 10 - 1}, BroadcastOutcome.UNDERPRICED),
        ({"maxFeePerGas": 11 * GWEI, "maxPriorityFeePerGas": GWEI * 11 // 10}, BroadcastOutcome.ACCEPTED),
        ({"nonce": 5}, BroadcastOutcome.ACCEPTED),
        ({"nonce": 1, "gas": 20_999}, BroadcastOutcome.REFUSED),
        ({"nonce": 1, "gas": 2**24 + 1}, BroadcastOutcome.REFUSED),
        ({"nonce": 1, "chainId": 1}, BroadcastOutcome.REFUSED),
        ({"nonce": 1, "value": ether("100000")}, BroadcastOutcome.INSUFFICIENT_FUNDS),
        ({"nonce": 1, "maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, BroadcastOutcome.ACCEPTED),
    ],
)
def test_s_03_what_a_second_node_says_to_signed_bytes(changes: dict[str, int], outcome: BroadcastOutcome) -> None:
    first: dict[str, object] = {
        "chainId": CHAIN_ID, "nonce": 0, "to": OUTSIDER, "value": 1, "gas": 21_000, "maxFeePerGas": 10 * GWEI,
        "maxPriorityFeePerGas": GWEI,
    }  # fmt: skip

    def signed(fields: dict[str, object]) -> bytes:
        return bytes(Account.sign_transaction(fields, DEV_ACCOUNTS[0].private_key).raw_transaction)

    with HardhatNode(mining=False) as node:
        chain = RpcChain(CHAIN_ID, [node.rpc_url])
        assert chain.broadcast([signed(first)])[0].outcome is BroadcastOutcome.ACCEPTED
        (answer,) = chain.broadcast([signed({**first, **changes})])
        assert answer.outcome is outcome, answer
        chain.close()
