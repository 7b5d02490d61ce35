"""`syncer sync`: one run of each source, and what is said about it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncer.cli.output import json_line, print_line, progress
from syncer.cli.wording import change_line, run_of, summary
from syncer.core.model import Kind
from syncer.core.words import count_of
from syncer.errors import worst
from syncer.service import DeliveryOutcome, SyncOutcome, raise_bugs

if TYPE_CHECKING:
    from syncer.cli.app import App

_SHOWN = 100  # changes listed in text; a first sync may have a hundred thousand, and the feed has them all


@click.command("sync")
@click.option("--source", "names", multiple=True, metavar="NAME", help="Only this source; may be repeated.")
@click.option("--quiet", "-q", is_flag=True, help="Print only changes, new problems and their end.")
@click.option("--dry-run", is_flag=True, help="Fetch and compare, print what would change, write nothing at all.")
@click.option(
    "--save-bodies",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep each response that had to be read: a line of a gzip JSONL file a month and source.",
)
@click.option("--no-deliver", is_flag=True, help="Leave it to `syncer alerts deliver` to hand consumers what is new.")
@click.option("--json", "as_json", is_flag=True, help="One report object a source, one a line.")
@click.pass_context
def sync_command(
    ctx: click.Context,
    names: tuple[str, ...],
    *,
    quiet: bool,
    dry_run: bool,
    save_bodies: Path | None,
    no_deliver: bool,
    as_json: bool,
) -> None:
    """Poll each source once, and bring its catalog and history up to date.

    Put it into cron: `7 * * * * syncer sync --quiet`. Running it twice, or on two machines, does no harm. Afterwards
    each consumer, if there are any, is handed what is new (syncer alerts deliver).

    \b
    Exit codes, the worst of all sources and consumers: 0 done, 1 failed, 2 usage or configuration (such as
    a missing key), 3 something is held for you to decide (syncer held), 75 somebody else is syncing it.

    \b
    Examples:
      syncer sync --quiet                     in cron
      syncer sync --source acme --dry-run
    """
    app: App = ctx.obj
    app.start_logging(quiet=quiet)
    total = len(app.settings.select(names))
    with progress("syncing", total=total, err=sys.stderr) as advance:
        if dry_run:
            outcomes = app.service.preview(*names, check=False, advance=advance)
        else:
            limit = None if as_json else _SHOWN
            outcomes = app.service.sync(*names, check=False, save_bodies=save_bodies, limit=limit, advance=advance)
    for outcome in outcomes:
        (_print_json if as_json else print_outcome)(outcome, quiet=quiet)
    delivered = [] if dry_run or no_deliver or not app.settings.alerts else app.service.deliver(check=False)
    for delivery in delivered:
        print_delivery(delivery, quiet=quiet or as_json, idle=False)
    everything: list[SyncOutcome | DeliveryOutcome] = [*outcomes, *delivered]
    raise_bugs(everything)
    ctx.exit(worst({outcome.exit_code for outcome in everything}))


# -- what is said ------------------------------------------------------------------------------------------------------


def _print_json(outcome: SyncOutcome, *, quiet: bool) -> None:
    if quiet and not _is_news(outcome):
        return
    report, error = outcome.report, outcome.error
    result = report.result if report else None
    print_line(
        json_line(
            {
                "source": outcome.source,
                "run_id": outcome.run_id,
                "kind": report.kind if report else "sync",
                "outcome": outcome.word,
                "observed_at": result.observed_at if result else None,
                "http_status": result.http_status if result else getattr(error, "http_status", None),
                "listed": result.listed if result else None,
                **{kind.value: result.counts.get(kind, 0) if result else 0 for kind in Kind},
                "rejected": result.rejected if result else 0,
                "withheld": result.withheld if result else 0,
                "missing": report.missing if report else 0,
                "error": str(error) if error else result.error if result else None,
                "notices": outcome.notices,
                "changes": outcome.events,
            }
        ),
        out=sys.stdout,
    )


def _is_news(outcome: SyncOutcome) -> bool:
    """Whether there is anything that was not said before: a change, a problem, or the end of one."""
    return bool(outcome.news or outcome.events or outcome.notices)


def print_delivery(outcome: DeliveryOutcome, *, quiet: bool, idle: bool) -> None:
    """Say what a consumer was handed, and on stderr what went wrong; `idle`: why it was handed nothing.

    If `quiet`, only what is news: a problem once, and its end once.
    """
    done = outcome.done
    if outcome.problem is not None and not (quiet and done is not None and done.again):
        print_line(f"{outcome.consumer}: {outcome.problem}", out=sys.stderr)
    if done is not None and done.healed:
        print_line(f"{outcome.consumer}: is reached again", out=sys.stdout)
    if done is None or quiet:
        return
    if done.messages:
        handed = f"{count_of(done.events, 'event')} in {count_of(done.messages, 'message')}"
        print_line(f"{outcome.consumer}: {handed}", out=sys.stdout)
    elif done.error is None and (idle or done.disabled):
        print_line(f"{outcome.consumer}: {done.idle or 'nothing new'}", out=sys.stdout)


def print_outcome(outcome: SyncOutcome, *, quiet: bool) -> None:
    """Say what came of a source: on stderr if it failed; if `quiet`, only what is news."""
    if quiet and not _is_news(outcome):
        return
    if quiet and not (outcome.news or outcome.events):
        for notice in outcome.notices:
            print_line(f"{outcome.source}: {notice}{run_of(outcome.run_id)}", out=sys.stdout)
        return
    if outcome.report is None:
        print_line(f"{outcome.source}: {outcome.word}: {outcome.error}{run_of(outcome.run_id)}", out=sys.stderr)
        return
    result = outcome.report.result
    print_line(f"{outcome.source}: {summary(outcome.report)}", out=sys.stdout)
    for warning in outcome.report.warnings:
        print_line(f"  {warning}", out=sys.stdout)
    for notice in outcome.notices:
        print_line(f"  {notice}", out=sys.stdout)
    shown = outcome.events[:_SHOWN]
    for event in shown:
        print_line(f"  {change_line(event['data'])}", out=sys.stdout)
    if more := sum(result.counts.values()) - len(shown):
        rest = f"syncer changes --source {outcome.source} --after {shown[-1]['id']}" if "id" in shown[-1] else "--json"
        print_line(f"  ... and {more} more: {rest}", out=sys.stdout)
    if result.error and (outcome.news or not quiet):
        print_line(f"  held: {result.error} (syncer held)", out=sys.stdout)
