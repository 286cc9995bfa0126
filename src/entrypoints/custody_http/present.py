"""Our values as JSON text. The resources themselves are made in the core (`domain/resources.py`), here only what is HTTP's own."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from flask import Response

from custody_core.domain.access import Principal
from custody_core.domain.resources import Resource, user_resource
from custody_http.errors import Problem

JSON = "application/json"
CSV = "text/csv"
PROBLEM_JSON = "application/problem+json"


def answer(resource: Mapping[str, object], *, status: int, headers: Mapping[str, str], mimetype: str = JSON) -> Response:
    """A JSON answer."""
    response = Response(msgspec.json.encode(resource), status=status, mimetype=mimetype)
    response.headers.update(dict(headers))
    return response


def text_answer(content: str, *, media_type: str, status: int, headers: Mapping[str, str]) -> Response:
    """An answer in UTF-8 text that is not JSON."""
    response = Response(content.encode(), status=status, content_type=f"{media_type}; charset=utf-8")
    response.headers.update(dict(headers))
    return response


def problem_answer(problem: Problem, *, instance: str, request_id: str) -> Response:
    """A problem document (RFC 9457)."""
    document = problem.document(instance=instance, request_id=request_id)
    return answer(document, status=problem.status, headers=problem.headers, mimetype=PROBLEM_JSON)


def me_resource(principal: Principal) -> Resource:
    """Who is asking, and what they may do."""
    return {**user_resource(principal.user), "scopes": sorted(principal.scopes), "api_key_id": principal.api_key_id}
