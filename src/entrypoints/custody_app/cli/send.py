"""`custody tx preview` and `custody tx send`."""

from __future__ import annotations

import json
import secrets
import sys
from typing import IO, Any, Final, TypedDict, Unpack

import click

from custody_app.cli.amounts import TypedAmount, base_units, read_amount
from custody_app.cli.exits import exit_code_of_state
from custody_app.cli.opening import books_and_nodes, chain_number
from custody_app.cli.output import Command, fields, json_option, say, show
from custody_app.cli.resources import heads_of
from custody_app.cli.waiting import timeout_option, wait_for
from custody_core import (
    Custody,
    FeeTier,
    IdempotencyKeyMissing,
    InvalidAmount,
    UnsupportedAsset,
    ValidationFailed,
    parse_address,
    parse_units,
)
from custody_core.domain.money import ETHER_DECIMALS, format_units, parse_base_units
from custody_core.domain.resources import Resource
from custody_core.domain.tokens import NATIVE_ALIAS, TokenState
from custody_core.services.resources import movement_resource, preview_resource

ACCESS_LIST_BYTES_MAX: Final = 1_000_000


class _Typed(TypedDict):
    """The options of `_payment_options`."""

    to: str
    amount: str | None
    asset: str | None
    data: str | None
    value: str | None
    access_list: IO[bytes] | None
    chain: str | None
    tier: str
    fee_cap: str | None


def _payment_options(command: Command) -> Command:
    """What `preview` and `send` have in common."""
    for option in reversed(
        (
            click.argument("wallet"),
            click.option("--to", required=True, metavar="0x…", help="the recipient's address"),
            click.option("--amount", metavar="AMOUNT", help="0.05eth, 10.5usdc, or whole base units; not with --data"),
            click.option("--asset", metavar="ALIAS", help="what base units are of: eth (the default) or a listed token"),
            click.option("--data", metavar="0x…", help="call the contract at --to with this calldata, in place of a transfer"),
            click.option("--value", metavar="AMOUNT", help="the ether that such a call carries; none unless told"),
            click.option(
                "--access-list", "access_list", type=click.File("rb"), metavar="FILE", help="JSON as in EIP-2930; - is stdin"
            ),
            click.option("--chain", metavar="eip155:ID", help="which chain, where several are followed"),
            click.option("--tier", type=click.Choice([str(tier) for tier in FeeTier]), default="normal", show_default=True),
            click.option("--fee-per-gas-max-wei", "fee_cap", metavar="WEI", help="the most to pay per gas; no attempt offers more"),
        )
    ):
        command = option(command)
    return command


@click.command("preview")
@_payment_options
@json_option
def preview(wallet: str, as_json: bool, **typed: Unpack[_Typed]) -> None:
    """Show what a send would cost and whether it would be accepted. Moves nothing."""
    payment = _Payment(wallet, typed)
    with books_and_nodes() as custody:
        resource = preview_resource(custody.transactions.preview(wallet, **payment.arguments(custody)))
    show(resource, as_json=as_json, text=_preview_text(resource, payment))


@click.command("send")
@_payment_options
@click.option("--idempotency-key", metavar="KEY", help="the id of your payout: repeated with the same key, it is sent once")
@click.option("--external-id", metavar="ID", help="your own id for it, unique per owner")
@click.option("--wait", "until", type=click.Choice(["confirming", "completed"]), help="wait until it is in a block, or final")
@timeout_option
@click.option("--yes", is_flag=True, help="do not ask")
@click.option("--no-input", is_flag=True, help="never ask, as without a terminal")
@json_option
def send(
    wallet: str,
    idempotency_key: str | None,
    external_id: str | None,
    until: str | None,
    timeout_s: float,
    yes: bool,
    no_input: bool,
    as_json: bool,
    **typed: Unpack[_Typed],
) -> int:
    """Send from a wallet. WALLET is its id. The scanner signs it, sends it and follows it until it is final."""
    somebody_is_there = sys.stdin.isatty() and sys.stderr.isatty() and not no_input
    payment = _Payment(wallet, typed)
    if idempotency_key is None and not somebody_is_there:
        raise IdempotencyKeyMissing("give --idempotency-key: the id of your payout, the same one on every retry")
    # An empty key is not a missing one: a key made up in its place would pay again at each retry. The service refuses it.
    key = f"cli-{secrets.token_hex(8)}" if idempotency_key is None else idempotency_key
    with books_and_nodes() as custody:
        arguments = payment.arguments(custody)
        if somebody_is_there and not yes:
            _ask(custody, payment, arguments)
        if idempotency_key is None:
            say(f"idempotency key {key}: give it again with --idempotency-key, should this have to be repeated")
        sent = custody.transactions.send(wallet, idempotency_key=key, external_id=external_id, **arguments)
        if until is not None:
            sent = wait_for(custody, sent.id, until=until, timeout_s=timeout_s)
        resource = movement_resource(sent, heads_of(custody))
    show(resource, as_json=as_json, text=movement_text(resource))
    return exit_code_of_state(sent.state)


