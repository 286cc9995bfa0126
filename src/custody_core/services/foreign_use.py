"""What is done when somebody else signs with a managed key, or these books are older than the chain (a restored backup).

The wallet stops at once, and a person has to look. What was signed elsewhere is on the chain already or may get there; not
signing at the same nonces, and not paying again what may have been paid, is all that can be done from here.
"""

from __future__ import annotations

from datetime import datetime

from custody_core.domain.wallet import Wallet, WalletState, freeze
from custody_core.ports import Unit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, raise_alarm, record_wallet

FROZEN_BECAUSE = "its key was used elsewhere, or these books are older than the chain; see `custody chain adopt`"
"""The reason of a wallet that was frozen for this, by which `adopt` finds it again."""


def stop_wallet(kit: Kit, unit: Unit, wallet: Wallet, *, detail: str, now: datetime) -> None:
    """Freezes the wallet and raises the alarm. What its owner froze stays frozen for that reason, but is not theirs to lift now."""
    if wallet.state is WalletState.OPEN or (wallet.state is WalletState.FROZEN and wallet.frozen_by == wallet.owner_id):
        frozen = freeze(wallet, reason=wallet.state_reason or FROZEN_BECAUSE, by=SYSTEM_ACTOR, now=now)
        record_wallet(kit, unit, frozen, "wallet.frozen", actor=SYSTEM_ACTOR, now=now)
    raise_alarm(kit, unit, now=now, code="nonce-foreign", object_id=wallet.id, detail=detail)
