"""Listing tokens: an operator says which contracts count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from custody_core.domain.addresses import parse_address, require_contract
from custody_core.domain.ids import IdPrefix
from custody_core.domain.tokens import Asset, Token, TokenState, require_alias, require_decimals
from custody_core.errors import NotFound, ValidationFailed
from custody_core.ports import Unit
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit

_TEXT_MAX = 64


class Tokens:
    """`custody.tokens`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def add(
        self, *, chain_id: int, address: str, alias: str, decimals: int, symbol: str = "", name: str = "", actor: str = SYSTEM_ACTOR
    ) -> Token:
        """Lists the contract under `alias`. Listing the same contract again the same way changes nothing; a disabled one is
        listed again.

        Raises `InvalidAddress`, `ValidationFailed`, and `NotFound` for a chain that is not followed.
        """
        chain = self._kit.chain(chain_id)
        contract = parse_address(address, pointer="/address")
        require_contract(contract)
        asset = Asset(chain.chain_id, contract, require_alias(alias), require_decimals(decimals))
        for field, text in (("symbol", symbol), ("name", name)):
            if len(text) > _TEXT_MAX or not text.isprintable():
                raise ValidationFailed(
                    f"a token's {field} is printable text of at most {_TEXT_MAX} characters", pointer=f"/{field}"
                )

        def work(unit: Unit) -> Token:
            now = self._kit.clock.now()
            for known in unit.tokens(chain_id):
                if known.asset == asset:
                    return self._set_state(unit, known, TokenState.LISTED, actor, now)
                if known.asset.contract == contract:
                    raise ValidationFailed("this contract is listed with another alias or other decimals", pointer="/address")
                if known.asset.alias == asset.alias:
                    raise ValidationFailed("another token of this chain has this alias", pointer="/alias")
            token = Token(self._kit.new_id(IdPrefix.TOKEN, now), asset, symbol, name, TokenState.LISTED, now)
            unit.add_token(token)
            record_audit(
                self._kit, unit, now=now, actor=actor, action="token.listed", object_id=token.id, detail={"asset": asset.caip19}
            )
            return token

        return self._kit.write(work)

    def disable(self, token_id: str, *, actor: str = SYSTEM_ACTOR) -> Token:
        """Stops sends of the token; it keeps its history. Raises `NotFound`."""

        def work(unit: Unit) -> Token:
            token = unit.token(token_id)
            if token is None:
                raise NotFound("no such token")
            return self._set_state(unit, token, TokenState.DISABLED, actor, self._kit.clock.now())

        return self._kit.write(work)

    def list(self, *, chain_id: int | None = None) -> Sequence[Token]:
        """All tokens that were ever listed, of one chain or of all."""
        return self._kit.read(lambda unit: unit.tokens(chain_id))

    def _set_state(self, unit: Unit, token: Token, state: TokenState, actor: str, now: datetime) -> Token:
        if token.state is state:
            return token
        changed = attrs.evolve(token, state=state, version=token.version + 1)
        unit.save_token(changed)
        record_audit(self._kit, unit, now=now, actor=actor, action=f"token.{state}", object_id=token.id)
        return changed
