"""The OpenAPI 3.1 document, made from the registry: the schemas in it are the ones that validate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from custody_core.domain.access import Scope
from custody_http.errors import STATUS_BY_CODE
from custody_http.registry import Access, KeyRule, Route

_PATH_PART = re.compile(r"<([a-z_]+)>")

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A problem document (RFC 9457). Some codes have members of their own beside these.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "enum": [*STATUS_BY_CODE, "internal"]},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}}},
        },
    },
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document."""
    schemas = {schema for route in routes for schema in (route.query, route.body) if schema is not None}
    ordered = sorted(schemas, key=lambda schema: schema.__name__)
    references, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    reference_of = dict(zip(ordered, references, strict=True))
    queries = {route.query.__name__ for route in routes}
    parameters = {name: components[name] for name in queries}
    paths: dict[str, Any] = {}
    for route in routes:
        path = "/v1" + _PATH_PART.sub(r"{\1}", route.path)
        body = reference_of[route.body] if route.body else None
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, parameters[route.query.__name__], body)
    shown = {name: schema for name, schema in components.items() if name not in queries or name == "Nothing"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Custody", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**shown, "Problem": _PROBLEM},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, query: dict[str, Any], body: dict[str, Any] | None) -> dict[str, Any]:
    problem = {
        "description": "A refusal",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    done = {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}}
    operation: dict[str, Any] = {
        "operationId": route.answer.__module__.rpartition(".")[2] + "." + route.answer.__name__.rstrip("_"),
        "summary": route.summary,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _PATH_PART.findall(route.path)
            ),
            *_query_parameters(query),
            *_key_parameter(route.key),
        ],
        "responses": {"2XX": done, "4XX": problem, "5XX": problem},
    }
    if route.access is not Access.PUBLIC:
        operation["security"] = [{"bearer": [str(route.access)] if isinstance(route.access, Scope) else []}]
    if body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema.get("properties", {}).items()
    ]


def _key_parameter(rule: KeyRule) -> list[dict[str, Any]]:
    if rule is KeyRule.IGNORED:
        return []
    shape = {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"}
    return [{"name": "Idempotency-Key", "in": "header", "required": rule is KeyRule.REQUIRED, "schema": shape}]
