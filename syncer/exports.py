"""The history as flat rows, and as files: for when it outgrows one database, or leaves it.

- Rows stream: a million take no more memory than a few thousand.
- A file gets its name when it is whole; until then it is a hidden `.partial`, which no reader of data sets looks at.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa

from syncer import history
from syncer.core.words import how_to_install
from syncer.db.types import Price
from syncer.errors import SyncerError, UsageError
from syncer.history.resolve import source_id

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

    In Parquet, prices are decimal(33, 18), times UTC timestamps, days dates, and JSON is text.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    month_of: str


def _flat(month_of: str, **kinds: str) -> Flat:
    return Flat(columns=tuple(kinds), kinds=tuple(kinds.values()), month_of=month_of)


CHANGES = _flat(
    "observed_at",
    id="integer",
    source="text",
    model="text",
    kind="text",
    observed_at="time",
    effective_at="time",
    changed_after="time",
    old_price="price",
    price="price",
    currency="text",
    alias="text",
    type="text",
    context_length="integer",
    max_completion_tokens="integer",
    description="text",
    huggingface_url="text",
    changed="json",
    run_id="integer",
    reverts_id="integer",
)
DAILY_PRICES = _flat("day", day="day", source="text", model="text", component="text", price="price")
"""`day` is text, YYYY-MM-DD."""


def changes(
    connection: "Connection",
    *,
    after: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Rows:
    """The rows of CHANGES in feed order, streaming; the filters are those of `history.changes`."""
    return _flattened(history.changes(connection, after=after, since=since, until=until, source=source))


def _flattened(found: Iterator[history.ChangeRow]) -> Rows:
    for row in found:
        yield tuple(_value(row, column) for column in CHANGES.columns)


def _value(row: history.ChangeRow, column: str) -> Any:  # noqa: ANN401 - whatever the column holds
    if column == "model":
        return row.name
    return row.kind.value if column == "kind" else getattr(row, column)


def daily_prices(
    connection: "Connection",
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    source: str | None = None,
) -> Rows:
    """The rows of the view `daily_prices` of the UTC days that begin in `[since, until)`, by day, streaming."""
    day = sa.cast(_view.c.day, sa.Text())
    query = sa.select(day.label("day"), *(_view.c[name] for name in DAILY_PRICES.columns[1:]))
    if since is not None:
        query = query.where(day >= _first_day(since))
    if until is not None:
        query = query.where(day < _first_day(until))
    if source is not None:
        query = query.where(_view.c.source_id == source_id(connection, source))
    query = query.order_by(day, _view.c.source, _view.c.model)
    return _streamed(connection, query)


def _streamed(connection: "Connection", query: sa.Select[Any]) -> Rows:
    with connection.execute(query, execution_options={"yield_per": _ROWS_A_BATCH}) as rows:
        for row in rows:
            yield tuple(row)


def _first_day(moment: datetime) -> str:
    """The first UTC day that begins at this moment or later."""
    utc = moment.astimezone(UTC)
    midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight if midnight == utc else midnight + timedelta(days=1)).date().isoformat()


_view = sa.table(
    "daily_prices",
    sa.column("day"),
    sa.column("source", sa.Text()),
    sa.column("source_id"),
    sa.column("model", sa.Text()),
    sa.column("component", sa.Text()),
    sa.column("price", Price()),
)


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
                path = files.enter_context(whole_file(folder / f"from-{part[0][0]}.parquet"))
                writers[month] = files.enter_context(parquet.ParquetWriter(path, schema, compression="zstd"))
            writers[month].write_batch(_record_batch(table, schema, part))


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
    }
    return pa.schema([(name, types[kind]) for name, kind in zip(table.columns, table.kinds, strict=True)])
