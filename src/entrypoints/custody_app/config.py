"""Every setting, with its unit and default.

Settings come from the environment (prefix `CUSTODY_`) or from the TOML file that `CUSTODY_CONFIG` names, where they are written
in lower case
without the prefix; the environment wins. A setting that holds a secret may be given as a file instead, by the same name with
`_FILE`.
A setting that nobody knows is refused: a misspelt limit must not be a missing limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import attrs

from custody_core import Traces
from custody_core.domain.chain import chain_name
from custody_core.domain.fees import ETHER, GAS_LIMIT_MAX, GWEI, PLAIN_TRANSFER_GAS
from custody_core.domain.nonce import IN_FLIGHT_MAX
from custody_core.errors import CustodyError

PREFIX = "CUSTODY_"

SEPOLIA_CHAIN_ID = 11155111

DEV_CHAIN_ID = 31337
"""What dev chains call themselves that make blocks when there is something for them: their newest block may be of any age."""

HEAD_AGE_MAX_S = 7_200
"""Elsewhere a newest block of two hours ago is a node's that has lost its chain."""

DIGITS_MAX = 78
"""The digits of the largest number that Ethereum knows, 2**256 - 1."""

_NOT_SETTINGS = frozenset({"CONFIG", "ANVIL"})
"""Variables with our prefix that are not settings: where the file is, and which dev chain the demo starts."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ConfigurationError(CustodyError):
    """A setting is missing, unknown or makes no sense; the text names it and the next step."""

    code = "configuration"


@attrs.frozen
class ChainSettings:
    """One followed chain. `confirmations` is the depth that counts as final, None for the node's `finalized` tag; `traces` says
    what is made of its nodes' traces.

    `given_name` is that of its table, `given_head_age_max_s` what is set, None where nothing is.
    `is_chain_id_given` tells an id that somebody has set from the default.
    """

    given_name: str | None
    chain_id: int
    rpc_urls: tuple[str, ...] = attrs.field(repr=False)
    confirmations: int | None = None
    traces: Traces = Traces.AUTO
    given_head_age_max_s: int | None = None
    is_chain_id_given: bool = True

    @property
    def name(self) -> str:
        """What it is called here, or else everywhere."""
        return self.given_name or chain_name(self.chain_id)

    @property
    def head_age_max_s(self) -> int | None:
        """How old its newest block may be while sends are made, None for any age."""
        default = 0 if self.chain_id == DEV_CHAIN_ID else HEAD_AGE_MAX_S
        return (default if self.given_head_age_max_s is None else self.given_head_age_max_s) or None


@attrs.frozen
class Settings:
    """What an operator has set. `repr` shows no secret."""

    database_url: str = attrs.field(default="sqlite:///custody.db", repr=False)
    chains: tuple[ChainSettings, ...] = ()
    key_file: Path = Path("custody.key")
    scan_interval_s: float = 2.0
    max_fee_per_gas_wei: int = 500 * GWEI
    max_fee_wei: int = ETHER
    max_gas_limit: int = GAS_LIMIT_MAX
    in_flight_max: int = IN_FLIGHT_MAX
    reconcile_requests_per_minute: int = 10
    key_pool_size: int = 10
    dust_wei: int = 0
    cross_check_min_wei: int | None = None
    allow_http_rpc: bool = False
    explorer_url: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None


def load_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of this environment. Raises `ConfigurationError`."""
    given = {name[len(PREFIX) :]: text for name, text in environment.items() if name.startswith(PREFIX)}
    file = _read_file(given["CONFIG"]) if given.get("CONFIG") else {}
    chain_tables = file.pop("chains", {})
    texts = {name.upper(): _as_text(name, value) for name, value in file.items()}
    texts |= {name: text for name, text in given.items() if name not in _NOT_SETTINGS}
    texts = _with_secrets_read(texts, lambda name: PREFIX + name)
    unknown = sorted(set(texts) - set(_READERS) - _CHAIN_NAMES)
    if unknown:
        raise ConfigurationError(f"there is no setting {PREFIX}{unknown[0]}; docs/reference/settings.md lists them all")
    values: dict[str, Any] = {name.lower(): read(name, texts[name]) for name, read in _READERS.items() if name in texts}
    chains = _chains(texts, chain_tables, allow_http=values.get("allow_http_rpc", False))
    settings = Settings(chains=chains, **values)
    if settings.cross_check_min_wei is not None:
        _require_second_node(settings)
    return settings


