"""The registry: every route of `/v1` that there is."""

from __future__ import annotations

from typing import Final

from custody_http.api import account, books, feeds, rules, scans, tokens, transactions, wallets
from custody_http.registry import Route

ROUTES: Final[tuple[Route, ...]] = (
    *rules.ROUTES,
    *wallets.ROUTES,
    *transactions.ROUTES,
    *tokens.ROUTES,
    *account.ROUTES,
    *books.ROUTES,
    *scans.ROUTES,
    *feeds.ROUTES,
)
