"""Exact money (law 4): the only place that turns JSON into a Decimal, and one canonical Decimal for each price.

- A published number is scaled first and made canonical then: 2.08333333333333E-8 a token is 0.0208333333333333 a
  million tokens, with all of its digits.
- Scaling is by powers of ten only, and a multiple is the exact product of the two published numbers: nothing is rounded
  before the one rounding of `canonical`.
- Canonical is 15 significant digits, then 18 decimals, half-even: that keeps every price a person ever wrote and drops
  binary float noise such as 1.00000000000000015.
- Unknown (None), 0 and a negative number are three different things.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache

import msgspec

VERSION = 1
"""Raise it when the same published number would become another price: it is part of each parser's digest."""

MILLION = 1_000_000
JSON_SPACE = " \t\r\n"

_FIFTEEN_DIGITS = Context(prec=15, rounding=ROUND_HALF_EVEN)
_WIDE = Context(prec=40, rounding=ROUND_HALF_EVEN)
_TWELVE_DIGITS = Context(prec=12, rounding=ROUND_HALF_EVEN)
_EXACT = Context(prec=1_000_000)  # more digits than any element that is read can hold, and than their product has
_SMALLEST = Decimal("1e-18")
_LARGEST_EXPONENT = 100
# RFC 8259 section 6: what a JSON number looks like. Decimal() alone would also take "1_000", " 5 " and "NaN".
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COMPONENT = re.compile(r"""[a-z0-9_]+(?:@[!-~]{1,40})?""")
_NOT_IN_A_COMPONENT = frozenset("\"'`\\. ")
MAX_COMPONENT = 64
_CACHED_TEXT = 40
"""The longest published text that is remembered with its price: most catalogs repeat a few hundred short ones."""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """How a source publishes a price: `factor` of the currency for `per` of `of`; `varies` are numbers for no price."""

    per: int = 1
    of: str = "token"
    factor: Decimal = Decimal(1)
    varies: frozenset[Decimal] = frozenset()

    @property
    def quantity(self) -> int:
        """For how many a price is kept: 1,000,000 tokens, or one of anything else."""
        return MILLION if self.of == "token" else 1

    @property
    def shift(self) -> int:
        """The power of ten between the published number and the price that is kept."""
        return Decimal(self.quantity).adjusted() + self.factor.adjusted() - Decimal(self.per).adjusted()


UNKNOWN = Unit(of="")
"""The unit of a source that does not say one: numbers are kept as they are published."""


def canonical(value: Decimal) -> Decimal:
    """`value` as the one Decimal that stands for its number.

    Raises ValueError for NaN, infinities, 1e15 and beyond, and a non-zero that would round to 0.
    """
    if not value.is_finite():
        raise ValueError("is not a finite number")
    if not value:
        return Decimal(0)
    # Asked before anything is formatted or rounded: Decimal("1E+999999999") costs nothing until then.
    if value.adjusted() >= 15:
        raise ValueError("is 1e15 or beyond")
    if value.adjusted() < -19:
        raise ValueError("is too small to keep: it would round to 0")
    rounded = _FIFTEEN_DIGITS.plus(value)
    if rounded.adjusted() >= 15:
        raise ValueError("is 1e15 or beyond")
    if rounded.adjusted() < -4 and _exponent(rounded) < -18:  # of a larger one, 15 digits end before the 19th decimal
        rounded = rounded.quantize(_SMALLEST, context=_WIDE)
        if rounded == 0:
            raise ValueError("is too small to keep: it would round to 0")
    shortest = rounded.normalize(_WIDE)
    return shortest if _exponent(shortest) <= 0 else shortest.quantize(Decimal(1), context=_WIDE)


def price(value: object, shift: int, varies: frozenset[Decimal]) -> Decimal | None:
    """What is kept of a published JSON value: None where it is unknown (null) or a number that means "it varies".

    `shift` and `varies` are those of its Unit. Raises ValueError where it cannot be read; the message continues a
    sentence about the value.
    """
    if type(value) is Decimal:
        return _kept(value, shift, varies)
    if type(value) is str and len(value) <= _CACHED_TEXT:
        return _price_of_text(value, shift, varies)
    return None if value is None else _kept(published(value), shift, varies)


def multiple(value: object, of: object, shift: int, varies: frozenset[Decimal]) -> Decimal | None:
    """The price of a component that is published as a multiple of another one, in that one's unit."""
    if value is None or of is None:
        return None
    times, base = published(value), published(of)
    if times in varies or base in varies:
        return None
    return _kept(_EXACT.multiply(_bounded(times, 0), _bounded(base, 0)), shift, frozenset())


def published(value: object) -> Decimal:
    """A JSON value that is a number: a number, text that spells one, or an amount of `units` and `nanos`."""
    if isinstance(value, str):
        return json_number(value)
    if isinstance(value, Mapping) and value.keys() & {"units", "nanos"}:
        return _amount(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"is {json_type(value)}, not a number")
    return Decimal(value)


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


def is_component(name: str) -> bool:
    """Whether a price component can be called so: `[a-z0-9_]+`, with an optional suffix after `@`."""
    return len(name) <= MAX_COMPONENT and bool(_COMPONENT.fullmatch(name)) and not _NOT_IN_A_COMPONENT & set(name)


def percent(old: Decimal | None, new: Decimal | None) -> Decimal | None:
    """The move from `old` to `new` in percent, to 12 significant digits; None from unknown, 0 or a negative."""
    if old is None or new is None or old <= 0:
        return None
    exact = _WIDE.divide(_WIDE.multiply(Decimal(100), _WIDE.subtract(new, old)), old)
    rounded = _TWELVE_DIGITS.plus(exact)
    return rounded.normalize(_WIDE) if rounded else Decimal(0)


def json_type(value: object) -> str:
    """What kind of JSON value this is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "missing or null"}
    return names.get(type(value), "a number")


@lru_cache(maxsize=8192)
def _price_of_text(text: str, shift: int, varies: frozenset[Decimal]) -> Decimal | None:
    return _kept(json_number(text), shift, varies)


def _kept(number: Decimal, shift: int, varies: frozenset[Decimal]) -> Decimal | None:
    if varies and number in varies:
        return None
    return canonical(_bounded(number, shift).scaleb(shift, _EXACT) if shift else number)


def _bounded(number: Decimal, shift: int) -> Decimal:
    """`number`, refused where arithmetic on it could not be exact; a zero may have any exponent."""
    if number == 0:
        return Decimal(0)
    if number.adjusted() + shift >= _LARGEST_EXPONENT:
        raise ValueError("is 1e15 or beyond")
    if number.adjusted() + shift < -_LARGEST_EXPONENT:
        raise ValueError("is too small to keep: it would round to 0")
    return number


def _amount(value: Mapping[object, object]) -> Decimal:
    """Google's Money: whole units, and billionths of one."""
    units, nanos = (published(value.get(key) or 0) for key in ("units", "nanos"))
    return _EXACT.add(_bounded(units, 0), _bounded(nanos, 0).scaleb(-9, _EXACT))


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "asked of finite numbers only"  # noqa: S101 - narrows the type
    return exponent
