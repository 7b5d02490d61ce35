"""A calendar of polls, so that a test reads like the history it is about.

    catalog.on("01-01", A="10").on("01-02").on("01-03", A="12")
    assert catalog.periods("A") == [("10", "01-01", "01-02"), ("12", "01-03", None)]

- Nothing is faked: a loopback upstream over real HTTP, a real database, and the `sync_source` that everybody calls.
- The clock stands where the calendar puts it: "01-02" is that midnight of 2026 in UTC, "01-02 06:00" six hours later.
- What is read back comes through plain SQL, as an analyst would get it, in the calendar's own words: times as above,
  prices as the shortest decimal text.
- After each poll the laws that SQL can check are checked: one contiguous feed, one rising clock, and a fold of the
  history that equals the catalog (laws 2, 5, 6 and 8).
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from syncer.attempt import Archive, Attempt
from syncer.core.decide import Approval
from syncer.core.model import TRACKED
from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from syncer.errors import SyncerError
from syncer.preview import preview_source
from syncer.report import Report
from syncer.settings import SourceSettings, format_of
from syncer.sync import sync_source
from tests.upstream import Reply, Upstream, catalog_body, etag_of, model

YEAR = 2026
STATE = ("name", *TRACKED, "price", "prices")
"""A model's name, its tracked fields and its prices, as the columns of `changes` and of `models`."""

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
_PRICES = {"price", "old_price", "old", "new"}
_JSON = {"changed", "evidence", "extra", "price_units", "data", "prices", "unread"}


