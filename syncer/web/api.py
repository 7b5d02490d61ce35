"""The JSON API: the questions of `syncer.history` over HTTP, each as JSON and as CSV.

- A model is named by the parameters `model` and `source`: names hold slashes.
- Every answer is `{"data": [...], "next": ...}`: `next` is the path of the following page, null at the end. Cursors are
  feed ids and run ids, so that a page never shifts.
- A parameter that nobody reads is refused: one that is ignored in silence gives a wrong answer.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from syncer import history
from syncer.core.spreadsheet import csv_cell
from syncer.core.text import json_line
from syncer.history.pages import MOST_ROWS
from syncer.web.jsonable import plain
from syncer.web.pages.catalog import SORTS, asked
from syncer.web.pages.catalog import find as find_models
from syncer.web.pages.changes import KINDS, MOST, ask
from syncer.web.pages.changes import find as find_changes
from syncer.web.pages.compare import moments
from syncer.web.pages.sources import OUTCOMES
from syncer.web.query import BadQuery, Contradiction
from syncer.web.site import Visit

PREFIX = "/api/v1"
FORMS = ("json", "csv")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One page of an answer; `next` are the parameters that the following page differs in, None at the end."""

    rows: Sequence[msgspec.Struct]
    next: Mapping[str, object] | None = None


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a question; `schema` is its JSON Schema."""

    name: str
    says: str
    schema: Mapping[str, Any]
    required: bool = False


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One question: who answers it, of what rows, with which parameters."""

    find: Callable[[Visit], Found]
    rows: tuple[type[msgspec.Struct], ...]
    says: str
    parameters: tuple[Parameter, ...] = ()


def answer(endpoint: Endpoint, path: str, form: str) -> Callable[[Visit], Response]:
    """What answers the question in this form."""

    def respond(visit: Visit) -> Response:
        visit.query.require_known([parameter.name for parameter in endpoint.parameters])
        for parameter in endpoint.parameters:
            if parameter.required and not visit.query.raw(parameter.name):
                raise BadQuery(f"{parameter.name} is missing.")
        found = endpoint.find(visit)
        following = None if found.next is None else f"{path}{visit.query.with_(**found.next)}"
        if form == "csv":
            columns = endpoint.rows[0].__struct_fields__
            headers = {} if following is None else {"link": f'<{following}>; rel="next"'}
            return Response(_csv(columns, found.rows), media_type="text/csv", headers=headers)
        body = {"data": plain(list(found.rows)), "next": following}
        return Response(json_line(body), media_type="application/json")

    return respond


def _csv(columns: Sequence[str], rows: Iterable[msgspec.Struct]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(getattr(row, column, None)) for column in columns])
    return out.getvalue()


def _cell(value: object) -> str:
    """A cell; what has parts is JSON in it."""
    simple = plain(value)
    if isinstance(simple, list | dict):
        text = json_line({"": simple})[len('{"":') : -1]
        return csv_cell(text)
    return csv_cell(simple)


# -- the questions -----------------------------------------------------------------------------------------------------


def _catalog(visit: Visit) -> Found:
    question = asked(visit)
    found = find_models(visit, question)
    return Found(rows=found.rows, next={"page": found.page + 1} if found.page < found.pages else None)


def _model(visit: Visit) -> Found:
    query = visit.query
    name = query.text("model") or ""
    quotes = history.prices_at(visit.connection, name, at=query.moment("at") or visit.now, source=query.text("source"))
    return Found(rows=quotes)


def _prices(visit: Visit) -> Found:
    query = visit.query
    query.require_forward("since", "until")
    periods = history.price_periods(
        visit.connection,
        query.text("model") or "",
        query.text("component"),
        since=query.moment("since"),
        until=query.moment("until"),
        source=query.text("source"),
    )
    return Found(rows=periods)


def _changes(visit: Visit) -> Found:
    if visit.query.raw("after"):
        return _changes_after(visit)
    found = find_changes(visit)
    return Found(rows=found.rows, next=None if found.before is None else {"before": found.before})


def _changes_after(visit: Visit) -> Found:
    """In feed order behind a position: for whoever follows it."""
    query = visit.query
    limit, end = query.whole("limit", 50, least=1, most=MOST), history.feed_end(visit.connection)
    if query.whole("after", 0) > end:
        raise Contradiction(
            f"after is beyond the end of the feed, which is {end}: is it a position of another database?"
        )
    rows = list(ask(visit, after=query.number("after"), limit=limit + 1))
    return Found(rows=rows[:limit], next={"after": rows[limit - 1].id} if len(rows) > limit else None)


def _diff(visit: Visit) -> Found:
    a, b = moments(visit)
    return Found(rows=history.diff(visit.connection, a, b, source=visit.query.text("source")))


def _freshness(visit: Visit) -> Found:
    return Found(rows=[state.fresh for state in visit.states])


def _held(visit: Visit) -> Found:
    rejected = visit.query.one_of("state", ("open", "rejected"), "open") == "rejected"
    source = visit.query.text("source")
    return Found(rows=history.held(visit.connection, source=source, policies=visit.policies, rejected=rejected))


