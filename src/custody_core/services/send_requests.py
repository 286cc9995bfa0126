"""Reading a request to send: what can be checked without the wallet, and which asset it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from custody_core.domain.addresses import Address, parse_address
from custody_core.domain.encoding import AccessList
from custody_core.domain.fees import FeeTier
from custody_core.domain.money import require_amount
from custody_core.domain.resources import chain_text
from custody_core.domain.tokens import NATIVE_ALIAS, Asset, Token, TokenState, native_asset
from custody_core.domain.transaction import TransactionType
from custody_core.errors import UnsupportedAsset, ValidationFailed
from custody_core.ports import Unit
from custody_core.services.call_requests import read_access_list, read_data
from custody_core.services.checks import require_labels
from custody_core.services.kit import Kit


@attrs.frozen
class SendRequest:
    """What was asked for, read and checked as far as that goes without the wallet."""

    wallet_id: str
    to: Address
    amount: int
    asset: str
    chain_id: int
    tier: FeeTier
    fee_per_gas_max_wei: int | None
    external_id: str | None
    metadata: Mapping[str, str]
    type: TransactionType = TransactionType.TRANSFER
    data: bytes = b""
    access_list: AccessList = ()

    @property
    def is_call(self) -> bool:
        """Whether it calls a contract; `amount` is then the ether that the call carries."""
        return self.type is TransactionType.CONTRACT_CALL

    @property
    def body(self) -> Mapping[str, object]:
        """What an idempotency key is bound to. A plain transfer's never changes from one version to the next: keys are kept."""
        body: dict[str, Any] = attrs.asdict(self, recurse=False)
        body |= {"amount": str(self.amount), "metadata": dict(self.metadata)}
        type_, data, access_list = (body.pop(name) for name in ("type", "data", "access_list"))
        if self.is_call:
            body |= {"type": str(type_), "data": data.hex()}
        if access_list:
            body["access_list"] = [[address.hex(), [key.hex() for key in keys]] for address, keys in access_list]
        return body


def read_request(
    kit: Kit,
    wallet_id: str,
    to: str,
    amount: int | None,
    asset: str,
    chain_id: int | None,
    tier: FeeTier | str,
    fee_per_gas_max_wei: int | None,
    external_id: str | None,
    metadata: Mapping[str, str] | None,
    *,
    data: bytes | str | None = None,
    value: int | None = None,
    access_list: Sequence[Mapping[str, object]] = (),
) -> SendRequest:
    """The request, checked as far as that goes without the wallet. Raises what `Acceptance.accept` raises for bad input."""
    moved = _moved(amount, value) if data is None else _carried(amount, asset, value)
    labels = dict(metadata or {})
    require_labels(label=None, external_id=external_id, metadata=labels)
    if fee_per_gas_max_wei is not None:
        require_amount(fee_per_gas_max_wei, pointer="/fee/fee_per_gas_max_wei")
    try:
        wanted_tier = FeeTier(tier)
    except ValueError:
        raise ValidationFailed("a fee tier is slow, normal or fast", pointer="/fee/tier") from None
    return SendRequest(
        wallet_id=wallet_id,
        to=parse_address(to),
        amount=moved,
        asset=asset,
        chain_id=_chain_id(kit, chain_id),
        tier=wanted_tier,
        fee_per_gas_max_wei=fee_per_gas_max_wei,
        external_id=external_id,
        metadata=labels,
        type=TransactionType.TRANSFER if data is None else TransactionType.CONTRACT_CALL,
        data=b"" if data is None else read_data(data),
        access_list=read_access_list(access_list),
    )


def _moved(amount: int | None, value: int | None) -> int:
    """The amount of a transfer."""
    if value is not None:
        raise ValidationFailed("a value belongs to a contract call; what a transfer moves is its amount", pointer="/value")
    return require_amount(amount)


def _carried(amount: int | None, asset: str, value: int | None) -> int:
    """The ether that a contract call carries."""
    if amount is not None:
        raise ValidationFailed("a contract call has a value, in wei, in place of an amount", pointer="/amount")
    if asset != NATIVE_ALIAS:
        raise ValidationFailed("a contract call carries ether and no other asset", pointer="/asset")
    return 0 if value is None else require_amount(value, pointer="/value", minimum=0)


def tokens_for(unit: Unit, requests: Iterable[SendRequest]) -> Sequence[Token]:
    """The tokens of every chain on which one of `requests` asks for a token, or calls what may be one's contract."""
    chain_ids = sorted({request.chain_id for request in requests if request.is_call or request.asset != NATIVE_ALIAS})
    return [token for chain_id in chain_ids for token in unit.tokens(chain_id)]


def asset_of(request: SendRequest, tokens: Iterable[Token]) -> Asset:
    """The asset that a request names among `tokens`, if it may be sent now. Raises `UnsupportedAsset`."""
    if request.asset == NATIVE_ALIAS:
        return native_asset(request.chain_id)
    for token in tokens:
        asset = token.asset
        if (asset.chain_id, asset.alias) == (request.chain_id, request.asset) and token.state is TokenState.LISTED:
            return asset
    raise UnsupportedAsset(f"{chain_text(request.chain_id)} lists no such token; `custody token list` shows them", pointer="/asset")


def _chain_id(kit: Kit, chain_id: int | None) -> int:
    if chain_id is not None:
        return kit.chain(chain_id).chain_id
    if len(kit.chains) != 1:
        raise ValidationFailed("this service follows several chains; say which one", pointer="/chain")
    return next(iter(kit.chains))
