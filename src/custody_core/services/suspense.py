"""What is in suspense, and an operator's word about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import attrs

from custody_core.domain import suspense
from custody_core.domain.ledger import WalletAccounts
from custody_core.domain.resources import chain_text
from custody_core.domain.tokens import Asset, native_asset
from custody_core.domain.wallet import Wallet
from custody_core.errors import InsufficientFunds, InvalidAmount, NotFound, UnsupportedAsset
from custody_core.ports import Unit
from custody_core.services.booking import audit_suspense, clear_mismatch
from custody_core.services.checks import require_limit, require_text
from custody_core.services.kit import SYSTEM_ACTOR, Kit
from custody_core.services.wallets import visible_wallet

_Move = Callable[[Unit, WalletAccounts, int, datetime], int]
"""Moves between a wallet's suspense, which holds so much, and its owner; what is in suspense then."""

_COUNTED_MAX = 100
"""Whoever has more of them needs no exact number."""


@attrs.frozen
class Unexplained:
    """What a wallet's suspense holds of one asset, in base units; below zero what it lacks. `height` is the final block at which
    it was found first, None where it was not found by a comparison.
    """

    position: int
    wallet: Wallet
    asset: Asset
    amount: int
    since: datetime
    height: int | None


class Suspense:
    """`custody.suspense`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def list(self, *, limit: int = 50, after: int = 0) -> Sequence[Unexplained]:
        """Whatever is in suspense, oldest account first. For the next page give the last one's position as `after`."""
        require_limit(limit)

        def work(unit: Unit) -> Sequence[Unexplained]:
            lines = unit.suspense(after=after, limit=limit)
            wallets = unit.wallets_by_id({line.account.wallet_id for line in lines if line.account.wallet_id})
            assets = {(token.asset.chain_id, token.asset.key): token.asset for token in unit.tokens()}
            found = []
            for line in lines:
                first, account = suspense.open_since(line.movements), line.account
                asset = assets.get((account.chain_id, account.asset)) or native_asset(account.chain_id)
                if first is not None and account.wallet_id is not None:
                    wallet = wallets[account.wallet_id]
                    found.append(Unexplained(line.position, wallet, asset, line.balance, first.posted_at, first.height))
            return found

        return self._kit.read(work)

    def count(self) -> int:
        """How many lines there are, of the first hundred."""
        return len(self._kit.read(lambda unit: unit.suspense(after=0, limit=_COUNTED_MAX)))

    def book(
        self, wallet_id: str, *, asset: str, amount: int, note: str, chain_id: int | None = None, actor: str = SYSTEM_ACTOR
    ) -> int:
        """Gives `amount` of what is in the wallet's suspense to its owner, who can spend it from then on; what is left in suspense.

        `note` says why, for the audit trail. `chain_id` may be left out where one chain is followed. Whoever books what a scan
        finds later has paid it twice: look first whether a scan of its block explains it.

        Raises `NotFound`, `UnsupportedAsset`, `ValidationFailed`, `InvalidAmount`, and `InsufficientFunds` where suspense holds
        less.
        """

        def give(unit: Unit, accounts: WalletAccounts, held: int, now: datetime) -> int:
            _require_funds(held, amount, asset, "suspense holds less than that")
            reference = self._audit(unit, accounts, "suspense.booked", amount, note, actor, now)
            unit.post([suspense.booked(accounts, amount, reference=reference, now=now)])
            return held - amount

        return self._moved(give, wallet_id, asset, amount, note, chain_id)

    def fill(
        self, wallet_id: str, *, asset: str, amount: int, note: str, chain_id: int | None = None, actor: str = SYSTEM_ACTOR
    ) -> int:
        """Takes `amount` from what the wallet's owner has available, to fill the hole in its suspense; what is in suspense then, at
        most zero. Where the owner is not to bear it, somebody pays it to the address first.

        Raises what `book` raises; `InvalidAmount` where so much is not missing, `InsufficientFunds` where it is not available.
        """

        def fill(unit: Unit, accounts: WalletAccounts, held: int, now: datetime) -> int:
            if held + amount > 0:
                raise InvalidAmount(f"of {asset} {max(-held, 0)} is missing, not so much", pointer="/amount")
            _require_funds(unit.balance(accounts.available), amount, asset, "less than that is available")
            reference = self._audit(unit, accounts, "suspense.filled", amount, note, actor, now)
            unit.post([suspense.filled(accounts, amount, reference=reference, now=now)])
            return held + amount

        return self._moved(fill, wallet_id, asset, amount, note, chain_id)

    def _moved(self, move: _Move, wallet_id: str, asset: str, amount: int, note: str, chain_id: int | None) -> int:
        require_text(note, "note")
        if type(amount) is not int or amount <= 0:
            raise InvalidAmount("an amount is a whole number of base units above zero", pointer="/amount")

        def work(unit: Unit) -> int:
            chosen = chain_id if chain_id is not None else self._only_chain()
            # The chain's row is what a comparison with the chain holds, so neither books what the other has counted.
            if unit.chain(chosen, lock=True) is None:
                raise NotFound(f"{chain_text(chosen)} is not followed", pointer="/chain")
            wallet = visible_wallet(unit, wallet_id, None, lock=True)
            accounts, now = WalletAccounts(chosen, _asset(unit, chosen, asset).key, wallet.id), self._kit.clock.now()
            left = move(unit, accounts, unit.balance(accounts.suspense), now)
            if left == 0:
                clear_mismatch(self._kit, unit, wallet.id, "what was in suspense is booked", now)
            return left

        return self._kit.write(work)

    def _audit(self, unit: Unit, accounts: WalletAccounts, action: str, amount: int, note: str, actor: str, now: datetime) -> str:
        detail = {"amount": str(amount), "note": note}
        return audit_suspense(self._kit, unit, accounts, now=now, actor=actor, action=action, detail=detail)

    def _only_chain(self) -> int:
        if len(self._kit.chains) != 1:
            raise NotFound("this service follows several chains; say which one", pointer="/chain")
        return next(iter(self._kit.chains))


def _require_funds(held: int, amount: int, asset: str, why: str) -> None:
    if held < amount:
        raise InsufficientFunds(why, asset=asset, available=str(max(held, 0)), required=str(amount))


def _asset(unit: Unit, chain_id: int, alias: str) -> Asset:
    native = native_asset(chain_id)
    known = [native, *(token.asset for token in unit.tokens(chain_id))]
    found = next((asset for asset in known if alias in {asset.alias, asset.caip19}), None)
    if found is None:
        raise UnsupportedAsset("no asset of this chain has this name", pointer="/asset")
    return found
