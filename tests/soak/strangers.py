"""Accounts of nobody we know: each signs one transaction, so that none waits for another one that was lost."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import attrs
from eth_account import Account

from tests.soak.acts import Act
from tests.support.contracts import calldata, transact
from tests.support.devnode import DevNode

ETHER_EACH_WEI = 2 * 10**18
TOKENS_EACH = 10**12
FUNDED_AT_ONCE = 100
TIP_WEI = 10**9
FEE_PER_GAS_MAX_WEI = 100 * 10**9


@attrs.frozen
class Stranger:
    """Has ether and some of every token."""

    address: str
    private_key: str = attrs.field(repr=False)

    def signed(self, chain_id: int, act: Act) -> str:
        """The only transaction of this account, as hex: a second one with other contents is a double spend."""
        fields = {
            "chainId": chain_id,
            "nonce": 0,
            "to": bytes.fromhex(act.to[2:]),
            "value": act.value_wei,
            "data": act.data,
            "gas": act.gas,
            "maxFeePerGas": FEE_PER_GAS_MAX_WEI,
            "maxPriorityFeePerGas": TIP_WEI,
        }
        return "0x" + bytes(Account.sign_transaction(fields, self.private_key).raw_transaction).hex()


def funded(node: DevNode, count: int, *, batch: str, tokens: Mapping[str, str], chance: random.Random) -> Iterator[Stranger]:
    """`count` of them. `tokens` are address → contract, `batch` is where the `Batch` contract lies. The node mines by itself."""
    found = [_stranger(chance) for _ in range(count)]
    for each in found:
        node.set_balance(each.address, ETHER_EACH_WEI)
    for start in range(0, count, FUNDED_AT_ONCE):
        addresses = [each.address for each in found[start : start + FUNDED_AT_ONCE]]
        for address, contract in tokens.items():
            give(node, batch, contract, address, addresses)
    return iter(found)


def give(node: DevNode, batch: str, contract: str, token: str, holders: Sequence[str]) -> None:
    """Mints them tokens, and waits until they have them."""
    calls = [bytes.fromhex(calldata(contract, "mint", holder, TOKENS_EACH)[2:]) for holder in holders]
    receipt = node.mined(transact(node, "Batch", batch, "all", token, calls))
    if receipt["status"] != "0x1":
        raise RuntimeError(f"{contract} could not be minted")


def _stranger(chance: random.Random) -> Stranger:
    key = "0x" + chance.randbytes(32).hex()
    return Stranger(Account.from_key(key).address, key)
