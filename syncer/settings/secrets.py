"""What variables and key files hold, read at the moment it is used: a rotated one is seen.

A SettingsError names the setting and the variable, and never quotes what was read (law 11).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from syncer.errors import SettingsError
from syncer.settings import rules
from syncer.settings.formats import format_of
from syncer.settings.model import DEFAULT_FORMAT, Settings, SourceSettings
from syncer.settings.reading import rules_of
from syncer.settings.rules import Rule, Secret, UnfitError

SHORTEST_WEB_TOKEN = 16


def read_api_key(source: SourceSettings, environ: Mapping[str, str]) -> Secret | None:
    """The key of `source` as it is now, without outer white space; None for an open source.

    Raises SettingsError if the key is missing, unreadable or no key.
    """
    if source.api_key_env is not None:
        place = f"the variable {source.api_key_env} (api_key_env of source {source.name!r})"
        text = environ.get(source.api_key_env, "")
    elif source.api_key_file is not None:
        place = f"the api_key_file of source {source.name!r}"
        text = _read_key_file(Path(source.api_key_file), place)
    else:
        return None
    if not text.strip():
        raise SettingsError(f"There is no API key for source {source.name!r}: {place} is not set or empty.")
    try:
        key: Secret = rules.API_KEY.read(text.strip())
    except UnfitError:
        raise SettingsError(
            f"The API key of source {source.name!r} cannot be right: {place} holds white space or a "
            "character that no HTTP header can carry."
        ) from None
    return key


def read_headers(source: SourceSettings, environ: Mapping[str, str]) -> dict[str, str | Secret]:
    """The headers of a source and its format as they are now: those that stand in variables are Secrets.

    Raises SettingsError if a variable is missing, empty or no header, or if the format is wrong.
    """
    if source.format == DEFAULT_FORMAT and not source.formats and not source.headers:
        return {}
    return {
        header.name: header.value or ""
        if header.env is None
        else read_variable(
            header.env, rules.HEADER_VALUE, environ, f"the header {header.name} of source {source.name!r}"
        )
        for header in format_of(source).headers
    }


def read_heartbeat_url(settings: Settings, environ: Mapping[str, str]) -> Secret | None:
    """The address of the dead-man switch as it is now, None if none is configured.

    Raises SettingsError if its variable is missing, empty or holds no URL.
    """
    if settings.heartbeat_url_env is None:
        return settings.heartbeat_url
    return read_variable(settings.heartbeat_url_env, rules.SECRET_URL, environ, "heartbeat_url_env")


def read_web_token(environ: Mapping[str, str]) -> Secret | None:
    """The token that readers of the pages have to send, None if there is none. SettingsError for one easy to guess."""
    text = environ.get("SYNCER_WEB_TOKEN", "").strip()
    if not text:
        return None
    if len(text) < SHORTEST_WEB_TOKEN or not text.isascii() or not text.isprintable():
        raise SettingsError(
            f"What SYNCER_WEB_TOKEN holds cannot be used. Expected: {SHORTEST_WEB_TOKEN} or more ASCII characters."
        )
    return Secret(text)


def read_field(table: msgspec.Struct, field: str, environ: Mapping[str, str], whose: str) -> Secret | None:
    """The secret of a field, which stands in the file or, as `FIELD_env`, in the variable of that name; None: neither.

    `whose` is for the message: "alert 'team'". Raises SettingsError if the variable is missing, empty or wrong.
    """
    given: Secret | None = getattr(table, field, None)
    name: str | None = getattr(table, f"{field}_env", None)
    if given is not None or name is None:
        return given
    holds = rules_of(type(table))[f"{field}_env"].holds
    assert holds is not None  # noqa: S101 - each `..._env` field is a `rules.variable`
    return read_variable(name, holds, environ, f"{field}_env of {whose}")


def require_field(table: msgspec.Struct, field: str, environ: Mapping[str, str], whose: str) -> Secret:
    """The same for a field that is given one way or the other."""
    secret = read_field(table, field, environ, whose)
    assert secret is not None  # noqa: S101 - an address: it chose the table's sink
    return secret


def read_named(table: msgspec.Struct, field: str, environ: Mapping[str, str], whose: str) -> dict[str, Secret]:
    """The secrets of a field that is a table of a name to the variable that holds its secret."""
    holds = rules_of(type(table))[field].holds
    assert holds is not None  # noqa: S101 - it names variables
    names: Mapping[str, str] = getattr(table, field)
    return {key: read_variable(name, holds, environ, f"{field}.{key} of {whose}") for key, name in names.items()}


def readings(
    table: msgspec.Struct, environ: Mapping[str, str], whose: str
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each field that names variables, and what reads them: it raises SettingsError for what cannot be used now."""
    for field, rule in rules_of(type(table)).items():
        if rule.holds and isinstance(getattr(table, field), Mapping):
            yield field, partial(read_named, table, field, environ, whose)
        elif rule.holds:
            yield field, partial(read_field, table, field.removesuffix("_env"), environ, whose)


def read_variable(name: str, holds: Rule, environ: Mapping[str, str], where: str) -> Secret:
    """What the variable `name` holds now. Raises SettingsError that names it and `where` it is configured."""
    place = f"the variable {name} ({where})"
    text = environ.get(name, "").strip()
    if not text:
        raise SettingsError(f"{_capital(place)} is not set or empty.")
    try:
        secret: Secret = holds.read(text)
    except UnfitError:
        raise SettingsError(f"What {place} holds cannot be used. Expected: {holds.expected}.") from None
    return secret


def _read_key_file(path: Path, place: str) -> str:
    # The path stays out of the message: people paste the key itself where its file should be named.
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{_capital(place)} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, ValueError):  # ValueError: a NUL within the path
        raise SettingsError(f"{_capital(place)} is not text.") from None


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
