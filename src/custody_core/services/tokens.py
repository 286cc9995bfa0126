"""Listing tokens: an operator says which contracts count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from custody_core.domain.addresses import Address, address_to_bytes, parse_address, require_contract
from custody_core.domain.encoding import ERC20_BALANCE_OF_SELECTOR
from custody_core.domain.ids import IdPrefix
from custody_core.domain.tokens import Asset, Token, TokenState, require_alias, require_decimals, require_dust
from custody_core.errors import NodeUnavailable, NotFound, ValidationFailed
from custody_core.ports import Answer, BlockTag, Call, Chain, Found, Reverted, Unit, Unknown
from custody_core.services.kit import SYSTEM_ACTOR, Kit, record_audit

_TEXT_MAX = 64


class Tokens:
    """`custody.tokens`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def add(
        self,
        *,
        chain_id: int,
        address: str,
        alias: str,
        decimals: int,
        symbol: str = "",
        name: str = "",
        dust: int | None = None,
        actor: str = SYSTEM_ACTOR,
    ) -> Token:
        """Lists the contract under `alias`. Listing the same contract again the same way changes nothing; a disabled one is
        listed again. A node is asked whether there is a token at all, once, and nothing else is believed of the contract.

        Deposits below `dust` base units are quarantined; None leaves the threshold of a known token as it is, and is 0 for a
        new one.

        Raises `InvalidAddress`, `ValidationFailed`, `NotFound` for a chain that is not followed, and `NodeUnavailable` where its
        node does not say.
        """
        chain = self._kit.chain(chain_id)
        contract = parse_address(address, pointer="/address")
        require_contract(contract)
        if dust is not None:
            require_dust(dust)
        asset = Asset(chain.chain_id, contract, require_alias(alias), require_decimals(decimals))
        for field, text in (("symbol", symbol), ("name", name)):
            if len(text) > _TEXT_MAX or not text.isprintable():
                raise ValidationFailed(
                    f"a token's {field} is printable text of at most {_TEXT_MAX} characters", pointer=f"/{field}"
                )

        if not any(known.asset.contract == contract for known in self.list(chain_id=chain_id)):
            _require_token(chain, contract)

        def work(unit: Unit) -> Token:
            now = self._kit.clock.now()
            for known in unit.tokens(chain_id):
                if known.asset == asset:
                    listed = self._set_state(unit, known, TokenState.LISTED, actor, now)
                    return listed if dust is None else self._set_dust(unit, listed, dust, actor, now)
                if known.asset.contract == contract:
                    raise ValidationFailed("this contract is listed with another alias or other decimals", pointer="/address")
                if known.asset.alias == asset.alias:
                    raise ValidationFailed("another token of this chain has this alias", pointer="/alias")
            token = Token(self._kit.new_id(IdPrefix.TOKEN, now), asset, symbol, name, TokenState.LISTED, now, dust or 0)
            unit.chain(chain_id, lock=True)  # a block that is being saved now has not looked for it, and is read again
            unit.add_token(token)
            detail = {"asset": asset.caip19, "dust": str(token.dust)}
            record_audit(self._kit, unit, now=now, actor=actor, action="token.listed", object_id=token.id, detail=detail)
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

    def set_dust(self, token_id: str, dust: int, *, actor: str = SYSTEM_ACTOR) -> Token:
        """From now on final deposits of the token below `dust` base units are quarantined. Raises `NotFound`,
        `ValidationFailed`.
        """
        require_dust(dust)

        def work(unit: Unit) -> Token:
            token = unit.token(token_id)
            if token is None:
                raise NotFound("no such token")
            return self._set_dust(unit, token, dust, actor, self._kit.clock.now())

        return self._kit.write(work)

    def list(self, *, chain_id: int | None = None) -> Sequence[Token]:
        """All tokens that were ever listed, of one chain or of all."""
        return self._kit.read(lambda unit: unit.tokens(chain_id))

    def _set_dust(self, unit: Unit, token: Token, dust: int, actor: str, now: datetime) -> Token:
        if token.dust == dust:
            return token
        changed = attrs.evolve(token, dust=dust, version=token.version + 1)
        unit.save_token(changed)
        detail = {"dust": str(dust)}
        record_audit(self._kit, unit, now=now, actor=actor, action="token.dust-set", object_id=token.id, detail=detail)
        return changed

    def _set_state(self, unit: Unit, token: Token, state: TokenState, actor: str, now: datetime) -> Token:
        return set_token_state(self._kit, unit, token, state, actor=actor, now=now)


def set_token_state(
    kit: Kit, unit: Unit, token: Token, state: TokenState, *, actor: str, now: datetime, reason: str | None = None
) -> Token:
    """The token in that state, saved with its audit row; as it is where that is its state already."""
    if token.state is state:
        return token
    changed = attrs.evolve(token, state=state, version=token.version + 1)
    unit.save_token(changed)
    detail = {"reason": reason} if reason else {}
    record_audit(kit, unit, now=now, actor=actor, action=f"token.{state}", object_id=token.id, detail=detail)
    return changed


def _require_token(chain: Chain, contract: Address) -> None:
    """Asks for the one thing that every token has (EIP-20, `balanceOf`). An address without code answers with nothing."""
    head = chain.header(BlockTag.LATEST)
    answer: Answer[bytes | Reverted] = Unknown("no head")
    if isinstance(head, Found):
        call = Call(sender=contract, to=contract, data=ERC20_BALANCE_OF_SELECTOR + bytes(12) + address_to_bytes(contract))
        answer = chain.try_call(call, on_top_of=head.value.number)
    if not isinstance(answer, Found):
        raise NodeUnavailable("the chain's node does not say whether there is a token at this address; try again")
    if isinstance(answer.value, Reverted) or len(answer.value) < 32:
        raise ValidationFailed("there is no token at this address: nothing there tells a balance", pointer="/address")
