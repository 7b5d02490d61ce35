"""Is it being observed, and how restless is it: freshness of the sources, churn and flapping of their models."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import sqlalchemy as sa

from syncer.core.model import Kind
from syncer.core.notices import is_late
from syncer.core.observation import Doubtful
from syncer.core.rules import FindingKind
from syncer.db import feed
from syncer.db.tables import changes, findings, models, runs, sources
from syncer.history.resolve import all_sources, require_aware, source_id, stream

if TYPE_CHECKING:
    from syncer.history.resolve import Asked

HOURLY = timedelta(hours=1)
"""How often a source is taken to be synced where `freshness` is not told."""


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How well one source is known at this moment.

    `last_attempt_at` is the start of its latest run, whatever came of it; `last_outcome` and `last_error` are that
    run's (a run still open is `running`). `listed` counts the models of the current catalog, `missing` those of them
    that the last observations did not show, `unreadable` those whose prices cannot be read. `open_findings` counts
    what is withheld, and `held_by` are the rules that withhold it. `late`: no observation for three intervals, counted
    from the first lease if there never was one, or for a day after a poll was due; a retired source is never late.
    `required_missing` are the required models that are not listed, or missing.
    `retired_at` is None while it is meant to be synced.

    `doubts` are the words for what makes an answer about now less sure than it looks: late, cached, clock, partial,
    nameless, held, unreadable, required. `certain`: there is none.
    """

    source: str
    last_observed_at: datetime | None
    last_attempt_at: datetime | None
    last_outcome: str | None
    last_error: str | None
    listed: int
    missing: int
    unreadable: int
    open_findings: int
    held_by: tuple[str, ...]
    late: bool
    required_missing: tuple[str, ...]
    doubts: tuple[str, ...]
    certain: bool
    retired_at: datetime | None = None


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    query = sa.select(sa.func.count()).select_from(table).where(table.c.source_id == sources.c.id, *conditions)
    return query.correlate(sources).scalar_subquery()


_latest = runs.alias("latest")
_LATEST_RUN = (
    sa.select(_latest.c.id)
    .where(_latest.c.source_id == sources.c.id)
    .order_by(_latest.c.id.desc())
    .limit(1)
    .correlate(sources)
    .scalar_subquery()
)
_FRESHNESS = (
    sa.select(
        sources.c.id,
        sources.c.name,
        sources.c.created_at,
        sources.c.last_observed_at,
        sources.c.next_due_at,
        sources.c.retired_at,
        runs.c.started_at,
        runs.c.outcome,
        runs.c.error,
        _count(models, models.c.removed_at.is_(None)).label("listed"),
        _count(models, models.c.removed_at.is_(None), models.c.missing_since.is_not(None)).label("missing"),
        _count(models, models.c.removed_at.is_(None), models.c.unread_since.is_not(None)).label("unreadable"),
    )
    .select_from(sources)
    .outerjoin(runs, runs.c.id == _LATEST_RUN)
    .order_by(sources.c.name)
)


_OPEN = (
    sa.select(findings.c.source_id, findings.c.kind)
    .where(findings.c.state == "open")
    .group_by(findings.c.source_id, findings.c.kind)
    .order_by(sa.func.min(findings.c.id))
)
_OF_RESPONSE = frozenset({FindingKind.PARTIAL.value, FindingKind.NAMELESS.value})
_LASTING = sa.select(findings.c.source_id, findings.c.kind).where(
    findings.c.state == "rejected", findings.c.kind.in_(_OF_RESPONSE)
)
_THERE = sa.select(models.c.name).where(
    models.c.source_id == sa.bindparam("source_id"),
    models.c.name.in_(sa.bindparam("names", expanding=True)),
    models.c.removed_at.is_(None),
    models.c.missing_since.is_(None),
)


