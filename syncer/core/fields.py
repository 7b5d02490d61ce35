"""Each tracked field once: what a column is, what JSON says, and what the documentation calls it."""

from typing import Any, Literal

import msgspec


class Field(msgspec.Struct, frozen=True):
    """One tracked field: its name, its column's type, its JSON Schema, and its column's comment."""

    name: str
    column: Literal["text", "name", "integer", "time"]
    json: dict[str, Any]
    comment: str = ""


FIELDS: tuple[Field, ...] = (
    Field("alias", "name", {"type": ["string", "null"]}),
    Field("type", "name", {"type": ["string", "null"]}),
    Field("context_length", "integer", {"type": ["integer", "null"]}, "tokens"),
    Field("max_completion_tokens", "integer", {"type": ["integer", "null"]}, "tokens"),
    Field("description", "text", {"type": ["string", "null"]}),
    Field("huggingface_url", "text", {"type": ["string", "null"]}),
    Field("expires_at", "time", {"type": ["string", "null"], "format": "date-time"}, "when upstream says it will go"),
)
"""The fields whose movement is a change. Everything else upstream sends is kept in `extra` and is never one."""
