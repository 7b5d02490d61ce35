"""What is said in more than one place, said once: a change or a notice in a line, a number, the nearest name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from syncer.core.model import component_of
from syncer.core.notices import LATE, NoticeKind
from syncer.core.text import rfc3339

_LONGEST_VALUE = 40
_ALL_DIGITS = Context(prec=60)  # of a percent between the largest price and the smallest one


def count_of(number: int, thing: str, things: str | None = None) -> str:
    """`1 change`, `2 changes`; `things` is the plural where an s does not make it."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """`: did you mean 'shop'?`, to stand at the end of a sentence that refuses `word`; empty if nothing is like it."""
    from difflib import get_close_matches

    near = get_close_matches(word, tuple(known), n=1, cutoff=cutoff)
    return f": did you mean {near[0]!r}?" if near else ""


def not_observed_then(source: str, first_observed_at: datetime | None) -> str:
    """That nothing is known of a time before a source's first observation (law 6)."""
    if first_observed_at is None:
        return f"not observed then: {source} has never been observed"
    return f"not observed then: {source} was first observed at {rfc3339(first_observed_at)}"


def how_to_install(extra: str) -> str:
    """How to get one of syncer's extras: what is called `syncer` in a package index is not this program."""
    return f"pip install '.[{extra}]' in a checkout of syncer"


