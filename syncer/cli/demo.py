"""`syncer demo`: the real thing on a provider in a box, with nothing to configure."""

import os
import shlex
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import click
from sqlalchemy.engine import Engine

from syncer.cli.app import now
from syncer.cli.output import print_line, print_rows
from syncer.cli.wording import change_line, summary
from syncer.errors import BadResponse, UsageError
from syncer.service import process_name
from syncer.settings import SourceSettings

_KEY = "demo"


@click.command("demo")
@click.option("--serve", is_flag=True, help="End with the pages open on this history; it needs the extra `web`.")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to put the SQLite database; a new temporary file otherwise.",
)
def demo_command(path: Path | None, *, serve: bool) -> None:
    """Live through two weeks of a sample catalog in seconds.

    It needs no key, no server and no network: a loopback server inside this process plays the provider. `syncer sync`
    runs against it over real HTTP, once a simulated day, into a SQLite file that you can look at afterwards.

    \b
    Example:
      syncer demo --file /tmp/demo.db
      syncer demo --serve
    """
    from syncer.db.engine import open_engine
    from syncer.db.migrate import ensure_schema
    from syncer.demo import DAYS, PRICE_UNITS, DemoServer

    file = _new_file(path)
    os.environ["no_proxy"] = "127.0.0.1"  # a company's proxy knows nothing of our provider
    engine = open_engine(f"sqlite:///{file}")
    ensure_schema(engine)
    first_day = now() - timedelta(days=len(DAYS) - 1)
    with DemoServer(DAYS) as server:
        source = SourceSettings(
            name="demo",
            url=server.url,
            currency="USD",
            price_units={"price": PRICE_UNITS},
            trust_date=False,  # the days are simulated
        )
        for day, step in enumerate(DAYS):
            server.step = day
            print_line(step.title, out=sys.stdout)
            _live_through(engine, source, first_day + timedelta(days=day))
    _look_back(engine)
    engine.dispose()  # whoever copies the file finds all of it there, and nothing in a log beside it
    _what_next(file)
    if serve:
        _serve(engine, source)


def _serve(engine: Engine, source: SourceSettings) -> None:
    """The pages, until a person has seen enough."""
    import webbrowser
    from threading import Event

    from syncer.settings import Settings
    from syncer.web.server import serve

    with serve(engine, Settings(sources=(source,)), "127.0.0.1:0", clock=now) as served:
        print_line(f"\nSee it at {served.url}/ (Ctrl-C ends it)", out=sys.stdout)
        sys.stdout.flush()
        if sys.stdout.isatty():
            webbrowser.open(f"{served.url}/")
        Event().wait()


def _new_file(path: Path | None) -> Path:
    if path is None:
        return Path(tempfile.mkdtemp(prefix="syncer-demo-")) / "syncer.db"
    if path.exists():
        raise UsageError(f"{path} exists already: the demo starts from nothing; name another file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no directory {path.absolute().parent}: make it first, or name another file")
    return path.absolute()


def _live_through(engine: Engine, source: SourceSettings, day: datetime) -> None:
    """One poll on one simulated day, and what came of it."""
    from syncer.alerts.event import events
    from syncer.attempt import Attempt
    from syncer.db.engine import reading
    from syncer.settings import format_of
    from syncer.sync import sync_source

    attempt = Attempt(
        engine=engine, source=source, format=format_of(source), clock=lambda: day, owner=process_name(), key=_KEY
    )
    try:
        report = sync_source(attempt)
    except BadResponse as error:  # one of the sample's days
        print_line(f"    failed: {error}", out=sys.stdout)
        return
    print_line(f"    {summary(report)}", out=sys.stdout)
    with reading(engine) as connection:
        for event in events(connection, run=report.run_id) if report.result.counts else ():
            print_line(f"      {change_line(event['data'])}", out=sys.stdout)
    if report.result.error:
        print_line(f"      held: {report.result.error}", out=sys.stdout)


def _look_back(engine: Engine) -> None:
    """The history as a person would ask for it: without the first day, which only says what was there."""
    from syncer import history
    from syncer.db.engine import reading

    print_line("\nThe history that came of it:\n", out=sys.stdout)
    columns = ("id", "day", "kind", "model", "old_price", "price", "changed")
    with reading(engine) as connection:
        rows = [
            (
                row.id,
                f"{row.effective_at:%Y-%m-%d}",
                row.kind.value,
                row.name,
                row.old_price,
                row.price,
                ", ".join(row.changed),
            )
            for row in history.changes(connection)
            if row.changed_after is not None
        ]
    print_rows(columns, rows, format="table", out=sys.stdout)


def _what_next(file: Path) -> None:
    """Each command names the database: nothing that is pasted from here leaves the shell pointed at the demo."""
    path = shlex.quote(str(file))
    print_line(
        f"""
The database is {file}

Look into it:
  syncer --database {path} status
  syncer --database {path} models
  syncer --database {path} changes --since 7d
  python -c "import sqlite3; [print(r) for r in sqlite3.connect('{file}').execute(
      'SELECT model, price, valid_from, valid_to FROM price_periods ORDER BY model, valid_from')]"

Then point syncer at a real provider, in a directory of its own:
  SYNCER_API_URL=https://provider.example/api/v1 SYNCER_API_KEY=ak_... syncer sync""",
        out=sys.stdout,
    )
