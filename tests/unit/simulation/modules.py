"""The modules of the core that money passes through: what the gates of reach and of mutations are about."""

from __future__ import annotations

from typing import Final

MONEY: Final = (
    "domain/authorisation",
    "domain/deposit",
    "domain/fees",
    "domain/ledger",
    "domain/lifecycle",
    "domain/matching",
    "domain/nonce",
    "domain/outflow",
    "domain/transaction",
    "services/acceptance",
    "services/accepting",
    "services/evidence",
    "services/following",
    "services/foreign_use",
    "services/ingest",
    "services/outflows",
    "services/outgoing",
    "services/replacing",
    "services/reserving",
    "services/rounds",
    "services/sending",
    "services/signing",
)
