"""The overview: is it fresh, is anything held, what changed."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from syncer import history
from syncer.core.model import Kind
from syncer.history.resolve import all_sources
from syncer.web import charts, words
from syncer.web.pages.page import Page, Twin, together
from syncer.web.site import Visit

_WINDOWS = (1, 7, 30, 90)
_MOVERS = timedelta(days=90)
_NEW = timedelta(days=30)
_DAYS = 150
_FEWEST_DAYS = 30
_LATEST = 14


def overview(visit: Visit) -> Page:
    """`/`"""
    if not visit.sources:
        return Page(template="empty.html", title="Nothing has been read yet", section="overview")
    return Page(
        template="overview.html",
        title="Overview",
        section="overview",
        context=context(visit),
        twins=(Twin("JSON", "/api/v1/freshness"), Twin("CSV", "/api/v1/freshness.csv")),
        command="syncer status",
    )


def context(visit: Visit) -> dict[str, Any]:
    """What the overview shows."""
    now, connection = visit.now, visit.connection
    known = [source.first_observed_at for source in all_sources(connection).values() if source.first_observed_at]
    since = max(now - _MOVERS, min(known, default=now))
    latest = history.changes(connection, newest_first=True, limit=_LATEST)
    matrix = _matrix(visit)
    is_any = any(kind == Kind.ADDED and sums[-1] for kind, _, sums in matrix)  # or the whole month is read for nothing
    added = history.changes(connection, kinds={Kind.ADDED}, since=now - _NEW, newest_first=True, limit=10)
    return {
        "held": visit.held,
        "windows": [(days, f"{days} day{'s' * (days > 1)}") for days in _WINDOWS],
        "matrix": matrix,
        "movers": history.movers(connection, since=since, until=now, headline_only=True, limit=8),
        "movers_since": since,
        "activity": _activity(visit),
        "latest": list(together(latest)),
        "new": [row for row in added if row.changed_after is not None] if is_any else [],
    }


def _matrix(visit: Visit) -> list[tuple[str, str, list[int]]]:
    """Kind, what it is called, and how many of it there were in each window."""
    sums = []
    for days in _WINDOWS:
        found: Counter[str] = Counter()
        for row in history.counts(visit.connection, since=visit.now - timedelta(days=days), until=visit.now):
            found.update({kind: getattr(row, kind) for kind in words.KINDS})
        sums.append(found)
    return [(kind, label, [found[kind] for found in sums]) for kind, label in words.KINDS.items()]


def _activity(visit: Visit) -> Markup | None:
    """A bar for each day since the first observation, at most so many."""
    today = visit.now.date()
    midnight = visit.now.replace(hour=0, minute=0, second=0, microsecond=0)
    found = history.activity(visit.connection, since=midnight - timedelta(days=_DAYS - 1), until=visit.now)
    if not found:
        return None
    seen: Counter[date] = Counter()
    for row in found:
        seen[row.day] += sum(getattr(row, kind) for kind in words.KINDS)
    first = min(*seen, today - timedelta(days=_FEWEST_DAYS - 1))
    pruned = max((row.pruned_before.date() for row in visit.sources if row.pruned_before), default=None)
    days = [first + timedelta(days=number) for number in range((today - first).days + 1)]
    bars = [(day, seen[day], day in seen or (pruned is not None and day < pruned)) for day in days]
    return charts.activity(bars, title=f"Changes on each of the last {len(days)} days")
