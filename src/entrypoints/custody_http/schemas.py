"""What may come in: the bodies and query parameters of every route. What is not named here is refused.

Fields are checked for their shape here. What an amount, an address, an alias or a label may be is the core's to say, and it says
so with a
pointer at the same field.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from custody_core.domain.access import Scope

AmountText = Annotated[
    str, Meta(description="base units, as decimal digits", extra_json_schema={"pattern": "^(0|[1-9][0-9]{0,77})$"})
]
AddressText = Annotated[
    str, Meta(description="all lower case, or with a valid EIP-55 checksum", extra_json_schema={"pattern": "^0x[0-9a-fA-F]{40}$"})
]
ChainText = Annotated[str, Meta(description="CAIP-2", extra_json_schema={"pattern": "^eip155:[1-9][0-9]*$"})]
DataText = Annotated[
    str, Meta(description="calldata: a selector and arguments", extra_json_schema={"pattern": "^0x([0-9a-fA-F]{2}){4,}$"})
]
StorageKeyText = Annotated[str, Meta(description="32 bytes", extra_json_schema={"pattern": "^0x[0-9a-fA-F]{64}$"})]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339")]
MomentText = Annotated[str, Meta(description="RFC 3339", extra_json_schema={"format": "date-time"})]
Limit = Annotated[int, Meta(ge=1, le=200, description="entries on a page")]

Direction = Literal["outgoing", "incoming"]


class Schema(Struct, forbid_unknown_fields=True, kw_only=True):
    """What all schemas have in common: an unknown member is refused."""


class Nothing(Schema):
    """No parameters; an action's body, which is `{}` or left out."""


# Query parameters


class PageQuery(Schema):
    """Which page of a list, newest first."""

    limit: Limit = 50
    cursor: str | None = None


class WalletsQuery(PageQuery):
    """`GET /wallets`."""

    external_id: str | None = None


class TransactionsQuery(PageQuery):
    """`GET /transactions`."""

    wallet_id: str | None = None
    direction: Direction | None = None
    state: str | None = None
    asset: str | None = None
    external_id: str | None = None
    created_since: MomentText | None = field(default=None, name="created_at[gte]")


class BalancesQuery(Schema):
    """`GET /wallets/{id}/balances`. `live` asks a node as well, for `on_chain`."""

    live: bool = True


class TokensQuery(Schema):
    """`GET /tokens`."""

    chain: ChainText | None = None


class EventsQuery(Schema):
    """`GET /events`: those after one that you have, in order."""

    after: str | None = None
    limit: Limit = 50


class LedgerEntriesQuery(PageQuery):
    """`GET /ledger-entries`."""

    wallet_id: str | None = None
    chain: ChainText | None = None
    asset: str | None = None
    since: MomentText | None = field(default=None, name="from")
    until: MomentText | None = field(default=None, name="to")


class StatementQuery(Schema):
    """`GET /statements`: what was posted at `from` or later and before `to`. Without them, all until now."""

    wallet_id: str
    since: MomentText | None = field(default=None, name="from")
    until: MomentText | None = field(default=None, name="to")
    format: Literal["json", "csv"] | None = None


class BalanceHistoryQuery(PageQuery):
    """`GET /wallets/{id}/balance-history`."""

    asset: str = "eth"
    chain: ChainText | None = None


# Bodies


class NewWallet(Schema):
    """`POST /wallets`. Only those who see every owner may name another `owner` than themselves."""

    owner: str | None = None
    label: str | None = None
    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class WalletChange(Schema):
    """`PATCH /wallets/{id}`: what is left out stays."""

    label: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class Freeze(Schema):
    """`POST /wallets/{id}/freeze`."""

    reason: str | None = None


class FeeWish(Schema):
    """How much a transaction may pay for gas, in wei per gas."""

    tier: Literal["slow", "normal", "fast"] = "normal"
    fee_per_gas_max_wei: AmountText | None = None


class CancellationFee(Schema):
    """How much a cancellation may pay for gas, in wei per gas, where that is more than the payment may."""

    fee_per_gas_max_wei: AmountText


class Cancellation(Schema):
    """`POST /transactions/{id}/cancel`."""

    fee: CancellationFee | None = None


class AccessListEntry(Schema):
    """One contract and its storage keys that a transaction is going to touch (EIP-2930)."""

    address: AddressText
    storage_keys: list[StorageKeyText] = field(name="storageKeys")


class Transfer(Schema):
    """`POST /transactions/preview`. A `transfer` has an `amount`, and `data` and `value` are of a `contract_call` alone."""

    wallet_id: str
    to: AddressText
    amount: AmountText | UnsetType = UNSET
    type: Literal["transfer", "contract_call"] = "transfer"
    asset: str = "eth"
    data: DataText | UnsetType = UNSET
    value: AmountText | UnsetType = UNSET
    access_list: Annotated[list[AccessListEntry], Meta(max_length=100, description="as in EIP-2930")] = field(default_factory=list)
    chain: ChainText | None = None
    fee: FeeWish = field(default_factory=FeeWish)


class NewTransaction(Transfer):
    """`POST /transactions`."""

    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class BatchItem(Schema):
    """One payout of a batch."""

    to: AddressText
    amount: AmountText
    external_id: str
    asset: str = "eth"
    metadata: dict[str, str] = field(default_factory=dict)


class NewBatch(Schema):
    """`POST /transactions/batch`: payouts from one wallet."""

    wallet_id: str
    items: Annotated[list[BatchItem], Meta(min_length=1, max_length=500)]
    chain: ChainText | None = None
    fee: FeeWish = field(default_factory=FeeWish)


class Release(Schema):
    """`POST /transactions/{id}/release`. `note` says why, for the audit trail."""

    note: str


class NewScan(Schema):
    """`POST /scans`: the blocks `from` to `to` (only `from` without `to`), or the one that has the hash, or holds the transaction
    with it.
    """

    first: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = field(name="from", default=None)
    last: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = field(name="to", default=None)
    hash: str | None = None
    chain: ChainText | None = None


class NewToken(Schema):
    """`POST /tokens`."""

    address: AddressText
    alias: str
    decimals: int
    chain: ChainText | None = None
    dust: str | None = None
    """Base units; deposits below are quarantined."""


class TokenChange(Schema):
    """`PATCH /tokens/{id}`."""

    state: Literal["listed", "disabled"] | None = None
    dust: str | None = None


class NewApiKey(Schema):
    """`POST /api-keys`. Without `expires_at` it works until it is revoked."""

    name: str
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    expires_at: Moment | None = None
