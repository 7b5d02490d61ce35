"""The history as flat rows, and as files: for when it outgrows one database, or leaves it.

- Rows stream: a million take no more memory than a few thousand.
- A file gets its name when it is whole; until then it is a hidden `.partial`, which no reader of data sets looks at.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa

from syncer import history
from syncer.core.fields import FIELDS
from syncer.core.model import Kind, price_field
from syncer.core.words import how_to_install
from syncer.db.tables import changes as changes_table
from syncer.db.tables import models, sources
from syncer.db.tables import prices as moves
from syncer.db.types import Price, UtcDateTime
from syncer.errors import SyncerError, UsageError
from syncer.history.resolve import all_sources, source_id

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import Connection

_ROWS_A_BATCH = 10_000
_write_json = msgspec.json.Encoder(decimal_format="number").encode
_WRONG_PLACE = (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError, FileNotFoundError)


Rows = Generator[tuple[Any, ...], None, None]
"""Rows as they stream; to be closed before their connection is."""


class Flat(NamedTuple):
    """A table to export: its columns and their kinds, and the column whose month names the partition.

    In Parquet, prices are decimal(33, 18), several of them a map from text to that, times UTC timestamps, days dates,
    and JSON is text.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    month_of: str


def _flat(month_of: str, **kinds: str) -> Flat:
    return Flat(columns=tuple(kinds), kinds=tuple(kinds.values()), month_of=month_of)


_KINDS = {"text": "text", "name": "text", "integer": "integer", "time": "time"}
_TRACKED = {field.name: _KINDS[field.column] for field in FIELDS}
_PRICED = {"price": "price", "currency": "text", "quantity": "integer", "unit": "text"}
CHANGES = _flat(
    "observed_at",
    id="integer",
    source="text",
    model="text",
    kind="text",
    observed_at="time",
    effective_at="time",
    changed_after="time",
    component="text",
    old_price="price",
    price="price",
    currency="text",
    prices="prices",
    **_TRACKED,
    changed="json",
    run_id="integer",
    reverts_id="integer",
)
PRICES = _flat(
    "effective_at",
    effective_at="time",
    source="text",
    model="text",
    type="text",
    component="text",
    kind="text",
    changed_after="time",
    old_price="price",
    **_PRICED,
    change_id="integer",
)
PRICE_PERIODS = _flat(
    "valid_from",
    valid_from="time",
    valid_to="time",
    source="text",
    model="text",
    type="text",
    component="text",
    **_PRICED,
    changed_after="time",
)
DAILY_PRICES = _flat("day", day="day", source="text", model="text", type="text", component="text", **_PRICED)
"""`day` is text, YYYY-MM-DD."""
AVAILABILITY = _flat(
    "listed_from",
    listed_from="time",
    listed_to="time",
    source="text",
    model="text",
    type="text",
    began_as="text",
    changed_after="time",
)
CATALOG = _flat(
    "last_changed_at",
    last_changed_at="time",
    source="text",
    model="text",
    component="text",
    price="price",
    currency="text",
    prices="prices",
    **_TRACKED,
    extra="json",
    first_seen_at="time",
    last_seen_at="time",
    missing_since="time",
    unread_since="time",
    held="boolean",
)


def spread(table: Flat, rows: Rows, components: Sequence[str]) -> tuple[Flat, Rows]:
    """The same table with a column for each component in the place of a map, for formats that have no maps."""
    if "prices" not in table.columns:
        return table, rows
    at = table.columns.index("prices")
    names, kinds = tuple(map(price_field, components)), ("price",) * len(components)
    flat = Flat(
        columns=(*table.columns[:at], *names, *table.columns[at + 1 :]),
        kinds=(*table.kinds[:at], *kinds, *table.kinds[at + 1 :]),
        month_of=table.month_of,
    )
    return flat, ((*row[:at], *map(row[at].get, components), *row[at + 1 :]) for row in rows)


def components(connection: "Connection", *, source: str | None = None) -> list[str]:
    """Every component that any model ever had, by name."""
    query = sa.select(models.c.prices).distinct()
    if source is not None:
        query = query.where(models.c.source_id == source_id(connection, source))
    return sorted({name for prices in connection.execute(query).scalars() for name in prices})


