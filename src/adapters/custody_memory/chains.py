"""Chains, their headers, and listed tokens."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from custody_core.domain.chain import ChainState, Hash, Header, Reorganisation
from custody_core.domain.tokens import Token
from custody_memory.tables import Tables


class ChainRows:
    """The part of a unit that keeps what we know of chains and tokens."""

    _tables: Tables

    def chain(self, chain_id: int, *, lock: bool = False) -> ChainState | None:
        if lock:
            self._tables.mode.require_writable()
        return self._tables.chains.get(chain_id)

    def chains(self) -> Sequence[ChainState]:
        return sorted(self._tables.chains, key=lambda state: state.chain_id)

    def add_chain(self, state: ChainState, header: Header) -> None:
        self._tables.chains.add(state.chain_id, state)
        self.add_headers(state.chain_id, [header])

    def save_chain(self, state: ChainState) -> None:
        self._tables.chains.save(state.chain_id, state)

    def add_headers(self, chain_id: int, headers: Sequence[Header]) -> None:
        for header in headers:
            self._tables.headers.add((chain_id, header.number), attrs.evolve(header, logs_bloom=None))
            self._tables.reverted_headers.discard((chain_id, header.hash))

    def headers(self, chain_id: int, *, first: int, last: int) -> Sequence[Header]:
        found = self._tables.headers.some([(chain_id, height) for height in range(first, last + 1)])
        return list(found.values())

    def remove_headers(self, chain_id: int, *, above: int) -> None:
        self._tables.mode.require_writable()
        for (of, height), header in list(self._tables.headers.rows.items()):
            if of == chain_id and height > above:
                self._tables.headers.discard((of, height))
                self._tables.reverted_headers.put((of, header.hash), header)

    def header_by_hash(self, chain_id: int, block_hash: Hash) -> Header | None:
        return next(
            (each for (of, _), each in self._tables.headers.rows.items() if (of, each.hash) == (chain_id, block_hash)), None
        )

    def add_reorganisation(self, reorganisation: Reorganisation) -> None:
        self._tables.reorganisations.add(reorganisation.id, reorganisation)

    def reorganisations(self, chain_id: int, *, limit: int) -> Sequence[Reorganisation]:
        found = [each for each in self._tables.reorganisations if each.chain_id == chain_id]
        return sorted(found, key=lambda each: each.id, reverse=True)[:limit]

    def add_token(self, token: Token) -> None:
        self._tables.tokens.add(token.id, token)
        self._tables.token_by_asset.add((token.asset.chain_id, token.asset.key), token.id)
        self._tables.token_by_asset.add((token.asset.chain_id, token.asset.alias), token.id)

    def save_token(self, token: Token) -> None:
        self._tables.tokens.save(token.id, token)

    def token(self, token_id: str) -> Token | None:
        return self._tables.tokens.get(token_id)

    def tokens(self, chain_id: int | None = None) -> Sequence[Token]:
        wanted = [token for token in self._tables.tokens if chain_id is None or token.asset.chain_id == chain_id]
        return sorted(wanted, key=lambda token: token.id)
