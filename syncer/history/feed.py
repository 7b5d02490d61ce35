"""What happened, row by row: the changes in feed order, and the runs."""

from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.core.model import TRACKED, Kind, Tracked
from syncer.db.state import typed
from syncer.db.tables import changes as changes_table
from syncer.db.tables import feed, sources
from syncer.db.tables import runs as runs_table
from syncer.errors import UsageError
from syncer.history.resolve import (
    Source,
    Unit,
    all_sources,
    dialect_of,
    find_model,
    require_aware_or_none,
    source_id,
    stream,
)

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


class ChangeRow(Tracked, frozen=True, kw_only=True, gc=False):
    """One history row. `name`, the tracked fields and `prices` are the whole state after the change.

    `id` is the feed id. The true moment of the change lies in `(changed_after, effective_at]`; `changed_after` is None
    for a baseline. `price` and `old_price` are those of the headline `component`; `prices` has every component that was
    ever known of the model. All are in `currency`, each for its unit of `units`, `unit` being the headline's; both are
    as configured now and None where nobody said so. A price of None is unknown. `changed` maps each moved field to
    [old, new], prices as "prices.COMPONENT". `raw` is the element as upstream sent it, read only on request and None
    for a removal.
    """

    id: int
    source: str
    run_id: int
    model_id: int
    kind: Kind
    observed_at: datetime
    effective_at: datetime
    changed_after: datetime | None
    name: str
    component: str
    price: Decimal | None
    old_price: Decimal | None
    prices: dict[str, Decimal | None]
    changed: dict[str, list[Any]]
    reverts_id: int | None
    currency: str | None
    unit: Unit | None
    units: dict[str, Unit | None]
    raw: str | None = None


def changes(
    connection: "Asked",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    kinds: Collection[Kind | str] | None = None,
    model: str | None = None,
    source: str | None = None,
    after: int | None = None,
    run: int | None = None,
    before: int | None = None,
    model_type: str | None = None,
    newest_first: bool = False,
    limit: int | None = None,
    include_raw: bool = False,
) -> Iterator[ChangeRow]:
    """The changes observed in `[since, until)`, with a feed id above `after` and below `before`, in feed order.

    With `newest_first` in the opposite order: `limit` and `before` then make pages that never shift. It streams: a
    million rows take no more memory than a few hundred. `model` is a name, a last known alias, or a glob (with * or ?)
    of names; `model_type` the type as it was after the change. The arguments are looked at now, not at the first row:
    ValueError for a naive time or an unknown kind, UsageError for an `after` beyond the end of the feed (the database
    is not the one it was read from), and UnknownSource, UnknownModel or AmbiguousModel.
    """
    require_aware_or_none(since=since, until=until)
    values: dict[str, Any] = {"since": since, "until": until, "after": after, "before": before}
    values |= {"run": run, "limit": limit, "type": model_type}
    if after is not None:
        _require_reached(connection, after)
    if kinds is not None:
        values["kinds"] = [Kind(kind).value for kind in kinds]
    if model is not None and not is_glob(model):
        values["model"] = find_model(connection, model, source=source).id
    elif source is not None:
        values["source"] = source_id(connection, source)
    if model is not None and is_glob(model):
        values |= _pattern(model, dialect_of(connection))
    values = {name: value for name, value in values.items() if value is not None}
    query = _changes_query(frozenset(values), include_raw=include_raw, newest_first=newest_first)
    return _changes(connection, query, values)


def is_glob(model: str) -> bool:
    """Whether a model is asked for by a pattern: * stands for anything, ? for one character."""
    return "*" in model or "?" in model


def _pattern(glob: str, dialect: str) -> dict[str, str]:
    """The same pattern as the database takes it, upper and lower case told apart: SQLite's LIKE does not."""
    if dialect == "sqlite":
        return {"glob": glob.replace("[", "[[]")}
    escaped = glob.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return {"like": escaped.replace("*", "%").replace("?", "_")}


_FILTERS = {
    "since": changes_table.c.observed_at >= sa.bindparam("since"),
    "until": changes_table.c.observed_at < sa.bindparam("until"),
    "after": changes_table.c.id > sa.bindparam("after"),
    "before": changes_table.c.id < sa.bindparam("before"),
    "type": changes_table.c.type == sa.bindparam("type"),
    "glob": changes_table.c.name.op("GLOB")(sa.bindparam("glob")),
    "like": changes_table.c.name.like(sa.bindparam("like"), escape="\\"),
    "kinds": changes_table.c.kind.in_(sa.bindparam("kinds", expanding=True)),
    "model": changes_table.c.model_id == sa.bindparam("model"),
    "source": changes_table.c.source_id == sa.bindparam("source"),
    "run": changes_table.c.run_id == sa.bindparam("run"),
}
_STATE = ("name", *TRACKED, "price", "prices")
_WINDOW = ("observed_at", "effective_at", "changed_after")
_PLAIN = ("id", "run_id", "model_id", *_WINDOW, *_STATE, "old_price", "reverts_id")
_COLUMNS = [changes_table.c[name] for name in ("source_id", "kind", "changed", *_PLAIN)]


