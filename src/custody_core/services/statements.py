"""What the books hold, shown: entries, statements of a period, and how a balance came to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import attrs

from custody_core.domain.ledger import WALLET_KINDS, Account, AccountKind, Posting, PostingGroup
from custody_core.domain.tokens import Asset, native_asset
from custody_core.domain.wallet import Wallet
from custody_core.errors import UnsupportedAsset, ValidationFailed
from custody_core.ports import EntryFilter, Unit
from custody_core.services.checks import require_limit
from custody_core.services.kit import Kit
from custody_core.services.wallets import visible_wallet

ENTRIES_MAX = 10_000
"""The most movements that one statement holds. Whoever has more asks for shorter periods."""

AssetId = tuple[int, str]
"""Chain id, `Asset.key`."""


@attrs.frozen
class Holding:
    """What the books hold for a wallet's owner in one asset, or a change of that, in base units."""

    available: int = 0
    reserved: int = 0
    quarantined: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.available + self.reserved + self.quarantined

    def __add__(self, other: Holding) -> Holding:
        return Holding(self.available + other.available, self.reserved + other.reserved, self.quarantined + other.quarantined)

    def __sub__(self, other: Holding) -> Holding:
        return self + Holding(-other.available, -other.reserved, -other.quarantined)


@attrs.frozen
class Movement:
    """One posting group, as far as it changes what is held for the owner. `balance` is what is held after it."""

    position: int
    group: PostingGroup
    change: Holding
    balance: Holding


@attrs.frozen
class AssetStatement:
    """One asset of a period. The closing balance is read from the books for itself: the movements have to lead to it."""

    asset: Asset
    opening: Holding
    closing: Holding
    movements: tuple[Movement, ...]

    @property
    def difference(self) -> int:
        """What the movements leave unexplained: zero, or the books are wrong."""
        return self.closing.total - self.opening.total - sum(each.change.total for each in self.movements)


@attrs.frozen
class Statement:
    """A wallet's movements that were posted from `since` on and before `until`, by asset."""

    wallet: Wallet
    since: datetime
    until: datetime
    assets: tuple[AssetStatement, ...]


@attrs.frozen
class Entry:
    """One posting group with its assets by id; of its postings those that the reader may see."""

    position: int
    group: PostingGroup
    postings: tuple[Posting, ...]
    assets: Mapping[AssetId, Asset]


