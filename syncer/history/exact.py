"""Arithmetic on prices that loses nothing: Fractions inside, one Decimal to show at the end (law 4)."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

DIGITS = 28
"""How many significant digits are shown of a number whose decimals never end."""
_ROUNDED = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)
_MICROSECOND = timedelta(microseconds=1)


def decimal(value: Fraction) -> Decimal:
    """`value` as a Decimal without trailing zeros: exact if its decimals end, else 28 digits, half-even."""
    places = _decimal_places(value.denominator)
    if places is None:
        return _ROUNDED.divide(Decimal(value.numerator), Decimal(value.denominator))
    return _scaled(value.numerator * 10**places // value.denominator, places)


def difference(old: Decimal, new: Decimal) -> Decimal:
    """`new - old`, whatever the context of the thread would have rounded it to."""
    return decimal(Fraction(new) - Fraction(old))


def weighted_mean(weighed: Iterable[tuple[Decimal, timedelta]]) -> Fraction | None:
    """The mean of the values, each weighed by its duration; None if they last no time together."""
    total, weight = Fraction(0), 0
    for value, duration in weighed:
        microseconds = duration // _MICROSECOND
        total += Fraction(value) * microseconds
        weight += microseconds
    return total / weight if weight else None


def share(part: timedelta, whole: timedelta) -> Fraction | None:
    """`part` of `whole`; None of nothing."""
    return Fraction(part // _MICROSECOND, whole // _MICROSECOND) if whole else None


def _decimal_places(denominator: int) -> int | None:
    """How many decimals a reduced fraction of this denominator has; None if they never end."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


def _scaled(digits: int, places: int) -> Decimal:
    while places and digits % 10 == 0:
        digits, places = digits // 10, places - 1
    sign, figures, _ = Decimal(digits).as_tuple()
    return Decimal((sign, figures, -places))
