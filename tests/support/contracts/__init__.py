"""The contracts that the tests deploy, from the committed artefact: no compiler is needed to run a test.

`make contracts` compiles the .sol files beside this one again.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from tests.support.devnode import DEV_ACCOUNTS, DevNode

ARTEFACT = Path(__file__).with_name("contracts.json")


@attrs.frozen
class Function:
    signature: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def selector(self) -> bytes:
        return keccak(text=self.signature)[:4]


@cache
def artefacts() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(ARTEFACT.read_text("utf-8"))
    return parsed


def types_of(parameters: Sequence[dict[str, str]]) -> tuple[str, ...]:
    return tuple(parameter["type"] for parameter in parameters)


def function(contract: str, name: str) -> Function:
    for entry in artefacts()[contract]["abi"]:
        if entry["type"] == "function" and entry["name"] == name:
            inputs = types_of(entry["inputs"])
            return Function(f"{name}({','.join(inputs)})", inputs, types_of(entry["outputs"]))
    raise LookupError(f"{contract} has no function {name}")


def calldata(contract: str, name: str, *arguments: object) -> str:
    """Selector and arguments, as hex."""
    wanted = function(contract, name)
    return "0x" + (wanted.selector + encode(wanted.inputs, arguments)).hex()


def deploy(node: DevNode, contract: str, *arguments: object, value_wei: int = 0) -> str:
    """Puts the contract on the chain, waits until it is mined, gives its address."""
    constructor = next((entry for entry in artefacts()[contract]["abi"] if entry["type"] == "constructor"), None)
    encoded = encode(types_of(constructor["inputs"]), arguments) if constructor else b""
    code = artefacts()[contract]["bytecode"] + encoded.hex()
    receipt = node.mined(node.send_from_dev_account(None, value_wei, code))
    if receipt["status"] != "0x1":
        raise RuntimeError(f"{contract} could not be deployed")
    address: str = receipt["contractAddress"]
    return address


def call(node: DevNode, contract: str, address: str, name: str, *arguments: object) -> tuple[Any, ...]:
    """Reads without a transaction; gives the decoded outputs."""
    wanted = function(contract, name)
    answer = node.raw("eth_call", {"to": address, "data": calldata(contract, name, *arguments)}, "latest")
    return decode(wanted.outputs, bytes.fromhex(answer.removeprefix("0x")))


def transact(
    node: DevNode,
    contract: str,
    address: str,
    name: str,
    *arguments: object,
    value_wei: int = 0,
    sender: str = DEV_ACCOUNTS[0].address,
    **fields: Any,
) -> str:
    """Calls in a transaction from a funded account; gives its hash, at once."""
    data = calldata(contract, name, *arguments)
    return node.send_from_dev_account(address, value_wei, data, sender=sender, **fields)
