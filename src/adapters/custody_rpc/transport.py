"""HTTP to one node: a request body goes out, an answer body or the reason why there is none comes back.

Rules of this file

1. Nothing that a node or network does raises. Every failure is a `Failure` with a reason for the operator.
2. A node's URL is a secret: keys live in its path, query and user part. Reasons show scheme, host and port, and no text of an
   exception or of an HTTP error page, either of which may repeat the rest.
3. An answer has a size and a time that it cannot exceed, however it is compressed and however slowly it drips.
4. What the environment says about proxies, certificates and passwords is not followed, and neither is a redirect.
5. Only what may be asked twice is tried again, a few times, with waits that differ between callers. What can be divided is not,
   once it took too long: less of it may be answered sooner.
"""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPException
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit
from weakref import WeakSet

import attrs
import requests
import urllib3

REQUEST_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip"}
READ_SIZE_BYTES: Final = 256 * 1024
SECRET_LENGTH_MIN: Final = 8  # shorter parts of a path ("v3", "rpc") are words, and are left in a node's text


class InvalidNodeUrl(ValueError):
    """This URL is not one that we would send requests to. The message does not repeat it."""


@attrs.frozen
class Limits:
    """What one request may cost. `attempts_max` counts the first attempt, too."""

    connect_timeout_s: float = 5.0
    silence_max_s: float = 15.0
    answer_time_max_s: float = 60.0
    answer_bytes_max: int = 32 * 1024 * 1024
    """Three times what the largest question brings. Parsed, an answer can take as much again twice over."""
    attempts_max: int = 4
    backoff_first_s: float = 0.25
    backoff_max_s: float = 5.0


@attrs.frozen
class Waiting:
    """How time passes and chance falls: `chance` gives a number from 0 to below 1."""

    sleep: Callable[[float], None] = time.sleep
    monotonic_s: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


@attrs.frozen
class Failure:
    """No answer. `passing` tells trouble that may be over soon; `wait_s` is what the node asked for; `is_too_much` tells that
    less, asked at once, may be answered; `is_too_long`, that the answer is longer than is read; `is_too_slow`, that whoever took
    the question did not finish, which less of it may change; `is_refused`, that the server did not want it (HTTP 4xx).
    """

    reason: str
    passing: bool = False
    wait_s: float | None = None
    is_too_much: bool = False
    is_too_long: bool = False
    is_too_slow: bool = False
    is_refused: bool = False


class Transport:
    """One node. Safe to share between threads: each has a connection of its own."""

    def __init__(self, url: str, *, limits: Limits, waiting: Waiting, allow_http: bool) -> None:
        self.name, self._secrets = _checked(url, allow_http=allow_http)
        self._url = url
        self._limits = limits
        self._waiting = waiting
        self._local = threading.local()
        self._sessions: WeakSet[requests.Session] = WeakSet()
        self._sessions_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Transport({self.name})"

    def post(self, body: bytes, *, repeatable: bool, divisible: bool = False) -> bytearray | Failure:
        """The body of the node's answer to `body`. What is not `repeatable` is sent once, what is `divisible` once that it is too
        slow.
        """
        answer = self._post_once(body)
        for attempt in range(1, self._limits.attempts_max if repeatable else 1):
            if not isinstance(answer, Failure) or not answer.passing or (divisible and answer.is_too_slow):
                break
            self._waiting.sleep(self._pause_s(attempt, answer))
            answer = self._post_once(body)
        return answer

    def redacted(self, text: str) -> str:
        """A node's own `text` without the secret parts of its URL, should it repeat them."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def close(self) -> None:
        """Lets go of every thread's connections."""
        with self._sessions_lock:
            for session in self._sessions:
                session.close()

    def _pause_s(self, attempt: int, failure: Failure) -> float:
        longest = self._limits.backoff_max_s
        backoff = min(self._limits.backoff_first_s * (1 << (attempt - 1)), longest) * (0.5 + self._waiting.chance())
        return max(backoff, min(failure.wait_s or 0.0, longest))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
            session.headers.clear()
            session.headers.update(REQUEST_HEADERS)
            with self._sessions_lock:
                self._sessions.add(session)
        return session

    def _post_once(self, body: bytes) -> bytearray | Failure:
        limits = self._limits
        timeout = (limits.connect_timeout_s, limits.silence_max_s)
        deadline_s = self._waiting.monotonic_s() + limits.answer_time_max_s
        try:
            with self._session().post(self._url, data=body, timeout=timeout, stream=True, allow_redirects=False) as response:
                refusal = _refusal(response)
                return refusal or self._read(response, deadline_s)
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError, UnicodeError) as error:
            return _from_exception(error, limits)

    def _read(self, response: requests.Response, deadline_s: float) -> bytearray | Failure:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"gzip", "x-gzip", "identity", ""}:
            return Failure("answered in a compression that was not asked for")
        inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS) if "gzip" in encoding else None
        size_max, body = self._limits.answer_bytes_max, bytearray()
        # read1 returns what has arrived; read would wait for a full buffer, and a node that drips would outlast any deadline.
        while chunk := response.raw.read1(READ_SIZE_BYTES, decode_content=False):
            try:
                for part in _inflated(inflate, chunk) if inflate else (chunk,):
                    body += part
                    if len(body) > size_max:
                        return Failure(f"sent more than {size_max} bytes", is_too_long=True)
            except zlib.error:
                return Failure("sent an answer whose compression is broken", passing=True)
            if self._waiting.monotonic_s() > deadline_s:
                return _too_slow(f"did not finish its answer within {self._limits.answer_time_max_s:g} s")
        return _too_slow("sent half an answer") if inflate and not inflate.eof else body


