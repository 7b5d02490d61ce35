"""What the pages say: prices, times and changes, in words.

- Everything returned as Markup was escaped here: each value goes through the `.format` of a Markup.
- A state is a sign, a word and a colour; a move an arrow, a sign and a number: the colour only repeats them.
- Upstream's names stand in <bdi>, so that one with a right-to-left override turns no row around.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup

from syncer.core import prices
from syncer.core.model import Kind, component_of
from syncer.core.text import rfc3339
from syncer.core.words import count_of, describe_unit
from syncer.history import ChangeRow
from syncer.history.resolve import Unit

SIGNS: Mapping[str, str] = {
    Kind.ADDED: "+",
    Kind.REMOVED: "−",  # noqa: RUF001 - a true minus
    Kind.RELISTED: "+",
    Kind.REPRICED: "~",
    Kind.UPDATED: "·",
    Kind.REREAD: "·",
}
KINDS: Mapping[str, str] = {
    Kind.REPRICED: "Prices moved",
    Kind.ADDED: "Newly listed",
    Kind.REMOVED: "No longer listed",
    Kind.RELISTED: "Listed again",
    Kind.UPDATED: "Other details",
}
FIELDS: Mapping[str, str] = {
    "context_length": "context",
    "max_completion_tokens": "longest answer",
    "huggingface_url": "Hugging Face link",
    "expires_at": "end announced for",
}
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")
_EXACT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")
_LONGEST = 7  # decimals that a column shows
_QUICK = timedelta(hours=3)
_FIRST = ("price", "input", "output", "cache_read", "cache_write")


def clean(text: str) -> str:
    """The text with each character that XML 1.0 forbids replaced: no document of ours may hold one (law 12)."""
    return _FORBIDDEN.sub("\ufffd", text)


def shown(value: Any) -> Any:  # noqa: ANN401 - whatever a template prints
    """What a template prints of a value: never a character that breaks the document."""
    if not isinstance(value, str) or not _FORBIDDEN.search(value):
        return value
    return Markup(clean(value)) if isinstance(value, Markup) else clean(value)  # noqa: S704 - escaped already


# -- names -------------------------------------------------------------------------------------------------------------


def name(model: str) -> Markup:
    """A model's name: the part before the last slash is said more quietly."""
    head, slash, tail = model.rpartition("/")
    if slash and tail:
        return Markup("<bdi><span>{}{}</span>{}</bdi>").format(head, slash, tail)
    return Markup("<bdi>{}</bdi>").format(model)


def label(component: str) -> str:
    """A component as a person reads it."""
    return component.replace("_", " ").replace("@", " @ ")


def ordered(components: Iterable[str], headline: str) -> list[str]:
    """The components of a model: the headline first, then the usual ones, then by name."""
    ranks = {component: rank for rank, component in enumerate((headline, *_FIRST))}
    return sorted(components, key=lambda component: (ranks.get(component, len(ranks)), component))


def safe_link(url: str | None) -> str | None:
    """The address, if it is one that a page may link to."""
    try:
        return url if url and urlsplit(url).scheme in {"http", "https"} else None
    except ValueError:
        return None


# -- prices ------------------------------------------------------------------------------------------------------------


def plain(value: Decimal | None) -> str:
    """A price in a sentence."""
    if value is None:
        return "unknown"
    return "free" if value == 0 else minus(format(value.normalize(), "f"))


def minus(text: str) -> str:
    """A number with a true minus sign."""
    return text.replace("-", "−")  # noqa: RUF001 - a true minus


def amount(value: Decimal | None) -> Markup:
    """A price in a column: split at the point, so that points stand under each other; the exact value is its title."""
    if value is None:
        return Markup('<span class="p dim">unknown</span>')
    if value == 0:
        return Markup('<span class="p">free<i></i></span>')
    text = format(value.normalize(), "f")
    whole, point, rest = text.partition(".")
    cut = f"{rest[: _LONGEST - 1]}…" if len(rest) > _LONGEST else rest
    title = Markup(' title="{}"').format(text) if len(rest) > _LONGEST else Markup("")
    if value < 0:
        title = Markup(' title="as upstream sent it"')
    sign = "−" if text.startswith("-") else ""  # noqa: RUF001 - a true minus
    return Markup('<span class="p"{}>{}{:,}<i>{}{}</i></span>').format(title, sign, abs(int(whole)), point, cut)