class Statements:
    """`custody.statements`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def of(
        self, wallet_id: str, *, since: datetime | None = None, until: datetime | None = None, owner_id: str | None = None
    ) -> Statement:
        """What was posted for the wallet in a period, which begins with the wallet and ends now unless it is said.

        What is in suspense is nobody's yet, so it is not in here. Raises `NotFound`, `ValidationFailed`.
        """
        _require_aware(since, "/from")
        _require_aware(until, "/to")

        def work(unit: Unit) -> Statement:
            wallet = visible_wallet(unit, wallet_id, owner_id)
            last = until or self._kit.clock.now()
            if since is not None and last < since:
                raise ValidationFailed("the period ends before it begins", pointer="/to")
            wanted = EntryFilter(owner_id=None, wallet_id=wallet.id, since=since, until=last)
            groups = unit.entries(wanted, limit=ENTRIES_MAX + 1)
            if len(groups) > ENTRIES_MAX:
                raise ValidationFailed(f"this period has more than {ENTRIES_MAX} entries; ask for a shorter one", pointer="/from")
            opening = _holdings({} if since is None else unit.sums(wallet.id, until=since))
            closing = _holdings(unit.sums(wallet.id, until=last))
            known = _assets(unit)
            return Statement(
                wallet,
                (since or wallet.created_at).astimezone(UTC),
                last.astimezone(UTC),
                tuple(
                    _asset_statement(wallet.id, known.get(id_) or native_asset(id_[0]), opening[id_], closing[id_], groups[::-1])
                    for id_ in sorted({*opening, *closing})
                ),
            )

        return self._kit.read(work)

    def entries(
        self,
        *,
        owner_id: str | None = None,
        wallet_id: str | None = None,
        chain_id: int | None = None,
        asset: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> Sequence[Entry]:
        """Posting groups, newest first; with `owner_id` those of that owner's wallets. For the next page give the last one's
        position as `before`. Raises `ValidationFailed`, `UnsupportedAsset`.
        """
        require_limit(limit)
        _require_aware(since, "/from")
        _require_aware(until, "/to")

        def work(unit: Unit) -> Sequence[Entry]:
            known = _assets(unit)
            key, chain = None, chain_id
            if asset is not None:
                chain, key = self._asset_id(known, asset, chain_id)
            wanted = EntryFilter(owner_id=owner_id, wallet_id=wallet_id, chain_id=chain, asset=key, since=since, until=until)
            found = unit.entries(wanted, limit=limit, before=before)
            shown = _shown_wallets(unit, found, owner_id)
            return [Entry(position, group, _visible(group, shown), known) for position, group in found]

        return self._kit.read(work)

    def history(
        self,
        wallet_id: str,
        *,
        asset: str,
        chain_id: int | None = None,
        owner_id: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> tuple[Asset, Sequence[Movement]]:
        """How what is held for the owner in one asset changed, newest first, each with the balance after it. For the next page
        give the last one's position as `before`. Raises `NotFound`, `UnsupportedAsset`, `ValidationFailed`.
        """
        require_limit(limit)

        def work(unit: Unit) -> tuple[Asset, Sequence[Movement]]:
            wallet = visible_wallet(unit, wallet_id, owner_id)
            known = _assets(unit)
            chain, key = self._asset_id(known, asset, chain_id)
            wanted = EntryFilter(owner_id=None, wallet_id=wallet.id, chain_id=chain, asset=key)
            sums = unit.balances(wallet.id) if before is None else unit.sums(wallet.id, before=before)
            balance, movements = _holdings(sums)[chain, key], []
            for position, group in unit.entries(wanted, limit=limit, before=before):
                change = _change(group, wallet.id, (chain, key))
                movements.append(Movement(position, group, change, balance))
                balance -= change
            return known.get((chain, key)) or native_asset(chain), movements

        return self._kit.read(work)

    def _asset_id(self, known: Mapping[AssetId, Asset], named: str, chain_id: int | None) -> AssetId:
        """The asset of this alias, or of this CAIP-19 id."""
        native = [native_asset(each) for each in self._kit.chains]
        found = {
            (each.chain_id, each.key)
            for each in [*native, *known.values()]
            if named in {each.alias, each.caip19} and chain_id in {None, each.chain_id}
        }
        if len(found) != 1:
            raise UnsupportedAsset("no asset has this name, or assets of several chains: name the chain", pointer="/asset")
        return found.pop()


def _require_aware(moment: datetime | None, pointer: str) -> None:
    if moment is not None and moment.tzinfo is None:
        raise ValidationFailed("a time needs its zone: whose noon would it be?", pointer=pointer)


def _asset_statement(
    wallet_id: str, asset: Asset, opening: Holding, closing: Holding, groups: Iterable[tuple[int, PostingGroup]]
) -> AssetStatement:
    balance, movements = opening, []
    for position, group in groups:
        if not any(_is_held(posting.account, wallet_id, (asset.chain_id, asset.key)) for posting in group.postings):
            continue
        change = _change(group, wallet_id, (asset.chain_id, asset.key))
        balance += change
        movements.append(Movement(position, group, change, balance))
    return AssetStatement(asset, opening, closing, tuple(movements))


def _change(group: PostingGroup, wallet_id: str, id_: AssetId) -> Holding:
    deltas: dict[AccountKind, int] = defaultdict(int)
    for posting in group.postings:
        if _is_held(posting.account, wallet_id, id_):
            deltas[posting.account.kind] += posting.delta
    return _holding(deltas)


def _is_held(account: Account, wallet_id: str, id_: AssetId) -> bool:
    return account.wallet_id == wallet_id and (account.chain_id, account.asset) == id_ and account.kind in WALLET_KINDS


def _holdings(sums: Mapping[Account, int]) -> defaultdict[AssetId, Holding]:
    """By asset, what is held for the owner; nothing of an asset that is not there."""
    amounts: dict[AssetId, dict[AccountKind, int]] = defaultdict(dict)
    for account, amount in sums.items():
        if account.kind in WALLET_KINDS:
            amounts[account.chain_id, account.asset][account.kind] = amount
    return defaultdict(Holding, {id_: _holding(of) for id_, of in amounts.items()})


def _holding(amounts: Mapping[AccountKind, int]) -> Holding:
    return Holding(
        available=amounts.get(AccountKind.AVAILABLE, 0),
        reserved=amounts.get(AccountKind.RESERVED, 0),
        quarantined=amounts.get(AccountKind.QUARANTINED, 0),
    )


def _assets(unit: Unit) -> Mapping[AssetId, Asset]:
    tokens = {(token.asset.chain_id, token.asset.key): token.asset for token in unit.tokens()}
    natives = [native_asset(state.chain_id) for state in unit.chains()]
    return {**{(each.chain_id, each.key): each for each in natives}, **tokens}


def _shown_wallets(unit: Unit, found: Sequence[tuple[int, PostingGroup]], owner_id: str | None) -> frozenset[str]:
    """The wallets of these groups whose postings the reader may see."""
    ids = {posting.account.wallet_id for _, group in found for posting in group.postings if posting.account.wallet_id}
    if owner_id is None:
        return frozenset(ids)
    return frozenset(wallet.id for wallet in unit.wallets_by_id(ids).values() if wallet.owner_id == owner_id)


def _visible(group: PostingGroup, shown: frozenset[str]) -> tuple[Posting, ...]:
    return tuple(each for each in group.postings if each.account.wallet_id is None or each.account.wallet_id in shown)
