"""The JSON Schema (2020-12) of each event. What it says of tracked fields, kinds and rules derives from where they are.

New keys may come; what is here changes only with a major version.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from syncer.core.fields import FIELDS
from syncer.core.model import Kind
from syncer.core.notices import LATE, MAX_NAMES, NoticeKind
from syncer.core.observation import Doubtful
from syncer.core.rules import FindingKind

CHANGE_TYPE = "syncer.model."
NOTICE_TYPE = "syncer.source."
_TITLE = "An event of syncer"
_ABOUT = (
    "CloudEvents 1.0 in JSON, wherever a change leaves syncer. New keys may come; what is here changes only with a "
    "major version."
)

_Schema = Mapping[str, Any]


def schema() -> str:
    """The schema of each event, as text."""
    return json.dumps(_event(), indent=2) + "\n"


def _event() -> _Schema:
    kinds = [CHANGE_TYPE + kind for kind in Kind] + [NOTICE_TYPE + kind for kind in NoticeKind]
    properties = {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "pattern": "^([1-9][0-9]*|test-[0-9a-f]{16})$",
            "description": "The feed id, the same on each repeat.",
        },
        "source": {
            "type": "string",
            "pattern": "^urn:syncer:[^:]+:[^:]+$",
            "description": "The database's feed and the source's name.",
        },
        "type": {"enum": kinds},
        "subject": {"type": "string", "description": "The model; of a notice that is about no one model, the source."},
        "time": _TIME | {"description": "When the source was observed, or found late."},
        "datacontenttype": {"const": "application/json"},
        "data": {"type": "object"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _TITLE,
        "description": _ABOUT,
        **_object(properties),
        "allOf": [
            _of_type({"pattern": f"^{CHANGE_TYPE.replace('.', '[.]')}"}, "change"),
            *(_of_type({"const": NOTICE_TYPE + kind}, kind.value) for kind in NoticeKind),
        ],
        "$defs": {
            "time": {"type": "string", "format": "date-time", "pattern": "Z$"},
            "state": _state(),
            "change": _change(),
            **{kind.value: _notice(kind) for kind in NoticeKind},
        },
    }


def _of_type(kind: _Schema, name: str) -> _Schema:
    return {
        "if": {"properties": {"type": kind}},
        "then": {"properties": {"data": {"$ref": f"#/$defs/{name}"}}},
    }


# -- pieces ------------------------------------------------------------------------------------------------------------

_TIME: dict[str, Any] = {"$ref": "#/$defs/time"}
_TEXT: dict[str, Any] = {"type": "string"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_MAYBE_TIME: dict[str, Any] = {"anyOf": [_TIME, {"type": "null"}]}
_MAYBE_WHOLE: dict[str, Any] = {"type": ["integer", "null"]}
_MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_PRICE: dict[str, Any] = {"type": ["number", "null"], "description": "Null is unknown."}
_PERCENT: dict[str, Any] = {
    "type": ["number", "null"],
    "description": "Of the old price, to 12 digits; null from unknown, 0 or a negative, where the price did not move, "
    "and for a new reading.",
}
_UNIT: dict[str, Any] = {
    "description": "[quantity, word] that a price is for, as configured; null is unknown.",
    "anyOf": [
        {"type": "null"},
        {"type": "array", "prefixItems": [_WHOLE, _TEXT], "minItems": 2, "maxItems": 2},
    ],
}
_SOURCE: dict[str, Any] = {"type": "string", "description": "The source's name."}


def _object(properties: _Schema, *, optional: Collection[str] = ()) -> dict[str, Any]:
    """An object that has all of these but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _by_key(values: _Schema, description: str) -> dict[str, Any]:
    return {"type": "object", "description": description, "additionalProperties": values}


# -- changes -----------------------------------------------------------------------------------------------------------


def _state() -> _Schema:
    fields = {field.name: dict(field.json) for field in FIELDS}
    prices = _by_key(_PRICE, "Each component that was ever known of the model.")
    return _object(fields | {"price": _PRICE, "prices": prices}) | {"description": "The state of a model."}


def _change() -> _Schema:
    state = {"anyOf": [{"$ref": "#/$defs/state"}, {"type": "null"}]}
    pair = {"type": "array", "minItems": 2, "maxItems": 2}
    price = _object({"old": _PRICE, "new": _PRICE, "percent": _PERCENT})
    properties = {
        "source": _SOURCE,
        "model": _TEXT,
        "kind": {"enum": [kind.value for kind in Kind]},
        "run_id": _WHOLE,
        "observed_at": _TIME | {"description": "When the source was observed."},
        "effective_at": _TIME
        | {
            "description": "The first observation that showed the new state; the change happened in "
            "(changed_after, effective_at]."
        },
        "changed_after": _MAYBE_TIME
        | {"description": "The last observation that showed the old state; null for what a source listed at first."},
        "before": state | {"description": "Null for added."},
        "after": state | {"description": "Null for removed."},
        "changed": _by_key(
            pair, "Each field that moved, as [old, new], prices as prices.COMPONENT; empty for added and removed."
        ),
        "component": {"type": "string", "description": "The headline: what old_price, price and percent are of."},
        "old_price": _PRICE,
        "price": _PRICE,
        "percent": _PERCENT,
        "prices": _by_key(price, "Each component that moved; all of a model that came, went or returned."),
        "currency": _MAYBE_TEXT | {"description": "As configured; null is unknown."},
        "unit": _UNIT | {"description": "The headline's [quantity, word], as configured; null is unknown."},
        "units": _by_key(_UNIT, "What the price of each component is for."),
        "reverts_id": _MAYBE_WHOLE | {"description": "The id of the change that this one takes back."},
        "test": {"const": True, "description": "Only in a sample sent by `syncer alerts test`."},
    }
    return _object(properties, optional={"test"}) | {"description": "A change of one model."}


