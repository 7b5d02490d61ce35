"""`syncer config` and `syncer db`: what is configured, and the schema."""

import json
import os
import sys

import click

from syncer.cli.app import App, Group
from syncer.cli.output import json_line, print_line


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_obj
def config_command(app: App, *, as_json: bool) -> None:
    """Print the effective configuration, secrets masked: the file, and the environment over it."""
    from syncer.settings import describe

    described = describe(app.settings, os.environ)
    if as_json:
        print_line(json_line(described), out=sys.stdout)
        return
    for name, value in described.items():
        if name not in {"sources", "alerts"}:
            print_line(f"{name} = {json.dumps(value)}", out=sys.stdout)
    for key in ("sources", "alerts"):
        for table in described[key]:
            print_line(f"\n[[{key}]]", out=sys.stdout)
            for name, value in table.items():
                print_line(f"{name} = {json.dumps(value, default=str)}", out=sys.stdout)


@click.group("db", cls=Group)
def db_command() -> None:
    """Look after the database: its schema and its consistency."""


@db_command.command("upgrade")
@click.pass_obj
def upgrade_command(app: App) -> None:
    """Bring the schema up to this syncer's; creates it in an empty database. Back up first."""
    from syncer.db import engine as db

    engine = app.engine()
    before = db.current(engine)
    db.refuse_newer(engine)
    db.upgrade(engine)
    print_line(f"{db.location(engine)}: schema {before or '(none)'} -> {db.current(engine)}", out=sys.stdout)


@db_command.command("current")
@click.pass_obj
def current_command(app: App) -> None:
    """Print the schema's revision, and the one this syncer works with."""
    from syncer.db import engine as db

    engine = app.engine(read_only=True)
    found = db.current(engine)
    print_line(f"{db.location(engine)}: schema {found or '(none)'}, this syncer works with {db.HEAD}", out=sys.stdout)


@db_command.command("check")
@click.pass_obj
def check_command(app: App) -> None:
    """Exit 0 if the schema is exactly this syncer's: tables, indexes, views and triggers; 2 and the reason if not."""
    from syncer.db import engine as db
    from syncer.db.drift import drift

    engine = app.engine(read_only=True)
    db.require_schema(engine)
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
    """Hold every law that SQL can check against the data; exit 1 if a row breaks one, and say which.

    Prints a line for each claim that holds, and one for each row that breaks a law. Writes and mends nothing.
    """
    from syncer.db import engine as db
    from syncer.db.verify import verify

    engine = app.engine(read_only=True)
    db.require_schema(engine)
    broken = False
    for verdict in verify(engine):
        broken = broken or not verdict.ok
        shown = {"ok": verdict.ok, **{name: getattr(verdict, name) for name in ("law", "table", "row", "what")}}
        where = "ok" if verdict.ok else f"{verdict.table} {verdict.row}"
        print_line(json_line(shown) if as_json else f"{where}: {verdict.law}: {verdict.what}", out=sys.stdout)
    if broken:
        sys.exit(1)
