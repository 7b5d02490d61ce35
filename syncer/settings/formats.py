"""A source's format: one of the built-in ones, or a `[formats.NAME]` table of the file. Read when it is asked for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from syncer.settings.wording import nearest, quoted

if TYPE_CHECKING:
    from syncer.core.formats import CompiledFormat
    from syncer.settings.model import SourceSettings


def format_of(source: "SourceSettings") -> "CompiledFormat":
    """How the catalog of `source` is written. Raises SettingsError for a format that is wrong."""
    return compile_format(source.format, source.format_table, f"formats.{source.format}")


def compile_format(name: str, table: Mapping[str, Any] | None, place: str) -> "CompiledFormat":
    """The format of this table, the built-in one called `name` without one. Raises SettingsError that names `place`."""
    from syncer.core import formats

    return formats.builtin(name) if table is None else formats.compile(dict(table), name, place)


def find_unknown(name: str, own: Mapping[str, Any]) -> str | None:
    """What is to be said of a name that no format has."""
    from syncer.core import formats

    known = (*own, *formats.names())
    if name in known:
        return None
    return f"there is no format {quoted(name)}{nearest(name, known)} Formats: {', '.join(sorted(known))}."
