"""Exact money (law 4): one canonical Decimal for each price, compared as a number.

Canonical is 15 significant digits, then 18 decimals, half-even: that keeps every price a person ever wrote and drops
binary float noise such as 1.00000000000000015. Unknown (None), 0 and a negative number are three different things.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

_FIFTEEN_DIGITS = Context(prec=15, rounding=ROUND_HALF_EVEN)
_WIDE = Context(prec=40, rounding=ROUND_HALF_EVEN)
_TWELVE_DIGITS = Context(prec=12, rounding=ROUND_HALF_EVEN)
_SMALLEST = Decimal("1e-18")
# RFC 8259 section 6: what a JSON number looks like. Decimal() alone would also take "1_000", " 5 " and "NaN".
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
JSON_SPACE = " \t\r\n"


def canonical(value: Decimal) -> Decimal:
    """`value` as the one Decimal that stands for its number.

    Raises ValueError for NaN, infinities, 1e15 and beyond, and a non-zero that would round to 0.
    """
    if not value.is_finite():
        raise ValueError("is not a finite number")
    if value == 0:
        return Decimal(0)
    # Asked before anything is formatted or rounded: Decimal("1E+999999999") costs nothing until then.
    if value.adjusted() >= 15:
        raise ValueError("is 1e15 or beyond")
    if value.adjusted() < -19:
        raise ValueError("is too small to keep: it would round to 0")
    rounded = _FIFTEEN_DIGITS.plus(value)
    if rounded.adjusted() >= 15:
        raise ValueError("is 1e15 or beyond")
    if _exponent(rounded) < -18:
        rounded = rounded.quantize(_SMALLEST, context=_WIDE)
    if rounded == 0:
        raise ValueError("is too small to keep: it would round to 0")
    shortest = rounded.normalize(_WIDE)
    return shortest if _exponent(shortest) <= 0 else shortest.quantize(Decimal(1), context=_WIDE)


def json_number(text: str) -> Decimal:
    """The number that a string spells, by JSON's own grammar after trimming; raises ValueError otherwise."""
    trimmed = text.strip(JSON_SPACE)
    if not _JSON_NUMBER.fullmatch(trimmed):
        raise ValueError("is text that is not a JSON number")
    return decimal_literal(trimmed)


def decimal_literal(text: str) -> Decimal:
    """A JSON number literal as a Decimal; raises ValueError where the exponent is beyond all arithmetic."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("is a number out of all range") from None


def percent(old: Decimal | None, new: Decimal | None) -> Decimal | None:
    """The move from `old` to `new` in percent, to 12 significant digits; None from unknown, 0 or a negative."""
    if old is None or new is None or old <= 0:
        return None
    exact = _WIDE.divide(_WIDE.multiply(Decimal(100), _WIDE.subtract(new, old)), old)
    rounded = _TWELVE_DIGITS.plus(exact)
    return rounded.normalize(_WIDE) if rounded else Decimal(0)


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "asked of finite numbers only"  # noqa: S101 - narrows the type
    return exponent