def _runs(visit: Visit) -> Found:
    query = visit.query
    limit = query.whole("limit", 50, least=1, most=MOST)
    outcome = query.one_of("outcome", OUTCOMES, "") if query.raw("outcome") else None
    before, source = query.number("before"), query.text("source")
    found = list(history.runs(visit.connection, source=source, outcome=outcome, before=before, limit=limit + 1))
    return Found(rows=found[:limit], next={"before": found[limit - 1].id} if len(found) > limit else None)


def _offers(visit: Visit) -> Found:
    query = visit.query
    return Found(rows=history.offers(visit.connection, query.text("model") or "", at=query.moment("at")))


# -- and their parameters ----------------------------------------------------------------------------------------------

_TIME = "A date, RFC 3339, or a duration back from now such as 7d."
_DAY = "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_CLOCK = "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])"
_INSTANT: Mapping[str, Any] = {
    "type": "string",
    "pattern": f"^({_DAY}({_CLOCK})?|[1-9][0-9]{{0,2}}[smhdw])?$",
    "examples": ["2026-01-31", "2026-01-31T12:00:00Z", "7d"],
}
_TEXT: Mapping[str, Any] = {"type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f]*$", "maxLength": 255}
_NAME: Mapping[str, Any] = {"type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f]+$", "maxLength": 255}
_MODEL = Parameter(name="model", says="A name or an alias.", schema=_NAME, required=True)
_SOURCE = Parameter(name="source", says="The name of a source.", schema=_TEXT)
_AT = Parameter(name="at", says=f"As of when. {_TIME}", schema=_INSTANT)
_SINCE = Parameter(name="since", says=f"From when on. {_TIME}", schema=_INSTANT)
_UNTIL = Parameter(name="until", says=f"Until when, exclusive. {_TIME}", schema=_INSTANT)
_ID: Mapping[str, Any] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}


def _limit(most: int) -> Mapping[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _choice(values: Sequence[str]) -> Mapping[str, Any]:
    return {"type": "string", "enum": [*values, ""]}  # empty is as if it were not there: so forms send it


ENDPOINTS: Mapping[str, Endpoint] = {
    "catalog": Endpoint(
        find=_catalog,
        rows=(history.CatalogRow, history.ListedModel),
        says="The catalog, now or as it was.",
        parameters=(
            Parameter(name="q", says="Words that the name or the alias holds.", schema=_TEXT),
            _SOURCE,
            Parameter(name="type", says="The type of a model.", schema=_TEXT),
            _AT,
            Parameter(name="sort", says="The order; a minus turns it round.", schema=_choice(SORTS)),
            Parameter(name="page", says="Which page, from 1.", schema=_limit(10**6)),
            Parameter(name="size", says="Rows of a page.", schema=_limit(MOST_ROWS)),
        ),
    ),
    "model": Endpoint(
        find=_model,
        rows=(history.Quote,),
        says="Each price of a model at one moment, and how sure it is.",
        parameters=(_MODEL, _SOURCE, _AT),
    ),
    "prices": Endpoint(
        find=_prices,
        rows=(history.PricePeriod,),
        says="The price periods of a model.",
        parameters=(
            _MODEL,
            _SOURCE,
            Parameter(name="component", says="One of its prices, such as input.", schema=_TEXT),
            _SINCE,
            _UNTIL,
        ),
    ),
    "changes": Endpoint(
        find=_changes,
        rows=(history.ChangeRow,),
        says="The changes: the newest first, or with `after` in feed order.",
        parameters=(
            Parameter(name="model", says="A name, an alias, or a pattern with * or ?.", schema=_TEXT),
            Parameter(name="kind", says="One kind.", schema=_choice(KINDS)),
            _SOURCE,
            _SINCE,
            _UNTIL,
            Parameter(name="before", says="Below this feed id.", schema=_ID),
            Parameter(name="after", says="Behind this feed id, the oldest first.", schema=_ID),
            Parameter(name="limit", says="How many at most.", schema=_limit(MOST)),
        ),
    ),
    "diff": Endpoint(
        find=_diff,
        rows=(history.Difference,),
        says="What differs between two moments, net.",
        parameters=(
            Parameter(name="from", says=f"The first moment. {_TIME}", schema=_INSTANT),
            Parameter(name="to", says=f"The second one. {_TIME}", schema=_INSTANT),
            _SOURCE,
        ),
    ),
    "freshness": Endpoint(find=_freshness, rows=(history.Freshness,), says="How well each source is known now."),
    "held": Endpoint(
        find=_held,
        rows=(history.Held,),
        says="What is withheld now, or was rejected.",
        parameters=(_SOURCE, Parameter(name="state", says="Which.", schema=_choice(("open", "rejected")))),
    ),
    "runs": Endpoint(
        find=_runs,
        rows=(history.RunRow,),
        says="The runs, the newest first.",
        parameters=(
            _SOURCE,
            Parameter(name="outcome", says="One outcome.", schema=_choice(OUTCOMES)),
            Parameter(name="before", says="Below this id.", schema=_ID),
            Parameter(name="limit", says="How many at most.", schema=_limit(MOST)),
        ),
    ),
    "offers": Endpoint(
        find=_offers,
        rows=(history.Offer,),
        says="Who offers a model, at what price.",
        parameters=(_MODEL, _AT),
    ),
}
