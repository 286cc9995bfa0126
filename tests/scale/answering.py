"""A node that knows one thing: that every address holds the same, and nothing of any token.

It answers single requests and batches of JSON-RPC.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from tests.scale.filling import AMOUNT_WEI, CHAIN_ID

_ANSWERS = {"eth_chainId": hex(CHAIN_ID), "eth_getBalance": hex(AMOUNT_WEI), "eth_call": "0x" + bytes(32).hex()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True  # a long answer would wait for the client's word about its beginning

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = json.dumps([_answer(each) for each in asked] if isinstance(asked, list) else _answer(asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    known = _ANSWERS.get(request["method"])
    said: dict[str, Any] = {"result": known} if known else {"error": {"code": -32601, "message": "method not found"}}
    return {"jsonrpc": "2.0", "id": request["id"], **said}


def _serve(told: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    told.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def node() -> Iterator[str]:
    """The URL of such a node, in a process of its own."""
    heard, told = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_serve, args=(told,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{heard.recv()}"
    finally:
        process.terminate()
        process.join()
