"""Chains, their headers, and listed tokens."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, update

from custody_core.domain.chain import ChainState, Hash, Header, Reorganisation
from custody_core.domain.tokens import Token
from custody_sql.rows.chains import (
    chain_row,
    header_row,
    reorganisation_row,
    to_chain,
    to_header,
    to_reorganisation,
    to_token,
    token_row,
)
from custody_sql.session import Session
from custody_sql.sets import versioned, versioned_update
from custody_sql.tables import IS_CANONICAL, chains, headers, reorganisations, tokens

_SAVE_CHAIN = versioned_update(chains, tuple(column.name for column in chains.c if column.name != "chain_id"), key="chain_id")
_SAVE_TOKEN = versioned_update(tokens, ("alias", "symbol", "name", "state", "dust", "version"))


class ChainRows:
    """The part of a unit that keeps what we know of chains and tokens."""

    _session: Session

    def chain(self, chain_id: int, *, lock: bool = False) -> ChainState | None:
        query = select(chains).where(chains.c.chain_id == chain_id)
        if lock:
            self._session.require_writable()
            query = query.with_for_update()
        row = self._session.row(query)
        return None if row is None else to_chain(row)

    def chains(self) -> Sequence[ChainState]:
        return [to_chain(row) for row in self._session.rows(select(chains).order_by(chains.c.chain_id))]

    def add_chain(self, state: ChainState, header: Header) -> None:
        self._session.add(chains, [chain_row(state)])
        self.add_headers(state.chain_id, [header])

    def save_chain(self, state: ChainState) -> None:
        row = chain_row(state)
        del row["chain_id"]
        self._session.write_set(_SAVE_CHAIN, [versioned(state.chain_id, row)])

    def add_headers(self, chain_id: int, headers_: Sequence[Header]) -> None:
        put = self._session.insert(headers)
        or_back_again = put.on_conflict_do_update(
            index_elements=["chain_id", "hash"], set_={"reverted": put.excluded.reverted}, where=headers.c.reverted
        )
        self._session.write_all(or_back_again, [header_row(chain_id, header) for header in headers_])

    def headers(self, chain_id: int, *, first: int, last: int) -> Sequence[Header]:
        canonical = select(headers).where(headers.c.chain_id == chain_id, IS_CANONICAL)
        query = canonical.where(headers.c.number.between(first, last)).order_by(headers.c.number)
        return [to_header(row) for row in self._session.rows(query)]

    def remove_headers(self, chain_id: int, *, above: int) -> None:
        gone = update(headers).where(headers.c.chain_id == chain_id, headers.c.number > above, IS_CANONICAL)
        self._session.write(gone.values(reverted=True))

    def header_by_hash(self, chain_id: int, block_hash: Hash) -> Header | None:
        canonical = select(headers).where(headers.c.chain_id == chain_id, headers.c.hash == block_hash, IS_CANONICAL)
        row = self._session.row(canonical)
        return None if row is None else to_header(row)

    def add_reorganisation(self, reorganisation: Reorganisation) -> None:
        self._session.add(reorganisations, [reorganisation_row(reorganisation)])

    def reorganisations(self, chain_id: int, *, limit: int) -> Sequence[Reorganisation]:
        of_chain = select(reorganisations).where(reorganisations.c.chain_id == chain_id)
        newest_first = of_chain.order_by(reorganisations.c.id.desc()).limit(limit)
        return [to_reorganisation(row) for row in self._session.rows(newest_first)]

    def add_token(self, token: Token) -> None:
        self._session.add(tokens, [token_row(token)])

    def save_token(self, token: Token) -> None:
        row = {
            "alias": token.asset.alias,
            "symbol": token.symbol,
            "name": token.name,
            "state": token.state.value,
            "dust": token.dust,
            "version": token.version,
        }
        self._session.write_set(_SAVE_TOKEN, [versioned(token.id, row)])

    def token(self, token_id: str) -> Token | None:
        row = self._session.row(select(tokens).where(tokens.c.id == token_id))
        return None if row is None else to_token(row)

    def tokens(self, chain_id: int | None = None) -> Sequence[Token]:
        query = select(tokens).order_by(tokens.c.id)
        if chain_id is not None:
            query = query.where(tokens.c.chain_id == chain_id)
        return [to_token(row) for row in self._session.rows(query)]
