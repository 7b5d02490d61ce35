"""The sources: how fresh each is, what is withheld of it, and its runs."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from markupsafe import Markup

from syncer import history
from syncer.core.model import component_of
from syncer.core.words import count_of
from syncer.web import charts, words
from syncer.web.pages.page import Page, Twin
from syncer.web.site import Visit

OUTCOMES = ("changed", "unchanged", "held", "failed", "skipped", "abandoned", "running")
_STRIP = 90
_READ = 200
_SHOWN = 8
_SIGNS = {"changed": ("~", "ok"), "unchanged": ("✓", "dim"), "held": ("▐", "hold"), "failed": ("✕", "bad")}
_COUNTED = ("added", "removed", "relisted", "repriced", "updated", "reread", "rejected", "withheld")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A run, or several in a row of which nothing came."""

    first: history.RunRow
    last: history.RunRow
    count: int
    what: str
    sign: str
    css: str


def sources(visit: Visit) -> Page:
    """`/sources?outcome=&source=&before=`"""
    query = visit.query
    outcome = query.one_of("outcome", OUTCOMES, "") if query.raw("outcome") else None
    source, before = query.text("source"), query.number("before")
    found = list(history.runs(visit.connection, source=source, outcome=outcome, before=before, limit=_READ + 1))
    return Page(
        template="sources.html",
        title="Sources and runs",
        section="sources",
        context={
            "strips": {state.fresh.source: _strip(visit, state.fresh.source) for state in visit.states},
            "addresses": {one.name: _address(one.url) for one in visit.site.settings.sources},
            "held": [_held(finding, whole=query.raw("all") == str(finding.id)) for finding in visit.held],
            "lines": folded(found[:_READ]),
            "outcomes": OUTCOMES[:4],
            "outcome": outcome,
            "older": f"/sources{query.with_(before=found[_READ - 1].id)}#runs" if len(found) > _READ else None,
            "newest": f"/sources{query.with_(before=None)}#runs" if before is not None else None,
        },
        twins=[Twin(form.upper(), f"/api/v1/runs.{form}{query.with_(all=None)}") for form in ("json", "csv")],
        command="syncer held",
    )


def _address(url: str) -> str:
    """Where a source is, without its query: that may hold a key (law 11)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _strip(visit: Visit, source: str) -> tuple[Markup, int]:
    found = list(history.runs(visit.connection, source=source, limit=_STRIP))[::-1]
    told = [(run.outcome, f"{words.when(run.started_at)}: {run.outcome}") for run in found]
    return charts.strip(told, title=f"The last {len(told)} runs of {source}"), len(told)


def _held(finding: history.Held, *, whole: bool) -> dict[str, Any]:
    rows = [row for model in finding.models for row in _rows(model)]
    return {"finding": finding, "rows": rows if whole else rows[:_SHOWN], "count": len(rows)}


def _rows(model: history.HeldModel) -> list[dict[str, Any]]:
    if model.fields is None:
        return [{"model": model, "label": "listed", "old": Markup("yes"), "new": Markup("no")}]
    return [
        {
            "model": model,
            "label": words.label(component_of(field) or field),
            "old": _shown(field, old),
            "new": _shown(field, new),
        }
        for field, (old, new) in model.fields.items()
    ]


def _shown(field: str, value: Any) -> Markup | str:  # noqa: ANN401 - a field's value
    return words.amount(value) if component_of(field) is not None else words.value(value)


def folded(runs: Iterable[history.RunRow]) -> list[Line]:
    """The runs, the newest first; of each source, those in a row of which nothing came are one line."""
    groups: list[list[history.RunRow]] = []
    open_groups: dict[str, list[history.RunRow]] = {}
    for run in runs:
        group = open_groups.get(run.source)
        if group is not None and run.outcome == group[0].outcome == "unchanged":
            group.append(run)
            continue
        groups.append(fresh := [run])
        open_groups[run.source] = fresh
    return [_line(group) for group in groups]


def _line(group: Sequence[history.RunRow]) -> Line:
    last, first = group[0], group[-1]
    sign, css = _SIGNS.get(last.outcome, ("·", "bad" if last.outcome == "abandoned" else "dim"))
    return Line(first=first, last=last, count=len(group), what=_what(group), sign=sign, css=css)


def _what(group: Sequence[history.RunRow]) -> str:
    run = group[0]
    if len(group) > 1:
        return f"{count_of(len(group), 'observation')}, nothing new"
    counts = ", ".join(f"{getattr(run, name)} {name}" for name in _COUNTED if getattr(run, name))
    kind = "" if run.kind == "sync" else run.kind
    return "; ".join(part for part in (kind, counts, run.error or "") if part) or "nothing new"