def freshness(
    connection: "Asked",
    *,
    now: datetime,
    intervals: Mapping[str, timedelta] | None = None,
    required: Mapping[str, Collection[str]] | None = None,
) -> list[Freshness]:
    """How fresh each source is at `now`, by name. `intervals`: how often a source is synced, hourly if not said.

    `required` are the models that each source must list. Raises ValueError if `now` is naive.
    """
    require_aware(now=now)
    every, needed = intervals or {}, required or {}
    open_kinds: dict[int, list[str]] = {}
    for found in connection.execute(_OPEN):
        open_kinds.setdefault(found.source_id, []).append(found.kind)
    lasting = {(found.source_id, found.kind) for found in connection.execute(_LASTING)}  # a no ends only the question
    return [
        _freshness(
            row,
            late=row.retired_at is None
            and is_late(now, row.last_observed_at or row.created_at, every.get(row.name, HOURLY), row.next_due_at),
            kinds=tuple(open_kinds.get(row.id, ())),
            said={kind for kind in _OF_RESPONSE if kind in open_kinds.get(row.id, ()) or (row.id, kind) in lasting},
            gone=_gone(connection, row.id, needed.get(row.name, ())),
            trouble=feed.trouble(connection, row.id),
        )
        for row in connection.execute(_FRESHNESS).all()
    ]


def _gone(connection: "Asked", source: int, names: Collection[str]) -> tuple[str, ...]:
    """The required models that are not there."""
    if not names:
        return ()
    there = set(connection.execute(_THERE, {"source_id": source, "names": list(names)}).scalars())
    return tuple(name for name in names if name not in there)


def _freshness(
    row: Any,  # noqa: ANN401 - a row of _FRESHNESS
    *,
    late: bool,
    kinds: tuple[str, ...],
    said: Collection[str],
    gone: tuple[str, ...],
    trouble: str | None,
) -> Freshness:
    doubts = {
        "late": late,
        "cached": trouble == Doubtful.CACHED,
        "clock": trouble == Doubtful.CLOCK,
        "partial": FindingKind.PARTIAL in said,
        "nameless": FindingKind.NAMELESS in said,
        "held": bool(set(kinds) - _OF_RESPONSE),
        "unreadable": bool(row.unreadable),
        "required": bool(gone),
    }
    return Freshness(
        source=row.name,
        last_observed_at=row.last_observed_at,
        last_attempt_at=row.started_at,
        last_outcome=row.outcome,
        last_error=row.error,
        listed=row.listed,
        missing=row.missing,
        unreadable=row.unreadable,
        open_findings=len(kinds),
        held_by=kinds,
        late=late,
        required_missing=gone,
        doubts=tuple(word for word, holds in doubts.items() if holds),
        certain=not any(doubts.values()),
        retired_at=row.retired_at,
    )


# -- churn -------------------------------------------------------------------------------------------------------------

Every = Literal["day", "week", "month"]


class Churn(msgspec.Struct, frozen=True, kw_only=True):
    """How many models came and went at one source in `[start, end)`, by `effective_at`.

    `baseline` counts what the source's first observation found: those models are not news, and not in `added`.
    """

    source: str
    start: datetime
    end: datetime
    added: int
    removed: int
    relisted: int
    baseline: int


_COMINGS_AND_GOINGS = (
    sa.select(changes.c.source_id, changes.c.kind, changes.c.effective_at, changes.c.changed_after)
    .where(
        changes.c.observed_at >= sa.bindparam("since"),  # never before it is effective, and this column has an index
        changes.c.effective_at >= sa.bindparam("since"),
        changes.c.effective_at < sa.bindparam("until"),
        changes.c.kind.in_(["added", "removed", "relisted"]),
    )
    .order_by(changes.c.id)
)
_COMINGS_AND_GOINGS_OF_ONE = _COMINGS_AND_GOINGS.where(changes.c.source_id == sa.bindparam("source_id"))


def churn(
    connection: "Asked", *, since: datetime, until: datetime, every: Every = "week", source: str | None = None
) -> list[Churn]:
    """Comings and goings in each UTC day, week (from Monday) or month of `[since, until)`, by source and time.

    The first and the last period are cut to the window; a quiet one is a row of zeros. Raises ValueError for a naive
    time or another `every`, UnknownSource.
    """
    require_aware(since=since, until=until)
    edges = _edges(since, until, every)
    values: dict[str, Any] = {"since": since, "until": until}
    if source is not None:
        values["source_id"] = source_id(connection, source)
    counts: Counter[tuple[int, int, str]] = Counter()
    with stream(connection, _COMINGS_AND_GOINGS if source is None else _COMINGS_AND_GOINGS_OF_ONE, values) as rows:
        for row in rows:
            what = "baseline" if row.kind == Kind.ADDED and row.changed_after is None else row.kind
            counts[row.source_id, bisect_right(edges, row.effective_at) - 1, what] += 1
    return [
        Churn(
            source=known.name,
            start=start,
            end=end,
            **{what: counts[known.id, number, what] for what in ("added", "removed", "relisted", "baseline")},
        )
        for known in all_sources(connection).values()
        if source is None or known.name == source
        for number, (start, end) in enumerate(pairwise(edges))
    ]