class Story:
    """One source, called `shop` if nothing else is said, in the database at `url`, told poll by poll.

    `settings` are those of the source. `report` is what the last poll reported, `now` where the clock stands, `key`
    the API key of the next poll; `archive`, where set, gets the bodies that had to be read.
    """

    def __init__(self, url: str, upstream: Upstream, **settings: Any) -> None:
        self.url, self.upstream = url, upstream
        self.source = SourceSettings(**{"name": "shop", "url": upstream.url, "trust_date": False, **settings})
        self.key: str | None = "ak_story"
        self.archive: Archive | None = None
        self.now = instant("01-01")
        self.report: Report | None = None
        self.engine = db.open_engine(url)
        ensure_schema(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.dispose()

    # -- what happens --------------------------------------------------------------------------------------------------

    def on(self, when: str, /, *rows: Any, **prices: str | None) -> Self:
        """Upstream lists these models (whole rows, or name="price"), and is polled."""
        self.upstream.serve(body_of(*rows, **prices))
        return self.again(when)

    def hourly(self, first: str, polls: int, /, *rows: Any, **prices: str | None) -> Self:
        """So many polls, one an hour, all at this catalog."""
        for hour in range(polls):
            self.on(label(instant(first) + timedelta(hours=hour)), *rows, **prices)
        return self

    def sends(self, when: str, body: bytes, *, etag: str | bool = True) -> Self:
        """Upstream sends these very bytes, under this ETag (True: one of their own, False: none)."""
        tag = etag_of(body) if etag is True else etag
        self.upstream.reply(Reply(body=body, headers={"ETag": tag} if tag else {}))
        return self.again(when)

    def again(self, when: str, *, approving: Approval | None = None) -> Self:
        """A poll of whatever upstream is serving, by a person who approves of what is named."""
        self.now = instant(when)
        try:
            self.report = sync_source(self.attempt(archive=self.archive, approval=approving))
        finally:
            self.check_laws()
        return self

    def attempt(self, **more: Any) -> Attempt:
        """What a poll is made with now."""
        kind = "sync" if more.get("approval") is None else "approve"
        return Attempt(
            **{
                "engine": self.engine,
                "source": self.source,
                "format": format_of(self.source),
                "clock": lambda: self.now,
                "owner": "a test",
                "key": self.key,
                "kind": kind,
                **more,
            }
        )

    def failing(self, when: str, reply: Reply | bytes | None = None) -> SyncerError:
        """A poll that gets this answer (None: at what upstream is serving) ends in the error that is returned."""
        if reply is not None:
            answer = reply if isinstance(reply, Reply) else Reply(body=reply, headers={"ETag": etag_of(reply)})
            self.upstream.reply(answer)
        with pytest.raises(SyncerError) as caught:
            self.again(when)
        return caught.value

    def preview(self, when: str) -> Report:
        """What a poll would do then."""
        self.now = instant(when)
        return preview_source(self.attempt(), is_new=False)

    def set(self, **settings: Any) -> Self:
        """The source is configured otherwise from now on; under another name it is another source."""
        self.source = msgspec.structs.replace(self.source, **settings)
        return self

    # -- what can be read back -----------------------------------------------------------------------------------------

    def ask(self, sql: str, **parameters: Any) -> list[SimpleNamespace]:
        """The rows of a plain SQL query, in the calendar's words; `:source` is the name of ours."""
        return [
            SimpleNamespace(**{column: _plain(column, value) for column, value in row.items()})
            for row in self._rows(sql, **parameters)
        ]

    def runs(self) -> list[SimpleNamespace]:
        """Every attempt, oldest first."""
        return self.ask(f"SELECT r.* FROM runs r {_OURS.format('r')} ORDER BY r.id")

    @property
    def run(self) -> SimpleNamespace:
        """The latest attempt."""
        return self.runs()[-1]

    @property
    def outcomes(self) -> list[str]:
        """How each attempt ended."""
        return [run.outcome for run in self.runs()]

    def history(self, model: str | None = None) -> list[SimpleNamespace]:
        """The rows of `changes`, of one model or of all, in feed order."""
        rows = self.ask(f"SELECT c.* FROM changes c {_OURS.format('c')} ORDER BY c.id")
        return [row for row in rows if model in {None, row.name}]

    def changes(self, model: str | None = None) -> list[str]:
        """The history as lines: "01-03 repriced A 10 -> 12"."""
        return [_line(row) for row in self.history(model)]

    def periods(self, model: str) -> list[tuple[str | None, str, str | None]]:
        """The price periods of a model: (price, valid_from, valid_to)."""
        query = "SELECT * FROM price_periods WHERE source = :source AND model = :model ORDER BY valid_from"
        return [(row.price, row.valid_from, row.valid_to) for row in self.ask(query, model=model)]

    def current(self) -> dict[str, str | None]:
        """The current catalog as the view shows it: name -> price."""
        return {row.model: row.price for row in self.ask("SELECT * FROM catalog WHERE source = :source ORDER BY model")}

    def marked(self) -> dict[str, str]:
        """The listed models that are missing, and since when."""
        query = "SELECT * FROM catalog WHERE source = :source AND missing_since IS NOT NULL ORDER BY model"
        return {row.model: row.missing_since for row in self.ask(query)}

    def model(self, name: str) -> SimpleNamespace:
        """The row of one model, listed or removed."""
        (row,) = self.ask(f"SELECT m.* FROM models m {_OURS.format('m')} AND m.name = :model", model=name)
        return row

    def findings(self, state: str | None = None) -> list[SimpleNamespace]:
        """The findings, in one state or all, oldest first."""
        rows = self.ask(f"SELECT f.* FROM findings f {_OURS.format('f')} ORDER BY f.id")
        return [row for row in rows if state in {None, row.state}]

    def rejected(self) -> list[SimpleNamespace]:
        """The elements that could not be read."""
        return self.ask(f"SELECT j.* FROM rejected_rows j {_OURS.format('j')} ORDER BY j.first_run_id, j.reason")

    @property
    def shop(self) -> SimpleNamespace:
        """The row of the source itself."""
        (row,) = self.ask("SELECT * FROM sources WHERE name = :source")
        return row

    def everything(self) -> str:
        """All rows of all tables as text: equal texts are equal databases."""
        with db.reading(self.engine) as connection:
            names = sorted(sa.inspect(connection).get_table_names())
            tables = {name: connection.execute(sa.text(f"SELECT * FROM {name}")).all() for name in names}
        return "\n".join(f"{name}: {sorted(map(repr, rows))}" for name, rows in tables.items())

    # -- what always holds ---------------------------------------------------------------------------------------------

    def check_laws(self) -> None:
        """The laws that SQL can check of this source, whatever happened to it: in one transaction, of few columns."""
        with db.reading(self.engine) as connection:
            (feed,) = self._read(connection, _FEED)
            runs = self._read(connection, f"SELECT {_RUN} FROM runs r {_OURS.format('r')} ORDER BY r.id")
            rows = self._read(connection, f"SELECT {_CHANGE} FROM changes c {_OURS.format('c')} ORDER BY c.id")
            states = self._states(connection)
        assert {feed["rows"], feed["ids"], feed["highest"] or 0} == {feed["last_id"]}, "law 8: ids are contiguous"
        assert_times_rise(run for run in runs if run["observed_at"] is not None)
        for row in rows:
            assert row["effective_at"] <= row["observed_at"], "law 6"
            assert row["changed_after"] is None or row["changed_after"] < row["effective_at"], "law 6"
        assert fold(rows) == states, "law 2: the fold of the history is the catalog"

    def states(self) -> dict[str, tuple[Any, ...]]:
        """Each model ever listed: its tracked fields, and whether it is listed."""
        with db.reading(self.engine) as connection:
            return self._states(connection)

    def _states(self, connection: Connection) -> dict[str, tuple[Any, ...]]:
        fields = ", ".join(f"m.{field}" for field in STATE)
        rows = self._read(connection, f"SELECT {fields}, m.removed_at FROM models m {_OURS.format('m')}")
        return {row["name"]: (*(row[field] for field in STATE), row["removed_at"] is None) for row in rows}

    def _rows(self, sql: str, **parameters: Any) -> list[Mapping[str, Any]]:
        with db.reading(self.engine) as connection:
            return self._read(connection, sql, **parameters)

    def _read(self, connection: Connection, sql: str, **parameters: Any) -> list[Mapping[str, Any]]:
        query = sa.text(sql)
        given = {"source": self.source.name, **parameters}
        result = connection.execute(query, {name: given[name] for name in query.compile().params})
        return [dict(row) for row in result.mappings()]


_OURS = "JOIN sources s ON s.id = {}.source_id WHERE s.name = :source"
_CHANGE = ", ".join(f"c.{column}" for column in (*STATE, "kind", "observed_at", "effective_at", "changed_after"))
_RUN = "r.observed_at, r.body_digest, r.outcome"
_FEED = (  # ids are contiguous where there are as many, all different, as the highest says
    "SELECT count(i.id) AS rows, count(DISTINCT i.id) AS ids, max(i.id) AS highest, f.last_id FROM feed f"
    " LEFT JOIN (SELECT id FROM changes UNION ALL SELECT id FROM notices) i ON i.id > 0 GROUP BY f.last_id"
)


def assert_times_rise(runs: Iterable[Mapping[str, Any]]) -> None:
    """Law 5: observations rise strictly, and past the time of what an import failed on; only that is tried again."""
    observed = latest = None
    failed = set()
    for run in runs:
        at, response = run["observed_at"], (run["observed_at"], run["body_digest"])
        assert observed is None or at > observed, "law 5: observed_at rises strictly"
        assert latest is None or at > latest or response in failed, "law 5: and past what failed"
        latest = at if latest is None else max(at, latest)
        if run["outcome"] == "failed":
            failed.add(response)
        else:
            observed = at


def fold(changes: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What the rows of a history, in order, add up to: as `Story.states`."""
    return {row["name"]: (*(row[field] for field in STATE), row["kind"] != "removed") for row in changes}


def instant(text: str) -> datetime:
    """The moment that a calendar label names: "01-02", "01-02 06:00", "01-02 06:00:00.000001"."""
    return datetime.fromisoformat(f"{YEAR}-{text}").replace(tzinfo=UTC)


def label(at: datetime) -> str:
    """The shortest calendar label of a moment."""
    day = at.astimezone(UTC).isoformat(" ").removesuffix("+00:00").removeprefix(f"{YEAR}-")
    return day.removesuffix(":00").removesuffix(" 00:00")


def body_of(*rows: Any, **prices: str | None) -> bytes:
    """A response that lists these whole rows, and these names at these prices (None: null)."""
    priced = [model(name, None if price is None else Decimal(price)) for name, price in prices.items()]
    return catalog_body([*rows, *priced])


def _line(row: SimpleNamespace) -> str:
    start = f"{row.effective_at} {row.kind} {row.name}"
    moved = f"{row.old_price} -> {row.price}"
    ends = {"added": f" {row.price}", "repriced": f" {moved}", "relisted": f" {moved}"}
    return start + ends.get(row.kind, "")


def _plain(column: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return label(value)
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        return label(datetime.fromisoformat(value).replace(tzinfo=UTC))
    if column in _PRICES and value is not None:
        return f"{Decimal(str(value)).normalize():f}"
    if column in _JSON and isinstance(value, str):
        return json.loads(value, parse_float=Decimal)
    return value