# -- notices -----------------------------------------------------------------------------------------------------------

_FINDING: dict[str, Any] = {
    "enum": [kind.value for kind in FindingKind],
    "description": "The rule that withholds it.",
}
_COUNT: dict[str, Any] = _WHOLE | {"description": "How many models it is about."}
_MODELS: dict[str, Any] = {"type": "array", "items": _TEXT, "description": f"The first {MAX_NAMES} of them, by name."}
_MODEL: dict[str, Any] = _TEXT | {"description": "The model's name."}
_ROW = _object({"name": _TEXT, "reason": _TEXT})

_NOTICES: Mapping[NoticeKind, tuple[str, _Schema, Collection[str]]] = {
    NoticeKind.FAILED: (
        "A source that was well has failed; told once.",
        {"error": _TEXT, "http_status": _MAYBE_WHOLE},
        (),
    ),
    NoticeKind.STALE: (
        "Not observed for three intervals, or a day after a poll was due (late), or perhaps old (cached, clock); once.",
        {
            "reason": {"enum": [LATE, *(reason.value for reason in Doubtful)]},
            "last_observed_at": _MAYBE_TIME | {"description": "Of a late one."},
            "interval_seconds": _WHOLE | {"description": "Of a late one."},
            "response_at": _MAYBE_TIME | {"description": "What time it was by the response."},
            "shown_at": _TIME | {"description": "When the response was new."},
        },
        ("last_observed_at", "interval_seconds", "response_at", "shown_at"),
    ),
    NoticeKind.RECOVERED: (
        "A source that failed or was stale is well again.",
        {"from": {"enum": ["failed", LATE, *(reason.value for reason in Doubtful)]}},
        (),
    ),
    NoticeKind.HELD: (
        "Something is withheld until it is settled.",
        {
            "finding": _FINDING,
            "why": _TEXT,
            "until": _TEXT | {"description": "What settles it."},
            "count": _COUNT,
            "models": _MODELS,
        },
        (),
    ),
    NoticeKind.SETTLED: (
        "What was withheld is settled by a person (approved, rejected), time (confirmed) or upstream (withdrawn).",
        {
            "finding": _FINDING,
            "state": {"enum": ["approved", "rejected", "confirmed", "withdrawn"]},
            "count": _COUNT,
            "models": _MODELS,
            "comment": _TEXT | {"description": "Of the person who settled it."},
        },
        ("comment",),
    ),
    NoticeKind.UNREADABLE: (
        "Something of these models cannot be read, and keeps its last known value; or rows were left out.",
        {
            "count": _COUNT,
            "models": _MODELS,
            "fields": _by_key({"type": "array", "items": _TEXT}, "The names of the fields, by model."),
            "rows": {"type": "array", "items": _ROW, "description": "Rows that were left out, with the reason."},
            "row_count": _WHOLE | {"description": "How many rows were left out."},
        },
        ("rows", "row_count"),
    ),
    NoticeKind.READABLE: ("These models can be read again.", {"count": _COUNT, "models": _MODELS}, ()),
    NoticeKind.MISSING: (
        "A model is missing for the first time; it is not removed yet. Told only to who asks for it.",
        {"model": _MODEL, "last_seen_at": _MAYBE_TIME},
        (),
    ),
    NoticeKind.RETURNED: (
        "A model that was missing, and not removed, is there again. Told only to who asks for it.",
        {"model": _MODEL, "missing_since": _TIME},
        (),
    ),
    NoticeKind.EXPIRING: (
        "Upstream says that these models go soon.",
        {"count": _COUNT, "models": _by_key(_TIME, f"When each goes, of the first {MAX_NAMES}, by time.")},
        (),
    ),
}


def _notice(kind: NoticeKind) -> _Schema:
    description, own, optional = _NOTICES[kind]
    known = {
        "source": _SOURCE,
        "kind": {"const": kind.value},
        "run_id": _MAYBE_WHOLE,
        "finding_id": _MAYBE_WHOLE,
        "observed_at": _TIME,
    }
    return _object({**known, **own}, optional=optional) | {"description": description}