def money(currency: str | None, unit: Unit | Sequence[Any] | None) -> str:
    """What a price is in and for, as far as it is known: `USD / 1M tokens`."""
    return f"{currency or ''}{f' / {describe_unit(unit)}' if unit else ''}".strip()


def percent(old: Decimal | None, new: Decimal | None) -> Markup:
    """How far a price moved; nothing where that has no number."""
    moved = prices.percent(old, new) if old is not None and new is not None and new >= 0 else None
    return Markup("") if moved is None or old == new else share(moved)


def share(moved: Decimal) -> Markup:
    """A move in percent."""
    text = f"{abs(moved):,.0f}" if abs(moved) >= 100 else f"{abs(moved):.1f}".removesuffix(".0")
    way, arrow, sign = ("up", "▲", "+") if moved > 0 else ("down", "▼", "−")  # noqa: RUF001 - a true minus
    return Markup('<span class="{} nowrap">{} {}{} %</span>').format(way, arrow, sign, text)


# -- times -------------------------------------------------------------------------------------------------------------


def when(at: datetime, *, year: int | None = None) -> str:
    """24 Jul 18:49; the year where it is not this one."""
    return f"{at:%-d %b %H:%M}" if at.year == year else f"{at:%-d %b %Y %H:%M}"


def date_of(at: datetime, *, year: int | None = None) -> str:
    """24 Jul; the year where it is not this one."""
    return f"{at:%-d %b}" if at.year == year else f"{at:%-d %b %Y}"


def stamp(at: datetime, text: str | None = None, *, year: int | None = None) -> Markup:
    """A time, with the exact one in reach."""
    exact = rfc3339(at.astimezone(UTC).replace(microsecond=0))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, text or when(at, year=year))


def timed(text: str, *, year: int | None = None) -> Markup:
    """A sentence of ours for a terminal, with its times as a page has them."""
    parts = _EXACT.split(text)
    return Markup("").join(stamp(datetime.fromisoformat(p), year=year) if n % 2 else p for n, p in enumerate(parts))


def ago(at: datetime, now: datetime) -> str:
    """How long ago it was."""
    seconds = max((now - at).total_seconds(), 0)
    for least, size, word in ((86400 * 2, 86400, "day"), (7200, 3600, "hour"), (120, 60, "minute")):
        if seconds >= least:
            return f"{round(seconds / size)} {word}s ago"
    return "a minute ago" if seconds >= 50 else "just now"


def lasted(length: timedelta) -> str:
    """How long it was."""
    days, hours = length / timedelta(days=1), length / timedelta(hours=1)
    if days >= 2:
        return f"{days:.0f} days"
    return f"{hours:.0f} hours" if hours >= 2 else count_of(max(round(hours * 60), 1), "minute")


def every(interval: timedelta) -> str:
    """How often, as the end of a sentence: `every hour`, `every 6 hours`."""
    text = lasted(interval)
    return {"60 minutes": "every hour", "24 hours": "every day"}.get(text, f"every {text}")


def window(after: datetime | None, at: datetime, *, year: int | None = None, day: date | None = None) -> Markup:
    """The honest time of a change: after the last observation of the old state, by the first of the new.

    The first of the two is said where they are further apart than a few hours. `day`: what stands above already.
    """
    text = stamp(at, f"{at:%H:%M}" if at.date() == day else when(at, year=year))
    if after is None:
        return Markup('{} <span class="after">first observation</span>').format(text)
    if at - after <= _QUICK:
        return text
    before = f"{after:%H:%M}" if day == after.date() == at.date() else when(after, year=year)
    return Markup('{} <span class="after">after {}</span>').format(text, stamp(after, before))


