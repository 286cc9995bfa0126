"""A real HTTP server on loopback that answers as badly as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import attrs

SECRET = "s3cr3t-pr0ject-key"
QUERY_SECRET = "an0ther-k3y-in-the-query"


@attrs.frozen
class Http:
    """A whole HTTP answer. `chunks` are written one by one; `length` is what the header claims (the truth where None)."""

    chunks: Iterable[bytes] = ()
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    length: int | None = None
    hang_up: bool = False


Behaviour = Callable[[Any], Http | Any]
"""The parsed request body → the answer: JSON to send, or an `Http`."""


class RudeServer:
    """Each request takes the next behaviour; the last one stays. With a `chain_id`, it is told politely, and not counted."""

    def __init__(self, *behaviours: Behaviour, chain_id: int | None = None) -> None:
        self.behaviours = list(behaviours)
        self.chain_id = chain_id
        self.requests: list[Any] = []
        self.paths: list[str] = []
        self.connections = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.host}/v3/{SECRET}?key={QUERY_SECRET}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: Any) -> Http:
        if self.chain_id is not None and _is_chain_id(request):
            return Http((json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": hex(self.chain_id)}).encode(),))
        self.requests.append(request)
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        answer = behaviour(request)
        return answer if isinstance(answer, Http) else Http((json.dumps(answer).encode(),))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        rude = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes; together with delayed ACKs each answer took 40 ms

            def setup(self) -> None:
                super().setup()
                rude.connections += 1

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                rude.paths.append(self.path)
                answer = rude._answer(request)
                if answer.hang_up:
                    self.close_connection = True
                    return
                try:
                    self._send(answer)
                except OSError:
                    self.close_connection = True  # the client has had enough

            def _send(self, answer: Http) -> None:
                chunks = answer.chunks if answer.length is not None else [b"".join(answer.chunks)]
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = answer.length if answer.length is not None else sum(len(chunk) for chunk in chunks)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                for chunk in chunks:
                    self.wfile.write(chunk)
                if answer.length is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
                """Nothing."""

        return Handler


def _is_chain_id(request: Any) -> bool:
    return isinstance(request, dict) and request["method"] == "eth_chainId"


def results(*values: object) -> Behaviour:
    """Right answers with these results, in the order of the calls."""

    def behave(request: Any) -> Any:
        calls: Sequence[Any] = request if isinstance(request, list) else [request]
        replies = [{"jsonrpc": "2.0", "id": call["id"], "result": value} for call, value in zip(calls, values, strict=True)]
        return replies if isinstance(request, list) else replies[0]

    return behave


def error(message: str, code: int = -32000, data: object = None) -> Behaviour:
    """The same error for every call."""

    def behave(request: Any) -> Any:
        calls: Sequence[Any] = request if isinstance(request, list) else [request]
        refusal = {"code": code, "message": message} | ({} if data is None else {"data": data})
        replies = [{"jsonrpc": "2.0", "id": call["id"], "error": refusal} for call in calls]
        return replies if isinstance(request, list) else replies[0]

    return behave


def plain(body: bytes, status: int = 200, **headers: str) -> Behaviour:
    """These very bytes."""
    return lambda _: Http((body,), status, {name.replace("_", "-"): value for name, value in headers.items()})
