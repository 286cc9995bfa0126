"""The refusals of real nodes, word for word, in our words."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from eth_abi.abi import encode
from hypothesis import assume, given
from hypothesis import strategies as st

from custody_core.domain.encoding import REVERT_REASON_LENGTH_MAX
from custody_core.ports import BroadcastOutcome
from custody_rpc.broadcast_errors import BROADCAST_PATTERNS, broadcast_outcome
from custody_rpc.envelopes import RpcError
from custody_rpc.error_words import TEXT_LENGTH_MAX, shown
from custody_rpc.read_errors import ReadFault, read_fault
from custody_rpc.reverts import revert_reason

KNOWN, NONCE_TOO_LOW, UNDERPRICED, INSUFFICIENT_FUNDS, NOT_NOW, FEE_CAPPED, REFUSED, UNKNOWN = (
    BroadcastOutcome.KNOWN,
    BroadcastOutcome.NONCE_TOO_LOW,
    BroadcastOutcome.UNDERPRICED,
    BroadcastOutcome.INSUFFICIENT_FUNDS,
    BroadcastOutcome.NOT_NOW,
    BroadcastOutcome.FEE_CAPPED,
    BroadcastOutcome.REFUSED,
    BroadcastOutcome.UNKNOWN,
)

BROADCASTS = {
    "geth": {
        "already known": KNOWN,
        "nonce too low": NONCE_TOO_LOW,
        "nonce too low: next nonce 7, tx nonce 5": NONCE_TOO_LOW,
        "replacement transaction underpriced": UNDERPRICED,
        "replacement transaction underpriced: new tx gas fee cap 10 <= 11 queued": UNDERPRICED,
        "transaction underpriced": UNDERPRICED,
        "transaction underpriced: gas tip cap 0, minimum needed 1": UNDERPRICED,
        "transaction gas price below minimum: gas tip cap 1, minimum needed 1000000": UNDERPRICED,
        "max fee per gas less than block base fee: address 0x1f, maxFeePerGas: 1, baseFee: 7": UNDERPRICED,
        "insufficient funds for gas * price + value": INSUFFICIENT_FUNDS,
        "insufficient funds for gas * price + value: balance 0, tx cost 21000, overshot 21000": INSUFFICIENT_FUNDS,
        "insufficient funds for gas * price + value: balance 5, queued cost 4, tx cost 2, overshot 1": INSUFFICIENT_FUNDS,
        "txpool is full": NOT_NOW,
        "nonce too high: tx nonce 9, gapped nonce 7": NOT_NOW,
        "account limit exceeded: pooled 16 txs": NOT_NOW,
        "in-flight transaction limit reached for delegated accounts": NOT_NOW,
        "gapped-nonce tx from delegated accounts": NOT_NOW,
        "future transaction tries to replace pending": NOT_NOW,
        "address already reserved": NOT_NOW,
        "authority already reserved": NOT_NOW,
        "tx fee (1.05 ether) exceeds the configured cap (1.00 ether)": FEE_CAPPED,
        "intrinsic gas too low": REFUSED,
        "intrinsic gas too low: gas 20999, minimum needed 21000": REFUSED,
        "insufficient gas for floor data gas cost: gas 21000, minimum needed 21240": REFUSED,
        "exceeds block gas limit": REFUSED,
        "transaction gas limit too high (cap: 16777216, tx: 20000000)": REFUSED,
        "gas uint64 overflow": REFUSED,
        "oversized data: transaction size 140000, limit 131072": REFUSED,
        "max initcode size exceeded: code size 49153 limit 49152": REFUSED,
        "negative value": REFUSED,
        "nonce has max value": REFUSED,
        "invalid sender": REFUSED,
        "invalid sender: invalid chain id for signer: have 1 want 5": REFUSED,
        "transaction type not supported: type 4 rejected, pool not yet in Prague": REFUSED,
        "only replay-protected (EIP-155) transactions allowed over RPC": REFUSED,
        "max priority fee per gas higher than max fee per gas": REFUSED,
        "max fee per gas higher than 2^256-1": REFUSED,
        "sender not an eoa": REFUSED,
        "authority nonce too low": REFUSED,
        "typed transaction too short": REFUSED,
        "rlp: value size exceeds available input length": REFUSED,
    },
    "erigon": {
        "ALREADY_EXISTS: already known": KNOWN,
        "INTERNAL_ERROR: existing tx with same hash": KNOWN,
        "existing txn with same hash": KNOWN,
        "INTERNAL_ERROR: nonce too low": NONCE_TOO_LOW,
        "underpriced": UNDERPRICED,
        "replacement transaction underpriced": UNDERPRICED,
        "FEE_TOO_LOW: fee too low": UNDERPRICED,
        "could not replace existing tx": UNDERPRICED,
        "insufficient funds": INSUFFICIENT_FUNDS,
        "pending sub-pool is full": NOT_NOW,
        "baseFee sub-pool is full": NOT_NOW,
        "queued sub-pool is full": NOT_NOW,
        "spammer": NOT_NOW,
        "EIP-7702 transaction with authority already reserved": NOT_NOW,
        "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)": FEE_CAPPED,
        "IntrinsicGas": REFUSED,
        "gas limit is too high": REFUSED,
        "GasUintOverflow": REFUSED,
        "oversized data": REFUSED,
        "RLPTooLong": REFUSED,
        "initcode too large": REFUSED,
        "invalid sender": REFUSED,
        "fork supporting this transaction type is not activated yet": REFUSED,
        "mined": UNKNOWN,
        "replaced by transaction with higher tip": UNKNOWN,
    },
    "nethermind": {
        "already known": KNOWN,
        "nonce too low, Current nonce: 7, nonce of rejected tx: 5": NONCE_TOO_LOW,
        "replacement transaction underpriced": UNDERPRICED,
        "transaction underpriced, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7": UNDERPRICED,
        "insufficient funds for gas * price + value, Account balance: 0, cumulative cost: 21000": INSUFFICIENT_FUNDS,
        "nonce too high, Future nonce. Expected nonce: 5": NOT_NOW,
        "nonce too far in future": NOT_NOW,
        "delegation nonce gap": NOT_NOW,
        "pending transaction type conflict": NOT_NOW,
        "node is syncing": NOT_NOW,
        "gas limit reached, Gas limit: 30000000, gas limit of rejected tx: 40000000": REFUSED,
        "transaction cost overflow": REFUSED,
        "transaction too large": REFUSED,
        "max initcode size exceeded": REFUSED,
        "failed to recover sender": REFUSED,
        "sender not an eoa": REFUSED,
        "unsupported transaction type": REFUSED,
        "transaction invalid, intrinsic gas too low": REFUSED,
        "transaction invalid, TxGasLimitCapExceeded: Gas limit 20000000 exceeded cap of 16777216.": REFUSED,
        "InvalidTxChainId: Expected 1, got 5.": REFUSED,
        "InvalidMaxPriorityFeePerGas: Cannot be higher than maxFeePerGas.": REFUSED,
        "InvalidTxSignature: Signature is invalid.": REFUSED,
    },
    "nethermind, older": {
        "AlreadyKnown": KNOWN,
        "OldNonce, Current nonce: 7, nonce of rejected tx: 5": NONCE_TOO_LOW,
        "ReplacementNotAllowed": UNDERPRICED,
        "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7": UNDERPRICED,
        "FeeTooLowToCompete": UNDERPRICED,
        "InsufficientFunds, Account balance: 0, cumulative cost: 21000": INSUFFICIENT_FUNDS,
        "NonceGap, Future nonce. Expected nonce: 5": NOT_NOW,
        "NonceTooFarInFuture": NOT_NOW,
        "PendingTxsOfConflictingType": NOT_NOW,
        "GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 40000000": REFUSED,
        "MaxTxSizeExceeded": REFUSED,
        "NotSupportedTxType": REFUSED,
        "FailedToResolveSender": REFUSED,
    },
    "besu": {
        "Known transaction": KNOWN,
        "Nonce too low": NONCE_TOO_LOW,
        "Replacement transaction underpriced": UNDERPRICED,
        "TRANSACTION_REPLACEMENT_UNDERPRICED": UNDERPRICED,
        "Gas price below configured minimum gas price": UNDERPRICED,
        "Gas price below current base fee": UNDERPRICED,
        "Upfront cost exceeds account balance": INSUFFICIENT_FUNDS,
        "Nonce too high": NOT_NOW,
        "Transaction nonce is too distant from current sender nonce": NOT_NOW,
        "An invalid transaction with a lower nonce exists": NOT_NOW,
        "Initial sync is still in progress": NOT_NOW,
        "Transaction pool not enabled. (Either txpool explicitly disabled, or node not yet in sync).": NOT_NOW,
        "Transaction fee cap exceeded": FEE_CAPPED,
        "Intrinsic gas exceeds gas limit": REFUSED,
        "Transaction gas limit exceeds block gas limit": REFUSED,
        "Transaction gas limit cap exceeded": REFUSED,
        "Invalid signature": REFUSED,
        "Invalid transaction type": REFUSED,
        "Wrong chainId": REFUSED,
        "ChainId is required": REFUSED,
        "Max priority fee per gas exceeds max fee per gas": REFUSED,
        "Sender account not authorized to send transactions": REFUSED,
    },
    "reth": {
        "already known": KNOWN,
        "nonce too low: next nonce 7, tx nonce 5": NONCE_TOO_LOW,
        "replacement transaction underpriced": UNDERPRICED,
        "transaction underpriced": UNDERPRICED,
        "max fee per gas less than block base fee": UNDERPRICED,
        "transaction priority fee below minimum required priority fee 1000000": UNDERPRICED,
        "insufficient funds for gas * price + value: have 0 want 21000": INSUFFICIENT_FUNDS,
        "txpool is full": NOT_NOW,
        "address already reserved": NOT_NOW,
        "tx fee (1200000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)": FEE_CAPPED,
        "intrinsic gas too low": REFUSED,
        "intrinsic gas too high": REFUSED,
        "gas limit too high": REFUSED,
        "exceeds block gas limit": REFUSED,
        "oversized data": REFUSED,
        "max initcode size exceeded": REFUSED,
        "invalid sender": REFUSED,
        "invalid chain ID": REFUSED,
        "sender is not an EOA": REFUSED,
        "transaction type not supported": REFUSED,
        "max priority fee per gas higher than max fee per gas": REFUSED,
        "failed to decode signed transaction": REFUSED,
    },
    "anvil": {
        "transaction already imported": KNOWN,
        "nonce too low": NONCE_TOO_LOW,
        "replacement transaction underpriced": UNDERPRICED,
        "Tx: [0x5a] insufficient gas price to replace existing transaction": UNDERPRICED,
        "max fee per gas less than block base fee": UNDERPRICED,
        "Insufficient funds for gas * price + value": INSUFFICIENT_FUNDS,
        "intrinsic gas too low": REFUSED,
        "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit": REFUSED,
        "max initcode size exceeded": REFUSED,
        "invalid chain id for signer": REFUSED,
        "Incompatible EIP-155 transaction, signed for another chain": REFUSED,
        "max priority fee per gas higher than max fee per gas": REFUSED,
        "Failed to decode transaction": REFUSED,
    },
    "hardhat": {
        "Known transaction: 0x5a": KNOWN,
        "Nonce too low. Expected nonce to be 1 but got 0. Note that transactions can't be queued when automining.": NONCE_TOO_LOW,
        "Transaction nonce too low. Expected nonce to be at least 1 but got 0.": NONCE_TOO_LOW,
        "Replacement transaction underpriced. A gasPrice/maxFeePerGas of at least 33000000000 is necessary to replace the "
        "existing transaction with nonce 1.": UNDERPRICED,
        "Replacement transaction underpriced. A gasPrice/maxPriorityFeePerGas of at least 11 is necessary to replace the "
        "existing transaction with nonce 1.": UNDERPRICED,
        "Sender doesn't have enough funds to send tx. The max upfront cost is: 630000000000001 and the sender's balance "
        "is: 0.": INSUFFICIENT_FUNDS,
        "Nonce too high. Expected nonce to be 1 but got 5. Note that transactions can't be queued when automining.": NOT_NOW,
        "Transaction requires at least 21000 gas but got 20000": REFUSED,
        "Transaction gas limit is 400000000 and exceeds transaction gas cap of 16777216": REFUSED,
        "Transaction gas limit is 16000000 and exceeds block gas limit of 15000000": REFUSED,
        "Trying to send a raw transaction with an invalid chainId. The expected chainId is 31337": REFUSED,
        "Invalid transaction type 18.": REFUSED,
        "input too short": REFUSED,
        "VM Exception while processing transaction: reverted with reason string 'nonce too low'": UNKNOWN,
    },
    "ethereumjs": {
        "0x5a: this transaction is already in the TxPool": KNOWN,
        "replacement gas too low, got tip 10100000000, min: 11000000000, got fee 30300000000, min: 33000000000": UNDERPRICED,
        "0x5a does not have enough balance to cover transaction costs, need 630000000000001, but have 0 "
        "(insufficient balance)": INSUFFICIENT_FUNDS,
    },
    "ganache": {
        "insufficient funds for gas * price + value": INSUFFICIENT_FUNDS,
        "Invalid chain id (31338) for chain with id 31337.": REFUSED,
        "Could not decode transaction: invalid RLP": REFUSED,
        "the tx doesn't have the correct nonce. account has nonce of: 3 tx has nonce of: 1": UNKNOWN,
    },
    "providers": {
        "[-32000] nonce too low": NONCE_TOO_LOW,
        "err: max fee per gas less than block base fee: address 0x1f, maxFeePerGas: 1 baseFee: 7 (supplied gas 21000)": UNDERPRICED,
        "Your app has exceeded its compute units per second capacity": UNKNOWN,
        "daily request count exceeded, request rate limited": UNKNOWN,
        "project ID request rate exceeded": UNKNOWN,
        "Too Many Requests": UNKNOWN,
        "upstream request timeout": UNKNOWN,
        "all upstreams failed": UNKNOWN,
        "Unauthorized": UNKNOWN,
    },
    "nobody": {
        "": UNKNOWN,
        "internal error": UNKNOWN,
        "service temporarily unavailable": UNKNOWN,
        "request timed out": UNKNOWN,
        "Method not found": UNKNOWN,
        "cannot tell whether this is an unknown transaction": UNKNOWN,
        "execution reverted: already known": UNKNOWN,
        "execution reverted: insufficient funds": UNKNOWN,
        "execution reverted: tx fee exceeds the configured cap": UNKNOWN,
    },
}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [pytest.param(text, outcome, id=f"{node}: {text}") for node in BROADCASTS for text, outcome in BROADCASTS[node].items()],
)
@pytest.mark.parametrize("code", [-32000, -32003, 3])
def test_s_03_what_each_node_says_to_signed_bytes(text: str, outcome: BroadcastOutcome, code: int) -> None:
    assert broadcast_outcome(RpcError(code, text)) is outcome
    assert broadcast_outcome(RpcError(code, f"Error:  {text.upper()}")) is outcome


@given(text=st.text(max_size=300))
def test_s_03_words_that_no_node_is_known_to_say_are_unknown(text: str) -> None:
    words = " " + re.sub(r"[\W_]+", " ", text.lower())
    known = [pattern for _, patterns in BROADCAST_PATTERNS for pattern in patterns]
    assume(not any(f" {pattern}" in words for pattern in known))
    assert broadcast_outcome(RpcError(-32000, text)) is UNKNOWN


def test_no_pattern_is_hidden_by_one_before_it() -> None:
    """A pattern within which an earlier kind's pattern is found would never be reached."""
    ordered = [(kind, pattern) for kind, patterns in BROADCAST_PATTERNS for pattern in patterns]
    hidden = [
        (pattern, earlier)
        for index, (kind, pattern) in enumerate(ordered)
        for other, earlier in ordered[:index]
        if other is not kind and f" {earlier}" in f" {pattern}"
    ]
    assert hidden == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("execution reverted", ReadFault.REVERTED),
        ("execution reverted: insufficient funds", ReadFault.REVERTED),
        ("VM execution error.", ReadFault.REVERTED),
        ("Error: VM Exception while processing transaction: reverted with custom error 'No()'", ReadFault.REVERTED),
        ("Transaction reverted without a reason string", ReadFault.REVERTED),
        ("invalid opcode: INVALID", ReadFault.REVERTED),
        ("insufficient funds for transfer", ReadFault.INSUFFICIENT_FUNDS),
        ("insufficient funds for gas * price + value: address 0x1f have 0 want 5", ReadFault.INSUFFICIENT_FUNDS),
        ("unknown block", ReadFault.UNKNOWN_BLOCK),
        ("header not found", ReadFault.UNKNOWN_BLOCK),
        ("finalized block not found", ReadFault.UNKNOWN_BLOCK),
        ("missing trie node 5a (path ) state 0x5a is not available", ReadFault.UNKNOWN_BLOCK),
        ("hash 5a is not currently canonical", ReadFault.UNKNOWN_BLOCK),
        ("the method eth_nosuch does not exist/is not available", ReadFault.UNSUPPORTED),
        ("Method eth_nosuch is not supported", ReadFault.UNSUPPORTED),
        ("Method not found", ReadFault.UNSUPPORTED),
        ("invalid argument 1: json: cannot unmarshal object into Go value", ReadFault.UNSUPPORTED),
        ("Invalid params", ReadFault.UNSUPPORTED),
        ("batch too large", ReadFault.TOO_MUCH),
        ("query returned more than 10000 results", ReadFault.TOO_MUCH),
        ("Your app has exceeded its compute units per second capacity", ReadFault.OTHER),
        ("gas required exceeds allowance (500)", ReadFault.OTHER),
        ("", ReadFault.OTHER),
    ],
)
def test_reads(text: str, fault: ReadFault) -> None:
    assert read_fault(RpcError(-32000, text)) is fault


