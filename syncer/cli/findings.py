"""`syncer held`, `approve`, `reject` and `revert`: a person decides what is doubtful."""

import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import YES, App, confirm, form, row_options
from syncer.cli.output import print_line, print_rows
from syncer.core.decide import ABOUT_REMOVALS, ABOUT_REPRICINGS, EVERYTHING, FindingKind
from syncer.core.rules import ABOUT_THE_RESPONSE
from syncer.core.words import count_of

if TYPE_CHECKING:
    from syncer.history import Held

_REMOVALS = click.option("--removals", is_flag=True, help="Only findings about models that went missing.")
_REPRICINGS = click.option("--repricings", is_flag=True, help="Only findings about prices.")


@click.command("held")
@click.option("--source", metavar="NAME", help="Only this source.")
@click.option("--models", "each", is_flag=True, help="A row for each model, with the believed and the withheld value.")
@row_options
@click.pass_obj
def held_command(app: App, source: str | None, *, each: bool) -> None:
    """List what is withheld: why, since when, and of which models.

    Say yes with `syncer approve SOURCE`, no with `syncer reject SOURCE`. Without an answer it stays held; if upstream
    takes it back, it disappears by itself.

    \b
    Example:
      syncer held --models
    """
    from syncer import history

    with app.reader() as connection:
        findings = history.held(connection, source=source)
    columns, rows = _by_model(findings) if each else _by_finding(findings)
    nothing = "nothing is held" + (f" of {source}" if source else "")
    print_rows(
        columns,
        rows,
        format=form(),
        out=sys.stdout,
        title="Held",
        drop=("models", "since", "source", "kind", "believed_price"),
        empty=nothing,
    )


_Rows = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def _by_finding(findings: "list[Held]") -> _Rows:
    columns = ("finding", "source", "kind", "since", "models", "why")
    return columns, [
        (held.id, held.source, held.kind, held.opened_at, len(held.evidence), held.why) for held in findings
    ]


def _by_model(findings: "list[Held]") -> _Rows:
    columns = ("finding", "source", "kind", "since", "model", "believed_price", "withheld")
    rows = [
        (held.id, held.source, held.kind, held.opened_at, model, held.prices.get(model), _withheld(value))
        for held in findings
        if held.kind not in ABOUT_THE_RESPONSE
        for model, value in held.evidence.items()
    ]
    return columns, rows


def _withheld(values: Mapping[str, Any] | None) -> Mapping[str, Any] | str | None:
    """The withheld values; its absence is null to a program."""
    return "its absence" if values is None and form() != "json" else values


@click.command("approve")
@click.argument("source")
@_REMOVALS
@_REPRICINGS
@click.pass_context
def approve_command(ctx: click.Context, source: str, *, removals: bool, repricings: bool) -> None:
    """Say yes, once, to what is held of SOURCE.

    It fetches again and applies at most what `syncer held` shows; anything beyond that is held again. Exit codes are
    those of `syncer sync`.

    \b
    Example:
      syncer approve acme --removals
    """
    from syncer.cli.syncing import print_outcome
    from syncer.service import raise_bugs

    app: App = ctx.obj
    app.start_logging()
    outcome = app.service.approve(source, _kinds(removals=removals, repricings=repricings), check=False)
    print_outcome(outcome, quiet=False)
    raise_bugs([outcome])
    ctx.exit(outcome.exit_code)


@click.command("reject")
@click.argument("source")
@_REMOVALS
@_REPRICINGS
@click.pass_obj
def reject_command(app: App, source: str, *, removals: bool, repricings: bool) -> None:
    """Say no to what is held of SOURCE.

    The known state stays, and nobody is asked again while upstream says the same. When it says something else, that
    is judged anew.

    \b
    Example:
      syncer reject acme --repricings
    """
    rejected = app.service.reject(source, _kinds(removals=removals, repricings=repricings))
    print_line(f"{source}: {rejected} rejected; the known state stays while upstream says the same", out=sys.stdout)


@click.command("revert")
@click.argument("run", type=int)
@YES
@click.pass_obj
def revert_command(app: App, run: int, *, yes: bool) -> None:
    """Take back what RUN believed, by appending compensating changes.

    Nothing is deleted. A change that a later one of the same model stands on is left alone, and named. What upstream
    still says of the reverted values is not believed again while it stays the same. RUN is a number that
    `syncer runs` lists.

    \b
    Example:
      syncer revert 123
    """
    confirm(f"Take back what run {run} believed?", yes=yes)
    reverted = app.service.revert(run)
    count = count_of(len(reverted.models), "change")
    print_line(f"{reverted.source}: run {run} reverted by run {reverted.run_id}: {count}", out=sys.stdout)
    for name in reverted.refused:
        print_line(f"  not reverted, it has changed since: {name}", out=sys.stdout)


def _kinds(*, removals: bool, repricings: bool) -> Collection[FindingKind]:
    chosen = (ABOUT_REMOVALS if removals else frozenset()) | (ABOUT_REPRICINGS if repricings else frozenset())
    return chosen or EVERYTHING
