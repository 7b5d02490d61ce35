"""words: what is said in more than one place."""

from decimal import Decimal
from typing import Any

import pytest

from syncer.core.words import count_of, describe_change, describe_percent, did_you_mean, how_to_install


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "added", "price": Decimal("1.50")}, "1.5"),
        ({"kind": "added", "price": None}, "unknown"),
        ({"kind": "removed", "old_price": Decimal(100)}, "(was 100)"),
        (
            {"kind": "repriced", "changed": {"price": [Decimal(2), Decimal(1)]}, "percent": Decimal(-50)},
            "price 2 -> 1 (-50 %)",
        ),
        (
            {"kind": "repriced", "changed": {"price": [None, 1]}, "currency": "USD", "unit": [1000000, "token"]},
            "price unknown -> 1 USD per 1000000 token",
        ),
        ({"kind": "updated", "changed": {"alias": ["a", "b" * 50]}}, f"alias a -> {'b' * 37}..."),
        ({"kind": "relisted", "changed": {}, "price": Decimal("0.4")}, "0.4"),
    ],
)
def test_a_change_in_a_line(change: dict[str, Any], words: str) -> None:
    """Each kind of change says what it did, with currency and unit where they are known."""
    assert describe_change(change) == words


def test_the_text_of_others_is_cleaned() -> None:
    """Whoever prints a change says what makes upstream's text harmless."""
    change = {"kind": "updated", "changed": {"alias": ["<a>", "b"]}}
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
