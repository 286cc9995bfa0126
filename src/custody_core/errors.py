"""Every "broken" that a caller can meet, by name.

Rules of this file

1. One exception per problem code of the public surface (RFC 9457 `code`). HTTP statuses and exit codes are chosen elsewhere,
   once each.
2. `detail` is written for the person who must act next. It never holds a secret, a path, SQL or another exception's text.
3. "No" is not in here unless somebody asked us to do it: a policy's denial is a value until a caller has to be told.
4. "Don't know" is `OutcomeUnknown`: what was asked may or may not have happened, and must be read back.

This module sits below the domain and imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class CustodyError(Exception):
    """A request that could not be carried out; nothing was changed.

    `code` is stable and documented, `detail` is one sentence for a person, `pointer` the JSON pointer (RFC 6901) of the offending
    field or None, `extra` more values for machines (all strings or integers).
    """

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, pointer: str | None = None, **extra: str | int | tuple[str, ...]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.extra: Mapping[str, str | int | tuple[str, ...]] = extra


# What was asked cannot be understood or is not allowed by the rules of the surface.


class InvalidRequest(CustodyError):
    """The request is not well-formed."""

    code = "invalid-request"


class IdempotencyKeyMissing(CustodyError):
    """A call that moves money or makes a wallet came without an idempotency key."""

    code = "idempotency-key-missing"


class InvalidCursor(CustodyError):
    """A paging cursor that this service did not hand out."""

    code = "invalid-cursor"


class ValidationFailed(CustodyError):
    """A field is well-formed and still refused; `pointer` names it."""

    code = "validation-failed"


class InvalidAddress(ValidationFailed):
    """Not an address that we would ever send to; `rule` names why."""

    code = "invalid-address"


class InvalidAmount(ValidationFailed):
    """Not a whole number of base units in 1 … 2^256-1."""

    code = "invalid-amount"


class UnsupportedAsset(ValidationFailed):
    """Neither `eth` nor the alias of a listed token on that chain."""

    code = "unsupported-asset"


# Whoever asks may not, or is not who may.


class Unauthenticated(CustodyError):
    """No valid credentials: unknown, revoked, or of a user who is disabled; all of them answer the same."""

    code = "unauthenticated"


class TokenExpired(Unauthenticated):
    """The credentials were good until they expired."""

    code = "token-expired"


class InsufficientScope(CustodyError):
    """The credentials do not allow this; `scope` names what is missing."""

    code = "insufficient-scope"


# What was asked meets a state that does not allow it.


class NotFound(CustodyError):
    """No such object for this owner; a foreign one answers the same."""

    code = "not-found"


class InvalidStateTransition(CustodyError):
    """The object is in a state that has no such next step."""

    code = "invalid-state-transition"


class IdempotencyInProgress(CustodyError):
    """Another call with this key is still running."""

    code = "idempotency-in-progress"


class IdempotencyKeyReused(CustodyError):
    """This key was used before with another body."""

    code = "idempotency-key-reused"


class ExternalIdExists(CustodyError):
    """The owner has an object with this external id already."""

    code = "external-id-exists"


class WalletFrozen(CustodyError):
    """The wallet sends nothing until it is unfrozen."""

    code = "wallet-frozen"


class WalletNotEmpty(CustodyError):
    """A wallet that still holds funds, or has transactions in flight, cannot be closed."""

    code = "wallet-not-empty"


class PolicyDenied(CustodyError):
    """The policy said no; `transaction_id` is the rejected transaction, `rules` the rules that decided."""

    code = "policy-denied"
    replayed = False
    """Whether this answers a request that came before, with the same idempotency key, and was denied then."""


class InsufficientFunds(CustodyError):
    """`available` is less than `required` (base units of `asset`, as decimal strings)."""

    code = "insufficient-funds"


class FeeAboveCap(CustodyError):
    """The market's fee is above what this service, or this request, may pay."""

    code = "fee-above-cap"


class SimulationReverted(CustodyError):
    """The node says that this call would revert; `reason` is the decoded reason where there is one."""

    code = "simulation-reverted"


# What was asked is fine, but something that we need is not there. Try again later.


class NodeUnavailable(CustodyError):
    """No node gave a usable answer."""

    code = "node-unavailable"


class FeeUnavailable(CustodyError):
    """No node gave fees that make sense."""

    code = "fee-unavailable"


class SignerUnavailable(CustodyError):
    """The signer does not answer."""

    code = "signer-unavailable"


class Sealed(CustodyError):
    """The signer runs, but its master key is not loaded."""

    code = "sealed"


class ChainHalted(CustodyError):
    """Crediting and sending are stopped on this chain until an operator resumes it."""

    code = "chain-halted"


class DatabaseUnavailable(CustodyError):
    """The database cannot be opened, is not prepared for this version, or went away."""

    code = "database-unavailable"


class KeyPoolEmpty(CustodyError):
    """No wallet is ready to be handed out; the process that makes keys has to catch up."""

    code = "key-pool-empty"


class KeyIntegrity(CustodyError):
    """A sealed key does not open under its own wallet, address and version, or is not the key of its address."""

    code = "key-integrity"


class WaitTimedOut(CustodyError):
    """The transaction had not reached the state waited for in time; it goes on regardless."""

    code = "timed-out"


# Between the core and its adapters; a caller of the library sees these only when retrying did not help.


class Conflict(CustodyError):
    """Somebody else changed the same row first (version clash, serialisation failure): load again and decide again."""

    code = "stale-version"


class OutcomeUnknown(CustodyError):
    """The answer to COMMIT was lost. It happened or it did not: read back by key, never assume."""

    code = "outcome-unknown"


class IllegalTransition(Exception):
    """A fact reached an aggregate that has no edge for it: a bug in a service, never a caller's fault."""


class BrokenInvariant(Exception):
    """The store refused what no service may ask for: a write in a unit that reads, a nonce that changes, a ledger row that is
    rewritten, a row whose parent does not exist. A bug, or somebody who edits the database.
    """
