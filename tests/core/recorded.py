"""The recorded history of a public price list, as elements for a `World`: 44 states in five months."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Context, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from syncer.core.model import TRACKED
from tests.core.world import Element

REPLAY = Path(__file__).parents[1] / "data" / "replay"
_OURS = {"model_alias": "alias", "model_type": "type"}
_FIFTEEN_DIGITS = Context(prec=15)

State = tuple[datetime, dict[str, Element]]


@cache
def states() -> tuple[State, ...]:
    """When each state was observed first, and its elements."""
    with gzip.open(REPLAY / "snapshots.jsonl.gz", "rt", encoding="utf-8") as lines:
        return tuple((_time(state["observed_at"]), _elements(state["body"])) for state in map(json.loads, lines))


def polls(times: Iterator[datetime]) -> Iterator[State]:
    """The state that stands at each of these times; each stands until the next."""
    waiting, current = list(states()), None
    for moment in times:
        while waiting and waiting[0][0] <= moment:
            current = waiting.pop(0)[1]
        if current is not None:
            yield moment, current


def every(interval: timedelta) -> Iterator[datetime]:
    """From the first state to ten days after the last."""
    moment, end = states()[0][0], states()[-1][0] + timedelta(days=10)
    while moment <= end:
        yield moment
        moment += interval


@cache
def expected() -> frozenset[tuple[Any, ...]]:
    """What an independent program found: (time, model, kind, old price, new price, other fields)."""
    lines = [json.loads(line) for line in (REPLAY / "expected.jsonl").read_text(encoding="utf-8").splitlines()[:-1]]
    found: dict[tuple[datetime, str], list[dict[str, Any]]] = {}
    for line in lines:
        found.setdefault((_time(line["observed_at"]), line["model_name"]), []).append(line)
    return frozenset((*key, *_as_one_row(rows)) for key, rows in found.items())


def _as_one_row(lines: list[dict[str, Any]]) -> tuple[Any, ...]:
    """The lines of one model in one state as the one row that it has in our history."""
    fields = sorted(_OURS.get(name, name) for line in lines for name in line.get("fields", ()))
    line = next((line for line in lines if line["kind"] != "changed"), None)
    if line is None:
        return ("updated", None, None, *fields)
    kind = "relisted" if line.get("again") else line["kind"]
    return (kind, _price(line["old_price"]), _price(line["new_price"]), *fields)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _price(value: object) -> Decimal | None:
    return None if value is None else _FIFTEEN_DIGITS.create_decimal(str(value))


def _elements(body: str) -> dict[str, Element]:
    models = json.loads(body, parse_float=Decimal, parse_int=Decimal)["data"]["models"]
    return {model["model_name"]: _element(model) for model in models}


def _element(model: dict[str, Any]) -> Element:
    named = {_OURS.get(key, key): value for key, value in model.items()}
    return {"price": _price(named.get("price")), **{field: named[field] for field in TRACKED if field in named}}
