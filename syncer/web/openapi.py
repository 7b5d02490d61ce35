"""The OpenAPI 3.1 document of the API, made from what the API itself goes by."""

from functools import cache
from typing import Any

from syncer import __version__
from syncer.web.api import ENDPOINTS, PREFIX, Endpoint
from syncer.web.jsonable import schema_of

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "nearest": {"type": "array", "items": {"type": "string"}},
        "known": {"type": "array", "items": {"type": "string"}},
        "candidates": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["title", "status", "detail"],
    "additionalProperties": False,
}
_ERRORS = {
    "400": "A parameter that cannot be read, or that nobody reads.",
    "401": "The token is missing or wrong.",
    "404": "No such source, model or component.",
    "405": "Only GET and HEAD.",
    "409": "More than one model answers to the name, or parameters contradict each other.",
    "414": "The query is too long.",
    "421": "Not a name under which this is served.",
    "503": "The database cannot be asked now.",
}


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for name, endpoint in ENDPOINTS.items():
        schemas |= {row.__name__: schema_of(row) for row in endpoint.rows}
        paths[f"{PREFIX}/{name}"] = {"get": _operation(name, endpoint)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "syncer",
            "version": __version__,
            "description": "The history of AI model catalogs. Prices are exact decimals, times UTC; null is unknown. "
            "Each path also ends in .csv. Answers have weak ETags.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _operation(name: str, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": endpoint.says,
        "parameters": [
            {
                "name": one.name,
                "in": "query",
                "required": one.required,
                "description": one.says,
                "schema": one.schema,
            }
            for one in endpoint.parameters
        ],
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": _answer(endpoint)}}},
            "304": {"description": "What the client has is still right."},
            **{status: _error(status, says) for status, says in _ERRORS.items()},
        },
    }


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    rows = [{"$ref": f"#/components/schemas/{row.__name__}"} for row in endpoint.rows]
    items = rows[0] if len(rows) == 1 else {"anyOf": rows}
    return {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": items},
            "next": {"type": ["string", "null"], "description": "The path of the next page."},
        },
        "required": ["data", "next"],
        "additionalProperties": False,
    }


def _error(status: str, says: str) -> dict[str, Any]:
    if status in {"401", "421"}:
        return {"description": says, "content": {"text/plain": {"schema": {"type": "string"}}}}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": says, "content": {"application/problem+json": {"schema": schema}}}
