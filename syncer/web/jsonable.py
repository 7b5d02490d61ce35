"""Answers of the questions as JSON: exact numbers, RFC 3339 times, and what the document says of them.

One reading of a struct's annotations gives both: the values that leave, and their schema.
"""

import types
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever an answer holds
    """Structs as mappings, the rest as `syncer.core.text.json_line` writes it."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


_SIMPLE: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": "number"},
    Decimal: {"type": "number", "description": "Exact: read it as a decimal."},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    timedelta: {"type": "number", "description": "In seconds."},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}


def schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a struct as `plain` writes it."""
    hints = get_type_hints(struct)
    fields = {name: _schema(hints[name]) for name in struct.__struct_fields__}
    return {
        "type": "object",
        "description": (struct.__doc__ or "").partition("\n")[0],
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _schema(hint: Any) -> dict[str, Any]:  # noqa: ANN401, PLR0911 - an annotation; one return for each sort
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return {"anyOf": [_schema(part) for part in parts]}
    if origin is Literal:
        return {"enum": list(parts)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return schema_of(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if origin is tuple and parts[-1:] != (...,):
        return {"type": "array", "prefixItems": [_schema(part) for part in parts], "minItems": len(parts)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(parts[1])}
    return {"type": "array", "items": _schema(parts[0])}
