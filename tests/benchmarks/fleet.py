"""Many sources (`--fleet`): four daemons share them on one PostgreSQL, and every source is due once an interval.

Once each source has been loaded, a minute or more is watched: polls a second, what they came to, who waited for what
(`pg_stat_activity`, twice a second), how late sources were, and where the processors' time went. A tick that was run
twice, a lease that was lost or a failed poll is an AssertionError.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psycopg

from tests.benchmarks.databases import available, plain, with_schema
from tests.benchmarks.fleet_sizes import DAEMONS, MODELS
from tests.benchmarks.processes import HERE, KEY, SYNCER

if TYPE_CHECKING:
    from collections.abc import Iterator

Figure = dict[str, Any]
_ROOT = HERE.parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 1_200.0
_MOVES_EACH = 5  # intervals
_DONE = "SELECT count(*) FROM sources WHERE last_observed_at IS NOT NULL"
_LATE = "SELECT greatest(0, extract(epoch FROM now() - min(next_due_at))) FROM sources WHERE lease_owner IS NULL"
_WAITING = (
    "SELECT CASE WHEN wait_event_type = 'Lock' AND query LIKE 'UPDATE feed%' THEN 'the feed''s counter' "
    "WHEN wait_event_type = 'Lock' THEN 'another row' WHEN wait_event IS NULL THEN 'at work' "
    "WHEN wait_event = 'ClientRead' THEN 'for its daemon' "
    "ELSE wait_event_type || ' ' || wait_event END FROM pg_stat_activity "
    "WHERE state <> 'idle' AND datname = current_database() AND pid <> pg_backend_pid()"
)
_RUNS = "SELECT outcome, count(*), coalesce(sum(repriced), 0) FROM runs WHERE started_at >= %s GROUP BY outcome"
_TWICE = (
    "SELECT count(*) FROM (SELECT started_at - lag(started_at) OVER (PARTITION BY source_id ORDER BY id) AS apart "
    "FROM runs WHERE started_at >= %s AND outcome <> 'skipped') AS starts "
    "WHERE apart < make_interval(secs => %s)"
)


def measure(sources: int, interval: int, seconds: int) -> Figure:
    """The fleet's figures on a fresh PostgreSQL."""
    with ExitStack() as stack:
        database = next(available(stack, ["postgresql"]))
        url = with_schema(database)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream, port = stack.enter_context(_upstream(interval * _MOVES_EACH))
        (folder / "syncer.toml").write_text(_settings(url, sources, interval, port))
        began = monotonic()
        daemons = [stack.enter_context(_daemon(folder, number)) for number in range(DAEMONS)]
        with psycopg.connect(plain(url), autocommit=True) as connection:
            _wait_until_loaded(connection, sources, daemons)
            loaded = monotonic() - began
            pids = {"daemons": [one.pid for one in daemons], "upstream": [upstream.pid]}
            figure = _watch(connection, interval, seconds, pids)
        return {"sources": sources, "models": MODELS, "interval": interval, "loaded_seconds": loaded, **figure}


def table(figure: Figure) -> str:
    """The figure as lines."""
    return "".join(f"{name:<24}{value}\n" for name, value in figure.items())


def _watch(connection: psycopg.Connection[Any], interval: int, seconds: int, pids: dict[str, list[int]]) -> Figure:
    since = connection.execute("SELECT now()").fetchone()
    used, began = _used(connection, pids), monotonic()
    waits: Counter[str] = Counter()
    lags, samples = [], 0
    while monotonic() - began < seconds:
        waits.update(row[0] for row in connection.execute(_WAITING.encode()))
        lags.append(float(_one(connection, _LATE)))
        samples += 1
        sleep(0.5)
    passed = monotonic() - began
    spent = {name: (now - used[name]) / passed for name, now in _used(connection, pids).items()}
    found = connection.execute(_RUNS.encode(), since).fetchall()
    outcomes = {outcome: count for outcome, count, _ in found}
    assert not outcomes.keys() & {"failed", "abandoned"}, outcomes
    twice = _one(connection, _TWICE, *(since or ()), interval / 4)
    assert twice == 0, f"{twice} ticks were run twice"
    polls = sum(count for outcome, count in outcomes.items() if outcome not in {"running", "skipped"})
    return {
        "polls_a_second": round(polls / passed, 1),
        "asked_a_second": round(_one(connection, "SELECT count(*) FROM sources") / interval, 1),
        "outcomes": outcomes,
        "changes_a_second": round(sum(int(moved) for *_, moved in found) / passed, 1),
        "latest_seconds": {"median": sorted(lags)[len(lags) // 2], "most": max(lags)},
        "backends": {what: round(count / samples, 2) for what, count in waits.most_common()},
        "processors": {name: round(share, 2) for name, share in spent.items()},
    }


def _wait_until_loaded(
    connection: psycopg.Connection[Any], sources: int, daemons: "list[subprocess.Popen[bytes]]"
) -> None:
    ends = monotonic() + _PATIENCE
    while (done := _one(connection, _DONE)) < sources:
        assert all(one.poll() is None for one in daemons), "a daemon ended"
        assert monotonic() < ends, f"only {done} of {sources} sources were loaded"
        sleep(1)


def _one(connection: psycopg.Connection[Any], query: str, *values: object) -> Any:
    return next(iter(connection.execute(query.encode(), values)))[0]


def _settings(url: str, sources: int, interval: int, port: int) -> str:
    tables = (
        f'[[sources]]\nname = "s{number}"\nurl = "http://127.0.0.1:{port}/{number}/serverless/models"\n'
        f'interval = "{interval}s"\napi_key_env = "BENCH_KEY"\n'
        for number in range(sources)
    )
    return f'database_url = "{url}"\n\n' + "\n".join(tables)


@contextmanager
def _upstream(seconds: float) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    command = [sys.executable, str(HERE / "fleet_upstream.py"), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(_ROOT)}) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def _daemon(folder: Path, number: int) -> "Iterator[subprocess.Popen[bytes]]":
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(folder), "BENCH_KEY": KEY}
    log = (folder / f"daemon-{number}.log").open("wb")
    with log, subprocess.Popen([SYNCER, "run"], cwd=folder, env=environment, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _used(connection: psycopg.Connection[Any], pids: dict[str, list[int]]) -> dict[str, float]:
    """Seconds of processor so far, by what used them; the server's are those of its present processes."""
    query = "SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL"
    server = [row[0] for row in connection.execute(query.encode())]
    return {name: sum(map(_seconds_of, its)) for name, its in {**pids, "PostgreSQL": server}.items()}


def _seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
