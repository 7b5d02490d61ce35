"""Real catalogs, read response by response and folded in plain Python: exactly what happened in them."""

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer.core import formats, parse
from syncer.core.model import Listing

CATALOGS = Path(__file__).parent.parent / "data" / "catalogs"
REPLAY = Path(__file__).parent.parent / "data" / "replay"
STANDARD = ("input", "output", "cache_read", "cache_write")
Event = tuple[str, str, str, str]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Each line of a file of JSON."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from (row for row in map(json.loads, file) if "observed_at" in row)


def standard(row: Listing) -> dict[str, Decimal | None]:
    """The four standard token prices."""
    return {component: row.prices.get(component) for component in STANDARD}


def moves(before: Mapping[str, Decimal | None], after: Mapping[str, Decimal | None]) -> dict[str, list[str | None]]:
    """The components that differ, as plain digits."""
    return {
        name: [price if price is None else format(price, "f") for price in (before[name], after[name])]
        for name in STANDARD
        if before[name] != after[name]
    }


def happened(name: str) -> set[Event]:
    """What the responses say, each read with the digests of the one before."""
    fmt = formats.builtin(name)
    listed: dict[str, Listing] = {}
    gone: set[str] = set()
    events: set[Event] = set()
    for line in lines(CATALOGS / f"{name}.jsonl.gz"):
        at = line["observed_at"]
        known = {row.digest: model for model, row in listed.items()}
        snapshot = parse.snapshot(
            line["body"].encode(), fmt, observed_at=datetime.fromisoformat(at), known=known, believed=listed.get
        )
        assert (snapshot.rejected, snapshot.unreadable, snapshot.partial) == ((), (), None)
        now = {**{model: listed[model] for model in snapshot.same}, **snapshot.listings}
        for model, row in now.items():
            if model not in listed:
                events.add((at, model, "relisted" if model in gone else "added", "{}"))
            elif moved := moves(standard(listed[model]), standard(row)):
                events.add((at, model, "repriced", json.dumps(moved, sort_keys=True)))
        events |= {(at, model, "removed", "{}") for model in listed.keys() - now.keys()}
        gone |= listed.keys() - now.keys()
        listed = now
    return events


@pytest.mark.parametrize("name", ["chutes", "openrouter"])
def test_a_real_history_is_read_to_exactly_its_moves(name: str) -> None:
    """Presence and every move of the standard token prices are what an independent program found, exactly."""
    expected = {
        (
            line["observed_at"],
            line["model"],
            line["kind"],
            json.dumps(line["moved"], sort_keys=True) if line["kind"] == "repriced" else "{}",
        )
        for line in lines(CATALOGS / f"{name}.expected.jsonl.gz")
    }
    assert happened(name) == expected
    assert len(expected) > 30
