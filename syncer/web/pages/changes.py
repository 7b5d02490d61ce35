"""What happened, the newest first, as sentences."""

from collections.abc import Iterator
from datetime import date
from itertools import groupby
from typing import Any

import msgspec

from syncer import history
from syncer.core.model import Kind
from syncer.errors import UsageError
from syncer.web.pages.page import Page, Twin, status_of, together
from syncer.web.query import encoded
from syncer.web.site import Visit

MOST = 200
KINDS = tuple(kind.value for kind in Kind)
FILTERS = ("model", "kind", "source", "since", "until")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A page of changes, and the feed id behind which the next one begins, if there is one."""

    rows: list[history.ChangeRow]
    before: int | None


def find(visit: Visit) -> Found:
    """The changes that are asked for, the newest first. Raises UsageError."""
    limit = visit.query.whole("limit", 50, least=1, most=MOST)
    rows = list(ask(visit, newest_first=True, limit=limit + 1))
    return Found(rows=rows[:limit], before=rows[limit - 1].id if len(rows) > limit else None)


def ask(visit: Visit, **more: Any) -> Iterator[history.ChangeRow]:  # noqa: ANN401 - of history.changes
    """The changes that pass the filters of the query."""
    query = visit.query
    query.require_forward("since", "until")
    kind = query.one_of("kind", KINDS, "") if query.raw("kind") else None
    return history.changes(
        visit.connection,
        model=query.text("model"),
        kinds=None if kind is None else {kind},
        source=query.text("source"),
        since=query.moment("since"),
        until=query.moment("until"),
        before=query.number("before"),
        **more,
    )


def changes(visit: Visit) -> Page:
    """`/changes?model=&kind=&source=&since=&until=&before=`"""
    form = {name: visit.query.raw(name) for name in FILTERS}
    shared: dict[str, Any] = {"form": form, "kinds": list(KINDS)}
    try:
        found = find(visit)
    except UsageError as error:
        blank: dict[str, Any] = {
            "error": str(error),
            "days": [],
            "older": None,
            "newest": None,
            "nearest": getattr(error, "nearest", ()),
        }
        return Page(
            template="changes.html", title="Changes", section="changes", context=shared | blank, status=status_of(error)
        )
    query = visit.query
    followed = [(name, text) for name in ("model", "source") if (text := form[name]) and not set(text) & set("*?")]
    return Page(
        template="changes.html",
        title="Changes",
        section="changes",
        context={
            **shared,
            "error": None,
            "nearest": (),
            "days": by_day(found.rows),
            "older": None if found.before is None else f"/changes{query.with_(before=found.before)}",
            "newest": f"/changes{query.with_(before=None)}" if query.raw("before") else None,
        },
        twins=[Twin(form.upper(), f"/api/v1/changes.{form}{query.with_()}") for form in ("json", "csv")],
        feed=encoded(followed),
        command="syncer changes --last 50",
    )


def by_day(rows: list[history.ChangeRow]) -> list[tuple[date, int, list[list[history.ChangeRow]]]]:
    """The changes under the days on which they were observed: day, how many, and those of one time together."""
    days = []
    for day, its in groupby(rows, key=lambda row: row.observed_at.date()):
        found = list(its)
        days.append((day, len(found), list(together(found))))
    return days