def _edges(since: datetime, until: datetime, every: Every) -> list[datetime]:
    """Where one period ends and the next begins, from `since` to `until`."""
    if every not in {"day", "week", "month"}:
        raise ValueError(f"every must be day, week or month, not {every!r}")
    edges, at = [since.astimezone(UTC)], since
    while (at := _next_start(at.astimezone(UTC), every)) < until:
        edges.append(at)
    return [*edges, until.astimezone(UTC)] if since < until else []


def _next_start(at: datetime, every: Every) -> datetime:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "month":
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return midnight + timedelta(days=1 if every == "day" else 7 - midnight.weekday())


# -- flapping ----------------------------------------------------------------------------------------------------------


class Flapping(msgspec.Struct, frozen=True, kw_only=True):
    """A model that kept taking back what it had done.

    `returns` counts the times it came back after it had gone, `price_returns` the times its price went back to the
    one before (A -> B -> A); both halves lie within the window. `last_at` is when it last did either.
    """

    source: str
    model: str
    model_id: int
    reversals: int
    returns: int
    price_returns: int
    last_at: datetime


_MOVES = (
    sa.select(
        changes.c.source_id,
        changes.c.model_id,
        changes.c.name,
        changes.c.kind,
        changes.c.old_price,
        changes.c.price,
        changes.c.effective_at,
    )
    .where(
        changes.c.observed_at >= sa.bindparam("since"),
        changes.c.effective_at >= sa.bindparam("since"),
        changes.c.effective_at < sa.bindparam("until"),
        changes.c.kind.in_(["removed", "relisted", "repriced"]),
    )
    .order_by(changes.c.model_id, changes.c.effective_at)
)
_MOVES_OF_ONE = _MOVES.where(changes.c.source_id == sa.bindparam("source_id"))


def flapping(
    connection: "Asked", *, since: datetime, until: datetime, more_than: int = 2, source: str | None = None
) -> list[Flapping]:
    """The models with more than `more_than` reversals in `[since, until)`, the most restless first.

    Raises ValueError for a naive time, UnknownSource.
    """
    require_aware(since=since, until=until)
    values: dict[str, Any] = {"since": since, "until": until}
    if source is not None:
        values["source_id"] = source_id(connection, source)
    with stream(connection, _MOVES if source is None else _MOVES_OF_ONE, values) as rows:
        names = {known.id: known.name for known in all_sources(connection).values()}
        found = [_flapping(names, list(moves)) for _, moves in groupby(rows, key=lambda row: row.model_id)]
    restless = [model for model in found if model is not None and model.reversals > more_than]
    return sorted(restless, key=lambda model: (-model.reversals, model.source, model.model))


def _flapping(names: Mapping[int, str], moves: list[Any]) -> Flapping | None:
    returns = list(_returns(moves))
    price_returns = list(_price_returns(moves))
    if not returns and not price_returns:
        return None
    return Flapping(
        source=names[moves[0].source_id],
        model=moves[0].name,
        model_id=moves[0].model_id,
        reversals=len(returns) + len(price_returns),
        returns=len(returns),
        price_returns=len(price_returns),
        last_at=max(returns + price_returns),
    )


def _returns(moves: Iterable[Any]) -> Iterator[datetime]:
    presence = [move for move in moves if move.kind != Kind.REPRICED]
    for before, move in pairwise(presence):
        if before.kind == Kind.REMOVED and move.kind == Kind.RELISTED:
            yield move.effective_at


def _price_returns(moves: Iterable[Any]) -> Iterator[datetime]:
    priced = [move for move in moves if move.kind != Kind.REMOVED and move.old_price != move.price]
    for before, move in pairwise(priced):
        if before.old_price == move.price:
            yield move.effective_at
