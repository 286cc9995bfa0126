"""Bugs between what was decided and what is signed, and in what is held for it."""

from __future__ import annotations

from typing import Final

from custody_core.domain import authorisation, lifecycle
from custody_core.services import reserving, signing
from tests.unit.simulation.zoo.bug import Bug

DECIDING: Final = (
    Bug(
        "a process reads the policy once",
        reserving._Reservation,
        "run",
        "policies = self._unit.active_policies()",
        "policies = vars(self._kit.observer).setdefault('policies', self._unit.active_policies())",
    ),
    Bug(
        "what an access list names is not signed",
        authorisation,
        "_payment",
        "access_list=transaction.access_list",
        "access_list=()",
    ),
    Bug(
        "less gas is signed for than was decided",
        authorisation,
        "_payment",
        "gas_limit=transaction.gas_limit",
        "gas_limit=max(21_000, transaction.gas_limit * 95 // 100)",
    ),
    Bug(
        "another amount is signed than was decided",
        authorisation,
        "_payment",
        "value=transaction.call_value_wei",
        "value=max(transaction.call_value_wei - 1, 0)",
    ),
    Bug(
        "a frozen wallet signs what was under way",
        signing,
        "_frozen",
        "wallet is None or wallet.state is not WalletState.FROZEN or (attempt and attempt.kind is AttemptKind.CANCELLATION)",
        "attempt is None or len(transaction.attempts) > 1 or wallet is None or wallet.state is not WalletState.FROZEN",
    ),
    Bug(
        "what was frozen while it was signed is kept",
        signing,
        "sign_planned",
        "_frozen(each, still.get(each.wallet_id)) or _outcome(",
        "_outcome(",
    ),
    Bug(
        "a token's amount is held in ether",
        lifecycle,
        "accept",
        "(accounts.available, accounts.reserved, transaction.amount)",
        "(native.available, native.reserved, transaction.amount)",
    ),
)
