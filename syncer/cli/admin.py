"""`syncer config`, `syncer db` and `syncer schema`: what is configured, and the forms of what is kept and sent."""

import os
import sys

import click

from syncer.cli.app import YES, App, Group, confirm, refuse_password
from syncer.cli.output import json_line, print_line
from syncer.errors import USAGE


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--check", "only_check", is_flag=True, help="Print each mistake instead; exit 2 if there is one.")
@click.pass_obj
def config_command(app: App, *, as_json: bool, only_check: bool) -> None:
    """Print the effective configuration as a syncer.toml, secrets masked: the file, and the environment over it.

    With --check, print all that is wrong with it, each mistake with its file, its line and what to write; what the
    variables and key files that it names hold is looked at, too.

    \b
    For example:
      syncer config --check && syncer sync
    """
    from syncer.settings.describing import describe, to_toml

    if only_check:
        _check_config(app, as_json=as_json)
    elif as_json:
        print_line(json_line(describe(app.settings, os.environ)), out=sys.stdout)
    else:
        for line in to_toml(app.settings, os.environ):
            print_line(line, out=sys.stdout)


def _check_config(app: App, *, as_json: bool) -> None:
    mistakes = app.check_settings()
    for mistake in mistakes:
        print_line(json_line({"mistake": mistake}) if as_json else mistake, out=sys.stdout)
    if mistakes:
        sys.exit(USAGE)
    if not as_json:
        sources, alerts = len(app.settings.sources), len(app.settings.alerts)
        said = f"nothing is wrong with {_count(sources, 'source')} and {_count(alerts, 'alert')}"
        print_line(said, out=sys.stdout)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


@click.group("schema", cls=Group)
def schema_command() -> None:
    """Print the forms that programs may rely on."""


@schema_command.command("event")
def event_command() -> None:
    """Print the JSON Schema (2020-12) of the events: webhooks, files, commands, `syncer changes --json`.

    \b
    Example:
      syncer schema event > event.schema.json
    """
    from syncer.alerts.schema import schema

    print_line(schema().rstrip(), out=sys.stdout)


@click.group("db", cls=Group)
def db_command() -> None:
    """Look after the database: its schema, its consistency, and where it lives."""


@db_command.command("upgrade")
@click.pass_obj
def upgrade_command(app: App) -> None:
    """Bring the schema up to this syncer's; creates it in an empty database. Back up first.

    \b
    Example:
      syncer db upgrade
    """
    from syncer.db import engine as db
    from syncer.db import migrate

    engine = app.service.engine()
    before = migrate.current(engine)
    migrate.refuse_newer(engine)
    migrate.upgrade(engine)
    print_line(f"{db.location(engine)}: schema {before or '(none)'} -> {migrate.current(engine)}", out=sys.stdout)


@db_command.command("current")
@click.pass_obj
def current_command(app: App) -> None:
    """Print the schema's revision, and the one this syncer works with."""
    from syncer.db import engine as db
    from syncer.db import migrate

    engine = app.service.engine(read_only=True)
    found = migrate.current(engine)
    print_line(
        f"{db.location(engine)}: schema {found or '(none)'}, this syncer works with {migrate.HEAD}", out=sys.stdout
    )


@db_command.command("check")
@click.pass_obj
def check_command(app: App) -> None:
    """Exit 0 if the schema is exactly this syncer's: tables, indexes, views and triggers; 2 and the reason if not."""
    from syncer.admin.drift import drift
    from syncer.db import engine as db
    from syncer.db import migrate

    engine = app.service.engine(read_only=True)
    migrate.require_schema(engine)
    differences = drift(engine)
    for difference in differences:
        print_line(difference, out=sys.stdout)
    if differences:
        sys.exit(2)
    print_line(f"{db.location(engine)}: the schema is as it should be", out=sys.stdout)


@db_command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def verify_command(app: App, *, as_json: bool) -> None:
    """Check the data against every law that SQL can check; exit 1 if a row breaks one, and say which.

    Prints a line for each claim that holds, and one for each row that breaks a law. Writes and mends nothing.

    \b
    Example:
      syncer db verify
    """
    from syncer.admin.verify import verify
    from syncer.db import migrate

    engine = app.service.engine(read_only=True)
    migrate.require_schema(engine)
    broken = False
    for verdict in verify(engine):
        broken = broken or not verdict.ok
        shown = {"ok": verdict.ok, **{name: getattr(verdict, name) for name in ("law", "table", "row", "what")}}
        where = "ok" if verdict.ok else f"{verdict.table} {verdict.row}"
        print_line(json_line(shown) if as_json else f"{where}: {verdict.law}: {verdict.what}", out=sys.stdout)
    if broken:
        sys.exit(1)


@db_command.command("copy")
@click.argument("url")
@click.option("--reread", is_flag=True, help="Read the past anew by today's formats; the copy gets a feed of its own.")
@click.pass_obj
def copy_command(app: App, url: str, *, reread: bool) -> None:
    """Copy the database to URL, an empty one: SQLite to PostgreSQL, or back; ids, feed and positions are kept.

    Stop every syncer first: what is written during the copy is left out. The original is only read. All or nothing;
    what is copied is compared with the original, and checked against every law, before it is kept.

    With --reread each history row is read anew from the element that it keeps: a price that nobody mapped then has its
    past in the copy. Its feed ids are others, under a new feed id, so that no consumer mistakes them.

    \b
    Examples:
      syncer db copy postgresql://syncer@db.example/syncer
      syncer db copy sqlite:///again.db --reread
    """
    from syncer.admin.copy import copy_database, count_batches
    from syncer.cli.app import now
    from syncer.cli.output import progress
    from syncer.db import engine as db
    from syncer.db import migrate

    source = app.service.engine(read_only=True)
    migrate.require_schema(source)
    target = db.open_engine(refuse_password(url))
    click.get_current_context().call_on_close(target.dispose)
    with progress("Copying", total=count_batches(source), err=sys.stderr, in_pipe=True) as advance:
        reader = app.service.reader_of_elements() if reread else None
        copied = copy_database(source, target, now=now(), advance=advance, read=reader)
    for table in copied:
        print_line(f"{table.table}: {table.rows} rows, digest {table.digest}", out=sys.stdout)
    equal = f"{db.location(target)} is now an equal copy of {db.location(source)}"
    print_line(f"{equal}: make it the database_url, and start again", out=sys.stdout)


@db_command.command("renew-feed")
@YES
@click.pass_obj
def renew_feed_command(app: App, *, yes: bool) -> None:
    """Give the feed a new id after a restore from backup, so that its readers can tell.

    Feed ids are given out a second time then, to other events. Positions stay; a consumer that stands beyond the end
    of the feed is named, and waits for `syncer alerts skip`.

    \b
    Example:
      syncer db renew-feed
    """
    from syncer.admin.sources import renew_feed

    confirm("Give the feed a new id? Its readers will take its events for those of another database.", yes=yes)
    renewed = renew_feed(app.service.existing_database())
    print_line(f"feed {renewed.old} is now {renewed.new}; its last id is {renewed.last_id}", out=sys.stdout)
    for consumer in renewed.beyond:
        print_line(
            f"{consumer.consumer}: its position {consumer.position} is beyond the end; it receives nothing until "
            f"`syncer alerts skip {consumer.consumer}`",
            out=sys.stdout,
        )
