"""A proxy between a wallet and a node that understands JSON-RPC, misbehaves by rule, and remembers every call.

    with FaultProxy(node.rpc_url) as proxy:
        proxy.on("eth_sendRawTransaction", ForwardThenDropReply(), times=1)
        ...                                    # the system under test uses proxy.url
        assert len(proxy.calls("eth_sendRawTransaction")) == 2

Rules apply to each call of a batch by itself: a dropped call is missing from the batch's answer (a batch without any
answer left closes the connection). Http, Truncate and Drip are faults of the whole HTTP answer.
"""

import json
import random
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs
import requests

from tests.support.faults import (
    After,
    Before,
    Delay,
    Drip,
    DropRequest,
    Edit,
    EditReply,
    Error,
    Fault,
    ForwardThenDropReply,
    Http,
    Null,
    Route,
    Say,
    Stale,
    Truncate,
)
from tests.support.gethpool import GethPool

UPSTREAM_TIMEOUT_S = 60.0
ANY_METHOD = "*"

F = TypeVar("F")


def first(kind: type[F], faults: Sequence[Fault]) -> F | None:
    return next((fault for fault in faults if isinstance(fault, kind)), None)


@attrs.define
class Rule:
    """When `faults` befall a call of `method`. It can be switched off by setting `times_left` to 0."""

    method: str
    faults: tuple[Fault, ...]
    times_left: int | None
    skip_left: int
    probability: float
    when: Callable[[list[Any]], bool] | None
    chance: random.Random

    def takes(self, method: str, params: list[Any]) -> bool:
        if self.method not in {ANY_METHOD, method} or self.times_left == 0:
            return False
        if self.when is not None and not self.when(params):
            return False
        if self.skip_left > 0:
            self.skip_left -= 1
            return False
        if self.chance.random() >= self.probability:
            return False
        if self.times_left is not None:
            self.times_left -= 1
        return True


@attrs.frozen
class Call:
    """One call as the proxy saw it. `answer` is the reply object that it sent, None where none was sent."""

    method: str
    params: list[Any]
    answer: dict[str, Any] | None
    faults: tuple[Fault, ...]

    @property
    def result(self) -> Any:
        return None if self.answer is None else self.answer.get("result")


