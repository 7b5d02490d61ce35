"""Law 4: exact money, from the first byte to the last."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncer.core import prices

DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    st.integers(0, 1),
    st.lists(st.integers(0, 9), min_size=1, max_size=40).map(tuple),
    st.integers(-60, 30),
)


def by_definition(value: Fraction) -> Fraction | None:
    """Law 4 in exact fractions: 15 significant digits, then 18 decimals, half-even; None is refused."""
    if value == 0:
        return value
    unit = Fraction(1)
    while abs(value) >= unit * 10**15:
        unit *= 10
    while abs(value) < unit * 10**14:
        unit /= 10
    fifteen = round(value / unit) * unit
    kept = Fraction(round(fifteen * 10**18), 10**18)
    return None if kept == 0 or abs(kept) >= 10**15 else kept


def canonical_or_none(value: Decimal) -> Decimal | None:
    """What it is kept as, None if it is refused."""
    try:
        return prices.canonical(value)
    except ValueError:
        return None


@given(DECIMALS)
@example(Decimal("1.000000000000005"))
@example(Decimal("999999999999999.5"))
@example(Decimal("5e-19"))
@example(Decimal("5.00000000000001e-19"))
@example(Decimal("9.99999999999999999e-19"))
def test_canonical_is_its_definition(value: Decimal) -> None:
    """Law 4: canonical is 15 significant digits, then 18 decimals, half-even, whatever was written."""
    found = canonical_or_none(value)
    assert (None if found is None else Fraction(found)) == by_definition(Fraction(value))


@given(DECIMALS)
def test_a_canonical_price_has_one_spelling(value: Decimal) -> None:
    """Law 4: canonical is canonical already, one spelling a number, and survives a database's double exactly."""
    found = canonical_or_none(value)
    if found is None:
        return
    assert str(prices.canonical(found)) == str(found)
    assert str(prices.canonical(Decimal(f"{found:f}000") if "." in f"{found:f}" else found)) == str(found)
    assert prices.canonical(Decimal(repr(float(found)))) == found
    assert "E+" not in str(found)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0.20", "0.2"),
        ("1.00000000000000015", "1"),
        ("-0", "0"),
        ("0E+999999999", "0"),
        ("-1", "-1"),
        ("1e3", "1000"),
        ("123456789012345678", None),
        ("999999999999999", "999999999999999"),
        ("0.000000000000000001", "1E-18"),
    ],
)
def test_what_a_number_is_kept_as(written: str, kept: str | None) -> None:
    """Law 4: noise goes, the number stays, and a negative one is kept as it is."""
    assert canonical_or_none(Decimal(written)) == (None if kept is None else Decimal(kept))


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("1e15", "is 1e15 or beyond"),
        ("-1e15", "is 1e15 or beyond"),
        ("999999999999999.5", "is 1e15 or beyond"),
        ("1E+999999999", "is 1e15 or beyond"),
        ("4e-19", "is too small to keep: it would round to 0"),
        ("5e-19", "is too small to keep: it would round to 0"),
        ("1E-999999999", "is too small to keep: it would round to 0"),
        ("NaN", "is not a finite number"),
        ("sNaN", "is not a finite number"),
        ("-Infinity", "is not a finite number"),
    ],
)
def test_what_no_price_can_be(written: str, why: str) -> None:
    """Law 4: NaN, infinities, 1e15 and beyond and what would round to 0 are refused, at once and with the reason."""
    with pytest.raises(ValueError, match=why):
        prices.canonical(Decimal(written))


@pytest.mark.parametrize("text", ["0.20", " 1.5\n", "\t-0", "1E+3", "1e-7", "-1"])
def test_text_may_spell_a_json_number(text: str) -> None:
    """Law 4: a string counts as its number if it is a JSON number after trimming."""
    assert prices.json_number(text) == Decimal(text.strip())


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1_000",
        "1,000",
        "$1",
        "NaN",
        "Infinity",
        "-",
        ".5",
        "5.",
        "01",
        "+1",
        "0x10",
        "\u0661",
        "1 2",
        "\xa01",
        "1e",
    ],
)
def test_text_that_is_no_json_number_is_refused(text: str) -> None:
    """Law 4: what Decimal() would take but JSON would not is no price, and nor is an empty string."""
    with pytest.raises(ValueError, match="not a JSON number"):
        prices.json_number(text)


def test_an_exponent_beyond_all_arithmetic_is_a_value_error() -> None:
    """Law 4: 1e99999999999999999999 is refused like any other number, not with an arithmetic error."""
    with pytest.raises(ValueError, match="out of all range"):
        prices.json_number("1e99999999999999999999")


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ("2", "3", "50"),
        ("3", "2", "-33.3333333333"),
        ("0.1", "0.3", "200"),
        ("1", "1", "0"),
        ("5", "0", "-100"),
        ("2", "-1", "-150"),
        (None, "1", None),
        ("1", None, None),
        ("0", "1", None),
        ("-1", "1", None),
    ],
)
def test_percent(old: str | None, new: str | None, moved: str | None) -> None:
    """A move in percent has 12 significant digits, and none exists from unknown, 0 or a negative number."""
    given_old, given_new, expected = (None if text is None else Decimal(text) for text in (old, new, moved))
    assert prices.percent(given_old, given_new) == expected