def _inflated(inflate: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """`chunk` decompressed, in parts that stay small however much it grows."""
    while chunk:
        yield inflate.decompress(chunk, READ_SIZE_BYTES)
        chunk = inflate.unconsumed_tail


_GAVE_UP: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT, 524}  # the last: Cloudflare's for a timeout
)


def _too_slow(reason: str) -> Failure:
    return Failure(reason, passing=True, is_too_slow=True)


def _refusal(response: requests.Response) -> Failure | None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return None
    if 300 <= status < 400:
        return Failure(f"answered HTTP {status}; redirects are not followed")
    if status in _GAVE_UP:
        return _too_slow(f"answered HTTP {status}")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
        return Failure(f"answered HTTP {status}", passing=True, wait_s=_retry_after_s(response.headers.get("Retry-After")))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Failure(f"answered HTTP {status}", is_too_much=True)
    return Failure(f"answered HTTP {status}", is_refused=400 <= status < 500)


def _retry_after_s(header: str | None) -> float | None:
    """The seconds of a `Retry-After` header (RFC 9110, 10.2.3). Its other form, a date, would need the time of day."""
    text = (header or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _from_exception(error: Exception, limits: Limits) -> Failure:
    match error:
        case requests.exceptions.SSLError():
            return Failure("could not be trusted: the TLS handshake failed")
        case requests.exceptions.ConnectTimeout():
            return Failure(f"did not accept a connection within {limits.connect_timeout_s:g} s", passing=True)
        case requests.exceptions.ReadTimeout() | urllib3.exceptions.ReadTimeoutError() | TimeoutError():
            return _too_slow(f"was silent for {limits.silence_max_s:g} s")
        case requests.exceptions.ConnectionError(args=(urllib3.exceptions.ProtocolError(), *_)):
            return _too_slow("could not be reached, or hung up")  # after it had accepted the connection
        case requests.exceptions.ConnectionError():
            return Failure("could not be reached, or hung up", passing=True)
        case urllib3.exceptions.ProtocolError() | HTTPException() | OSError():
            return _too_slow("sent half an answer, or no HTTP")
        case _:
            return Failure("could not be asked: the URL or the HTTP answer is not usable")


def _checked(url: str, *, allow_http: bool) -> tuple[str, tuple[str, ...]]:
    """What may be shown of `url`, and the parts of it that may not. Raises `InvalidNodeUrl`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidNodeUrl("a node's URL has the form https://host:port/path") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidNodeUrl("a node's URL begins with https:// (or http:// on this machine) and names a host")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise InvalidNodeUrl(f"plain http is for nodes on this machine, and {host} is not: use https, or set ALLOW_HTTP_RPC")
    name = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    tokens = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), *parts.query.split("&")]
    secrets = {token for token in tokens if len(token) >= SECRET_LENGTH_MIN}
    secrets |= {user for user in (parts.username, parts.password) if user}
    secrets |= {unquote(secret) for secret in secrets}
    return name, tuple(sorted(secrets, key=lambda secret: (-len(secret), secret)))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