@cache
def _changes_query(given: frozenset[str], *, include_raw: bool, newest_first: bool) -> sa.Select[Any]:
    """Built once for each set of filters: building it costs more than running it."""
    raw = changes_table.c.raw if include_raw else sa.null().label("raw")
    query = sa.select(raw, *_COLUMNS)
    order = changes_table.c.id.desc() if newest_first else changes_table.c.id
    query = query.where(*(_FILTERS[name] for name in sorted(given - {"limit"}))).order_by(order)
    return query.limit(sa.bindparam("limit")) if "limit" in given else query


def _changes(connection: "Asked", query: sa.Select[Any], values: dict[str, Any]) -> Iterator[ChangeRow]:
    with stream(connection, query, values) as rows:
        known = all_sources(connection)
        for raw, its, kind, changed, *plain in rows:  # by position: by name is twice as dear, and there are many
            yield _change(known[its], raw, kind, changed, dict(zip(_PLAIN, plain, strict=True)))


def _change(source: Source, raw: str | None, kind: str, changed: dict[str, Any], plain: dict[str, Any]) -> ChangeRow:
    return ChangeRow(
        source=source.name,
        kind=Kind(kind),
        component=source.headline,
        changed={field: [typed(field, old), typed(field, new)] for field, (old, new) in changed.items()},
        currency=source.currency,
        unit=source.unit(source.headline, plain["type"]),
        units=source.units_of(plain["prices"], plain["type"]),
        raw=raw,
        **plain,
    )


_LAST_ID = sa.select(feed.c.last_id)


def feed_end(connection: "Asked") -> int:
    """The highest feed id given out so far, 0 if there is none: a position behind which everything is new."""
    return int(connection.execute(_LAST_ID).scalar() or 0)


def _require_reached(connection: "Asked", after: int) -> None:
    last = feed_end(connection)
    if after > last:
        raise UsageError(
            f"feed id {after} does not exist yet, the feed ends at {last}: "
            "was the database restored, or does the position belong to another one?"
        )


# -- runs --------------------------------------------------------------------------------------------------------------


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to read a source: the columns of `runs`, with the source's name.

    `observed_at` is None where no catalog was read, `listed` where the response did not have to be.
    """

    id: int
    source: str
    kind: str
    started_at: datetime
    observed_at: datetime | None
    finished_at: datetime | None
    outcome: str
    http_status: int | None
    listed: int | None
    added: int
    removed: int
    relisted: int
    repriced: int
    updated: int
    reread: int
    rejected: int
    withheld: int
    credential: str | None
    body_digest: str | None
    error: str | None


_RUN_COLUMNS = [column for column in runs_table.c if column.name != "source_id"]
_RUNS = (
    sa.select(sources.c.name.label("source"), *_RUN_COLUMNS)
    .join(sources, sources.c.id == runs_table.c.source_id)
    .order_by(runs_table.c.id.desc())
)


_RUN_FILTERS = {
    "source_id": runs_table.c.source_id == sa.bindparam("source_id"),
    "outcome": runs_table.c.outcome == sa.bindparam("outcome"),
    "before": runs_table.c.id < sa.bindparam("before"),
}


@cache
def _runs_query(given: frozenset[str]) -> sa.Select[Any]:
    query = _RUNS.where(*(_RUN_FILTERS[name] for name in sorted(given - {"limit"})))
    return query.limit(sa.bindparam("limit")) if "limit" in given else query


def runs(
    connection: "Asked",
    *,
    source: str | None = None,
    outcome: str | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> Iterator[RunRow]:
    """The runs with an id below `before`, the newest first, at most `limit` of them; it streams.

    Raises UnknownSource.
    """
    within = None if source is None else source_id(connection, source)
    asked = {"source_id": within, "outcome": outcome, "before": before, "limit": limit}
    values = {name: value for name, value in asked.items() if value is not None}
    return _read_runs(connection, _runs_query(frozenset(values)), values)


def _read_runs(connection: "Asked", query: sa.Select[Any], values: dict[str, Any]) -> Iterator[RunRow]:
    with stream(connection, query, values) as rows:
        for row in rows:
            yield RunRow(**row._mapping)  # noqa: SLF001 - the public name of a row's mapping
