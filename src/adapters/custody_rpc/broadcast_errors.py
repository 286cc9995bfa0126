"""What nodes say when they do not take signed bytes, in our words."""

from __future__ import annotations

from typing import Final

from custody_core.ports import BroadcastOutcome
from custody_rpc.envelopes import RpcError
from custody_rpc.error_words import INSUFFICIENT_FUNDS, REVERTED, Table, classified

BROADCAST_PATTERNS: Final[Table[BroadcastOutcome]] = (
    # hardhat answers with the revert of a transaction that it has mined.
    (BroadcastOutcome.UNKNOWN, REVERTED),
    # Of a nonce, but of another account's: must not be read as a word about ours.
    (BroadcastOutcome.REFUSED, ("authority nonce too low",)),  # geth
    (
        BroadcastOutcome.KNOWN,
        (
            "already known",  # geth, erigon, nethermind, reth
            "alreadyknown",  # older nethermind
            "known transaction",  # besu, hardhat, geth before 1.10
            "transaction already known",
            "transaction already imported",  # anvil
            "transaction with the same hash was already imported",  # openethereum
            "this transaction is already in the txpool",  # ethereumjs
            "existing tx with same hash",  # erigon 2
            "existing txn with same hash",  # erigon 3
            "already in the mempool",
            "tx already in mempool",
        ),
    ),
    (
        BroadcastOutcome.NONCE_TOO_LOW,
        (
            "nonce too low",  # geth, erigon, nethermind, besu, reth, anvil, hardhat
            "nonce is too low",
            "oldnonce",  # older nethermind
            "transaction nonce is too low",  # openethereum
            "the transaction was already mined",
        ),
    ),
    (
        BroadcastOutcome.UNDERPRICED,
        (
            "replacement transaction underpriced",  # geth, erigon, nethermind, besu, reth, anvil, hardhat
            "transaction replacement underpriced",  # besu
            "transaction underpriced",  # geth, nethermind, reth
            "underpriced",  # erigon
            "replacement gas too low",  # ethereumjs
            "insufficient gas price to replace",  # reth, anvil
            "replacementnotallowed",  # older nethermind
            "could not replace existing tx",  # erigon
            "feetoolow",  # older nethermind, also FeeTooLowToCompete
            "fee too low",  # erigon
            "max fee per gas less than block base fee",  # geth, anvil, reth
            "gas price below current base fee",  # besu
            "gas price below configured minimum",  # besu
            "transaction gas price below minimum",  # geth
            "transaction gas price supplied is too low",  # openethereum
            "transaction priority fee below minimum",  # reth
            "gas price too low",
            "transaction gas price is too low",
        ),
    ),
    (BroadcastOutcome.INSUFFICIENT_FUNDS, INSUFFICIENT_FUNDS),
    (
        BroadcastOutcome.NOT_NOW,
        (
            "txpool is full",  # geth; reth also where one sender has too many
            "transaction pool is full",
            "pending sub pool is full",  # erigon
            "basefee sub pool is full",
            "queued sub pool is full",
            "spammer",  # erigon: one sender has too many
            "account limit exceeded",  # geth
            "in flight transaction limit reached",  # geth, accounts with delegated code
            "gapped nonce tx from delegated accounts",  # geth
            "delegation nonce gap",  # nethermind
            "notcurrentnoncefordelegation",
            "delegation authority has pending transaction",
            "future transaction tries to replace pending",  # geth
            "address already reserved",  # geth, reth: a transaction of another kind is pending
            "authority already reserved",
            "pending transaction type conflict",  # nethermind
            "pendingtxsofconflictingtype",
            "nonce too high",  # hardhat, nethermind (a gap), besu
            "noncegap",  # older nethermind
            "nonce too far in future",  # nethermind
            "noncetoofarinfuture",
            "transaction nonce is too distant",  # besu
            "nonce too distant",
            "an invalid transaction with a lower nonce exists",  # besu
            "node is syncing",  # nethermind
            "initial sync is still in progress",  # besu
            "transaction pool not enabled",  # besu: not yet in sync
        ),
    ),
    (
        BroadcastOutcome.FEE_CAPPED,
        (
            "exceeds the configured cap",  # geth, erigon, reth: --rpc.txfeecap
            "transaction fee cap exceeded",  # besu: --tx-fee-cap
        ),
    ),
    (
        BroadcastOutcome.REFUSED,
        (
            "intrinsic gas too",  # geth, anvil, reth: low; anvil and reth also: high
            "intrinsicgas",  # erigon
            "intrinsic gas exceeds",  # besu
            "insufficient gas for floor data gas cost",  # geth (EIP-7623)
            "transaction requires at least",  # hardhat
            "exceeds block gas limit",  # geth, besu, reth
            "exceeds the gas limit",
            "transaction gas limit",  # besu, hardhat, geth (EIP-7825)
            "gas limit too high",
            "gas limit is too high",  # erigon
            "gas limit reached",  # nethermind
            "gaslimitexceeded",  # older nethermind
            "txgaslimitcapexceeded",  # nethermind (EIP-7825)
            "gas uint64 overflow",  # geth, reth, anvil
            "gasuintoverflow",  # erigon
            "transaction cost overflow",  # nethermind
            "oversized data",  # geth, erigon, reth
            "transaction too large",  # nethermind
            "maxtxsizeexceeded",  # older nethermind
            "max initcode size exceeded",  # geth, nethermind, reth, anvil
            "initcode too large",  # erigon
            "negative value",  # geth, erigon, reth
            "nonce has max value",  # geth, anvil, reth
            "invalid chain id",  # anvil, geth, ganache, reth
            "invalid chainid",
            "invalidtxchainid",  # nethermind
            "incompatible eip 155 transaction",  # anvil
            "wrong chain id",
            "wrong chainid",  # besu
            "chainid not supported",  # besu
            "chainid is required",  # besu
            "with an invalid chainid",  # hardhat
            "transaction type not supported",  # geth, reth
            "unsupported transaction type",  # nethermind
            "fork supporting this transaction type is not activated",  # erigon
            "only replay protected",  # geth
            "invalid transaction type",  # besu, hardhat
            "notsupportedtxtype",  # older nethermind
            "invalid sender",  # geth, erigon, reth
            "sender not an eoa",  # geth, nethermind, anvil
            "sender is not an eoa",  # reth
            "failed to recover sender",  # nethermind
            "failedtoresolvesender",  # older nethermind
            "invalid signature",  # besu
            "invalidtxsignature",  # nethermind
            "invalid transaction v r s values",  # geth
            "max priority fee per gas higher than",  # geth, reth, anvil
            "max priority fee per gas exceeds",  # besu
            "invalidmaxpriorityfeepergas",  # nethermind
            "max fee per gas higher than",  # geth: than 2^256-1
            "failed to decode",  # anvil, reth
            "could not decode transaction",  # ganache
            "typed transaction too short",  # geth
            "input too short",  # hardhat
            "rlp",  # geth: rlp: expected …; erigon: RLPTooLong
            "transaction invalid",  # nethermind
            "sender account not authorized",  # besu
            "plugin has marked the transaction",  # besu
        ),
    ),
)


def broadcast_outcome(error: RpcError) -> BroadcastOutcome:
    """What a refusal of `eth_sendRawTransaction` means."""
    return classified(error.message, BROADCAST_PATTERNS) or BroadcastOutcome.UNKNOWN
