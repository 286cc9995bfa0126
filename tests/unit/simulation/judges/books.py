"""The books: double entry, nothing below zero, and what a wallet has is what its address holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Final

from custody_core.domain.ledger import Account, AccountKind, PostingGroup
from tests.unit.simulation.failures import require
from tests.unit.simulation.judges.scene import Scene

OWNED: Final = frozenset({AccountKind.AVAILABLE, AccountKind.RESERVED, AccountKind.QUARANTINED})
HELD: Final = OWNED | {AccountKind.SUSPENSE}
GIVES: Final = frozenset(
    {"deposit-credited", "deposit-released", "send-settled", "send-released", "cancellation-held", "suspense-booked"}
)
"""Why somebody may have more available than before."""

EXACT: Final = range(1)
"""The only difference between what an address holds and what the books say."""

Holding = tuple[str, str]
"""An asset, and the id of a wallet that has it."""


class Books:
    """Mirrors every balance from the posting groups alone."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._balances: dict[Account, int] = defaultdict(int)
        self._totals: dict[Holding, int] = defaultdict(int)
        self._causes: set[tuple[str, str]] = set()
        self._reserved: dict[str, dict[str, int]] = {}
        self._given_away: set[Holding] = set()
        self._latest: Sequence[PostingGroup] = ()

    def post(self, groups: Sequence[PostingGroup]) -> set[Holding]:
        """What these groups touch. INV-2, INV-3, INV-6."""
        touched: set[Holding] = set()
        self._latest = groups
        for group in groups:
            cause = (group.reference, str(group.reason))
            require(cause not in self._causes, "INV-2", f"{cause} is posted twice")
            self._causes.add(cause)
            sums: dict[str, int] = defaultdict(int)
            for posting in group.postings:
                require(type(posting.delta) is int, "INV-6", f"{cause} posts {posting.delta!r}")
                account = posting.account
                is_given = account.kind is AccountKind.AVAILABLE and posting.delta > 0
                require(not is_given or str(group.reason) in GIVES, "INV-3", f"{cause} gives {posting.delta} to an owner")
                sums[account.asset] += posting.delta
                self._balances[account] += posting.delta
                if account.kind in HELD and account.wallet_id:
                    self._totals[account.asset, account.wallet_id] += posting.delta
                    touched.add((account.asset, account.wallet_id))
                if account.kind is AccountKind.SUSPENSE and account.wallet_id and group.height is None:
                    self._given_away.add((account.asset, account.wallet_id))
                if account.kind is AccountKind.RESERVED:
                    of_it = self._reserved.setdefault(group.reference.partition("/")[0], defaultdict(int))
                    of_it[account.asset] += posting.delta
            require(not any(sums.values()), "INV-2", f"{cause} does not sum to zero")
        return touched

    def require_balance(self, account: Account, _old: int | None, new: int | None) -> None:
        """INV-2, INV-5, INV-6 for a row."""
        require(type(new) is int, "INV-6", f"{account} is {new!r}")
        require(new == self._balances[account], "INV-2", f"{account} is {new}, its postings say {self._balances[account]}")
        require(account.kind not in OWNED or (new or 0) >= 0, "INV-5", f"{account} is {new}")

    def reserved(self, id_: str) -> dict[str, int]:
        """What a send holds, by asset."""
        return {asset: held for asset, held in self._reserved.get(id_, {}).items() if held}

    def moved(self, reference: str, reason: str) -> dict[str, int]:
        """What this unit posts for that reason: wallets' accounts, by kind, of one wallet and asset."""
        groups = [each for each in self._latest if (each.reference, str(each.reason)) == (reference, reason)]
        postings = [each for group in groups for each in group.postings if each.account.wallet_id]
        require(len({(each.account.wallet_id, each.account.asset) for each in postings}) <= 1, "INV-2", f"{reference} pays two")
        return {str(each.account.kind): each.delta for each in postings}

    def was_given_away(self, holding: Holding) -> bool:
        """Whether an operator, and no block, ever moved what was in suspense there."""
        return holding in self._given_away

    def require_held(self, holdings: Collection[Holding], allowed: Callable[[Holding], range] = lambda _: EXACT) -> None:
        """INV-1: the books say what each of these addresses holds in the books' final block, up to a difference that is allowed."""
        scene = self._scene
        for asset, wallet_id in holdings:
            if (holder := scene.holders.get(wallet_id)) is not None:
                held, booked = scene.oracle.held(asset.lower(), holder, scene.final), self._totals.get((asset, wallet_id), 0)
                is_booked = held - booked in allowed((asset, wallet_id))
                require(is_booked, "INV-1", f"{wallet_id} holds {held} {asset} at {scene.final}, the books say {booked}")

    def holdings(self) -> list[Holding]:
        """All that there ever were."""
        return sorted({(self.spelled(asset), wallet_id) for asset, wallet_id in self._totals})

    def spelled(self, asset: str) -> str:
        """An asset that is given in lower case as the books write it."""
        return next((account.asset for account in self._balances if account.asset.lower() == asset), asset)
