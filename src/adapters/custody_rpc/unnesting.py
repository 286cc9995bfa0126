"""Calls within calls within calls, as JSON, made into one list without recursion.

Parsers of JSON recurse, and give up some hundred levels down. How deep calls go is decided by whoever writes a contract: the EVM
allows 1024 levels.
"""

from __future__ import annotations

import re
from typing import Final

from custody_rpc.wire import Malformed

_STRUCTURE: Final = re.compile(rb'"calls"\s*+:\s*+\[|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
"""What opens and closes. Strings are read whole, so that no bracket within one counts."""

_OTHER, _CALLS, _CALL = range(3)
"""What is open: anything, a list of calls, a call in such a list."""


def unnested(body: bytes | bytearray) -> bytes:
    """`body`, JSON, with all that is in or below the `calls` of an object in one list, that object's `calls`, in the order in which
    they stood; each has its `depth` there, counted from 1. Raises `Malformed` where brackets do not match.
    """
    scan = _Scan(bytes(body))
    for token in _STRUCTURE.finditer(scan.body):
        if scan.opened[-1] == _CALLS:
            scan.among_calls(token)
        else:
            scan.elsewhere(token)
    return scan.result()


class _Scan:
    """One pass. `sinks` are the texts that are being written: the body's own, and one for each call that is open."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.opened = [_OTHER]
        self._own: list[bytes] = []
        self._below: list[list[bytes]] = []
        self._sinks = [self._own]
        self._start = 0

    def among_calls(self, token: re.Match[bytes]) -> None:
        """In a list of calls one begins, or the list ends. Nothing else is in it but commas, which are left out."""
        if self.body[self._start : token.start()].strip(b", \t\r\n"):
            raise Malformed("calls are a list of objects")
        match token.group():
            case b"{":
                self._below.append([b'{"depth":%d,' % len(self._sinks)])
                self._sinks.append(self._below[-1])
                self.opened.append(_CALL)
            case b"]":
                self.opened.pop()
                if len(self._sinks) == 1:
                    self._own.append(b",".join(b"".join(call) for call in self._below) + b"]")
            case _:
                raise Malformed("calls are a list of objects")
        self._start = token.end()

    def elsewhere(self, token: re.Match[bytes]) -> None:
        """Outside of a list of calls one begins, or what is open ends, or something else begins."""
        text = token.group()
        if text in {b"{", b"["}:
            self.opened.append(_OTHER)
        elif text.endswith(b"["):
            self._write(token.start())
            self._begin_calls(token)
        elif text in {b"}", b"]"}:
            if len(self.opened) == 1:
                raise Malformed("brackets that do not match")
            if self.opened.pop() == _CALL:
                self._write(token.end())
                self._sinks.pop()

    def result(self) -> bytes:
        """All of it, once everything was seen."""
        if self.opened != [_OTHER]:
            raise Malformed("brackets that do not match")
        self._write(len(self.body))
        return b"".join(self._own)

    def _begin_calls(self, token: re.Match[bytes]) -> None:
        self.opened.append(_CALLS)
        self._start = token.end()
        if len(self._sinks) == 1:
            self._own.append(b'"calls":[')
            self._below = []
        else:
            self._sinks[-1].append(b'"calls":null')

    def _write(self, end: int) -> None:
        self._sinks[-1].append(self.body[self._start : end])
        self._start = end