def changes(
    connection: "Connection",
    *,
    after: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Rows:
    """The rows of CHANGES in feed order, streaming; the filters are those of `history.changes`."""
    return _flattened(CHANGES, history.changes(connection, after=after, since=since, until=until, source=source))


def catalog(connection: "Connection", *, source: str | None = None) -> Rows:
    """The rows of CATALOG: every model that is listed now, streaming."""
    return _flattened(CATALOG, history.catalog(connection, source=source))


def _flattened(table: Flat, found: Iterator[history.ChangeRow] | Iterator[history.CatalogRow]) -> Rows:
    for row in found:
        yield tuple(_value(row, column) for column in table.columns)


def _value(row: history.ChangeRow | history.CatalogRow, column: str) -> Any:  # noqa: ANN401 - whatever the column holds
    if column == "model" and isinstance(row, history.ChangeRow):
        return row.name
    value = getattr(row, column)
    return value.value if isinstance(value, Kind) else value


def prices(
    connection: "Connection",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Rows:
    """The rows of PRICES, the moves of each price that took effect in `[since, until)`, streaming."""
    query: sa.Select[Any] = (
        sa.select(
            moves.c.effective_at,
            sources.c.name,
            models.c.name,
            changes_table.c.type,
            moves.c.component,
            moves.c.kind,
            moves.c.changed_after,
            moves.c.old_price,
            moves.c.price,
            moves.c.change_id,
            sources.c.id,
        )
        .select_from(moves)
        .join(models, models.c.id == moves.c.model_id)
        .join(sources, sources.c.id == models.c.source_id)
        .join(changes_table, changes_table.c.id == moves.c.change_id)
        .order_by(moves.c.model_id, moves.c.component, moves.c.effective_at)
    )
    query = _between(query, moves.c.effective_at, moves.c.effective_at, since, until)
    if source is not None:
        query = query.where(models.c.source_id == source_id(connection, source))
    known = all_sources(connection)
    for *row, price, change_id, its in _streamed(connection, query):
        origin = known[its]
        quantity, word = origin.unit(row[4], row[3]) or (None, None)
        yield (*row, price, origin.currency, quantity, word, change_id)


def price_periods(
    connection: "Connection",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Rows:
    """The rows of the view `price_periods` that reach into `[since, until)`, whole, streaming."""
    return _of_view(connection, "price_periods", PRICE_PERIODS, ("valid_from", "valid_to"), since, until, source)


def availability(
    connection: "Connection",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Rows:
    """The rows of the view `availability` that reach into `[since, until)`, whole, streaming."""
    return _of_view(connection, "availability", AVAILABILITY, ("listed_from", "listed_to"), since, until, source)


def _of_view(
    connection: "Connection",
    name: str,
    table: Flat,
    ends: tuple[str, str],
    since: datetime | None,
    until: datetime | None,
    source: str | None,
) -> Rows:
    view = _view_of(name, table)
    start, end = (view.c[column] for column in ends)
    query = sa.select(*(view.c[column] for column in table.columns))
    query = _between(query, end, start, since, until, is_open=True)
    if source is not None:
        query = query.where(view.c.source_id == source_id(connection, source))
    return _streamed(connection, query.order_by(view.c.model_id, start))


def _between(
    query: sa.Select[Any],
    end: sa.ColumnElement[Any],
    start: sa.ColumnElement[Any],
    since: datetime | None,
    until: datetime | None,
    *,
    is_open: bool = False,
) -> sa.Select[Any]:
    if since is not None:
        query = query.where(sa.or_(end.is_(None), end > since) if is_open else end >= since)
    return query if until is None else query.where(start < until)


def daily_prices(
    connection: "Connection",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Rows:
    """The rows of the view `daily_prices` of the UTC days that begin in `[since, until)`, by day, streaming."""
    view = _view_of("daily_prices", DAILY_PRICES)
    day = sa.cast(view.c.day, sa.Text())
    query = sa.select(day.label("day"), *(view.c[name] for name in DAILY_PRICES.columns[1:]))
    if since is not None:
        query = query.where(day >= _first_day(since))
    if until is not None:
        query = query.where(day < _first_day(until))
    if source is not None:
        query = query.where(view.c.source_id == source_id(connection, source))
    return _streamed(connection, query.order_by(day, view.c.source, view.c.model, view.c.component))


def _streamed(connection: "Connection", query: sa.Select[Any]) -> Rows:
    with connection.execute(query, execution_options={"yield_per": _ROWS_A_BATCH}) as rows:
        for row in rows:
            yield tuple(row)


def _first_day(moment: datetime) -> str:
    """The first UTC day that begins at this moment or later."""
    utc = moment.astimezone(UTC)
    midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight if midnight == utc else midnight + timedelta(days=1)).date().isoformat()


_COLUMN_TYPES: dict[str, Any] = {"text": sa.Text, "integer": sa.BigInteger, "price": Price, "time": UtcDateTime}


def _view_of(name: str, table: Flat) -> sa.TableClause:
    kinds = zip(table.columns, table.kinds, strict=True)
    typed = [sa.column(column, _COLUMN_TYPES.get(kind)) for column, kind in kinds]
    return sa.table(name, *typed, sa.column("source_id"), sa.column("model_id"))


# -- files -------------------------------------------------------------------------------------------------------------


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Raise UsageError where `path` cannot be written at all, and SyncerError where the disk is full or broken."""
    try:
        yield
    except OSError as error:
        kind = UsageError if isinstance(error, _WRONG_PLACE) else SyncerError
        raise kind(f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which gets the name `path` at the end of the block; on an error nothing is left of it."""
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace, least of all as root
        yield path
        return
    target = path.resolve()  # what a link points to, not the link
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_parquet(directory: Path, table: Flat, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write rows as `month=YYYY-MM/from-<first id or day>.parquet` files, zstd, each whole or not there at all.

    Running it again on the same rows writes the same files. Raises UsageError where pyarrow is missing or the
    directory cannot be written, SyncerError where the disk is full.
    """
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise UsageError(f"Parquet needs pyarrow: {how_to_install('parquet')}") from None
    schema = _schema(table)
    writers: dict[str, parquet.ParquetWriter] = {}  # imports bring old months late: several are open at once
    with blaming(directory), ExitStack() as files:
        for month, part in _parts(table, rows):
            if month not in writers:
                folder = directory / f"month={month}"
                folder.mkdir(parents=True, exist_ok=True)
                path = files.enter_context(whole_file(folder / f"from-{_label(part[0][0])}.parquet"))
                writers[month] = files.enter_context(parquet.ParquetWriter(path, schema, compression="zstd"))
            writers[month].write_batch(_record_batch(table, schema, part))


def _label(first: object) -> str:
    """The first id, day or time of a file, as a part of its name."""
    return f"{first:%Y%m%dT%H%M%SZ}" if isinstance(first, datetime) else str(first)


def _parts(table: Flat, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """The rows of one month among the next few thousand, which are all that is held at a time."""
    column = table.columns.index(table.month_of)
    waiting = iter(rows)
    while batch := list(islice(waiting, _ROWS_A_BATCH)):
        months: dict[str, list[tuple[Any, ...]]] = {}
        for row in batch:
            months.setdefault(str(row[column])[:7], []).append(row)
        yield from months.items()


def _record_batch(table: Flat, schema: "pa.Schema", rows: list[tuple[Any, ...]]) -> "pa.RecordBatch":
    import pyarrow as pa

    columns = zip(zip(*rows, strict=True), table.kinds, schema.types, strict=True)
    arrays = [pa.array(map(_AS_ARROW.get(kind, _same), values), arrow) for values, kind, arrow in columns]
    return pa.record_batch(arrays, schema=schema)


def _same(value: Any) -> Any:  # noqa: ANN401 - a cell
    return value


_AS_ARROW: dict[str, Callable[[Any], Any]] = {
    "json": lambda value: _write_json(value).decode(),
    "day": date.fromisoformat,
    "prices": lambda value: list(value.items()),
}


def _schema(table: Flat) -> "pa.Schema":
    import pyarrow as pa

    types = {
        "integer": pa.int64(),
        "text": pa.string(),
        "json": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
        "day": pa.date32(),
        "price": pa.decimal128(33, 18),
        "prices": pa.map_(pa.string(), pa.decimal128(33, 18)),
        "boolean": pa.bool_(),
    }
    return pa.schema([(name, types[kind]) for name, kind in zip(table.columns, table.kinds, strict=True)])
