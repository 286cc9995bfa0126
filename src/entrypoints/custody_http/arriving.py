"""A request while it arrives: whether enough of it is there to be read without waiting.

Rules of this file

1. Nothing is decided here about what a request is. The server's parser reads the same bytes again, and it alone says where the
   request ends (RFC 9112, sections 6 and 7); when it finds less than it needs, the request is not run.
2. What is unclear counts as complete: the parser refuses it, which is better than to wait for more.
3. Each byte is looked at a few times at most, however they are cut into pieces, and what is kept of one request is bounded.
"""

from __future__ import annotations

import re
from typing import Final

from gunicorn.http.errors import LimitRequestHeaders

from custody_http.errors import BodyTooLarge
from custody_http.parse import BODY_BYTES_MAX

HEAD_BYTES_MAX: Final = 32 * 1024
"""A request line and its header fields, all together."""

FRAMED_BYTES_MAX: Final = 2 * BODY_BYTES_MAX
"""A body in chunks, with what is written around them."""

CHUNK_LINE_BYTES_MAX: Final = 8190
"""The line before a chunk. The parser refuses a longer one."""

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})(?:[ \t]*;[^\r]*)?")


class Arrival:
    """The bytes of one request, as far as they have come, and of what may follow it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.refusal: Exception | None = None
        """What is wrong with it, where that is known before it is read."""
        self.expects_continue = False
        """Whether the client waits for `100 Continue` before it sends the body (RFC 9110, section 10.1.1)."""
        self._body_at: int | None = None
        self._length: int | None = None  # of the body; None for one that comes in chunks
        self._chunk_at = 0

    def add(self, more: bytes) -> bool:
        """Takes what has come. Whether there is nothing to wait for: the request is there, or it is refused."""
        looked = max(len(self.received) - 3, 0)
        self.received += more
        if self._body_at is None:
            end = self.received.find(b"\r\n\r\n", looked)
            if end < 0:
                return self._head_is_hopeless(looked)
            self._read_framing(end)
        if self.refusal is not None:
            return True
        return self._chunks_are_here() if self._length is None else len(self.received) >= (self._body_at or 0) + self._length

    def _head_is_hopeless(self, looked: int) -> bool:
        if len(self.received) > HEAD_BYTES_MAX:
            self.refusal = LimitRequestHeaders("the head is too long")
        return self.refusal is not None or _BARE_LINE_FEED.search(self.received, looked) is not None

    def _read_framing(self, head_end: int) -> None:
        head = bytes(self.received[: head_end + 2])
        self._body_at = self._chunk_at = head_end + 4
        lengths, codings = _LENGTH.findall(head), len(_CODING.findall(head))
        if len(head) > HEAD_BYTES_MAX:
            self.refusal = LimitRequestHeaders("the head is too long")
        elif codings == 1 and not lengths and _CHUNKED.search(head):
            self._length = None
        elif codings == 0 and len(lengths) == 1:
            self._length = int(lengths[0])
        else:
            self._length = 0
        if self._length is not None and self._length > BODY_BYTES_MAX:
            self.refusal = BodyTooLarge("a request body has at most 64 KB")
        self.expects_continue = _EXPECTS.search(head) is not None

    def _chunks_are_here(self) -> bool:
        """Goes from chunk to chunk; whether it comes to the last one, or to what is none."""
        while (end := self.received.find(b"\r\n", self._chunk_at)) >= 0:
            size = _CHUNK_SIZE.fullmatch(self.received, self._chunk_at, end)
            if size is None:
                return True
            if int(size[1], 16) == 0:
                return self.received.find(b"\r\n\r\n", end) >= 0 or self._is_too_much(len(self.received))
            after = end + 2 + int(size[1], 16) + 2
            if self._is_too_much(after):
                return True
            if len(self.received) < after:
                return False
            if self.received[after - 2 : after] != b"\r\n":
                return True
            self._chunk_at = after
        return len(self.received) - self._chunk_at > CHUNK_LINE_BYTES_MAX

    def _is_too_much(self, end: int) -> bool:
        if end - (self._body_at or 0) > FRAMED_BYTES_MAX:
            self.refusal = BodyTooLarge("a request body has at most 64 KB")
        return self.refusal is not None
