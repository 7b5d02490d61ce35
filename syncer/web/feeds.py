"""Atom and JSON Feed 1.1 of the changes: whole, of a source or of a model.

- An entry's id is a tag URI of the database and the feed id: the same for ever, wherever it is served.
- Whatever upstream's text holds, the document is well-formed: what XML 1.0 forbids was replaced.
"""

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from starlette.responses import Response

from syncer import history
from syncer.core.text import json_line, rfc3339
from syncer.db import feed
from syncer.web import words
from syncer.web.query import encoded
from syncer.web.site import Visit

_ENTRIES = 50


def atom(visit: Visit) -> Response:
    """`/feed.atom?model=&source=`"""
    made, rows = _rows(visit)
    entries = "".join(_entry(made, row) for row in rows)
    updated = rows[0].observed_at if rows else visit.as_of or visit.now
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<id>{made}:feed{_xml(visit.query.with_())}</id>"
        f"<title>{_xml(_title(visit))}</title>"
        f"<updated>{rfc3339(updated)}</updated><author><name>syncer</name></author>"
        f'<link rel="self" href={_attribute("/feed.atom" + visit.query.with_())}/>'
        f'<link rel="alternate" type="text/html" href={_attribute("/changes" + visit.query.with_())}/>'
        f"{entries}</feed>\n"
    )
    return Response(text, media_type="application/atom+xml")


def json_feed(visit: Visit) -> Response:
    """`/feed.json?model=&source=`"""
    made, rows = _rows(visit)
    body = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": words.clean(_title(visit)),
        "home_page_url": f"/changes{visit.query.with_()}",
        "feed_url": f"/feed.json{visit.query.with_()}",
        "items": [_item(made, row) for row in rows],
    }
    return Response(json_line(body), media_type="application/feed+json")


def _rows(visit: Visit) -> tuple[str, list[history.ChangeRow]]:
    query = visit.query
    query.require_known(("model", "source"))
    found = history.changes(
        visit.connection,
        model=query.text("model"),
        source=query.text("source"),
        newest_first=True,
        limit=_ENTRIES,
    )
    return f"tag:syncer,2026:{feed.feed_id(visit.connection)}", list(found)


def _title(visit: Visit) -> str:
    of = [text for name in ("model", "source") if (text := visit.query.raw(name))]
    return f"Changes of {' of '.join(of)}" if of else "Changes of all catalogs"


def _said(row: history.ChangeRow) -> str:
    return words.clean(f"{row.name}: {words.text_of(words.sentence(row)) or row.kind.value}")


def _page(row: history.ChangeRow) -> str:
    return f"/model{encoded([('source', row.source), ('name', row.name)])}#c{row.id}"


def _window(row: history.ChangeRow) -> str:
    after = "the first observation" if row.changed_after is None else f"after {rfc3339(row.changed_after)}"
    return f"Source {row.source}. Effective at {rfc3339(row.effective_at)}, {after}."


def _entry(made: str, row: history.ChangeRow) -> str:
    return (
        f"<entry><id>{made}:{row.id}</id><title>{_xml(_said(row))}</title>"
        f"<updated>{rfc3339(row.observed_at)}</updated><published>{rfc3339(row.effective_at)}</published>"
        f'<link rel="alternate" type="text/html" href={_attribute(_page(row))}/>'
        f'<category term={_attribute(row.kind.value)}/><content type="text">{_xml(_window(row))}</content></entry>'
    )


def _item(made: str, row: history.ChangeRow) -> dict[str, Any]:
    return {
        "id": f"{made}:{row.id}",
        "url": _page(row),
        "title": _said(row),
        "content_text": words.clean(_window(row)),
        "date_published": row.effective_at,
        "date_modified": row.observed_at,
        "tags": [row.kind.value, words.clean(row.source)],
    }


def _xml(text: str) -> str:
    return escape(words.clean(text))


def _attribute(text: str) -> str:
    return quoteattr(words.clean(text))
