"""What a comparison with the chain does to the books: what differs into suspense, what is explained out of it, and nothing else.

It is done in a unit that holds the chain's row, so that no block becomes final meanwhile, and only if the final block and the
wallet's accounts are still those that were compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from custody_core.domain import suspense
from custody_core.domain.audit import AuditEvent
from custody_core.domain.chain import ChainState
from custody_core.domain.ids import IdPrefix
from custody_core.domain.ledger import WalletAccounts
from custody_core.domain.resources import chain_text
from custody_core.domain.tokens import NATIVE_ALIAS, TokenState
from custody_core.domain.wallet import Wallet
from custody_core.ports import Unit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, clear_alarm, raise_alarm, rescan_lease_of
from custody_core.services.open_deficits import close_deficit, is_deficit_open, open_deficit
from custody_core.services.tokens import set_token_state
from custody_core.services.unfinished import unfinished

MISMATCH = "reconciliation-mismatch"
"""The alarm about a wallet whose books and address differ."""

_WHY_DISABLED = "its balances are not what its Transfer events say"


@attrs.frozen
class Held:
    """The sum of a wallet's accounts in an asset, and what of it is in suspense; None where nothing ever was."""

    booked: int
    in_suspense: int | None


@attrs.frozen
class Seen:
    """What was compared: the chain's state, what the books hold for the wallet, and what the node shows at the final block.

    `moved_by_itself`: a token's surplus that was not there before the books knew of the token, so no deposit explains it.
    """

    state: ChainState
    held: Held
    on_chain: int
    moved_by_itself: bool = False

    @property
    def difference(self) -> suspense.Difference:
        """What the comparison came to."""
        return suspense.compare(on_chain=self.on_chain, booked=self.held.booked, in_suspense=self.held.in_suspense or 0)


