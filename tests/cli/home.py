"""A person's working directory with a syncer.toml, a provider to sync, and the commands run in it."""

import io
import json
import logging
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from syncer import cli, settings
from syncer.attempt import Attempt, record_of
from syncer.db import engine as db
from syncer.db import leases
from syncer.db.migrate import ensure_schema
from syncer.report import Report
from syncer.sync import sync_source
from tests.upstream import Reply, Upstream, etag_of

KEY = "ak_live_0123456789abcdef"
ROOT = Path(__file__).resolve().parents[2]
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Said(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        """Its lines as JSON objects."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def rows(self) -> list[list[str]]:
        """Its plain table, without the head, as words."""
        return [line.split() for line in self.out.splitlines()[1:]]


class Home:
    """The directory `path`, with a syncer.toml that names the database `url` and a source at `upstream`."""

    def __init__(self, path: Path, url: str, upstream: Upstream) -> None:
        self.path, self.url, self.upstream = path, url, upstream
        self.days, self.first = 0, FIRST_DAY
        self.configure()

    # -- configuration -------------------------------------------------------------------------------------------------

    def configure(self, *sources: Mapping[str, Any], top: str = "", **fields: Any) -> None:
        """Write syncer.toml: these sources, or one called `shop` at the upstream with these settings."""
        tables = sources or ({"name": "shop", "url": self.upstream.url, "api_key_env": "SHOP_KEY"} | fields,)
        lines = [f"database_url = {json.dumps(self.url)}", top]
        for table in tables:
            lines += ["[[sources]]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
        (self.path / "syncer.toml").write_text("\n".join(lines))

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a child process, which buffers its output as in any pipe."""
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        return {**buffered, "SHOP_KEY": KEY, "PYTHONPATH": str(ROOT)}

    # -- commands ------------------------------------------------------------------------------------------------------

    def syncer(self, *arguments: str) -> Said:
        """Run one command line in this process, as `main` does."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), _own_logging():
            code = cli.run(arguments)
        return Said(code, out.getvalue(), err.getvalue())

    def process(self, *arguments: str, **environ: str) -> Said:
        """Run the shipped entry point as a process of its own."""
        with self.started(*arguments, environ=environ) as child:
            out, err = child.communicate(timeout=60)
        return Said(child.returncode, out, err)

    @contextmanager
    def started(
        self, *arguments: str, options: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> Iterator[Any]:
        """The process of a command while it runs, with these `Popen` options; it has ended afterwards."""
        command = [sys.executable, "-m", "syncer", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **(options or {})}
        with subprocess.Popen(command, cwd=self.path, env=self.environ | dict(environ or {}), **pipes) as child:
            try:
                yield child
            finally:
                child.kill()

    # -- history -------------------------------------------------------------------------------------------------------

    def begin_recently(self) -> None:
        """Let the days begin the day before yesterday, so that what is held on one of them still is now."""
        self.first = datetime.now(UTC) - timedelta(days=2)

    def serve(self, *models: dict[str, Any]) -> None:
        """What upstream lists from now on."""
        self.upstream.serve(list(models))

    def day(self, *models: dict[str, Any], **fields: Any) -> Report:
        """One observation, a day after the last one, of these models, with these settings of the source besides."""
        self.serve(*models)
        at = self.first + timedelta(days=self.days)
        self.days += 1
        return self.observe(at, **fields)

    def observe(self, at: datetime, **fields: Any) -> Report:
        """One observation of what upstream lists, at this time."""
        with self.engine() as engine:
            return sync_source(self._attempt(engine, lambda: at, **fields))

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """The database, migrated."""
        engine = db.open_engine(self.url)
        try:
            ensure_schema(engine)
            yield engine
        finally:
            engine.dispose()

    def take(self, source: str) -> None:
        """Another syncer, other:1, takes this source's lease for a minute."""
        now, minute = datetime.now(UTC), timedelta(minutes=1)
        with self.engine() as engine, db.writing(engine) as connection:
            attempt = self._attempt(engine, lambda: now, name=source)
            record = record_of(attempt.source, attempt.format)
            leases.acquire(connection, record, kind="sync", owner="other:1", now=now, lasts=minute, key=None)

    def _attempt(self, engine: sa.Engine, clock: Callable[[], datetime], **fields: Any) -> Attempt:
        source = settings.SourceSettings(**{"name": "shop", "url": self.upstream.url, "trust_date": False, **fields})
        return Attempt(
            engine=engine, source=source, format=settings.format_of(source), clock=clock, owner="a test", key=KEY
        )

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, in plain SQL."""
        engine = db.open_engine(self.url)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.exec_driver_sql(query)]
        finally:
            engine.dispose()


def serving(upstream: Upstream, status: int) -> dict[str, Any]:
    """A source whose provider answers with this status."""
    upstream.reply(Reply(status=status))
    return {"name": f"s{status}", "url": upstream.url}


def body_reply(body: bytes) -> Reply:
    """A good answer of these very bytes."""
    return Reply(body=body, headers={"ETag": etag_of(body)})


def copy_database(template: Path, target: Path) -> str:
    """A migrated SQLite database for a test of its own, without the time a migration takes."""
    shutil.copy(template, target)
    return f"sqlite:///{target}"


@contextmanager
def _own_logging() -> Iterator[None]:
    """A command sets logging up for its process: undone afterwards."""
    root, own = logging.getLogger(), logging.getLogger("syncer")
    before, level, own_level = root.handlers[:], root.level, own.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:], root.level = before, level
        own.setLevel(own_level)


def on_a_terminal(home: Home, *arguments: str, **environ: str) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    seen = bytearray()
    terminal = {"COLUMNS": "120", "TERM": "xterm-256color"} | environ
    with home.started(*arguments, options={"stdout": theirs}, environ=terminal) as child:
        os.close(theirs)
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # Linux: how the last writer's leaving shows
                break
            if not piece:
                break
            seen += piece
        assert child.wait(60) == 0, child.stderr.read()
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")
