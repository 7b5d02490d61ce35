"""What is said in more than one place, said once: a change in a line, a number of things, the nearest name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

_LONGEST_VALUE = 40


def count_of(number: int, thing: str, things: str | None = None) -> str:
    """`1 change`, `2 changes`; `things` is the plural where an s does not make it."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """`: did you mean 'shop'?`, to stand at the end of a sentence that refuses `word`; empty if nothing is like it."""
    from difflib import get_close_matches

    near = get_close_matches(word, tuple(known), n=1, cutoff=cutoff)
    return f": did you mean {near[0]!r}?" if near else ""


def how_to_install(extra: str) -> str:
    """How to get one of syncer's extras: what is called `syncer` in a package index is not this program."""
    return f"pip install '.[{extra}]' in a checkout of syncer"


# -- prices and changes ------------------------------------------------------------------------------------------------


def describe_price(value: Decimal | int | None, currency: str | None = None, unit: Sequence[Any] | None = None) -> str:
    """A price as a person reads it: `0.4`, `0.4 USD per 1000000 token`, `unknown`."""
    if value is None:
        return "unknown"
    per = f" per {unit[0]} {unit[1]}" if unit else ""
    return f"{format(Decimal(value).normalize(), 'f')}{f' {currency}' if currency else ''}{per}"


def describe_percent(value: Decimal | int) -> str:
    """A percent with its sign and one decimal, if it has any: `-20 %`, `+33.3 %`; a huge one without."""
    exact = Decimal(value)
    rounded = exact.quantize(Decimal("0.1")) if abs(exact) < 10_000 else exact.quantize(Decimal(1))
    return f"{rounded.normalize():+f} %"


def describe_change(data: Mapping[str, Any], *, clean: Callable[[str], str] = str) -> str:
    """What a change did to its model, given as the data of its event: `price 0.5 -> 0.4 USD per 1000000 token (-20 %)`.

    `clean` makes the text of others harmless where it is going to be read.
    """

    def price(value: Decimal | int | None) -> str:
        return clean(describe_price(value, data.get("currency"), data.get("unit")))

    if data["kind"] == "added":
        return price(data["price"])
    if data["kind"] == "removed":
        return f"(was {price(data['old_price'])})"
    moved = [_move(field, pair, data, price, clean) for field, pair in (data["changed"] or {}).items()]
    return "; ".join(moved) if moved else price(data["price"])


def _move(
    field: str, pair: Sequence[Any], data: Mapping[str, Any], price: Callable[[Any], str], clean: Callable[[str], str]
) -> str:
    if field != "price":
        return f"{clean(field)} {_value(pair[0], clean)} -> {_value(pair[1], clean)}"
    percent = data.get("percent")
    return f"price {describe_price(pair[0])} -> {price(pair[1])}" + (
        "" if percent is None else f" ({describe_percent(percent)})"
    )


def _value(value: object, clean: Callable[[str], str]) -> str:
    if isinstance(value, Decimal) or value is None:
        return describe_price(value)
    text = str(value)
    return clean(text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}...")
