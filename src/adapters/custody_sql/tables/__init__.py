"""The tables.

Rules of this file

1. What must never happen twice has a unique key here: a nonce, a deposit, a credit, an external id, a used idempotency key.
   The services check too, for a better message; this is what holds when they are wrong or late.
2. A column is named like the field that it keeps. `asset` is `Asset.key`; a value within a value has its name in front.
3. Foreign keys are checked at the commit, so that the order of statements within a unit means nothing.
4. Sealed keys are in a table of their own, so that a database role can be kept from it.
5. This describes what the migrations make; a test compares the two. What SQL triggers forbid is in the migrations alone.
"""

from __future__ import annotations

from custody_sql.tables.base import (
    HOLDS_NONCE,
    IS_ACTIVE,
    IS_CANONICAL,
    IS_CONFIRMING,
    IS_FROZEN,
    IS_QUEUED,
    IS_SUSPENSE,
    IS_UNSETTLED,
    metadata,
)
from custody_sql.tables.books import accounts, posting_groups, postings
from custody_sql.tables.chains import chains, headers, reorganisations, tokens
from custody_sql.tables.holders import api_keys, sealed_keys, users, wallets
from custody_sql.tables.movements import attempts, deposits, foreign_uses, nonce_lines, outflows, transactions
from custody_sql.tables.records import audit, decisions, events, idempotency_keys, leases, policies, settings

__all__ = [
    "HOLDS_NONCE",
    "IS_ACTIVE",
    "IS_CANONICAL",
    "IS_CONFIRMING",
    "IS_FROZEN",
    "IS_QUEUED",
    "IS_SUSPENSE",
    "IS_UNSETTLED",
    "accounts",
    "api_keys",
    "attempts",
    "audit",
    "chains",
    "decisions",
    "deposits",
    "events",
    "foreign_uses",
    "headers",
    "idempotency_keys",
    "leases",
    "metadata",
    "nonce_lines",
    "outflows",
    "policies",
    "posting_groups",
    "postings",
    "reorganisations",
    "sealed_keys",
    "settings",
    "tokens",
    "transactions",
    "users",
    "wallets",
]
