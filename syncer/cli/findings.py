"""`syncer held`, `approve`, `reject` and `revert`: what is doubtful, and what a person says of it."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import YES, App, confirm, form, row_options
from syncer.cli.output import print_line, print_rows
from syncer.core.model import component_of
from syncer.core.words import count_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncer.history import Held, HeldModel

_FINDING = click.option(
    "--finding", "findings", type=int, multiple=True, metavar="ID", help="Only this finding; may be repeated."
)
_MODELS = click.option(
    "--model", "models", multiple=True, metavar="GLOB", help="Only models that match; may be repeated."
)
_COMMENT = click.option("--comment", metavar="TEXT", help="Why: kept with the finding.")


def _chosen(command: "Callable[..., Any]") -> "Callable[..., Any]":
    return click.argument("source")(_FINDING(_MODELS(_COMMENT(command))))


@click.command("held")
@click.option("--source", metavar="NAME", help="Only this source.")
@click.option("--models", "each", is_flag=True, help="A row for each value: the model, what is believed and withheld.")
@click.option("--rejected", is_flag=True, help="What was rejected, and still holds.")
@row_options
@click.pass_obj
def held_command(app: App, source: str | None, *, each: bool, rejected: bool) -> None:
    """List what is withheld now: why, since when, and when it settles by itself.

    Say yes with `syncer approve SOURCE`, no with `syncer reject SOURCE`. Without an answer, time settles it: what
    upstream keeps saying is believed after `patience`, and what upstream takes back disappears.

    \b
    Examples:
      syncer held
      syncer held --models --json
      syncer held --rejected
    """
    from syncer import history
    from syncer.service import policies

    with app.reader() as connection:
        findings = history.held(connection, source=source, policies=policies(app.settings), rejected=rejected)
    columns, rows = _by_model(findings) if each else _by_finding(findings)
    what = "nothing was rejected" if rejected else "nothing is held"
    print_rows(
        columns,
        rows,
        format=form(),
        out=sys.stdout,
        title="Rejected" if rejected else "Held",
        drop=("kind", "since", "source", "finding") if each else ("settles_at", "models", "comment", "since", "kind"),
        empty=what + (f" of {source}" if source else ""),
    )
    if form() == "table" and not each:
        for finding in findings:
            _explain(finding)


_Rows = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def _explain(finding: "Held") -> None:
    """What it is about, in its sentence, and the command that settles it."""
    print_line(f"\n{finding.id}: {finding.why}", out=sys.stdout)
    print_line(f"   {finding.settles}", out=sys.stdout)
    yes = f"syncer approve {finding.source} --finding {finding.id}"
    print_line(f"   {yes}" + ("" if finding.state == "rejected" else ", or syncer reject ..."), out=sys.stdout)


def _by_finding(findings: "list[Held]") -> _Rows:
    if form() == "table":
        columns: tuple[str, ...] = ("finding", "source", "kind", "since", "models", "settles_at")
        return columns, [
            (held.id, held.source, held.kind.value, held.opened_at, len(held.models), held.settles_at)
            for held in findings
        ]
    columns = ("finding", "source", "kind", "state", "since", "models", "why", "settles_at", "settles", "comment")
    return columns, [
        (
            held.id,
            held.source,
            held.kind.value,
            held.state,
            held.opened_at,
            len(held.models),
            held.why,
            held.settles_at,
            held.settles,
            held.comment,
        )
        for held in findings
    ]


def _by_model(findings: "list[Held]") -> _Rows:
    columns = ("finding", "source", "kind", "since", "model", "field", "believed", "withheld", "factor")
    rows = [
        (held.id, held.source, held.kind.value, model.since, model.model, *value)
        for held in findings
        for model in held.models
        for value in _values(model)
    ]
    return columns, rows


def _values(model: "HeldModel") -> Iterator[tuple[Any, ...]]:
    """(field, believed, withheld, factor) of each value; of an absence, one with neither."""
    if model.fields is None:
        yield ("listed", True, False, None)
        return
    for field, (believed, withheld) in model.fields.items():
        yield (component_of(field) or field, believed, withheld, model.factors.get(field))


@click.command("approve")
@_chosen
@click.pass_context
def approve_command(
    ctx: click.Context, source: str, *, findings: tuple[int, ...], models: tuple[str, ...], comment: str | None
) -> None:
    """Say yes, once, to what is held of SOURCE.

    It fetches again and applies at most what `syncer held` shows; anything beyond that is held again. A finding that
    was rejected is named by its id. Exit codes are those of `syncer sync`.

    \b
    Examples:
      syncer approve acme
      syncer approve acme --finding 7 --comment "announced on their blog"
      syncer approve acme --model 'acme/*'
    """
    from syncer.cli.syncing import print_outcome
    from syncer.service import raise_bugs

    app: App = ctx.obj
    app.start_logging()
    outcome = app.service.approve(source, findings=findings or None, models=models, comment=comment, check=False)
    print_outcome(outcome, quiet=False)
    raise_bugs([outcome])
    ctx.exit(outcome.exit_code)


@click.command("reject")
@_chosen
@click.option("--take-back", is_flag=True, help="Take a rejection back: it is asked again. Needs --finding.")
@click.pass_obj
def reject_command(
    app: App, source: str, *, findings: tuple[int, ...], models: tuple[str, ...], comment: str | None, take_back: bool
) -> None:
    """Say no to what is held of SOURCE.

    The known state stays, and nobody is asked again while upstream says the same. When it says something else, that
    is judged anew. `syncer held --rejected` lists what was rejected.

    \b
    Examples:
      syncer reject acme --finding 7
      syncer reject acme --finding 7 --take-back
    """
    if take_back:
        if not findings:
            raise click.UsageError("--take-back needs the rejection: --finding ID (see `syncer held --rejected`)")
        for finding in findings:
            app.service.take_back(source, finding)
        print_line(f"{source}: {count_of(len(findings), 'rejection')} taken back", out=sys.stdout)
        return
    rejected = app.service.reject(source, findings=findings or None, models=models, comment=comment)
    print_line(
        f"{source}: {count_of(rejected, 'finding')} rejected; the known state stays while upstream says the same",
        out=sys.stdout,
    )


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