@attrs.define
class Exchange:
    """One HTTP request while it is being answered."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=lambda: {"Content-Type": "application/json"})
    truncate: Truncate | None = None
    drip: Drip | None = None
    is_replaced: bool = False
    is_dropped: bool = False

    def befall(self, faults: Sequence[Fault]) -> None:
        """Takes up those faults that concern the HTTP answer as a whole."""
        self.truncate = first(Truncate, faults) or self.truncate
        self.drip = first(Drip, faults) or self.drip
        if replacement := first(Http, faults):
            self.status, self.body, self.is_replaced = replacement.status, replacement.body, True
            self.headers = dict(replacement.headers)


class FaultProxy:
    """Before the node at `node_url`. With `geth_rules` its pool behaves as geth's does (see `gethpool.py`). Without `remembers` it
    keeps no log, for runs so long that it would fill the memory; `Stale` needs one.
    """

    def __init__(self, node_url: str, *, seed: int = 0, geth_rules: bool | GethPool = False, remembers: bool = True) -> None:
        self.node_url = node_url
        self._remembers = remembers
        self._geth_pool = GethPool() if geth_rules is True else geth_rules or None
        self._chance = random.Random(seed)
        self._lock = threading.RLock()
        self._rules: list[Rule] = []
        self._calls: list[Call] = []
        self._arrivals: list[tuple[str, list[Any]]] = []
        self._last_replies: dict[str, dict[str, Any]] = {}
        self._stopping = threading.Event()
        self._server = Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="faultproxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes the door; calls that are being delayed end at once."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # Rules and the log

    def on(
        self,
        method: str,
        *faults: Fault,
        times: int | None = None,
        skip: int = 0,
        probability: float = 1.0,
        when: Callable[[list[Any]], bool] | None = None,
    ) -> Rule:
        """From now on `faults` befall calls of `method` ("*" for any): at most `times`, after the first `skip`, by
        `probability` under the proxy's seed, and only where `when(params)`. The first rule that takes a call wins.
        """
        rule = Rule(method, faults, times, skip, probability, when, self._chance)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forgets the rules; the log stays."""
        with self._lock:
            self._rules.clear()

    def calls(self, method: str | None = None) -> list[Call]:
        """The calls so far that are answered, or will never be, oldest answer first."""
        with self._lock:
            return [call for call in self._calls if method in {None, call.method}]

    def arrivals(self, method: str | None = None) -> list[tuple[str, list[Any]]]:
        """Method and params of each call in the order in which they came, those still being answered included. For `when`, too."""
        with self._lock:
            return [call for call in self._arrivals if method in {None, call[0]}]

    def faults_for(self, method: str, params: list[Any]) -> tuple[Fault, ...]:
        with self._lock:
            self._arrivals.append((method, params))
            return next((rule.faults for rule in self._rules if rule.takes(method, params)), ())

    # Answering

    def answer(self, body: bytes, session: requests.Session) -> Exchange:
        """What to send for the body of one HTTP request."""
        exchange = Exchange()
        parsed = json.loads(body)
        requests_ = parsed if isinstance(parsed, list) else [parsed]
        replies = [self._answer_one(request, exchange, session) for request in requests_]
        sent = [reply for reply in replies if reply is not None]
        if exchange.is_replaced:
            return exchange
        exchange.is_dropped = not sent
        exchange.body = json.dumps(sent if isinstance(parsed, list) else next(iter(sent), None)).encode()
        return exchange

    def _answer_one(self, request: dict[str, Any], exchange: Exchange, session: requests.Session) -> dict[str, Any] | None:
        method, params = request["method"], request.get("params", [])
        faults = self.faults_for(method, params)
        reply = self._act(faults, method, params, exchange, session)
        answer = None if reply is None else {"jsonrpc": "2.0", "id": request.get("id"), **reply}
        for fault in faults:
            if isinstance(fault, EditReply) and answer is not None:
                answer = fault.change(answer)
        if self._remembers:
            with self._lock:
                self._calls.append(Call(method, params, answer, faults))
        return answer

    def _act(
        self, faults: Sequence[Fault], method: str, params: list[Any], exchange: Exchange, session: requests.Session
    ) -> dict[str, Any] | None:
        """The reply without its envelope ({"result"} or {"error"}), or None where none is to be sent."""
        if delay := first(Delay, faults):
            self.pause(delay.seconds)
        if before := first(Before, faults):
            before.act()
        exchange.befall(faults)
        if exchange.is_replaced or first(DropRequest, faults) is not None:
            return None
        reply = self._reply_without_asking(faults, method, params)
        if reply is None:
            route = first(Route, faults)
            reply = self._ask(session, route.url if route else self.node_url, method, params)
        for fault in faults:
            if isinstance(fault, Edit) and "result" in reply:
                reply = {"result": fault.change(reply["result"])}
        if after := first(After, faults):
            after.act()
        if self._remembers:
            with self._lock:
                self._last_replies[json.dumps([method, params])] = reply
        return reply if first(ForwardThenDropReply, faults) is None else None

    def _reply_without_asking(self, faults: Sequence[Fault], method: str, params: list[Any]) -> dict[str, Any] | None:
        if first(Null, faults) is not None:
            return {"result": None}
        if said := first(Say, faults):
            return {"result": said.result}
        if error := first(Error, faults):
            return {"error": attrs.asdict(error, filter=lambda _, value: value is not None)}
        if first(Stale, faults) is not None:
            with self._lock:
                return self._last_replies.get(json.dumps([method, params]))
        return None

    def _ask(self, session: requests.Session, url: str, method: str, params: list[Any]) -> dict[str, Any]:
        def ask(name: str, *arguments: object) -> dict[str, Any]:
            request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": arguments}
            reply = session.post(url, json=request, timeout=UPSTREAM_TIMEOUT_S).json()
            return {key: reply[key] for key in ("result", "error") if key in reply}

        return ask(method, *params) if self._geth_pool is None else self._geth_pool.answer(method, params, ask)

    def pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that gave up waiting is no news; everything else is in the log that the test reads."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.session = requests.Session()
        self.session.trust_env = False

    def finish(self) -> None:
        self.session.close()
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Silent: the calls are in the proxy's own log."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        exchange = self.server.proxy.answer(body, self.session)
        if exchange.is_dropped:
            self.close_connection = True
            return
        self.send_response(exchange.status)
        for name, value in {"Content-Length": str(len(exchange.body)), **exchange.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._send_body(exchange)

    def _send_body(self, exchange: Exchange) -> None:
        body = exchange.body
        if exchange.truncate is not None:
            body = body[: exchange.truncate.bytes_kept]
            self.close_connection = True
        step, pause_s = len(body) or 1, 0.0
        if exchange.drip is not None:
            step, pause_s = exchange.drip.bytes_per_chunk, exchange.drip.pause_s
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            self.server.proxy.pause(pause_s)
