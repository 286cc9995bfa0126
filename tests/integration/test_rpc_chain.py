"""The JSON-RPC chain on a real node keeps the contract of the port."""

from __future__ import annotations

from collections.abc import Collection, Generator

import attrs
import pytest

from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.chain import Hash
from custody_rpc import RpcChain
from tests.support.contracts import artefacts, calldata
from tests.support.devnode import DEV_ACCOUNTS, DevNode
from tests.unit.contracts.chain_contract import TracedChainContract

GAS = hex(200_000)  # said, so that the node need not estimate on a state that is not mined yet


@attrs.define
class NodeDriver:
    node: DevNode
    chain: RpcChain
    finality_lag: int = 4

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

    def pay_by_contract(self, to: Address, wei: int, *, in_vain: bool = False) -> Hash:
        data = calldata("Inner", "go" if in_vain else "pay", to)
        return Hash(self.node.send_from_dev_account(self._deploy("Inner"), wei, data, gas=GAS))

    def force(self, to: Address, wei: int) -> Hash:
        return Hash(self.node.send_from_dev_account(self._deploy("Boom"), wei, calldata("Boom", "boom", to), gas=GAS))

    def reorg(self, depth: int, keep: Collection[Hash] = ()) -> None:
        self.node.reorg(depth, [(self.node.raw_transaction(transaction_hash), 0) for transaction_hash in keep])

    def _deploy(self, contract: str) -> Address:
        transaction_hash = self.node.send_from_dev_account(None, data=artefacts()[contract]["bytecode"])
        self.mine()
        return parse_address(self.node.mined(transaction_hash)["contractAddress"])


class TestRpcChainOnANode(TracedChainContract):
    @pytest.fixture
    def driver(self) -> Generator[NodeDriver, None, None]:
        with DevNode(mining=False) as node:
            chain = RpcChain(node.chain_id, [node.rpc_url])
            yield NodeDriver(node, chain)
            chain.close()
