"""Answers to what never got as far as the application: like its own refusals, and with nothing of the request in them."""

from __future__ import annotations

import msgspec
from gunicorn.http import errors as refusals

from custody_http.errors import INTERNAL, BodyTooLarge, Problem, problem_of
from custody_http.security import HEADERS, request_id_of

_OURS = (refusals.InvalidResponseHeader, refusals.InvalidResponseHeaderName)  # type: ignore[attr-defined]  # the stubs are of an older release
"""What gunicorn counts among the client's faults, and is not."""


def refusal_of(error: BaseException) -> Problem:
    """What is told of a request that could not be read, and of what broke outside of the application."""
    match error:
        case BodyTooLarge():
            return problem_of(error)
        case refusals.LimitRequestLine():
            return Problem("invalid-request", 414, "the request line is too long")
        case refusals.LimitRequestHeaders():
            return Problem("invalid-request", 431, "the request has too many or too long header fields")
        case refusals.UnsupportedTransferCoding():
            return Problem("invalid-request", 501, "this transfer coding is not understood")
        case refusals.ExpectationFailed():
            return Problem("invalid-request", 417, "this expectation cannot be met")
        case refusals.ParseException() if not isinstance(error, _OURS):
            return Problem("invalid-request", 400, "the request is not well-formed HTTP/1.1")
        case _:
            return Problem(INTERNAL, 500, "something went wrong on our side; it is in the log under this request_id")


_REASONS = {
    400: "Bad Request",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


def raw_answer(problem: Problem) -> bytes:
    """The whole answer, after which the connection is closed."""
    request_id = request_id_of(None)
    body = msgspec.json.encode(problem.document(instance="", request_id=request_id))
    headers = {
        **HEADERS,
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": "application/problem+json",
        "X-Request-Id": request_id,
    }
    lines = [f"HTTP/1.1 {problem.status} {_REASONS.get(problem.status, 'Internal Server Error')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
