"""`syncer status --check`: one line and an exit code, for Nagios and whatever else runs a check.

0 all is well, 1 something is wrong, 3 nothing is wrong but something is held, 2 it cannot be said (no database, wrong
settings). What is judged is what is configured and not retired: a source that was imported once is never late.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from syncer.cli.app import App, now
from syncer.cli.output import print_line, safe
from syncer.core.words import count_of
from syncer.errors import SyncerError

if TYPE_CHECKING:
    from syncer.history import Freshness
    from syncer.history.watch import Lag, LastRun

_LONGEST_REASON = 200


class Judgement(NamedTuple):
    """What a check says: the exit code, and the line."""

    code: int
    line: str


def check(app: App) -> NoReturn:
    """Print the line and exit with the code; what keeps us from asking is a line too."""
    try:
        verdict = _judged(app, now())
    except SyncerError as error:
        verdict = Judgement(error.exit_code, f"PROBLEM: {error}")
    print_line(safe(verdict.line), out=sys.stdout)
    sys.exit(verdict.code)


def _judged(app: App, present: datetime) -> Judgement:
    from syncer import history
    from syncer.history import watch

    intervals = {source.name: source.interval for source in app.settings.select()}
    required = {source.name: source.required for source in app.settings.select()}
    with app.reader() as connection:
        known = history.freshness(connection, now=present, intervals=intervals, required=required)
        lags = watch.lags(connection, now=present)
        runs = watch.last_runs(connection)
    sources = {source.source: source for source in known}
    watched = {name: sources.get(name) for name in intervals if name not in sources or not sources[name].retired_at}
    consumers = {alert.name for alert in app.settings.alerts}
    lags = [lag for lag in lags if lag.consumer in consumers]
    return judge(watched, runs, lags, now=present)


def judge(
    sources: "Mapping[str, Freshness | None]",
    runs: "Mapping[str, LastRun]",
    consumers: "list[Lag]",
    *,
    now: datetime,
) -> Judgement:
    """What there is to say of these sources (None: never observed) and consumers at `now`."""
    wrong = [f"{name} {what}" for name, known in sources.items() for what in wrong_with(known, runs.get(name), now)]
    wrong += [
        f"consumer {one.consumer} is disabled (syncer alerts list)" for one in consumers if one.state == "disabled"
    ]
    held = [f"{name}: {', '.join(its.held_by)}" for name, its in sources.items() if its and its.held_by]
    waiting = f"HELD (syncer held): {'; '.join(held)}"
    if wrong:
        return Judgement(1, "; ".join([f"PROBLEM: {'; '.join(wrong)}", *([waiting] if held else [])]))
    if held:
        return Judgement(3, waiting)
    if not sources:
        return Judgement(0, "OK: no source to watch, each is retired")
    observed = [known.last_observed_at for known in sources.values() if known and known.last_observed_at]
    return Judgement(
        0, f"OK: {count_of(len(sources), 'source')}, the oldest observation {_age(now - min(observed))} ago"
    )


def wrong_with(known: "Freshness | None", last: "LastRun | None", now: datetime) -> Iterator[str]:
    """What is wrong with a source at `now`, as the ends of sentences that begin with its name."""
    if known is None:
        yield "was never observed (syncer sync)"
        return
    if known.last_observed_at is None:
        yield "was not observed yet"
    elif known.late:
        yield f"is late: it was last observed {_age(now - known.last_observed_at)} ago"
    yield from _doubts(known)
    if last is not None and last.outcome == "failed":
        yield f"failed: {(last.error or 'no reason was recorded')[:_LONGEST_REASON]}"
    if last is not None and last.outcome == "abandoned":
        yield "was abandoned: the syncer that observed it died"


def _doubts(known: "Freshness") -> Iterator[str]:
    """What makes its catalog less sure than it looks, besides what is held."""
    if "cached" in known.doubts:
        yield "is served from a cache: what upstream says now is not known"
    if "clock" in known.doubts:
        yield "is observed by a clock that its responses contradict"
    if "partial" in known.doubts and "partial" not in known.held_by:
        yield "shows a part of its list only: nothing that is not in it can be called gone"
    if "nameless" in known.doubts and "nameless" not in known.held_by:
        yield "lists rows without a name: what is not listed takes patience to be called gone"
    if known.unreadable:
        yield f"has {count_of(known.unreadable, 'model')} whose prices cannot be read: the known ones stay"
    if known.required_missing:
        yield f"lacks what is required: {', '.join(known.required_missing)}"


def _age(age: timedelta) -> str:
    """A duration for eyes: its largest unit, or two."""
    minutes = max(int(age.total_seconds()), 0) // 60
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 72 else f"{hours // 24} days"