# -- changes -----------------------------------------------------------------------------------------------------------


def sentence(change: ChangeRow) -> Markup:
    """One change in words, without its model's name."""
    said = [_HEADS[change.kind](change), *_details(change)]
    return Markup("; ").join(part for part in said if part)


def _added(change: ChangeRow) -> Markup:
    return Markup("listed at {}").format(_prices(change))


def _removed(change: ChangeRow) -> Markup:
    return Markup("no longer listed; its last price was {}").format(plain(change.price))


def _relisted(change: ChangeRow) -> Markup:
    listed = Markup("listed again at {}").format(_prices(change))
    moved = _moves(change)
    return Markup("{}; {}").format(listed, moved) if moved else listed


def _reread(change: ChangeRow) -> Markup:
    return Markup('<span class="dim">the same bytes, read anew</span>{}{}').format(
        ": " if _moves(change) else "", _moves(change)
    )


def _prices(change: ChangeRow) -> Markup:
    """The headline, and beside it the other known components."""
    known = [one for one in ordered(change.prices, change.component) if change.prices[one] is not None]
    if len(known) < 2:
        unit = money(change.currency, change.unit) if change.price is not None else ""
        return Markup("<b>{}</b> <span class=unit>{}</span>").format(plain(change.price), unit)
    named = Markup(", ").join(Markup("{} <b>{}</b>").format(label(one), plain(change.prices[one])) for one in known[:3])
    more = f" and {len(known) - 3} more" if len(known) > 3 else ""
    return Markup("{} <span class=unit>{}</span>{}").format(named, money(change.currency, change.units[known[0]]), more)


def _moves(change: ChangeRow) -> Markup:
    """Each component that moved; it is named where the model has several."""
    moved = [one for field in change.changed if (one := component_of(field)) is not None]
    several, said = len(change.prices) > 1, []
    its = ordered(moved, change.component)
    units = {one: money(change.currency, change.units.get(one)) for one in its}
    for one, following in zip(its, [*its[1:], ""], strict=False):
        old, new = change.changed[f"prices.{one}"]
        unit = "" if units.get(following) == units[one] else units[one]  # once for all that it holds for
        said.append(_move(f"{label(one)} " if several else "", old, new, unit))
    return Markup(", ").join(said)


def _move(named: str, old: Decimal | None, new: Decimal | None, unit: str) -> Markup:
    if new is None:
        return Markup("{}price no longer stated; it was {}").format(named, plain(old))
    if old is None:
        return Markup("{}price stated: <b>{}</b>{}").format(named, plain(new), _unit(unit))
    return Markup("{}{} → <b>{}</b>{} {}").format(named, plain(old), plain(new), _unit(unit), percent(old, new))


def _unit(unit: str) -> Markup:
    return Markup(" <span class=unit>{}</span>").format(unit) if unit else Markup("")


def _details(change: ChangeRow) -> list[Markup]:
    """The other fields that moved."""
    return [field_move(field, old, new) for field, (old, new) in change.changed.items() if component_of(field) is None]


def field_move(field: str, old: object, new: object) -> Markup:
    """One field that is no price, before and after."""
    if field == "description":
        return Markup("description changed")
    return Markup("{} <bdi>{}</bdi> → <b><bdi>{}</bdi></b>").format(
        FIELDS.get(field, field.replace("_", " ")), value(old), value(new)
    )


def value(value: object) -> str:
    """A field's value as a person reads it."""
    if value is None:
        return "none"
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"


_HEADS = {
    Kind.ADDED: _added,
    Kind.REMOVED: _removed,
    Kind.RELISTED: _relisted,
    Kind.REPRICED: _moves,
    Kind.UPDATED: lambda _: Markup(""),
    Kind.REREAD: _reread,
}
assert set(_HEADS) == set(Kind)  # noqa: S101 - a kind without words would be an empty line


def text_of(markup: Markup) -> str:
    """The same words without their marks, for a feed's title."""
    return " ".join(markup.striptags().split())