def require_chains(settings: Settings) -> Settings:
    """`settings`, when they name a node. Raises `ConfigurationError` with an example."""
    if not settings.chains:
        raise ConfigurationError(
            f"no node is set: give {PREFIX}RPC_URL, for example {PREFIX}RPC_URL=https://your-node.example/v3/KEY for Sepolia, "
            f"or {PREFIX}RPC_URL=http://127.0.0.1:8545 with {PREFIX}CHAIN_ID=31337 for a local dev chain"
        )
    return settings


def _chains(texts: Mapping[str, str], tables: object, *, allow_http: bool) -> tuple[ChainSettings, ...]:
    short_form = {name.lower(): text for name, text in texts.items() if name in _CHAIN_NAMES}
    if not isinstance(tables, dict):
        raise ConfigurationError("`chains` is a table of tables, as in [chains.sepolia]")
    if tables and short_form:
        raise ConfigurationError(
            f"set either [chains.…] tables or {', '.join(PREFIX + each for each in sorted(_CHAIN_NAMES))}, not both"
        )
    if not tables and not short_form.get("rpc_url", "").strip(" ,"):
        return ()
    named: dict[str | None, dict[str, str]] = {str(name): _chain_texts(str(name), table) for name, table in tables.items()}
    chains = tuple(_chain(name, chain, allow_http=allow_http) for name, chain in (named or {None: short_form}).items())
    if len({chain.chain_id for chain in chains}) != len(chains):
        raise ConfigurationError("two chains have the same CHAIN_ID")
    return chains


def _require_second_node(settings: Settings) -> None:
    for chain in settings.chains:
        if len(set(chain.rpc_urls)) < 2:
            raise ConfigurationError(
                f"{PREFIX}CROSS_CHECK_MIN_WEI needs two nodes that are independent of each other: chain {chain.name} has one; "
                "give its RPC_URL two different addresses, separated by a comma"
            )


def _chain_texts(name: str, table: object) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"[chains.{name}] is a table")
    unknown = sorted(set(table) - {each.lower() for each in (*_CHAIN_NAMES, "RPC_URL_FILE")})
    if unknown:
        raise ConfigurationError(f"[chains.{name}] has no setting {unknown[0]}")
    texts = {str(key).upper(): _as_text(str(key), value) for key, value in table.items()}
    read = _with_secrets_read(texts, lambda setting: f"{setting.lower()} of [chains.{name}]")
    return {key.lower(): text for key, text in read.items()}


def _chain(name: str | None, texts: Mapping[str, str], *, allow_http: bool) -> ChainSettings:
    urls = tuple(url.strip() for url in texts.get("rpc_url", "").split(",") if url.strip())
    if not urls:
        raise ConfigurationError(f"chain {name} has no RPC_URL")
    for url in urls:
        _require_safe_url(url, allow_http=allow_http)
    depth = texts.get("confirmations", "finalized")
    age_s = texts.get("head_age_max_s")
    return ChainSettings(
        given_name=name,
        chain_id=_positive("CHAIN_ID", texts.get("chain_id", str(SEPOLIA_CHAIN_ID))),
        rpc_urls=urls,
        confirmations=None if depth == "finalized" else _positive("CONFIRMATIONS", depth),
        traces=_traces(texts.get("traces", Traces.AUTO)),
        given_head_age_max_s=None if age_s is None else _at_most_a_year("HEAD_AGE_MAX_S", age_s),
        is_chain_id_given="chain_id" in texts,
    )


def _traces(text: str) -> Traces:
    try:
        return Traces(text)
    except ValueError:
        raise ConfigurationError(f"{PREFIX}TRACES is {', '.join(Traces)}") from None


def _require_safe_url(url: str, *, allow_http: bool) -> None:
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{PREFIX}RPC_URL is an http or https address, such as https://your-node.example/v3/KEY")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not allow_http:
        raise ConfigurationError(
            f"plain http to {parts.hostname} would show your transactions to the network; use https, "
            f"or set {PREFIX}ALLOW_HTTP_RPC=true if that network is yours"
        )


