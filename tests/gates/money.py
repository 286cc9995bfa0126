"""The modules that decide what is owed, credited, reserved, signed, sent and followed: where a mistake costs money."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

MONEY = (
    "domain.deposit",
    "domain.fees",
    "domain.funds",
    "domain.ledger",
    "domain.lifecycle",
    "domain.matching",
    "domain.nonce",
    "domain.outflow",
    "domain.recognition",
    "domain.transaction",
    "services.accepting",
    "services.following",
    "services.foreign_use",
    "services.ingest",
    "services.outflows",
    "services.outgoing",
    "services.replacing",
    "services.reserving",
    "services.sending",
    "services.signing",
)


def path_of(module: str) -> Path:
    """Where a module of `MONEY` is."""
    return ROOT / "src" / "custody_core" / (module.replace(".", "/") + ".py")


def name_of(module: str) -> str:
    """What it is imported as."""
    return f"custody_core.{module}"
