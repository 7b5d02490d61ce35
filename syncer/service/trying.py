"""Formats: which there are, and what one makes of a response."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from syncer.attempt import limits, request_of
from syncer.core import formats, parse
from syncer.core.formats import CompiledFormat
from syncer.core.model import Listing
from syncer.fetch import fetch
from syncer.service.context import Context
from syncer.service.outcomes import Tried
from syncer.settings import load
from syncer.settings.formats import compile_format


def all_formats(context: Context) -> list[CompiledFormat]:
    """Those of the configuration, then the built-in ones."""
    names = dict.fromkeys((*context.settings.formats, *formats.names()))
    return [compile_format(name, context.settings.formats, f"formats.{name}") for name in names]


def try_format(context: Context, url: str | None, name: str | None = None) -> Tried:
    """One response as the format reads it; the database is not opened."""
    given = {"SYNCER_API_URL": url, "SYNCER_FORMAT": name, "SYNCER_API_KEY": context.environ.get("SYNCER_API_KEY")}
    plain = {variable: text for variable, text in given.items() if text}
    tables = {"formats": {name: dict(table) for name, table in context.settings.formats.items()}}
    (source,) = load(plain, cwd=Path.cwd(), table=tables).select()
    if "SYNCER_API_KEY" not in plain:  # a list may be open all the same: upstream will say
        source = msgspec.structs.replace(source, api_key_env=None)
    attempt = context.attempt(context.engine(read_only=True), source)
    attempt = context.with_credentials(attempt)
    response = fetch(request_of(attempt), clock=context.clock, limits=limits(source))
    snapshot = parse.snapshot(
        response.bodies, attempt.format, observed_at=response.received_at, http_partial=response.partial
    )
    return Tried(attempt.format, snapshot, parse.unmatched(snapshot, attempt.format))


def reader_of_elements(context: Context) -> Callable[[str, str], Listing]:
    """What reads (an element, the name of its format)."""
    return lambda raw, name: parse.element(
        raw.encode(), compile_format(name, context.settings.formats, f"formats.{name}")
    )
