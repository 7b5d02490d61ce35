"""The report: the pages as one file that needs no server, no network and nothing else.

- The same templates, sections, style and script as the pages, inlined; `:target` shows one section at a time.
- It says when it was made, and that nothing later is in it. What did not fit is named, never left out in silence.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from markupsafe import Markup

from syncer import history
from syncer.history.pages import MOST_ROWS
from syncer.web.pages.catalog import Asked, columns_of
from syncer.web.pages.catalog import context as catalog_context
from syncer.web.pages.catalog import find as find_models
from syncer.web.pages.changes import by_day
from syncer.web.pages.model import context as model_context
from syncer.web.pages.overview import context as overview_context
from syncer.web.rendering import Renderer, static_file
from syncer.web.site import Visit

MOST_MODELS = 500
"""Models that have a section of their own, if nothing else is asked for."""
_MOST_CHANGES = 1000
_SPARKS = 1000  # models beyond which a price that never moved is drawn no more


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into a report: models that changed since then and are named by a pattern, at most so many."""

    since: datetime
    models: str | None = None
    limit: int = MOST_MODELS


class Links:
    """Where things are in one file: a section, or nowhere."""

    live = False

    def __init__(self, sections: Mapping[tuple[str, str], str]) -> None:
        self._sections = sections

    def model(self, source: str, name: str) -> str | None:
        """The section of a model, if it has one."""
        found = self._sections.get((source, name))
        return None if found is None else f"#{found}"

    def to(self, path: str, **_: object) -> str:
        """The section that stands for a page; the overview for those that a report has not."""
        return {"/catalog": "#catalog", "/changes": "#changes"}.get(path, "#overview")


def report(visit: Visit, wanted: Wanted) -> str:
    """The report as HTML."""
    recent = list(history.changes(visit.connection, since=wanted.since, newest_first=True, limit=_MOST_CHANGES + 1))
    named = _changed(visit, wanted)
    shown, left_out = named[: wanted.limit], named[wanted.limit :]
    sections = {place: f"m{number}" for number, place in enumerate(shown, 1)}
    renderer = Renderer(Links(sections))
    style, script = static_file("style.css"), static_file("chart.js")
    return renderer.text(
        "report.html",
        {
            "visit": visit,
            "year": visit.now.year,
            "wanted": wanted,
            "style": Markup(style),  # noqa: S704 - our own file
            "script": Markup(script),  # noqa: S704 - our own file
            "policy": f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'",
            "overview": overview_context(visit) if visit.sources else None,
            "catalog": _catalog(visit),
            "days": by_day(recent[:_MOST_CHANGES]),
            "more_changes": len(recent) > _MOST_CHANGES,
            "models": [(section, model_context(visit, *place)) for place, section in sections.items()],
            "left_out": left_out,
        },
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _changed(visit: Visit, wanted: Wanted) -> list[tuple[str, str]]:
    """The models that changed in the window, the latest first."""
    found = history.changes(visit.connection, since=wanted.since, newest_first=True)
    places = dict.fromkeys((row.source, row.name) for row in found)
    return [place for place in places if wanted.models is None or fnmatchcase(place[1], wanted.models)]


def _catalog(visit: Visit) -> dict[str, Any]:
    """The whole catalog as one table."""
    question = Asked(q="", source=None, type=None, at=None, sort="name", page=1, size=MOST_ROWS)
    found = find_models(visit, question)
    context = catalog_context(visit, question, found)
    entries = list(context["rows"])
    for page in range(2, found.pages + 1):
        following = msgspec.structs.replace(question, page=page)
        entries += catalog_context(visit, following, find_models(visit, following))["rows"]
    if len(entries) > _SPARKS:
        entries = [entry if entry["moves"] else {**entry, "spark": ""} for entry in entries]
    rows = [entry["row"] for entry in entries]
    return {**context, "rows": entries, "columns": columns_of(rows), "headlines": {row.component for row in rows}}
