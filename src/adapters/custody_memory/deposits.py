"""Incoming transactions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from custody_core.domain.deposit import Deposit, DepositKey, DepositState
from custody_core.ports import MovementFilter
from custody_memory.movements import newest_first
from custody_memory.tables import Tables


class DepositRows:
    """The part of a unit that keeps incoming transactions."""

    _tables: Tables

    def deposits_by_key(self, keys: Sequence[DepositKey]) -> Mapping[DepositKey, Deposit]:
        found = self._tables.deposit_by_key.some(keys)
        return {key: self._tables.deposits.rows[deposit_id] for key, deposit_id in found.items()}

    def add_deposits(self, deposits: Sequence[Deposit]) -> None:
        for deposit in deposits:
            self._tables.deposits.add(deposit.id, deposit)
            self._tables.deposit_by_key.add(deposit.key, deposit.id)
            self._index_deposit(deposit)

    def save_deposits(self, deposits: Sequence[Deposit]) -> None:
        for deposit in deposits:
            self._tables.deposits.save(deposit.id, deposit)
            self._index_deposit(deposit)

    def deposit(self, deposit_id: str) -> Deposit | None:
        return self._tables.deposits.get(deposit_id)

    def deposits(self, wanted: MovementFilter, *, limit: int, before_id: str | None = None) -> Sequence[Deposit]:
        if wanted.external_id is not None:
            return []
        return newest_first(self._tables.deposits, wanted, owner_of=self._owner_of, limit=limit, before_id=before_id)

    def confirming_deposits(self, chain_id: int, *, above: int | None = None, up_to: int | None = None) -> Sequence[Deposit]:
        wanted = [
            deposit
            for deposit in self._tables.confirming_deposits
            if deposit.key.chain_id == chain_id
            and (above is None or deposit.block.number > above)
            and (up_to is None or deposit.block.number <= up_to)
        ]
        return sorted(wanted, key=lambda deposit: (deposit.block.number, deposit.id))

    def pending_in(self, wallet_id: str) -> Mapping[tuple[int, str], int]:
        sums: dict[tuple[int, str], int] = defaultdict(int)
        for deposit in self._tables.confirming_deposits:
            if deposit.wallet_id == wallet_id:
                sums[deposit.key.chain_id, deposit.key.asset] += deposit.key.amount
        return dict(sums)

    def _owner_of(self, deposit: Deposit) -> str | None:
        wallet = self._tables.wallets.get(deposit.wallet_id)
        return None if wallet is None else wallet.owner_id

    def _index_deposit(self, deposit: Deposit) -> None:
        if deposit.state is DepositState.CONFIRMING:
            self._tables.confirming_deposits.put(deposit.id, deposit)
        else:
            self._tables.confirming_deposits.discard(deposit.id)