class Booking:
    """One unit, for one wallet and asset. After it has run, `violation` is what is wrong still."""

    def __init__(self, kit: Kit, wallet: Wallet, accounts: WalletAccounts, seen: Seen) -> None:
        self._kit = kit
        self._wallet = wallet
        self._accounts = accounts
        self._seen = seen
        self.violation: str | None = None

    def run(self, unit: Unit) -> bool:
        """Books the difference. False, and nothing is written, when the books have gone on since it was looked at."""
        state = unit.chain(self._accounts.chain_id, lock=True)
        if state is None or state.final != self._seen.state.final or held_in(unit, self._accounts) != self._seen.held:
            return False
        difference = self._seen.difference
        now = self._kit.clock.now()
        if (waits := _why_it_waits(unit, state, now)) is not None:
            self.violation = None if self._seen.on_chain == self._seen.held.booked else f"{self._told()}; {waits}"
            return True
        if difference.surplus:
            self._find(unit, difference.surplus, now)
        if difference.explained:
            self._take_back(unit, difference.explained, now)
        if difference.deficit > self._may_lack(unit):
            self._refuse(unit, now)
            return True
        if difference.deficit:
            self._lack(unit, difference.deficit, now)
        self._clear(unit, now)
        return True

    def _find(self, unit: Unit, amount: int, now: datetime) -> None:
        reference = self._audit(unit, "suspense.found", amount, now)
        unit.post([suspense.found(self._accounts, amount, reference=reference, height=self._height, now=now)])
        before = self._seen.held.in_suspense or 0
        if before + amount > 0:
            self._tell_of_suspense(unit, now)
            if self._seen.moved_by_itself or before > 0:
                self._disable_token(unit, now)
        elif before + amount == 0:
            clear_mismatch(self._kit, unit, self._wallet.id, "what was missing is there again", now)

    def _take_back(self, unit: Unit, amount: int, now: datetime) -> None:
        reference = self._audit(unit, "suspense.explained", amount, now)
        unit.post([suspense.explained(self._accounts, amount, reference=reference, height=self._height, now=now)])
        if unit.balance(self._accounts.suspense) == 0:
            clear_mismatch(self._kit, unit, self._wallet.id, "what was in suspense is explained", now)

    def _may_lack(self, unit: Unit) -> int:
        """How much a hole in suspense accounts for: of a token anything; of ether what was booked from suspense, or left the wallet
        out of it, and may have been credited since; less the hole that is there.
        """
        if self._accounts.asset != NATIVE_ALIAS:
            return self._seen.difference.deficit
        hole = max(-(self._seen.held.in_suspense or 0), 0)
        return unit.taken_from_suspense(self._accounts.suspense) - hole

    def _lack(self, unit: Unit, amount: int, now: datetime) -> None:
        """A deficit that is a hole in suspense."""
        reference = self._audit(unit, "suspense.lacking", amount, now)
        unit.post([suspense.lacking(self._accounts, amount, reference=reference, height=self._height, now=now)])
        self._tell_of_suspense(unit, now)
        self._disable_token(unit, now)

    def _tell_of_suspense(self, unit: Unit, now: datetime) -> None:
        detail = f"{self._told()}; the difference is in suspense"
        raise_alarm(self._kit, unit, now=now, code=MISMATCH, object_id=self._wallet.id, detail=detail)

    def _refuse(self, unit: Unit, now: datetime) -> None:
        """A deficit of ether. It stays in the books for everybody to see, and is told once."""
        self.violation = self._told()
        if open_deficit(unit, self._accounts.chain_id, self._wallet.id, self._accounts.asset):
            raise_alarm(self._kit, unit, now=now, code=MISMATCH, object_id=self._wallet.id, detail=self.violation)

    def _clear(self, unit: Unit, now: datetime) -> None:
        """There is no deficit, or it is in suspense. An alarm that there was one is over."""
        of = (self._accounts.chain_id, self._wallet.id, self._accounts.asset)
        if is_deficit_open(unit, *of):
            close_deficit(unit, *of)
            clear_mismatch(self._kit, unit, self._wallet.id, "the books equal the chain again", now)

    def _disable_token(self, unit: Unit, now: datetime) -> None:
        for token in unit.tokens(self._accounts.chain_id):
            if token.asset.key == self._accounts.asset and token.state is TokenState.LISTED:
                disabled = TokenState.DISABLED
                set_token_state(self._kit, unit, token, disabled, actor=SYSTEM_ACTOR, now=now, reason=_WHY_DISABLED)
                self._kit.observer.trouble("token-disabled", f"{token.asset.alias} is disabled: {_WHY_DISABLED}")

    def _audit(self, unit: Unit, action: str, amount: int, now: datetime) -> str:
        """An audit row, whose id is what the posting refers to."""
        return audit_suspense(
            self._kit,
            unit,
            self._accounts,
            now=now,
            actor=SYSTEM_ACTOR,
            action=action,
            detail={"amount": str(amount), "block": self._seen.state.final.hash},
        )

    @property
    def _height(self) -> int:
        return self._seen.state.final.number

    def _told(self) -> str:
        wallet, seen = self._wallet, self._seen
        return (
            f"{chain_text(self._accounts.chain_id)}: {wallet.id} {wallet.address} holds {seen.on_chain} of {self._accounts.asset} "
            f"at block {self._height}, the books say {seen.held.booked}"
        )


def _why_it_waits(unit: Unit, state: ChainState, now: datetime) -> str | None:
    """Why no difference is booked now: half of what a chain's blocks say is no finding."""
    if state.halted_reason is not None:
        return "the chain is halted"
    until = unit.lease_until(rescan_lease_of(state.chain_id))
    if until is not None and until > now:
        return "blocks are being read again"
    left = unfinished(unit, state.chain_id)
    return f"some blocks were read again and {left[0][0]} to {left[0][1]} were not: `custody scan status`" if left else None


def held_in(unit: Unit, accounts: WalletAccounts) -> Held:
    """What the books hold for the wallet in the asset."""
    of = (accounts.chain_id, accounts.asset)
    balances = unit.balances(accounts.wallet_id).items()
    held = {account: amount for account, amount in balances if (account.chain_id, account.asset) == of}
    return Held(sum(held.values()), held.get(accounts.suspense))


def audit_suspense(
    kit: Kit,
    unit: Unit,
    accounts: WalletAccounts,
    *,
    now: datetime,
    actor: str,
    action: str,
    detail: Mapping[str, str],
) -> str:
    """An audit row of what is done to a wallet's suspense; its id, which names the posting group."""
    audit_id = kit.new_id(IdPrefix.AUDIT, now)
    told = {"chain": chain_text(accounts.chain_id), "asset": accounts.asset, **detail}
    unit.add_audit([AuditEvent(audit_id, now, actor, action, accounts.wallet_id, told)])
    return audit_id


def clear_mismatch(kit: Kit, unit: Unit, wallet_id: str, detail: str, now: datetime) -> None:
    """The alarm about this wallet's books is over."""
    clear_alarm(kit, unit, now=now, code=MISMATCH, object_id=wallet_id, detail=detail)
