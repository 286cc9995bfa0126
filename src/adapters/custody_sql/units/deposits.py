"""Incoming transactions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import select

from custody_core.domain.deposit import Deposit, DepositKey
from custody_core.ports import MovementFilter
from custody_sql.rows.deposits import CHANGING, changing_row, deposit_row, to_deposit
from custody_sql.session import Session
from custody_sql.sets import versioned, versioned_update
from custody_sql.tables import IS_CONFIRMING, deposits, wallets
from custody_sql.units.movements import newest_first

_SAVE = versioned_update(deposits, CHANGING)


class DepositRows:
    """The part of a unit that keeps incoming transactions."""

    _session: Session

    def deposits_by_key(self, keys: Sequence[DepositKey]) -> Mapping[DepositKey, Deposit]:
        hashes = sorted({key.transaction_hash for key in keys})
        rows = self._session.rows_in(select(deposits), deposits.c.transaction_hash, hashes)
        wanted = set(keys)
        return {deposit.key: deposit for deposit in map(to_deposit, rows) if deposit.key in wanted}

    def add_deposits(self, deposits_: Sequence[Deposit]) -> None:
        self._session.add(deposits, [deposit_row(deposit) for deposit in deposits_])

    def save_deposits(self, deposits_: Sequence[Deposit]) -> None:
        self._session.write_set(_SAVE, [versioned(deposit.id, changing_row(deposit)) for deposit in deposits_])

    def deposit(self, deposit_id: str) -> Deposit | None:
        row = self._session.row(select(deposits).where(deposits.c.id == deposit_id))
        return None if row is None else to_deposit(row)

    def deposits(self, wanted: MovementFilter, *, limit: int, before_id: str | None = None) -> Sequence[Deposit]:
        if wanted.external_id is not None:
            return []
        query = newest_first(deposits, wanted, limit=limit, before_id=before_id)
        if wanted.owner_id is not None:
            query = query.join(wallets, wallets.c.id == deposits.c.wallet_id).where(wallets.c.owner_id == wanted.owner_id)
        return [to_deposit(row) for row in self._session.rows(query)]

    def confirming_deposits(self, chain_id: int, *, above: int | None = None, up_to: int | None = None) -> Sequence[Deposit]:
        height = deposits.c.block_number
        query = select(deposits).where(deposits.c.chain_id == chain_id, IS_CONFIRMING).order_by(height, deposits.c.id)
        if above is not None:
            query = query.where(height > above)
        if up_to is not None:
            query = query.where(height <= up_to)
        return [to_deposit(row) for row in self._session.rows(query)]

    def pending_in(self, wallet_id: str) -> Mapping[tuple[int, str], int]:
        sums: dict[tuple[int, str], int] = defaultdict(int)  # added up here: SQL's integers are too small on SQLite
        columns = select(deposits.c.chain_id, deposits.c.asset, deposits.c.amount)
        for row in self._session.rows(columns.where(deposits.c.wallet_id == wallet_id, IS_CONFIRMING)):
            sums[row.chain_id, row.asset] += row.amount
        return dict(sums)