def _split(url: str) -> SplitResult | None:
    """The parts of `url`; None for what is none, such as `http://[::1`."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read here, because it is checked only when it is read
    except ValueError:
        return None
    return parts


def _read_file(path: str) -> dict[str, object]:
    import tomllib  # noqa: PLC0415 - most installations have no such file

    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise ConfigurationError(f"{PREFIX}CONFIG names a file that cannot be read: {problem.strerror}") from None
    except ValueError:  # not TOML, not UTF-8, or a number of thousands of digits
        raise ConfigurationError(f"the file that {PREFIX}CONFIG names is not TOML") from None


def _with_secrets_read(texts: Mapping[str, str], named: Callable[[str], str]) -> dict[str, str]:
    """The texts, each secret that stands in a file of its own read from there. `named` is what to call a setting in an error."""
    read = dict(texts)
    for name in _SECRET_NAMES:
        path = read.pop(f"{name}_FILE", None)
        if path is None:
            continue
        if name in read:
            raise ConfigurationError(f"set either {named(name)} or {named(f'{name}_FILE')}, not both")
        try:
            read[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            raise ConfigurationError(f"the file that {named(f'{name}_FILE')} names cannot be read") from None
    return read


def _as_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**DIGITS_MAX:
        raise ConfigurationError(f"{name} is a number of at most {DIGITS_MAX} digits")
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigurationError(f"{name} is a single value")


def _text(_name: str, text: str) -> str:
    return text


def _path(_name: str, text: str) -> Path:
    return Path(text)


def _port(name: str, text: str) -> int:
    number = _natural(name, text)
    if number > 65_535:
        raise ConfigurationError(f"{PREFIX}{name} is a port: 0 to 65535, 0 for any free one")
    return number


def _public_url(name: str, text: str) -> str:
    """The address by which clients reach the service. What is behind a host and a port would be repeated in every link, so there
    is nothing."""
    parts = _split(text)
    if (
        parts is None
        or parts.scheme not in {"http", "https"}
        or not parts.hostname
        or text.rstrip("/") != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ConfigurationError(f"{PREFIX}{name} is the address of the service without a path, such as https://custody.example")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{PREFIX}{name} names no user and no password")
    return text.rstrip("/")


def _positive(name: str, text: str) -> int:
    number = _natural(name, text)
    if number == 0:
        raise ConfigurationError(f"{PREFIX}{name} is a whole number above 0")
    return number


def _gas_limit(name: str, text: str) -> int:
    number = _natural(name, text)
    if not PLAIN_TRANSFER_GAS <= number <= GAS_LIMIT_MAX:
        raise ConfigurationError(
            f"{PREFIX}{name} lies between {PLAIN_TRANSFER_GAS} (a plain transfer) and {GAS_LIMIT_MAX} (EIP-7825)"
        )
    return number


def _natural(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{PREFIX}{name} is a whole number, not {text[:40]!r}")
    if len(text) > DIGITS_MAX:
        raise ConfigurationError(f"{PREFIX}{name} is a number of at most {DIGITS_MAX} digits")
    return int(text)


def _at_most_a_year(name: str, text: str) -> int:
    number = _natural(name, text)
    if number > 366 * 24 * 60 * 60:
        raise ConfigurationError(f"{PREFIX}{name} is a number of seconds up to those of a year; 0 is for any age")
    return number


def _per_minute(name: str, text: str) -> int:
    number = _positive(name, text)
    if number > 6_000:
        raise ConfigurationError(f"{PREFIX}{name} is a number of requests between 1 and 6000")
    return number


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 3600:
        raise ConfigurationError(f"{PREFIX}{name} is a number of seconds between 0.05 and 3600")
    return seconds


def _boolean(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        raise ConfigurationError(f"{PREFIX}{name} is true or false")
    return text == "true"


_READERS: Mapping[str, Callable[[str, str], object]] = {
    "DATABASE_URL": _text,
    "KEY_FILE": _path,
    "SCAN_INTERVAL_S": _seconds,
    "MAX_FEE_PER_GAS_WEI": _positive,
    "MAX_FEE_WEI": _positive,
    "MAX_GAS_LIMIT": _gas_limit,
    "IN_FLIGHT_MAX": _positive,
    "RECONCILE_REQUESTS_PER_MINUTE": _per_minute,
    "KEY_POOL_SIZE": _positive,
    "DUST_WEI": _natural,
    "CROSS_CHECK_MIN_WEI": _natural,
    "ALLOW_HTTP_RPC": _boolean,
    "EXPLORER_URL": _text,
    "HOST": _text,
    "PORT": _port,
    "PUBLIC_URL": _public_url,
}

_CHAIN_NAMES = frozenset({"RPC_URL", "CHAIN_ID", "CONFIRMATIONS", "TRACES", "HEAD_AGE_MAX_S"})

_SECRET_NAMES = ("DATABASE_URL", "RPC_URL")
