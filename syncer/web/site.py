"""What every page and answer stands on: a database that can only be read, in bounded time, and the settings.

- The engine is our own and read-only; a question that takes too long is broken off by the database itself.
- A connection lives as long as the questions of one request, never as long as its answer takes to be sent: a slow
  client holds none.
- `stamp_of` is asked before anything else: while it stays the same, so does every answer.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer import __version__, history
from syncer.db import engine as db
from syncer.db.faults import CANCELLED, sqlstate
from syncer.db.interrupt import Deadline, watch
from syncer.db.migrate import require_schema
from syncer.db.tables import feed, findings, runs, sources
from syncer.errors import DatabaseError
from syncer.history.health import HOURLY
from syncer.service import policies
from syncer.settings import Settings, SourceSettings
from syncer.web.query import Query

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from syncer.core.rules import Policy

Clock = Callable[[], datetime]
_IsOver = Callable[[sa.exc.DBAPIError], bool]
"""Whether an error is of a statement that took too long."""

PATIENCE = timedelta(seconds=10)
"""How long one statement may take."""
_CHECKED_FOR = 60.0  # seconds for which a schema that fitted is taken to fit

_SOURCES = sa.select(
    sources.c.id,
    sources.c.name,
    sources.c.headline,
    sources.c.currency,
    sources.c.price_units,
    sources.c.last_observed_at,
    sources.c.retired_at,
    sources.c.pruned_before,
).order_by(sources.c.name)
_LATEST = sa.select(sa.func.max(runs.c.id)).scalar_subquery()
_STATE = sa.select(
    sa.select(feed.c.last_id).scalar_subquery(),
    sa.select(feed.c.feed_id).scalar_subquery(),
    _LATEST,
    sa.select(sa.func.count())
    .select_from(runs)
    .where(runs.c.id > _LATEST - 100, runs.c.outcome == "running")
    .scalar_subquery(),
    sa.select(sa.func.max(findings.c.last_run_id)).scalar_subquery(),
    sa.select(sa.func.count()).select_from(findings).where(findings.c.state == "open").scalar_subquery(),
)


class Site:
    """The database and the settings that all answers are made of. `settings` may be replaced while it serves."""

    def __init__(self, engine: "Engine", settings: Settings, *, clock: Clock, patience: timedelta = PATIENCE) -> None:
        self.engine, self.settings, self.clock = engine, settings, clock
        self._patience = patience.total_seconds()
        self._checked_until = 0.0

    @contextmanager
    def reading(self) -> Iterator["Connection"]:
        """A connection for the questions of one request, all at one moment. Raises SyncerError without a database."""
        if time.monotonic() > self._checked_until:
            require_schema(self.engine)
            self._checked_until = time.monotonic() + _CHECKED_FOR
        with db.reading(self.engine, one_moment=True) as connection, _bounded(connection, self._patience):
            yield connection

    def visit(self, connection: "Connection", query: Query, path: str) -> "Visit":
        """What one request is answered from."""
        return Visit(self, connection, query, path)

    @property
    def intervals(self) -> dict[str, timedelta]:
        """How often each source is configured to be synced."""
        return {source.name: source.interval for source in self.settings.sources}

    def source(self, name: str) -> SourceSettings | None:
        """The settings of a source; a database may know some that are configured elsewhere, or no more."""
        return next((source for source in self.settings.sources if source.name == name), None)


@contextmanager
def _bounded(connection: "Connection", seconds: float) -> Iterator[None]:
    """No statement of the block takes longer: PostgreSQL ends it itself, on SQLite we do. Raises DatabaseError."""
    limited = _postgresql_bounded if connection.dialect.name == "postgresql" else _sqlite_bounded
    with limited(connection, seconds) as is_over:
        try:
            yield
        except sa.exc.DBAPIError as error:
            if not is_over(error):
                raise
            raise DatabaseError(f"a question to the database took longer than {seconds:g} s and was given up") from None


@contextmanager
def _postgresql_bounded(connection: "Connection", seconds: float) -> Iterator[_IsOver]:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
    yield lambda error: sqlstate(error.orig) == CANCELLED


@contextmanager
def _sqlite_bounded(connection: "Connection", seconds: float) -> Iterator[_IsOver]:
    driver: Any = connection.connection.driver_connection
    deadline = Deadline(driver, seconds)
    sa.event.listen(connection, "before_cursor_execute", deadline.begin)
    try:
        yield lambda _: deadline.is_over
    finally:
        watch(driver)  # the next user of the pool may be interrupted again


class State(msgspec.Struct, frozen=True):
    """A source as a page says it: how fresh it is, how often it is meant to be polled, and whether that is due."""

    fresh: history.Freshness
    interval: timedelta
    due: bool


class Visit:
    """One request while it is answered: the connection, the query, and what several pages ask."""

    def __init__(self, site: Site, connection: "Connection", query: Query, path: str) -> None:
        self.site, self.connection, self.query, self.path = site, connection, query, path
        self.now = query.present

    def tag(self, *, ages: bool) -> str:
        """A weak ETag: of all that may change an answer; with `ages`, of the minute too, for words such as "ago"."""
        state = [
            __version__,
            str(id(self.site.settings)),
            self.path,
            repr(self.query.pairs),
            repr(self.sources),
            repr(tuple(self.connection.execute(_STATE).one())),
            f"{self.now:%Y-%m-%dT%H:%M}" if ages else "",
        ]
        return f'W/"{blake2b(chr(0).join(state).encode("utf-8", "replace"), digest_size=12).hexdigest()}"'

    @cached_property
    def sources(self) -> list[Any]:
        """The rows of all sources, by name."""
        return list(self.connection.execute(_SOURCES))

    @cached_property
    def names(self) -> list[str]:
        """The names of the sources."""
        return [row.name for row in self.sources]

    @cached_property
    def states(self) -> list[State]:
        """How fresh each source is."""
        intervals = self.site.intervals
        found = history.freshness(self.connection, now=self.now, intervals=intervals)
        return [self._state(fresh, intervals.get(fresh.source, HOURLY)) for fresh in found]

    def _state(self, fresh: history.Freshness, interval: timedelta) -> State:
        seen = fresh.last_observed_at
        return State(fresh, interval, due=seen is not None and not fresh.late and self.now - seen > 1.5 * interval)

    @cached_property
    def held(self) -> list[history.Held]:
        """What is withheld now."""
        return history.held(self.connection, policies=self.policies)

    @property
    def policies(self) -> Mapping[str, "Policy"]:
        """The rules by which findings settle."""
        return policies(self.site.settings)

    @cached_property
    def as_of(self) -> datetime | None:
        """The last observation of any source."""
        seen = [state.fresh.last_observed_at for state in self.states if state.fresh.last_observed_at is not None]
        return max(seen, default=None)

    @property
    def late(self) -> list[State]:
        """The sources that are late."""
        return [state for state in self.states if state.fresh.late]
