"""words: what is said in more than one place."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncer.core import prices
from syncer.core.words import (
    count_of,
    describe_change,
    describe_notice,
    describe_percent,
    did_you_mean,
    how_to_install,
)

MILLION = [1000000, "token"]


def data(kind: str, prices: Mapping[str, tuple[Any, Any]], **more: Any) -> dict[str, Any]:
    """The data of an event; what differs in `prices` (old, new) has moved."""
    moves = {name: [old, new] for name, (old, new) in prices.items() if old != new and kind != "added"}
    changed = {f"prices.{name}": pair for name, pair in moves.items()} | more.pop("changed", {})
    told = {name: {"old": old, "new": new, "percent": percent(old, new)} for name, (old, new) in prices.items()}
    units = dict.fromkeys(prices, more.pop("unit", None)) | more.pop("units", {})
    head = {"kind": kind, "component": next(iter(prices)), "currency": None, "prices": told, "units": units}
    return head | {"changed": changed} | more


def percent(old: Any, new: Any) -> Decimal | None:
    """The move in percent."""
    return None if None in {old, new} or old == new else prices.percent(Decimal(old), Decimal(new))


IN_OUT = {"input": (Decimal("2.5"), Decimal(2)), "output": (10, 8)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (data("added", {"price": (None, Decimal("1.50"))}), "1.5"),
        (data("added", {"price": (None, None)}), "unknown"),
        (data("added", {"price": (None, 1)}, currency="USD", unit=MILLION), "1 USD per 1M tokens"),
        (data("added", {"input": (None, 1), "output": (None, 2)}, unit=MILLION), "input 1, output 2 per 1M tokens"),
        (data("added", {"input": (None, None), "output": (None, None)}, currency="USD"), "unknown"),
        (data("removed", {"price": (100, 100)}), "(was 100)"),
        (data("removed", {"input": (1, 1), "image": (2, 2)}), "(was input 1, image 2)"),
        (data("repriced", {"price": (Decimal(2), Decimal(1))}), "price 2 -> 1 (-50 %)"),
        (
            data("repriced", {"price": (None, 1)}, currency="USD", unit=MILLION),
            "price unknown -> 1 USD per 1M tokens",
        ),
        (
            data("repriced", IN_OUT, currency="USD", unit=MILLION),
            "input 2.5 -> 2, output 10 -> 8 USD per 1M tokens (-20 %)",
        ),
        (
            data("repriced", {"input": (1, 2), "output": (2, 3)}, unit=[1000, "tokens"]),
            "input 1 -> 2, output 2 -> 3 per 1K tokens (+100 %, +50 %)",
        ),
        (
            data("repriced", {"input": (1, 2), "image": (4, 3)}, units={"image": [1, "image"]}, currency="USD"),
            "input 1 -> 2 USD (+100 %); image 4 -> 3 USD per image (-25 %)",
        ),
        (
            data("repriced", {f"c{number}": (1, 2) for number in range(6)}),
            "c0 1 -> 2, c1 1 -> 2, c2 1 -> 2, c3 1 -> 2 (+100 %) and 2 more",
        ),
        (data("updated", {"price": (1, 1)}, changed={"alias": ["a", "b" * 50]}), f"alias a -> {'b' * 37}..."),
        (
            data("updated", {"price": (1, 1)}, changed={"expires_at": [None, datetime(2026, 12, 1, tzinfo=UTC)]}),
            "expires_at unknown -> 2026-12-01T00:00:00Z",
        ),
        (data("relisted", {"price": (Decimal("0.4"), Decimal("0.4"))}), "0.4"),
    ],
)
def test_a_change_in_a_line(change: dict[str, Any], words: str) -> None:
    """Each kind of change says what it did, price by price, with currency and unit where they are known."""
    assert describe_change(change) == words


@pytest.mark.parametrize(
    ("notice", "words"),
    [
        ({"kind": "failed", "error": "no answer", "http_status": None}, "no answer"),
        (
            {"kind": "stale", "reason": "late", "last_observed_at": "2026-01-01T00:00:00Z", "interval_seconds": 60},
            "late: not observed since 2026-01-01T00:00:00Z",
        ),
        (
            {"kind": "stale", "reason": "cached", "shown_at": "2026-01-01T00:00:00Z"},
            "cached: its answer is of 2026-01-01T00:00:00Z",
        ),
        ({"kind": "recovered", "from": "late"}, "well again (was late)"),
        ({"kind": "held", "why": "12 models are gone", "until": "later", "finding": "removals"}, "12 models are gone"),
        (
            {
                "kind": "settled",
                "finding": "removals",
                "state": "approved",
                "count": 1,
                "models": ["a"],
                "comment": "ok",
            },
            "removals approved (1 model: a): ok",
        ),
        (
            {
                "kind": "unreadable",
                "count": 4,
                "models": ["a", "b", "c", "d"],
                "fields": {},
                "rows": [],
                "row_count": 1,
            },
            "cannot be read (4 models: a, b, c and 1 more); 1 row left out",
        ),
        ({"kind": "readable", "count": 1, "models": ["a"]}, "can be read again (1 model: a)"),
        ({"kind": "missing", "model": "a", "last_seen_at": None}, "missing (last listed: unknown), not removed yet"),
        ({"kind": "returned", "model": "a", "missing_since": "T"}, "listed again (was missing since T)"),
        (
            {"kind": "expiring", "count": 1, "models": {"a": "2026-12-01T00:00:00Z"}},
            "ends soon (1 model: a on 2026-12-01)",
        ),
    ],
)
def test_a_notice_in_a_line(notice: dict[str, Any], words: str) -> None:
    """Each kind of notice says what there is to say."""
    assert describe_notice(notice) == words


def test_the_text_of_others_is_cleaned() -> None:
    """Whoever prints a change says what makes upstream's text harmless."""
    change = data("updated", {"price": (1, 1)}, changed={"alias": ["<a>", "b"]})
    assert describe_change(change, clean=lambda text: text.replace("<", "(")) == "alias (a> -> b"


@pytest.mark.parametrize(
    ("percent", "words"), [("33.333", "+33.3 %"), ("-20", "-20 %"), ("123456.78", "+123457 %"), ("0.04", "+0 %")]
)
def test_a_percent_has_one_decimal(percent: str, words: str) -> None:
    """Rounded, with its sign; a huge one to the whole number."""
    assert describe_percent(Decimal(percent)) == words


def test_small_words() -> None:
    """Singulars, the nearest name, and how to install what is missing, which is never from a stranger's package."""
    assert (count_of(1, "row"), count_of(0, "row"), count_of(2, "entry", "entries")) == ("1 row", "0 rows", "2 entries")
    assert (did_you_mean("shpo", ["shop", "x"]), did_you_mean("q", ["shop"])) == (": did you mean 'shop'?", "")
    assert how_to_install("web") == "pip install '.[web]' in a checkout of syncer"
