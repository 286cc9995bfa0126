"""When a request is there: at its last byte, however it is cut into pieces; and what is unclear is not waited for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody_http.arriving import CHUNK_LINE_BYTES_MAX, FRAMED_BYTES_MAX, HEAD_BYTES_MAX, Arrival
from custody_http.parse import BODY_BYTES_MAX

bodies = st.binary(max_size=200)
extensions = st.sampled_from([b"", b";a", b" ; a=b", b';a="b;c"'])
trailers = st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC: d\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A whole request, with a body of a length that it says, in chunks, or without one."""
    head = b"POST /v1/wallets HTTP/1.1\r\nHost: a\r\n"
    match draw(st.sampled_from(["none", "length", "chunks"])):
        case "none":
            return head + b"\r\n"
        case "length":
            body = draw(bodies)
            return head + draw(st.sampled_from([b"Content-Length: ", b"content-length:\t"])) + b"%d\r\n\r\n" % len(body) + body
        case _:
            chunks = draw(st.lists(bodies.filter(bool), max_size=4))
            framed = [b"%x%s\r\n%s\r\n" % (len(chunk), draw(extensions), chunk) for chunk in chunks]
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(framed) + b"0\r\n" + draw(trailers) + b"\r\n"


def pieces(raw: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})
    return [raw[one:other] for one, other in pairwise(places)]


@given(raw=requests(), cuts=st.lists(st.integers(0, 10_000), max_size=20))
def test_a_request_is_there_with_its_last_byte_and_not_before(raw: bytes, cuts: list[int]) -> None:
    arrival = Arrival()
    came = [arrival.add(piece) for piece in pieces(raw, cuts)]
    assert came == [False] * (len(came) - 1) + [True]
    assert arrival.refusal is None
    assert bytes(arrival.received) == raw


@given(raw=requests())
def test_byte_by_byte_is_the_same(raw: bytes) -> None:
    arrival = Arrival()
    assert [arrival.add(raw[at : at + 1]) for at in range(len(raw))].index(True) == len(raw) - 1


@given(raw=requests(), behind=st.binary(min_size=1, max_size=50))
def test_what_follows_a_request_does_not_matter_to_it(raw: bytes, behind: bytes) -> None:
    arrival = Arrival()
    assert arrival.add(raw + behind)
    assert bytes(arrival.received) == raw + behind


@given(st.lists(st.binary(max_size=100) | st.sampled_from([b"\r\n", b"\r\n\r\n", b"0", b"Transfer-Encoding: chunked\r\n"])))
def test_anything_may_come(given_: list[bytes]) -> None:
    arrival = Arrival()
    for piece in given_:
        if arrival.add(piece):
            break
    assert arrival.refusal is None


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n",
        HEAD + b"Content-Length: +4\r\n\r\n",
        HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-2\r\n",
        CHUNKED + b"2\r\nabXX",
        CHUNKED + b"1" * (CHUNK_LINE_BYTES_MAX + 1),
    ],
)
def test_what_is_unclear_is_not_waited_for(raw: bytes) -> None:
    arrival = Arrival()
    assert arrival.add(raw)
    assert arrival.refusal is None


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES_MAX, "LimitRequestHeaders"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n", "LimitRequestHeaders"),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), "BodyTooLarge"),
        (HEAD + b"Content-Length: 999999999999999999\r\n\r\n", "BodyTooLarge"),
        (CHUNKED + b"%x\r\n" % FRAMED_BYTES_MAX, "BodyTooLarge"),
        (CHUNKED + b"1\r\na\r\n" * (FRAMED_BYTES_MAX // 6 + 1), "BodyTooLarge"),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * (FRAMED_BYTES_MAX // 6 + 1), "BodyTooLarge"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_too_long_is_refused_without_being_kept(raw: bytes, refusal: str) -> None:
    arrival = Arrival()
    assert arrival.add(raw)
    assert type(arrival.refusal).__name__ == refusal


def test_a_body_may_be_as_long_as_is_said() -> None:
    arrival = Arrival()
    assert not arrival.add(HEAD + b"Content-Length: %d\r\n\r\n" % BODY_BYTES_MAX + b"a" * (BODY_BYTES_MAX - 1))
    assert arrival.add(b"a")
