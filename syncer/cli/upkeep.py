"""`syncer source` and `syncer prune`: sources that change their name or end, and runs that nobody needs any more."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from syncer.cli.app import App, Group, now
from syncer.cli.output import json_line, print_line
from syncer.cli.times import Duration
from syncer.core.words import count_of

if TYPE_CHECKING:
    from syncer.admin.prune import Pruned


_AGE = Duration(least=timedelta(days=1))  # what is younger may still be written


@click.group("source", cls=Group)
def source_command() -> None:
    """Rename or retire a source; its history stays."""


@source_command.command("rename")
@click.argument("old", metavar="NAME")
@click.argument("new", metavar="NEW")
@click.pass_obj
def rename_command(app: App, old: str, new: str) -> None:
    """Call the source NAME by another name, NEW, in all of its past too.

    Events delivered from now on carry it. Change it in syncer.toml at the same time: a sync under the old name would
    begin a new history.

    \b
    Example:
      syncer source rename acme acme-eu
    """
    from syncer.admin.sources import rename_source
    from syncer.settings import unconfigured_trust

    unconfigured_trust(new, {})  # which refuses what no source may be called
    engine = app.service.existing_database()
    renamed = rename_source(engine, old, new, now=now())
    print_line(f"{renamed.old} is now called {renamed.new}", out=sys.stdout)
    configured = {source.name for source in app.settings.sources}
    if old in configured:
        print_line(f"syncer.toml still has a source {old}: rename it there, before the next sync", out=sys.stderr)
    for alert in app.settings.alerts:
        if old in alert.sources:
            print_line(f"the consumer {alert.name} still asks for the source {old}", out=sys.stderr)


@source_command.command("retire")
@click.argument("name", metavar="NAME")
@click.pass_obj
def retire_command(app: App, name: str) -> None:
    """Expect no more syncs of the source NAME: it is never late again. Its history, catalog and findings stay.

    Take it out of syncer.toml too: the next sync of it brings it back.

    \b
    Example:
      syncer source retire acme
    """
    from syncer.admin.sources import retire_source

    retired = retire_source(app.service.existing_database(), name, now=now())
    print_line(f"{name} is retired since {retired.retired_at:%Y-%m-%d %H:%M}Z; its history stays", out=sys.stdout)
    if retired.open_findings:
        held = f"findings of it that are still open: {retired.open_findings}"
        print_line(f"{held}; `syncer reject {name}` ends the asking", out=sys.stdout)
    if name in {source.name for source in app.settings.sources}:
        print_line(
            f"syncer.toml still has a source {name}: take it out, or the next sync brings it back", out=sys.stderr
        )


@click.command("prune")
@click.option("--older-than", type=_AGE, default="90d", show_default=True, metavar="D", help="Keep what is younger.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def prune_command(app: App, older_than: timedelta, *, dry_run: bool, as_json: bool) -> None:
    """Remove old runs that no change, finding or notice names, and rejected rows long not seen.

    History is never pruned, and no answer changes but the list of runs itself. In small transactions, beside syncs.

    \b
    Example:
      syncer prune --older-than 180d --dry-run
    """
    from syncer.admin.prune import prune
    from syncer.db.migrate import require_schema

    engine = app.service.engine(read_only=True) if dry_run else app.service.existing_database()
    require_schema(engine)
    for one in prune(engine, before=now() - older_than, dry_run=dry_run):
        print_line(_line(one, dry_run=dry_run, as_json=as_json), out=sys.stdout)


def _line(one: "Pruned", *, dry_run: bool, as_json: bool) -> str:
    if as_json:
        return json_line({"source": one.source, "runs": one.runs, "rejected_rows": one.rejected_rows})
    verb = "would remove" if dry_run else "removed"
    return f"{one.source}: {verb} {count_of(one.runs, 'run')} and {count_of(one.rejected_rows, 'rejected row')}"
