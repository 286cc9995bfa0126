"""What can go wrong between a wallet and its node: one value per fault, for FaultProxy to act out."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs


@attrs.frozen
class Delay:
    """Waits before the call is passed on."""

    seconds: float


@attrs.frozen
class DropRequest:
    """The node never hears of the call, and the caller's connection is closed without an answer."""


@attrs.frozen
class ForwardThenDropReply:
    """The node does what it is asked, but the answer is lost."""


@attrs.frozen
class Before:
    """`act` happens when the call arrives, before the node hears of it: with DropRequest, the caller's death before the effect."""

    act: Callable[[], object]


@attrs.frozen
class After:
    """`act` happens when the node has answered, before the caller knows: with ForwardThenDropReply, its death after the effect."""

    act: Callable[[], object]


@attrs.frozen
class Null:
    """`"result": null` without asking the node."""


@attrs.frozen
class Say:
    """This `result` without asking the node."""

    result: Any


@attrs.frozen
class Error:
    """A JSON-RPC error without asking the node."""

    code: int
    message: str
    data: object = None


@attrs.frozen
class Http:
    """Another HTTP answer in place of the whole reply, without asking the node."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""


@attrs.frozen
class Edit:
    """Passes the call on and changes its `result`."""

    change: Callable[[Any], Any]


@attrs.frozen
class EditReply:
    """Passes the call on and changes the whole JSON-RPC reply object (drop `result`, swap `id`)."""

    change: Callable[[dict[str, Any]], Any]


@attrs.frozen
class Route:
    """Asks another node."""

    url: str


@attrs.frozen
class Stale:
    """Repeats the last answer to the same method and params; the first time, asks the node."""


@attrs.frozen
class Truncate:
    """Sends only the first bytes of the HTTP body under its full length, then closes the connection."""

    bytes_kept: int


@attrs.frozen
class Drip:
    """Sends the HTTP body a few bytes at a time."""

    bytes_per_chunk: int
    pause_s: float


Fault: TypeAlias = (
    Delay
    | DropRequest
    | ForwardThenDropReply
    | Before
    | After
    | Null
    | Say
    | Error
    | Http
    | Edit
    | EditReply
    | Route
    | Stale
    | Truncate
    | Drip
)


def without_logs(result: Any) -> Any:
    """For Edit: an answer of eth_getLogs or a receipt that has lost its logs."""
    return [] if isinstance(result, list) else {**result, "logs": []}


def doubled_logs(result: Any) -> Any:
    """For Edit: an answer of eth_getLogs in which every log comes twice, and in the wrong order."""
    return [*reversed(result), *result]
