"""`syncer formats` and `syncer try`: how catalogs are written, and what a format makes of one."""

import sys
from typing import TYPE_CHECKING, Any

import click

from syncer.cli.app import App, Group, form, row_options
from syncer.cli.output import json_line, print_line, print_rows
from syncer.core.model import TRACKED

if TYPE_CHECKING:
    from syncer.service import Tried

_SHOWN = 5
_UNUSED_SHOWN = 12


@click.group("formats", cls=Group, invoke_without_command=True)
@row_options
@click.pass_context
def formats_command(ctx: click.Context) -> None:
    """List the formats: how a source writes its catalog, built in or of your configuration.

    A source names one with `format = "openrouter"`. `syncer formats show NAME` prints a built-in one as the table that
    could stand in syncer.toml; `syncer try URL --format NAME` shows what it makes of a catalog.

    \b
    Examples:
      syncer formats
      syncer formats show openrouter
    """
    if ctx.invoked_subcommand is not None:
        return
    app: App = ctx.obj
    rows = [
        (fmt.name, fmt.url or fmt.endpoint or "", fmt.auth, fmt.headline, ", ".join(c.name for c in fmt.components))
        for fmt in app.service.formats()
    ]
    columns = ("format", "url", "auth", "headline", "prices")
    print_rows(columns, rows, format=form(), out=sys.stdout, title="Formats", drop=("prices", "headline", "auth"))


@formats_command.command("show")
@click.argument("name")
def show_command(name: str) -> None:
    """Print a built-in format as it is written: a table that can be pasted into syncer.toml and changed.

    \b
    Example:
      syncer formats show openai
    """
    from syncer.core import formats

    print_line(formats.show(name).rstrip("\n"), out=sys.stdout)


@click.command("try")
@click.argument("url", required=False)
@click.option("--format", "fmt", metavar="NAME", help="How the catalog is written; `serverless` if not given.")
@click.option(
    "--models", "count", type=click.IntRange(1, 1000), default=_SHOWN, show_default=True, metavar="N", help="So many."
)
@click.option("--json", "as_json", is_flag=True, help="All of it as one JSON object.")
@click.pass_obj
def try_command(app: App, url: str | None, fmt: str | None, *, count: int, as_json: bool) -> None:
    """Fetch the catalog at URL once and show how a format reads it. No database is opened.

    It shows the first models, which paths no element has, what the elements have that nothing reads, and whether the
    response says that it is not the whole list. A format of its own brings its URL; the key is SYNCER_API_KEY, if the
    format asks for one.

    \b
    Examples:
      syncer try --format openrouter
      syncer try https://api.acme.example/v1/models --format openai
    """
    tried = app.service.try_format(url, fmt)
    if as_json:
        print_line(json_line(_as_object(tried, count)), out=sys.stdout)
        return
    _print_models(tried, count)
    for line in _what_it_says(tried):
        print_line(line, out=sys.stdout)


def _print_models(tried: "Tried", count: int) -> None:
    listings = list(tried.snapshot.listings.values())[:count]
    components = list(dict.fromkeys(name for listing in listings for name in listing.prices))
    rows = [
        (listing.name, listing.type, listing.context_length, *(listing.prices.get(name) for name in components))
        for listing in listings
    ]
    columns = ("model", "type", "context_length", *components)
    print_rows(columns, rows, format="table", out=sys.stdout, drop=tuple(reversed(components[1:])))


def _what_it_says(tried: "Tried") -> list[str]:
    snapshot, found = tried.snapshot, tried.unmatched
    lines = [f"\n{snapshot.listed} models listed, {len(snapshot.rejected)} rows rejected; format {tried.format.name}"]
    units = {name: f"{quantity} {word}" for name, (quantity, word) in _plain_units(tried).items()}
    currency = tried.format.currency or "an unknown currency"
    if units:
        lines.append(f"prices in {currency}: " + ", ".join(f"{name} per {unit}" for name, unit in units.items()))
    lines += [f"error: {found.error}"] if found.error else []
    lines += [f"warning: {warning}" for warning in found.warnings]
    lines += [f"rejected: {row.name or 'a row without a name'} {row.reason}" for row in snapshot.rejected[:_SHOWN]]
    if found.unused:
        more = f" and {len(found.unused) - _UNUSED_SHOWN} more" if len(found.unused) > _UNUSED_SHOWN else ""
        lines.append(f"not read: {', '.join(found.unused[:_UNUSED_SHOWN])}{more}")
    lines.append(f"partial: {snapshot.partial}" if snapshot.partial else "nothing says that the list is not whole")
    return lines


def _plain_units(tried: "Tried") -> dict[str, tuple[int, str]]:
    return {name: unit for name, unit in tried.format.price_units.items() if not isinstance(unit, dict)}


def _as_object(tried: "Tried", count: int) -> dict[str, Any]:
    snapshot, found = tried.snapshot, tried.unmatched
    return {
        "format": tried.format.name,
        "listed": snapshot.listed,
        "rejected": [{"name": row.name, "reason": row.reason} for row in snapshot.rejected],
        "models": [
            {"model": one.name, **dict(zip(TRACKED, one.tracked(), strict=True)), "prices": one.prices}
            for one in list(snapshot.listings.values())[:count]
        ],
        "currency": tried.format.currency,
        "price_units": tried.format.price_units,
        "error": found.error,
        "warnings": found.warnings,
        "unused": found.unused,
        "partial": snapshot.partial,
    }
