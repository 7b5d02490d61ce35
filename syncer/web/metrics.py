"""Health and metrics: what /readyz and /metrics answer.

- Every number comes from the database, at the moment it is asked for, in one reading transaction: any number of
  daemons on one database show the same, and nothing is kept that could be wrong. Combine them with `max by`.
- But for the two counters, runs and changes by kind: they count what was committed since the first scrape of this
  process, by whichever machine. So they only rise, whatever is pruned, and a restart is the usual reset to 0.
- A scrape costs a seek a source and a consumer and a count of its models; `changes` is never read through.
- A database that does not answer costs one thread and five seconds: /readyz then says 503 with the reason, /metrics
  says `syncer_database_up 0`, and /healthz, which asks only the daemon's own loop, is as before.
- A retired source is in no number: nobody is to be woken by it.
- Nothing secret is shown (law 11): the database's URL is masked, and no error of an upstream or a sink is repeated.
"""

import logging
import platform
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from syncer import __version__, history
from syncer.core.model import Kind
from syncer.db import engine as db
from syncer.db.migrate import require_schema
from syncer.errors import DatabaseError, SyncerError
from syncer.history import watch
from syncer.http_client import run_with_deadline
from syncer.settings import Settings
from syncer.web.site import Site

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=5)
"""How long the database may take: half of what Prometheus waits for a scrape."""
_OVERLAP = 1000
OUTCOMES = ("changed", "unchanged", "held", "failed", "skipped", "abandoned")

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Of what `exposition` gives."""

Answer = TypeVar("Answer")


class Tally:
    """Counts the runs that ended since it was first asked, and the changes they wrote; each of them once.

    A run is counted when it has ended, which may be long after one with a higher id; and PostgreSQL commits ids out of
    order, so the last thousand are read each time.
    """

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, str, str]] = Counter()
        self.changes: Counter[tuple[str, str]] = Counter()
        self._floor: int | None = None
        self._counted: set[int] = set()
        self._open: set[int] = set()

    def count(self, connection: "Connection") -> None:
        """Count what is new; the first time only learns what is old."""
        next_floor = watch.last_run_id(connection) - _OVERLAP
        first = self._floor is None
        ended, self._open = watch.runs_beyond(
            connection, next_floor if self._floor is None else self._floor, self._open
        )
        if not first:
            for run in ended:
                if run.id not in self._counted:
                    self._count(run)
        self._floor, self._counted = next_floor, {run.id for run in ended if run.id > next_floor}

    def _count(self, run: watch.FinishedRun) -> None:
        self.runs[run.source, run.kind, run.outcome] += 1
        for kind, count in run.changes.items():
            self.changes[run.source, kind] += count


class Monitor:
    """Answers from the site's database, one question at a time, each in bounded time."""

    def __init__(self, site: Site, *, patience: timedelta = PATIENCE) -> None:
        self._site = site
        self._patience = patience.total_seconds()
        self._asking = threading.Lock()
        self._tally = Tally()

    def require_ready(self) -> None:
        """Raise SyncerError that says why, unless the database answers and has this syncer's schema."""
        self._ask(lambda: require_schema(self._site.engine))

    def metrics(self) -> list[Metric]:
        """All that is known now; without the database, that it is not there."""
        up = GaugeMetricFamily("syncer_database_up", "1 if the database answers and has this syncer's schema.")
        build = InfoMetricFamily(
            "syncer_build", "What is running.", {"version": __version__, "python": platform.python_version()}
        )
        try:
            known = self._ask(self._read)
        except SyncerError as error:
            _log.warning("no metrics: %s", error)
            known = []
        up.add_metric([], 1 if known else 0)
        return [build, up, *known]

    def _read(self) -> list[Metric]:
        require_schema(self._site.engine)
        with db.reading(self._site.engine, one_moment=True) as connection:
            self._tally.count(connection)
            return list(_families(connection, self._site.settings, self._tally, self._site.clock()))

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer, in a thread of its own while we wait: a host that is gone lets a driver hang for minutes.

        Whoever comes while it hangs starts no second one.
        """
        ends_at = time.monotonic() + self._patience
        if not self._asking.acquire(timeout=self._patience):
            raise DatabaseError(f"the database has not answered for more than {self._patience:g} s")
        answers: list[Answer] = []

        def ask() -> None:
            try:
                answers.append(question())
            finally:
                self._asking.release()

        error, _ = run_with_deadline(ends_at, ask, lambda: None, name="syncer-monitor")
        if error is not None:
            raise error
        if not answers:
            raise DatabaseError(f"the database did not answer within {self._patience:g} s")
        return answers[0]


# -- the numbers ---------------------------------------------------------------------------------------------------


def _families(connection: "Connection", settings: Settings, tally: Tally, now: datetime) -> Iterator[Metric]:
    intervals = {source.name: source.interval for source in settings.sources}
    sources = history.freshness(connection, now=now, intervals=intervals)
    retired = {one.source for one in sources if one.retired_at}
    known = {one.source: one for one in sources if one.source not in retired}
    ended = {name: run for name, run in watch.last_runs(connection).items() if name in known}
    yield from _counters(tally, known)
    yield _gauge(
        "last_observation_age_seconds",
        "Since the catalog was last read.",
        {name: (now - one.last_observed_at).total_seconds() for name, one in known.items() if one.last_observed_at},
    )
    yield _gauge(
        "source_late",
        "1 if a configured source had no observation for three of its intervals.",
        {name: name not in known or known[name].late for name in intervals if name not in retired},
    )
    yield _gauge(
        "source_failing",
        "1 if the last run that ended failed. A syncer that died or was stopped makes its sources late, not failing.",
        {name: run.outcome == "failed" for name, run in ended.items()},
    )
    yield _gauge(
        "last_run_duration_seconds",
        "Of the last run that ended.",
        {name: run.took.total_seconds() for name, run in ended.items()},
    )
    yield _gauge(
        "rejected_rows",
        "Elements that the last observation could not read.",
        {name: run.rejected for name, run in ended.items()},
    )
    yield _gauge("listed_models", "Of the current catalog.", {name: one.listed for name, one in known.items()})
    yield _gauge(
        "missing_models",
        "Listed ones that the last observations did not show, not yet believed removed.",
        {name: one.missing for name, one in known.items()},
    )
    yield _gauge(
        "held_findings",
        "What is withheld until a person says yes or no.",
        {name: one.open_findings for name, one in known.items()},
    )
    end = GaugeMetricFamily("syncer_feed_last_id", "The id of the last change or notice.")
    end.add_metric([], history.feed_end(connection))
    yield end
    yield from _consumers(watch.lags(connection, now=now), settings)


def _counters(tally: Tally, sources: Iterable[str]) -> Iterator[Metric]:
    """Zeros too, for a rate that begins at 1 would never be seen to rise."""
    zeros = {(source, "sync", outcome): 0 for source in sources for outcome in OUTCOMES}
    counter = CounterMetricFamily(
        "syncer_runs", "Runs that ended since the first scrape.", labels=["source", "kind", "outcome"]
    )
    for labels, count in (zeros | tally.runs).items():
        counter.add_metric(labels, count)
    yield counter
    none = {(source, kind.value): 0 for source in sources for kind in Kind}
    changes = CounterMetricFamily(
        "syncer_changes", "Changes written since the first scrape.", labels=["source", "kind"]
    )
    for names, count in (none | tally.changes).items():
        changes.add_metric(names, count)
    yield changes


def _consumers(lags: Iterable[watch.Lag], settings: Settings) -> Iterator[Metric]:
    lags = list(lags)
    pushed = [one for one in lags if one.state != "cursor"]
    yield _gauge(
        "consumer_lag_events",
        "Events of the feed beyond its position, whether or not its filters pass them.",
        {one.consumer: one.events for one in lags},
        label="consumer",
    )
    yield _gauge(
        "consumer_lag_seconds",
        "Age of the first event beyond its position; 0 if there is none.",
        {one.consumer: one.age.total_seconds() for one in lags},
        label="consumer",
    )
    yield _gauge(
        "consumer_digest_seconds",
        "For how long it collects by its configuration: so much lag is no fault.",
        {alert.name: alert.digest.total_seconds() if alert.digest else 0 for alert in settings.alerts},
        label="consumer",
    )
    yield _gauge(
        "consumer_active",
        "0 if it was paused by a person, or disabled after days of failure.",
        {one.consumer: one.state == "active" for one in pushed},
        label="consumer",
    )
    yield _gauge(
        "consumer_failed_attempts",
        "Failed attempts in a row.",
        {one.consumer: one.attempts for one in pushed},
        label="consumer",
    )


def _gauge(name: str, help_text: str, values: dict[str, float], *, label: str = "source") -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"syncer_{name}", help_text, labels=[label])
    for labelled, value in values.items():
        family.add_metric([labelled], value)
    return family


# -- as text ----------------------------------------------------------------------------------------------------------


class _Fixed:
    """A collector of what was collected already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        return self._metrics


def exposition(metrics: list[Metric]) -> bytes:
    """The metrics, and those of this process, as Prometheus reads them."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)  # memory, file descriptors, CPU: as every exporter of a process
    registry.register(_Fixed(metrics))
    return generate_latest(registry)
