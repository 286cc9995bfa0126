"""Nonces: the lines of managed addresses, and what somebody else has used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import delete, select, update

from custody_core.domain.addresses import Address
from custody_core.domain.chain import Hash
from custody_core.domain.nonce import ForeignUse, NonceLine
from custody_sql.rows.chains import foreign_use_row, nonce_line_row, to_foreign_use, to_nonce_line
from custody_sql.session import LIST_MAX, Session, batches
from custody_sql.sets import putting
from custody_sql.tables import IS_UNSETTLED, foreign_uses, nonce_lines

_FOREIGN_USE_COLUMNS = tuple(column.name for column in foreign_uses.c)
_PUT_FOREIGN_USE = putting(foreign_uses, _FOREIGN_USE_COLUMNS, key=("chain_id", "hash"), changes=_FOREIGN_USE_COLUMNS)
_PUT_FORWARD = putting(
    nonce_lines,
    ("chain_id", "address", "next_nonce"),
    key=("chain_id", "address"),
    changes=("next_nonce",),
    never_down="next_nonce",
)


class NonceRows:
    """The part of a unit that keeps nonces."""

    _session: Session

    def nonce_lines(self, chain_id: int, addresses: Iterable[Address]) -> Mapping[Address, NonceLine]:
        query = select(nonce_lines).where(nonce_lines.c.chain_id == chain_id)
        lines = [to_nonce_line(row) for row in self._session.rows_in(query, nonce_lines.c.address, addresses)]
        return {line.address: line for line in lines}

    def put_nonce_lines(self, lines: Sequence[NonceLine]) -> None:
        self._session.write_set(_PUT_FORWARD, [nonce_line_row(line) for line in lines])

    def put_foreign_uses(self, uses: Sequence[ForeignUse]) -> None:
        self._session.write_set(_PUT_FOREIGN_USE, [foreign_use_row(use) for use in uses])

    def unsettled_foreign_uses(self, chain_id: int, *, up_to: int | None = None) -> Sequence[ForeignUse]:
        height = foreign_uses.c.block_number
        query = select(foreign_uses).where(foreign_uses.c.chain_id == chain_id, IS_UNSETTLED)
        if up_to is not None:
            query = query.where(height <= up_to)
        return [to_foreign_use(row) for row in self._session.rows(query.order_by(height, foreign_uses.c.nonce))]

    def known_foreign_uses(self, chain_id: int, hashes: Iterable[Hash]) -> Collection[Hash]:
        of_chain = select(foreign_uses.c.hash).where(foreign_uses.c.chain_id == chain_id)
        return {row.hash for row in self._session.rows_in(of_chain, foreign_uses.c.hash, hashes)}

    def settle_foreign_uses(self, chain_id: int, hashes: Sequence[Hash]) -> None:
        of_chain = update(foreign_uses).where(foreign_uses.c.chain_id == chain_id).values(settled=True)
        for part in batches(hashes, LIST_MAX):
            self._session.write(of_chain.where(foreign_uses.c.hash.in_(part)))

    def remove_foreign_uses(self, chain_id: int, *, above: int) -> None:
        gone = delete(foreign_uses).where(foreign_uses.c.chain_id == chain_id, foreign_uses.c.block_number > above, IS_UNSETTLED)
        self._session.write(gone)