def error_string(text: str) -> str:
    return "0x08c379a0" + encode(["string"], [text]).hex()


@pytest.mark.parametrize(
    ("message", "data", "reason"),
    [
        ("execution reverted", error_string("too little"), "too little"),
        ("execution reverted: a lie", error_string("too little"), "too little"),
        ("VM execution error.", "Reverted " + error_string("too little"), "too little"),
        ("reverted", {"message": "x", "data": error_string("too little")}, "too little"),
        ("reverted", {"message": "x", "data": {"data": "0x"}}, None),
        ("execution reverted", "0x4e487b71" + (0x11).to_bytes(32, "big").hex(), "panic 0x11: arithmetic overflow or underflow"),
        ("execution reverted: custom error", "0xdeadbeef", None),
        ("execution reverted: too little", "0x", "too little"),
        ("execution reverted: too little", None, "too little"),
        ("VM Exception while processing transaction: reverted with reason string 'it's late'", None, "it's late"),
        ("execution reverted", None, None),
        ("execution reverted", "0x0", None),
        ("execution reverted", 7, None),
        ("execution reverted", ["0x"], None),
        ("execution reverted: \x1b[2J\u202edanger", None, "[2J danger"),
        ("execution reverted: " + "x" * 5000, None, "x" * TEXT_LENGTH_MAX),
        ("execution reverted", error_string("y" * 5000), "y" * REVERT_REASON_LENGTH_MAX),
        ("execution reverted", error_string("z" * 50_000), None),
    ],
)
def test_the_reason_of_a_revert(message: str, data: object, reason: str | None) -> None:
    assert revert_reason(RpcError(3, message, msgspec.Raw(json.dumps(data).encode()))) == reason


def test_what_is_shown_is_one_bounded_line() -> None:
    assert shown("a\nb\x00\x1b[31m\u202e\u2028c") == "a b  [31m  c"
    assert len(shown("x" * 10**6)) == TEXT_LENGTH_MAX