def describe_duration(duration: timedelta) -> str:
    """A duration as a person says it, in its two largest units: `23 h`, `3 d 2 h`, `40 min`, `5 s`."""
    seconds = int(duration.total_seconds())
    sizes = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    first = next((rank for rank, (_, size) in enumerate(sizes) if seconds >= size), len(sizes) - 1)
    parts = [(seconds // sizes[first][1], sizes[first][0])]
    if first + 1 < len(sizes):
        name, size = sizes[first + 1]
        parts.append((seconds % sizes[first][1] // size, name))
    return " ".join(f"{count} {name}" for rank, (count, name) in enumerate(parts) if count or rank == 0)


# -- prices and changes ------------------------------------------------------------------------------------------------

Clean = Callable[[str], str]
"""What makes upstream's text harmless where it is going to be read."""


def describe_price(value: Decimal | int | None, currency: str | None = None, unit: Sequence[Any] | None = None) -> str:
    """A price as a person reads it: `0.4`, `0.4 USD per 1M tokens`, `unknown`."""
    return "unknown" if value is None else f"{_plain(value)}{_money(currency, unit)}"


def describe_unit(unit: Sequence[Any]) -> str:
    """What a price is for, as a person says it: `1M tokens`, `image`."""
    quantity, word = int(unit[0]), str(unit[1])
    if quantity == 1:
        return word
    return f"{_short(quantity)} {word if word.endswith('s') else f'{word}s'}"


def describe_percent(value: Decimal | int) -> str:
    """A percent with its sign and one decimal, if it has any: `-20 %`, `+33.3 %`; a huge one without."""
    exact = Decimal(value)
    places = Decimal("0.1") if abs(exact) < 10_000 else Decimal(1)
    return f"{exact.quantize(places, context=_ALL_DIGITS).normalize(_ALL_DIGITS):+f} %"


def describe_change(data: Mapping[str, Any], *, clean: Clean = str) -> str:
    """What a change did to its model, given as the data of its event.

    `input 2.5 -> 2, output 10 -> 8 USD per 1M tokens (-20 %)`; what else moved stands behind it.
    """
    if data["kind"] == "added":
        return _all_prices(data, "new", clean)
    if data["kind"] == "removed":
        return f"(was {_all_prices(data, 'old', clean)})"
    changed: Mapping[str, Sequence[Any]] = data["changed"]
    moved = [component for component in map(component_of, changed) if component is not None]
    said = [_moves(data, unit, components, clean) for unit, components in _by_unit(data, moved)]
    said += [
        f"{clean(field)} {_value(old, clean)} -> {_value(new, clean)}"
        for field, (old, new) in changed.items()
        if component_of(field) is None
    ]
    return "; ".join(said) if said else _all_prices(data, "new", clean)


_MOST_PRICES = 4
_FIRST = ("price", "input", "output")

_Unit = tuple[Any, ...] | None


def _by_unit(data: Mapping[str, Any], components: Iterable[str]) -> list[tuple[_Unit, list[str]]]:
    """These components, those that are for the same together; the headline and the usual ones first."""
    ranks = {component: rank for rank, component in enumerate((data["component"], *_FIRST))}
    groups: dict[_Unit, list[str]] = {}
    for component in sorted(components, key=lambda one: (ranks.get(one, len(ranks)), one)):
        unit = data["units"].get(component)
        groups.setdefault(None if unit is None else tuple(unit), []).append(component)
    return list(groups.items())


def _moves(data: Mapping[str, Any], unit: _Unit, components: Sequence[str], clean: Clean) -> str:
    prices = [data["prices"][component] for component in components[:_MOST_PRICES]]
    moves = [
        f"{clean(component)} {describe_price(price['old'])} -> {describe_price(price['new'])}"
        for component, price in zip(components, prices, strict=False)
    ]
    is_unknown = any(price["new"] is None for price in prices[-1:])
    per = "" if is_unknown else _money(data["currency"], unit, clean)
    return f"{', '.join(moves)}{per}{_percents(prices)}{_more(components)}"


def _percents(prices: Sequence[Mapping[str, Any]]) -> str:
    """How much they moved: once where they moved alike, and not where one has no percent."""
    percents = [price["percent"] for price in prices]
    if None in percents:
        return ""
    return f" ({', '.join(dict.fromkeys(map(describe_percent, percents)))})"


def _all_prices(data: Mapping[str, Any], which: str, clean: Clean) -> str:
    """Each price before or after the change; a component is named where there are several."""
    prices: Mapping[str, Any] = data["prices"]
    if len(prices) < 2:
        unit = data["units"].get(data["component"])
        price = prices[data["component"]][which] if data["component"] in prices else None
        return "unknown" if price is None else f"{_plain(price)}{_money(data['currency'], unit, clean)}"
    known = [component for component, price in prices.items() if price[which] is not None]
    return "; ".join(
        ", ".join(f"{clean(one)} {_plain(prices[one][which])}" for one in components[:_MOST_PRICES])
        + _money(data["currency"], unit, clean)
        + _more(components)
        for unit, components in _by_unit(data, known)
    ) or describe_price(None)


def _more(components: Sequence[str]) -> str:
    return f" and {len(components) - _MOST_PRICES} more" if len(components) > _MOST_PRICES else ""


def _money(currency: str | None, unit: Sequence[Any] | None, clean: Clean = str) -> str:
    """` USD per 1M tokens`, as far as it is known."""
    return f"{f' {clean(currency)}' if currency else ''}{f' per {clean(describe_unit(unit))}' if unit else ''}"


def _plain(value: Decimal | int) -> str:
    return format(Decimal(value).normalize(_ALL_DIGITS), "f")


def _short(quantity: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "K")):
        if quantity % size == 0:
            return f"{quantity // size}{letter}"
    return str(quantity)


def _value(value: object, clean: Clean) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Decimal) or value is None:
        return describe_price(value)
    text = str(value)
    return clean(text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}...")


# -- notices -----------------------------------------------------------------------------------------------------------


def describe_notice(data: Mapping[str, Any], *, clean: Clean = str) -> str:
    """What a notice says of its source or model, given as the data of its event."""
    return _NOTICES[NoticeKind(data["kind"])](data, clean)


_MOST_NAMES = 3


def _named(data: Mapping[str, Any], clean: Clean) -> str:
    """How many models a notice is about, and the first of them."""
    count, names = int(data["count"]), list(data["models"])
    if not count:
        return ""
    shown = ", ".join(clean(str(name)) for name in names[:_MOST_NAMES])
    rest = f" and {count - _MOST_NAMES} more" if count > _MOST_NAMES else ""
    return f" ({count_of(count, 'model')}: {shown}{rest})"


def _staleness(data: Mapping[str, Any], clean: Clean) -> str:
    if data["reason"] == LATE:
        return f"late: not observed since {_since(data['last_observed_at'], clean)}"
    shown = f"its answer is of {clean(str(data['shown_at']))}" if data.get("shown_at") else "its answers may be old"
    return f"{clean(str(data['reason']))}: {shown}"


def _since(at: object, clean: Clean) -> str:
    return "it was configured" if at is None else clean(str(at))


def _settlement(data: Mapping[str, Any], clean: Clean) -> str:
    comment = f": {clean(str(data['comment']))}" if data.get("comment") else ""
    return f"{clean(str(data['finding']))} {clean(str(data['state']))}{_named(data, clean)}{comment}"


def _unreadable(data: Mapping[str, Any], clean: Clean) -> str:
    rows = int(data.get("row_count") or 0)
    left_out = f"{count_of(rows, 'row')} left out" if rows else ""
    unread = f"cannot be read{_named(data, clean)}" if data["count"] else ""
    return "; ".join(part for part in (unread, left_out) if part)


def _end(data: Mapping[str, Any], clean: Clean) -> str:
    dated = [f"{name} on {str(at)[:10]}" for name, at in data["models"].items()]
    return f"ends soon{_named({**data, 'models': dated}, clean)}"


_NOTICES: Mapping[NoticeKind, Callable[[Mapping[str, Any], Clean], str]] = {
    NoticeKind.FAILED: lambda data, clean: clean(str(data["error"])),
    NoticeKind.STALE: _staleness,
    NoticeKind.RECOVERED: lambda data, clean: f"well again (was {clean(str(data['from']))})",
    NoticeKind.HELD: lambda data, clean: clean(str(data["why"])),
    NoticeKind.SETTLED: _settlement,
    NoticeKind.UNREADABLE: _unreadable,
    NoticeKind.READABLE: lambda data, clean: f"can be read again{_named(data, clean)}",
    NoticeKind.MISSING: lambda data, clean: (
        f"missing (last listed: {clean(str(data['last_seen_at'] or 'unknown'))}), not removed yet"
    ),
    NoticeKind.RETURNED: lambda data, clean: f"listed again (was missing since {clean(str(data['missing_since']))})",
    NoticeKind.EXPIRING: _end,
}
