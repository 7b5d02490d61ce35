"""All that is wrong with a configuration at once: in the file, and in what the variables and files it names hold."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from syncer.errors import SettingsError
from syncer.settings.formats import format_of
from syncer.settings.loading import read
from syncer.settings.model import Settings, SourceSettings
from syncer.settings.reading import Where
from syncer.settings.secrets import read_api_key, read_headers, read_heartbeat_url, readings

_Test = Callable[[], object]


def check(
    environ: Mapping[str, str], *, config: Path | None = None, cwd: Path, database: str | None = None
) -> list[str]:
    """Each mistake in one sentence: where it stands (file and line), what is wrong, and what to write."""
    try:
        settings, mistakes = read(environ, config=config, cwd=cwd, database=database)
    except SettingsError as error:
        return [str(error)]
    for where, test in _tests(settings, environ):
        try:
            test()
        except SettingsError as error:
            mistakes.add(str(error), where if settings.path else None)
    return mistakes.found


def _tests(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[Where, _Test]]:
    """What the variables and key files must hold now, with the place that names them."""
    yield ("heartbeat_url_env",), partial(read_heartbeat_url, settings, environ)
    for number, source in enumerate(settings.sources):
        where = ("sources", number)
        key = "api_key_env" if source.api_key_env else "api_key_file"
        yield (*where, key), partial(read_api_key, source, environ)
        yield (*where, "headers"), partial(_read_headers, source, environ)
    for number, alert in enumerate(settings.alerts):
        for field, read_now in readings(alert.to, environ, f"alert {alert.name!r}"):
            yield ("alerts", number, field), read_now


def _read_headers(source: SourceSettings, environ: Mapping[str, str]) -> None:
    try:
        format_of(source)
    except SettingsError:
        return  # said where the format stands
    read_headers(source, environ)
