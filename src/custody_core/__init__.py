"""A custodial Ethereum wallet as a library. What is named here is the public interface; nothing else is."""

from __future__ import annotations

from custody_core.custody import Custody, Tick
from custody_core.domain.access import ApiKey, Principal, Role, Scope, User
from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.chain import BlockRef, ChainState
from custody_core.domain.deposit import Deposit, DepositState
from custody_core.domain.fees import FeeTier
from custody_core.domain.money import ether, format_units, parse_units
from custody_core.domain.policy import Policy
from custody_core.domain.resources import Balance
from custody_core.domain.tokens import Asset, Token
from custody_core.domain.transaction import Attempt, Transaction
from custody_core.domain.transaction import State as TransactionState
from custody_core.domain.wallet import Wallet, WalletState
from custody_core.errors import (
    ChainHalted,
    Conflict,
    CustodyError,
    ExternalIdExists,
    FeeAboveCap,
    FeeUnavailable,
    IdempotencyInProgress,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InsufficientFunds,
    InsufficientScope,
    InvalidAddress,
    InvalidAmount,
    InvalidRequest,
    InvalidStateTransition,
    KeyIntegrity,
    KeyPoolEmpty,
    NodeUnavailable,
    NotFound,
    OutcomeUnknown,
    PolicyDenied,
    Sealed,
    SignerUnavailable,
    SimulationReverted,
    Unauthenticated,
    UnsupportedAsset,
    ValidationFailed,
    WaitTimedOut,
    WalletFrozen,
)
from custody_core.services.kit import Limits, Traces
from custody_core.services.previewing import Preview
from custody_core.services.reconciliation import Reconciliation
from custody_core.services.verdicts.verdict import Check

__all__ = [
    "Address",
    "ApiKey",
    "Asset",
    "Attempt",
    "Balance",
    "BlockRef",
    "ChainHalted",
    "ChainState",
    "Check",
    "Conflict",
    "Custody",
    "CustodyError",
    "Deposit",
    "DepositState",
    "ExternalIdExists",
    "FeeAboveCap",
    "FeeTier",
    "FeeUnavailable",
    "IdempotencyInProgress",
    "IdempotencyKeyMissing",
    "IdempotencyKeyReused",
    "InsufficientFunds",
    "InsufficientScope",
    "InvalidAddress",
    "InvalidAmount",
    "InvalidRequest",
    "InvalidStateTransition",
    "KeyIntegrity",
    "KeyPoolEmpty",
    "Limits",
    "NodeUnavailable",
    "NotFound",
    "OutcomeUnknown",
    "Policy",
    "PolicyDenied",
    "Preview",
    "Principal",
    "Reconciliation",
    "Role",
    "Scope",
    "Sealed",
    "SignerUnavailable",
    "SimulationReverted",
    "Tick",
    "Token",
    "Traces",
    "Transaction",
    "TransactionState",
    "Unauthenticated",
    "UnsupportedAsset",
    "User",
    "ValidationFailed",
    "WaitTimedOut",
    "Wallet",
    "WalletFrozen",
    "WalletState",
    "ether",
    "format_units",
    "parse_address",
    "parse_units",
]
