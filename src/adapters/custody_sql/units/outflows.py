"""What left a wallet although nothing in the books asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select

from custody_core.domain.chain import Hash
from custody_core.domain.outflow import Outflow
from custody_sql.rows.movements import outflow_row, to_outflow
from custody_sql.session import Session
from custody_sql.sets import putting
from custody_sql.tables import IS_UNSETTLED, outflows

_COLUMNS = tuple(column.name for column in outflows.c)
_PUT = putting(outflows, _COLUMNS, key=("chain_id", "transaction_hash", "ordinal"), changes=_COLUMNS)


class OutflowRows:
    """The part of a unit that keeps outflows."""

    _session: Session

    def put_outflows(self, outflows_: Sequence[Outflow]) -> None:
        self._session.write_set(_PUT, [outflow_row(each, settled=False) for each in outflows_])

    def outflows(self, chain_id: int, *, up_to: int) -> Sequence[Outflow]:
        height = outflows.c.block_number
        query = select(outflows).where(outflows.c.chain_id == chain_id, height <= up_to, IS_UNSETTLED)
        order = (height, outflows.c.transaction_hash, outflows.c.ordinal)
        return [to_outflow(row) for row in self._session.rows(query.order_by(*order))]

    def outflows_of(self, chain_id: int, transaction_hashes: Iterable[Hash]) -> Sequence[Outflow]:
        of_chain = select(outflows).where(outflows.c.chain_id == chain_id)
        found = [to_outflow(row) for row in self._session.rows_in(of_chain, outflows.c.transaction_hash, transaction_hashes)]
        return sorted(found, key=lambda each: (each.transaction_hash, each.ordinal))

    def settle_outflows(self, outflows_: Sequence[Outflow]) -> None:
        self._session.write_set(_PUT, [outflow_row(each, settled=True) for each in outflows_])

    def remove_outflows(self, chain_id: int, *, above: int) -> None:
        gone = delete(outflows).where(outflows.c.chain_id == chain_id, outflows.c.block_number > above, IS_UNSETTLED)
        self._session.write(gone)