class _Payment:
    """What was typed, checked as far as that goes without the service."""

    def __init__(self, wallet: str, typed: _Typed) -> None:
        amount, value, cap, access_list = typed["amount"], typed["value"], typed["fee_cap"], typed["access_list"]
        self.wallet = wallet
        self.to = parse_address(typed["to"])
        self.data = typed["data"]
        if (amount is None) == (self.data is None):
            raise click.UsageError("give either --amount, for a transfer, or --data, for a contract call")
        if value is not None and self.data is None:
            raise click.UsageError("--value belongs to --data; what a transfer moves is its --amount")
        self._amount: TypedAmount | None = None if amount is None else read_amount(amount)
        self._value = None if value is None else _wei(value)
        self._asset = typed["asset"]
        self._chain_id = chain_number(typed["chain"])
        self._tier = typed["tier"]
        self._fee_cap = None if cap is None else parse_base_units(cap, pointer="/fee/fee_per_gas_max_wei")
        self._access_list = () if access_list is None else _read_access_list(access_list)

    def arguments(self, custody: Custody) -> dict[str, Any]:
        """What `custody.transactions.send` and `.preview` take."""
        asset, amount = self._asset or NATIVE_ALIAS, None
        if self._amount is not None:
            asset, amount = base_units(self._amount, asset=self._asset, decimals_of=lambda alias: self._decimals(custody, alias))
        return {
            "to": self.to,
            "amount": amount,
            "asset": asset,
            "data": self.data,
            "value": self._value,
            "access_list": self._access_list,
            "chain_id": self._chain_id,
            "tier": self._tier,
            "fee_per_gas_max_wei": self._fee_cap,
        }

    def _decimals(self, custody: Custody, alias: str) -> int:
        if alias == NATIVE_ALIAS:
            return ETHER_DECIMALS
        known = {
            token.asset.decimals
            for token in custody.tokens.list(chain_id=self._chain_id)
            if token.asset.alias == alias and token.state is TokenState.LISTED
        }
        if len(known) != 1:
            raise UnsupportedAsset(f"no token is listed as {alias!r}; `custody token list` shows them", pointer="/asset")
        return known.pop()


def _wei(text: str) -> int:
    """The ether that was typed: `0.05eth`, or wei."""
    typed = read_amount(text)
    if typed.alias not in {None, NATIVE_ALIAS}:
        raise InvalidAmount(f"a call carries ether and not {typed.alias}", pointer="/value")
    return parse_units(typed.number, 0 if typed.alias is None else ETHER_DECIMALS)


def _read_access_list(file: IO[bytes]) -> Any:
    try:
        return json.loads(file.read(ACCESS_LIST_BYTES_MAX))
    except (ValueError, RecursionError):
        raise ValidationFailed("the access list is not JSON, or larger than 1 MB", pointer="/access_list") from None


def _ask(custody: Custody, payment: _Payment, arguments: dict[str, Any]) -> None:
    """Shows the preview and goes on only with a yes."""
    say(_preview_text(preview_resource(custody.transactions.preview(payment.wallet, **arguments)), payment))
    click.confirm("\nSend it?", abort=True, err=True)


def _preview_text(resource: Resource, payment: _Payment) -> str:
    preview_: Any = resource
    policy = preview_["policy"]
    return fields(
        {
            "from": payment.wallet,
            "to": payment.to,
            "calldata": payment.data,
            "amount": f"{preview_['formatted']} {preview_['asset']} ({preview_['amount']} base units)",
            "available": f"{format_units(int(preview_['available']), preview_['decimals'])} {preview_['asset']}",
            "gas": _gas_text(preview_),
            "simulation": _simulation_text(preview_["simulation"]),
            "policy": f"{policy['decision']} ({', '.join(policy['rules'])})",
            "funds": "enough" if preview_["sufficient"] else "not enough for the amount and the gas",
        }
    )


def _gas_text(preview_: Any) -> str:
    at_most = f"{_gwei(preview_['fee_per_gas_max_wei'])} at most"
    if preview_["gas_limit"] is None:
        return f"nobody knows how much, at {at_most}"
    hold = format_units(int(preview_["fee_hold_wei"]), ETHER_DECIMALS)
    return f"{preview_['gas_limit']} at {at_most}: {hold} eth are held for it"


def _simulation_text(simulation: Any) -> str:
    if simulation is None:
        return "not tried: the funds do not suffice"
    return "it works" if simulation["ok"] else f"it would revert: {simulation['reason'] or 'no reason given'}"


def _gwei(wei: str) -> str:
    return f"{format_units(int(wei), 9)} gwei"


def movement_text(resource: Resource) -> str:
    """A transaction of either direction, for people."""
    movement: Any = resource
    block, fee, policy = movement["block"], movement.get("fee"), movement.get("policy")
    text = fields(
        {
            "transaction": movement["id"],
            "direction": movement["direction"],
            "state": movement["state"],
            "reason": movement["reason"],
            "waiting for": movement.get("waiting_for"),
            "cancel asked": movement.get("cancel_requested_at"),
            "amount": f"{movement['formatted']} {movement['asset']} ({movement['chain']})",
            "from": movement["from"],
            "to": movement["to"],
            "calldata": movement.get("data"),
            "wallet": movement["wallet_id"],
            "hash": movement["hash"],
            "nonce": movement.get("nonce"),
            "block": f"{block['number']} ({movement['confirmations']} confirmations)" if block else None,
            "fee": f"{format_units(int(fee['amount']), ETHER_DECIMALS)} {fee['asset']}" if fee else None,
            "policy": f"{policy['decision']} ({', '.join(policy['rules'])})" if policy else None,
            "external id": movement.get("external_id"),
            "created": movement["created_at"],
            "updated": movement["updated_at"],
        }
    )
    attempts = [_attempt_text(number, each) for number, each in enumerate(movement.get("attempts", ()), 1)]
    return "\n".join([text, *attempts])


def _attempt_text(number: int, attempt: Any) -> str:
    cap, hash_ = _gwei(attempt["fee_per_gas_max_wei"]), attempt["hash"] or "not signed"
    return f"attempt {number}  {attempt['kind']}, {attempt['state']}, at most {cap}, {hash_}"
