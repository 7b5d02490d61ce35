"""A source's format, built in or a `[formats.NAME]` table of the file: compiled when it is asked for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from syncer.settings.wording import nearest, quoted

if TYPE_CHECKING:
    from syncer.core.formats import CompiledFormat, Header
    from syncer.settings.model import SourceSettings

Tables = Mapping[str, Mapping[str, Any]]


def format_of(source: "SourceSettings") -> "CompiledFormat":
    """How the catalog of `source` is asked for and read: its format, with what the source itself says laid over it.

    Raises SettingsError for a format that is wrong.
    """
    said = {key: value for key, value in (("auth", source.auth), ("pages", source.pages)) if value is not None}
    compiled = compile_format(source.format, source.formats, f"the source {source.name!r}", said)
    return msgspec.structs.replace(
        compiled,
        url=source.url,
        headers=(*_but(compiled.headers, source.headers), *_headers(source.headers)),
        currency=source.currency or compiled.currency,
        price_units={**compiled.price_units, **source.price_units},
    )


def compile_format(name: str, own: Tables, place: str, said: Mapping[str, Any] | None = None) -> "CompiledFormat":
    """The format called `name`, of the file's `own` or built in, with `said` of a source over it.

    Raises SettingsError that names `place`.
    """
    from syncer.core import formats

    if not said and name not in own:
        return formats.builtin(name)
    return formats.compile({**own.get(name, {"extends": name}), **(said or {})}, name, place, own)


def find_unknown(name: str, own: Tables) -> str | None:
    """What is to be said of a name that no format has."""
    from syncer.core import formats

    known = (*own, *formats.names())
    if name in known:
        return None
    return f"there is no format {quoted(name)}{nearest(name, known)} Formats: {', '.join(dict.fromkeys(known))}."


def _headers(given: Mapping[str, str | Mapping[str, str]]) -> "list[Header]":
    from syncer.core.formats import Header

    return [
        Header(name, value=value) if isinstance(value, str) else Header(name, env=value["env"])
        for name, value in given.items()
    ]


def _but(headers: "tuple[Header, ...]", names: Mapping[str, Any]) -> "list[Header]":
    """Those that none of `names` replaces: a header's case means nothing."""
    replaced = {name.lower() for name in names}
    return [header for header in headers if header.name.lower() not in replaced]
