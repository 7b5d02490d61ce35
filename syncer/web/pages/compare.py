"""Two moments side by side: what is different, net."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from markupsafe import Markup

from syncer import history
from syncer.core.model import Kind, component_of
from syncer.core.words import count_of
from syncer.errors import UsageError
from syncer.history.resolve import Unit
from syncer.web import words
from syncer.web.pages.page import Page, Twin, status_of
from syncer.web.site import Visit

_SHOWN = 12
_MONTH = timedelta(days=30)


class Move(NamedTuple):
    """One price that differs."""

    source: str
    model: str
    component: str
    named: bool
    before: Decimal | None
    after: Decimal | None
    currency: str | None
    unit: Unit | None


class Section(NamedTuple):
    """The differences of one sort: `kind` is `price`, `one` (a model and its price) or `text`."""

    key: str
    title: str
    kind: str
    rows: Sequence[Any]
    shown: int


def moments(visit: Visit) -> tuple[datetime, datetime]:
    """The two moments that are asked for; a month by default, as far as there is one. Raises BadQuery."""
    visit.query.require_forward("from", "to")
    until = visit.query.moment("to") or visit.now
    known = [row.first_observed_at for row in history.not_observed(visit.connection, at=until - _MONTH)]
    firsts = [at for at in known if at is not None and at < until]
    return visit.query.moment("from") or max([until - _MONTH, *firsts]), until


def compare(visit: Visit) -> Page:
    """`/compare?from=&to=&source=`"""
    form = {name: visit.query.raw(name) for name in ("from", "to", "source")}
    try:
        a, b = moments(visit)
        found = history.diff(visit.connection, a, b, source=visit.query.text("source"))
    except (UsageError, ValueError) as error:
        blank = {"form": form, "error": str(error)}
        status = status_of(error) if isinstance(error, UsageError) else 400
        return Page(template="compare.html", title="Compare", section="compare", context=blank, status=status)
    return Page(
        template="compare.html",
        title="Compare",
        section="compare",
        context={
            "form": form,
            "error": None,
            "a": a,
            "b": b,
            "summary": _summary(found),
            "sections": sections(found, visit.query.raw("all")),
            "unobserved": history.not_observed(visit.connection, at=a, source=visit.query.text("source")),
        },
        twins=[Twin(form.upper(), f"/api/v1/diff.{form}{visit.query.with_(all=None)}") for form in ("json", "csv")],
        command=f"syncer diff {a:%Y-%m-%d} {b:%Y-%m-%d}",
    )


def sections(found: Sequence[history.Difference], whole: str) -> list[Section]:
    """The differences, sorted out; of each sort the first few, or all of the one that is asked for."""
    of = {kind: [row for row in found if row.kind is kind] for kind in Kind}
    moves = sorted((move for row in found for move in _moves(row)), key=_farthest)
    told: list[tuple[str, str, str, Sequence[Any]]] = [("moved", "Prices moved", "price", moves)]
    told += [
        ("added", "Listed since", "one", of[Kind.ADDED]),
        ("relisted", "Listed again", "one", of[Kind.RELISTED]),
        ("removed", "No longer listed", "one", of[Kind.REMOVED]),
        ("details", "Other details", "text", [(row, _details(row)) for row in found if _details(row)]),
    ]
    return [
        Section(key, title, kind, rows, len(rows) if whole == key else _SHOWN)
        for key, title, kind, rows in told
        if rows
    ]


def _moves(row: history.Difference) -> list[Move]:
    if row.before is None or row.after is None:
        return []
    return [
        Move(
            row.source,
            row.model,
            one,
            len(row.after.prices) > 1,
            old,
            new,
            row.after.currency,
            row.after.units.get(one),
        )
        for field, (old, new) in row.changed.items()
        if (one := component_of(field)) is not None
    ]


def _farthest(move: Move) -> tuple[bool, Decimal, str, str]:
    known = move.before is not None and move.after is not None and move.before > 0
    share = (
        abs(move.after - move.before) / move.before if known and move.before and move.after is not None else Decimal(0)
    )
    return not known, -share, move.model, move.component


def _details(row: history.Difference) -> Markup:
    if row.before is None or row.after is None:
        return Markup("")
    fields = [
        words.field_move(field, old, new) for field, (old, new) in row.changed.items() if component_of(field) is None
    ]
    return Markup("; ").join(fields)


def _summary(found: Sequence[history.Difference]) -> str:
    if not found:
        return "Nothing is different."
    moves = [move for row in found for move in _moves(row)]
    cheaper = sum(move.before is not None and move.after is not None and move.after < move.before for move in moves)
    dearer = sum(move.before is not None and move.after is not None and move.after > move.before for move in moves)
    stated = len(moves) - cheaper - dearer
    counts = {kind: sum(row.kind is kind for row in found) for kind in Kind}
    said = [
        f"{count_of(cheaper, 'price')} lower and {dearer} higher",
        *[f"{stated} stated anew or no longer"] * bool(stated),
        f"{count_of(counts[Kind.ADDED] + counts[Kind.RELISTED], 'model')} listed since",
        f"{counts[Kind.REMOVED]} no longer listed",
    ]
    return f"{', '.join(said)}."
