"""Payouts: many sends from one wallet under one key, each with a result of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from custody_core.domain.fees import FeeTier
from custody_core.domain.tokens import NATIVE_ALIAS
from custody_core.errors import CustodyError, ValidationFailed
from custody_core.ports import Unit
from custody_core.services import idempotency
from custody_core.services.accepting import BATCH_ROUTE, Asked, BatchKey
from custody_core.services.kit import Kit
from custody_core.services.outcomes import outcome_of
from custody_core.services.send_requests import SendRequest, read_request
from custody_core.services.wallets import visible_wallet

BATCH_MAX = 500


@attrs.frozen(kw_only=True)
class Payout:
    """One send of a batch. `external_id` tells it apart, for ever."""

    to: str
    amount: int
    external_id: str
    asset: str = NATIVE_ALIAS
    metadata: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Batch:
    """What the sends of a batch have in common."""

    wallet_id: str
    payouts: Sequence[Payout]
    chain_id: int | None = None
    tier: FeeTier | str = FeeTier.NORMAL
    fee_per_gas_max_wei: int | None = None


def ask_batch(
    kit: Kit, batch: Batch, *, idempotency_key: str, owner_id: str | None, actor: str | None
) -> list[Asked | CustodyError]:
    """A request for each payout, or what is wrong with it. Raises what concerns the whole batch: `NotFound`, `ValidationFailed`,
    `IdempotencyKeyMissing`, and `IdempotencyKeyReused` where its key was used with another batch.
    """
    key = idempotency.require_key(idempotency_key)
    if not 1 <= len(batch.payouts) <= BATCH_MAX:
        raise ValidationFailed(f"a batch has 1 to {BATCH_MAX} items", pointer="/items")
    if len({payout.external_id for payout in batch.payouts}) != len(batch.payouts):
        raise ValidationFailed("two items have the same external_id", pointer="/items")
    of_batch = BatchKey(key, _digest(batch))
    asked: list[Asked | CustodyError] = []
    for index, payout in enumerate(batch.payouts):
        request = outcome_of(partial(_request, kit, batch, payout))
        # A space is in no key that a caller can give, so these are in nobody's way.
        item_key = f"{key} {index}"
        asked.append(request if isinstance(request, CustodyError) else Asked(request, item_key, owner_id, actor, of_batch))
    kit.read(lambda unit: _require_same_batch(unit, batch, of_batch, owner_id))
    return asked


def _request(kit: Kit, batch: Batch, payout: Payout) -> SendRequest:
    return read_request(
        kit,
        batch.wallet_id,
        payout.to,
        payout.amount,
        payout.asset,
        batch.chain_id,
        batch.tier,
        batch.fee_per_gas_max_wei,
        payout.external_id,
        payout.metadata,
    )


def _require_same_batch(unit: Unit, batch: Batch, of_batch: BatchKey, owner_id: str | None) -> None:
    wallet = visible_wallet(unit, batch.wallet_id, owner_id)
    record = unit.idempotency(idempotency.scope_of(wallet.owner_id or "", BATCH_ROUTE), of_batch.key)
    if record is not None:
        idempotency.require_same(record, of_batch.digest)


def _digest(batch: Batch) -> bytes:
    body = attrs.asdict(batch, value_serializer=lambda _class, _field, value: str(value) if isinstance(value, int) else value)
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), default=dict).encode()).digest()
