"""The Flask application: what happens to every request before and after its handler.

The order of refusals is fixed: host, path and method, credentials, scope, reach, parameters, body, idempotency key. So nobody
without
credentials learns what a body would have to look like, and nothing is parsed for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from custody_core import Custody
from custody_core.domain.access import Principal, Scope
from custody_core.errors import CustodyError, InsufficientScope
from custody_core.services.idempotency import require_key
from custody_http import openapi
from custody_http.access_log import Log, log_request, log_trouble, nobody
from custody_http.auth import Credentials
from custody_http.cursors import Cursors
from custody_http.errors import problem_of
from custody_http.health import Readiness
from custody_http.metrics import Metrics
from custody_http.parse import BODY_BYTES_MAX, read_body, read_query, require_decodable
from custody_http.present import CSV, JSON, answer, problem_answer, text_answer
from custody_http.registry import Access, Call, KeyRule, Reach, Route
from custody_http.repeating import answer_to
from custody_http.routes import ROUTES
from custody_http.security import HEADERS, HostCheck, request_id_of, require_plain_path
from custody_http.sends import Sends

PREFIX = "/v1"
OPERATIONS = frozenset({"/livez", "/readyz", "/metrics"})
"""Answered under any host: whoever probes a process asks it by its own address."""


class DatabaseCheck(Protocol):
    """Raises `DatabaseUnavailable` unless the database is prepared for this version."""

    def __call__(self) -> None: ...


def create_app(
    custody: Custody,
    *,
    cursor_key: bytes,
    public_url: str | None = None,
    log: Log = nobody,
    database_check: DatabaseCheck = lambda: None,
) -> Flask:
    """The WSGI application over `custody`, which should hold no keys.

    `cursor_key`: 32 secret bytes that all processes of one installation share. `public_url`: where clients reach us; with it,
    another `Host` is refused. `log` takes one event with fields for each request.
    """
    app = Flask("custody_http", static_folder=None)
    # A body that does not say its length is cut here without a word: with one byte more than is allowed it is seen to be too long.
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX + 1
    app.url_map.merge_slashes = False  # a path that is nearly right is not found, instead of a redirect
    metrics = Metrics(custody)
    _watch_requests(app, log, metrics, HostCheck(public_url))
    _answer_problems(app, log)
    _add_operations(app, metrics, Readiness(custody, database_check))
    credentials, cursors, sends = Credentials(custody), Cursors(cursor_key), Sends(custody)
    for route in ROUTES:
        _add(app, PREFIX + route.path, route.method, route.name, _view(route, custody, credentials, cursors, sends))
    document = openapi.document(ROUTES)
    _add(app, f"{PREFIX}/openapi.json", "GET", "GET /openapi.json", lambda: answer(document, status=200, headers={}))
    return app


def _add(app: Flask, path: str, method: str, name: str, view: Callable[..., Response]) -> None:
    app.add_url_rule(path, endpoint=name, view_func=view, methods=[method], provide_automatic_options=False)


def _view(route: Route, custody: Custody, credentials: Credentials, cursors: Cursors, sends: Sends) -> Callable[..., Response]:
    def view(**ids: str) -> Response:
        principal = credentials.principal(request.headers.get("Authorization"))
        g.principal = principal
        _require_allowed(route, principal)
        require_decodable(request.query_string)
        query = read_query(request.args.to_dict(flat=False), route.query)
        body = None
        if route.body is not None:
            body = read_body(request.get_data(cache=False), request.headers.get("Content-Type"), route.body)
        reply = answer_to(
            Call(
                custody=custody,
                route=route,
                principal=principal,
                cursors=cursors,
                sends=sends,
                ids=ids,
                query=query,
                body=body,
                key=_idempotency_key(route.key),
                prefers_csv=request.accept_mimetypes.best_match([JSON, CSV]) == CSV,
            )
        )
        if route.method == "DELETE":
            credentials.forget()
        if reply.text is not None:
            return text_answer(reply.text.content, media_type=reply.text.media_type, status=reply.status, headers=reply.headers)
        return answer({**reply.resource, **reply.shown_once}, status=reply.status, headers=reply.headers)

    return view


def _require_allowed(route: Route, principal: Principal) -> None:
    """Raises `InsufficientScope`. A route that names neither a scope nor an `Access` that lets people in is closed."""
    match route.access:
        case Scope():
            principal.require(route.access)
        case Access.SIGNED_IN | Access.PUBLIC:
            pass
    if route.reach is Reach.EVERY_OWNER and principal.owner_filter is not None:
        raise InsufficientScope("this is for those who see every owner")


def _idempotency_key(rule: KeyRule) -> str | None:
    given = request.headers.get("Idempotency-Key")
    if rule is KeyRule.REQUIRED or (rule is KeyRule.WELCOME and given is not None):
        return require_key(given)
    return None


def _watch_requests(app: Flask, log: Log, metrics: Metrics, host: HostCheck) -> None:
    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        g.request_id = request_id_of(request.headers.get("X-Request-Id"))
        g.principal = None
        target = request.environ.get("RAW_URI", "")
        require_plain_path(target)
        if request.path not in OPERATIONS:
            host.require(request.environ.get("HTTP_HOST"), target)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers.extend(HEADERS)  # none of them is set by anybody else
        response.headers["X-Request-Id"] = g.request_id
        duration_s = time.perf_counter() - g.started
        metrics.count(_route_name(), response.status_code, duration_s)
        log_request(log, _route_name(), response.status_code, duration_s)
        return response


def _answer_problems(app: Flask, log: Log) -> None:
    def refuse(error: Exception) -> Response:
        problem = problem_of(error)
        if problem.status == 500:
            log_trouble(log, error)
        return problem_answer(problem, instance=request.path, request_id=g.request_id)

    for kind in (CustodyError, HTTPException, Exception):
        app.register_error_handler(kind, refuse)


def _add_operations(app: Flask, metrics: Metrics, readiness: Readiness) -> None:
    def livez() -> Response:
        return answer({"status": "ok"}, status=200, headers={})

    def readyz() -> Response:
        found = readiness.look()
        return answer(found.resource, status=200 if found.ok else 503, headers={})

    def exposition() -> Response:
        text, content_type = metrics.exposition()
        return Response(text, content_type=content_type)

    for path, view in (("/livez", livez), ("/readyz", readyz), ("/metrics", exposition)):
        _add(app, path, "GET", f"GET {path}", view)


def _route_name() -> str:
    """The route as it is written in the registry, so that logs and metrics hold no ids and nothing of a client's making."""
    return request.url_rule.endpoint if request.url_rule else "unmatched"
