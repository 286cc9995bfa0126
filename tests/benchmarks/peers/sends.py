"""P5 with web3.py: sends from many wallets, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from web3 import Web3  # type: ignore[import-not-found]  # the peer's environment has it, the project's has not

from tests.benchmarks.peers.serving import serve

TRANSFER_GAS = 21_000


class Peer:
    """Wallets whose keys lie open in memory; nothing is stored."""

    def prepare(self, url: str, keys: Sequence[str], recipient: str) -> list[str]:
        """The wallets' addresses."""
        self._web3 = Web3(Web3.HTTPProvider(url))
        self._accounts = [self._web3.eth.account.from_key(key) for key in keys]
        self._recipient = recipient
        self._nonces = {each.address: self._web3.eth.get_transaction_count(each.address) for each in self._accounts}
        self._chain_id = self._web3.eth.chain_id
        return [each.address for each in self._accounts]

    def documented(self, count: int, value: int) -> tuple[float, float]:
        """Nonce, chain id, fees and gas from the node for every transaction. Seconds, and seconds of processor time."""
        started = time.perf_counter(), time.process_time()
        for index in range(count):
            account = self._accounts[index % len(self._accounts)]
            self._send_as_documented(account, value)
            self._nonces[account.address] += 1
        return time.perf_counter() - started[0], time.process_time() - started[1]

    def own_nonces(self, count: int, value: int) -> tuple[float, float]:
        """Nonces counted here, fees asked for once per burst, gas and chain id known: one request for each transaction."""
        started = time.perf_counter(), time.process_time()
        tip = self._web3.eth.max_priority_fee
        fee = 2 * self._web3.eth.get_block("latest")["baseFeePerGas"] + tip
        for index in range(count):
            account = self._accounts[index % len(self._accounts)]
            fields = {"gas": TRANSFER_GAS, "maxFeePerGas": fee, "maxPriorityFeePerGas": tip, "chainId": self._chain_id}
            self._send(account, {**fields, "to": self._recipient, "value": value, "nonce": self._nonces[account.address]})
            self._nonces[account.address] += 1
        return time.perf_counter() - started[0], time.process_time() - started[1]

    def _send_as_documented(self, account: Any, value: int) -> None:
        eth = self._web3.eth
        transaction = {"from": account.address, "to": self._recipient, "value": value}
        tip = eth.max_priority_fee
        transaction |= {
            "nonce": eth.get_transaction_count(account.address, "pending"),
            "chainId": eth.chain_id,
            "gas": eth.estimate_gas(transaction),
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": 2 * eth.get_block("latest")["baseFeePerGas"] + tip,
        }
        self._send(account, transaction)

    def _send(self, account: Any, transaction: dict[str, Any]) -> None:
        signed = account.sign_transaction(transaction)
        self._web3.eth.send_raw_transaction(signed.raw_transaction)


if __name__ == "__main__":
    peer = Peer()
    serve({"prepare": peer.prepare, "documented": peer.documented, "own_nonces": peer.own_nonces})
