"""`syncer.toml`, with SYNCER_* laid over it, to one frozen `Settings`; all mistakes at once for who checks it."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from syncer.core.cron import longest_gap, read_cron
from syncer.errors import SettingsError
from syncer.settings import formats, rules, sinks
from syncer.settings.durations import format_duration
from syncer.settings.model import DEFAULT_DATABASE, DEFAULT_FORMAT, FILE, AlertSettings, Settings, SourceSettings
from syncer.settings.reading import Mistakes, Where, read_table, refuse_unknown, rules_of
from syncer.settings.rules import UnfitError
from syncer.settings.wording import quoted

if TYPE_CHECKING:
    from syncer.core.formats import CompiledFormat

_API_KEY = "SYNCER_API_KEY"
_TABLES = ("sources", "alerts", "formats")


class _File(NamedTuple):
    """What was read: its path (None: there is none), its table, and the folder that relative paths start from."""

    path: Path | None
    table: Mapping[str, Any]
    folder: Path


def load(
    environ: Mapping[str, str],
    *,
    config: Path | None = None,
    cwd: Path,
    database: str | None = None,
    table: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of `config`, or of `cwd`/syncer.toml if that exists, with those of `environ` laid over them.

    `database`, a URL or a path, wins over both; `table` stands for what a file would say: then none is read. Raises
    SettingsError that names the setting and where it stands.
    """
    settings, mistakes = read(environ, config=config, cwd=cwd, database=database, table=table)
    mistakes.require_none()
    return settings


def read(
    environ: Mapping[str, str],
    *,
    config: Path | None = None,
    cwd: Path,
    database: str | None = None,
    table: Mapping[str, Any] | None = None,
) -> tuple[Settings, Mistakes]:
    """What `load` gives, as far as it can be used, and all that is wrong. Raises SettingsError for what is no TOML."""
    file, mistakes = _open(config, cwd) if table is None else (_File(None, table, cwd), Mistakes())
    env = {key: value.strip() for key, value in environ.items() if key.startswith("SYNCER_") and value.strip()}
    own = _formats(file, mistakes)
    top = _top(file, mistakes)
    if database is not None:
        top["database_url"] = database if "://" in database else f"sqlite:///{cwd / database}"
    elif "SYNCER_DATABASE_URL" in env:
        top["database_url"] = env["SYNCER_DATABASE_URL"]
    settings = Settings(
        **top,
        sources=_sources(file, env, own, mistakes),
        alerts=_alerts(file, mistakes),
        formats=own,
        path=file.path,
    )
    return settings, mistakes


def unconfigured_trust(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a source that stands in no configuration (an imported one) is judged: SYNCER_TRUST, else yes.

    Raises SettingsError for a name that no source may have.
    """
    mistakes = Mistakes()
    _read_word(name, rules.NAME, "--source", mistakes)
    trust = _trust({key: value.strip() for key, value in environ.items()}, mistakes)
    mistakes.require_none()
    return trust is not False


# --- the file ---------------------------------------------------------------------------------------------------------


def _open(config: Path | None, cwd: Path) -> tuple[_File, Mistakes]:
    path = cwd / (config or FILE)
    if config is None and not path.exists():
        return _File(None, {}, cwd), Mistakes()
    text = _read_text(path)
    return _File(path, _read_toml(path, text), path.parent), Mistakes(path, text)


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # some editors begin a file with a BOM
    except OSError as error:
        raise SettingsError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"The configuration {path} is not UTF-8 (byte {error.start}).") from None


def _read_toml(path: Path, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text, parse_float=rules.Number)
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else f"{path}"
        raise SettingsError(f"The configuration {place} is not valid TOML: {error}.") from None
    except ArithmeticError:
        raise SettingsError(f"The configuration {path} holds a number that is too large or too small.") from None
    except RecursionError:
        raise SettingsError(f"The configuration {path} is nested too deeply.") from None


def _top(file: _File, mistakes: Mistakes) -> dict[str, Any]:
    known = rules_of(Settings)
    table = {key: value for key, value in file.table.items() if key not in _TABLES}
    refuse_unknown(table, (*known, *_TABLES), "", (), mistakes)
    top = read_table({key: table[key] for key in table if key in known}, known, "", (), mistakes)
    if "heartbeat_url" in top and "heartbeat_url_env" in top:
        mistakes.add("heartbeat_url and heartbeat_url_env are both given. Keep one.", ("heartbeat_url_env",))
    if file.path is not None:
        top["database_url"] = _beside(top.get("database_url", DEFAULT_DATABASE), file.folder)
    if "save_bodies" in top:
        top["save_bodies"] = str(file.folder / top["save_bodies"])
    return top


def _beside(url: str, folder: Path) -> str:
    """A SQLite URL of a relative path as one of a path in `folder`; any other as it is."""
    found = re.fullmatch(r"(sqlite(?:\+[a-z]+)?:///(?:file:)?)(?!/|:memory:)([^?]+)(.*)", url, re.DOTALL)
    return f"{found[1]}{folder.absolute() / found[2]}{found[3]}" if found else url


def _tables(file: _File, key: str, mistakes: Mistakes) -> list[Mapping[str, Any]]:
    tables = file.table.get(key, [])
    if isinstance(tables, list) and all(isinstance(raw, dict) for raw in tables):
        return tables
    mistakes.add(f"{key} must be tables, each under a line [[{key}]] with two brackets.", (key,))
    return []


def _formats(file: _File, mistakes: Mistakes) -> formats.Tables:
    """The tables [formats.NAME], each tried once so that a mistake in it is found before a catalog is read by it."""
    tables = file.table.get("formats", {})
    if not isinstance(tables, dict) or not all(isinstance(raw, dict) for raw in tables.values()):
        mistakes.add("formats must be tables, each under a line [formats.NAME] with one bracket.", ("formats",))
        return {}
    for name in tables:
        where = ("formats", name)
        try:
            rules.NAME.read(name)
            formats.compile_format(name, tables, str(file.path))
        except UnfitError:
            mistakes.add(f"formats: the name {quoted(name)} cannot be used. Expected: {rules.NAME.expected}.", where)
        except SettingsError as error:
            sentence = str(error).removeprefix(f"{file.path}: ")
            keys = sentence.removeprefix(f"formats.{name}").partition(":")[0].split(".")[1:]
            mistakes.add(sentence, (*where, *keys))
    return tables


# --- sources ----------------------------------------------------------------------------------------------------------


class _Draft(NamedTuple):
    """One source while the environment is laid over it: its good values, the keys given, and where (None: nowhere)."""

    values: dict[str, Any]
    given: frozenset[str]
    place: str
    where: Where | None

    def at(self, key: str) -> Where | None:
        """The place of one of its keys."""
        return None if self.where is None else (*self.where, key)


def _sources(
    file: _File, env: Mapping[str, str], own: formats.Tables, mistakes: Mistakes
) -> tuple[SourceSettings, ...]:
    drafts = []
    for number, raw in enumerate(_tables(file, "sources", mistakes)):
        where, place = ("sources", number), f"sources[{number}] (name {quoted(raw.get('name', 'default'))}): "
        values = read_table(raw, rules_of(SourceSettings), place, where, mistakes)
        drafts.append(_Draft(values, frozenset(raw), place, where))
    _overlay(drafts, env, own, mistakes)
    sources = tuple(_source(draft, file.folder, own, mistakes) for draft in drafts)
    _refuse_twins("sources", sources, mistakes)
    return sources


def _overlay(drafts: list[_Draft], env: Mapping[str, str], own: formats.Tables, mistakes: Mistakes) -> None:
    """Lay SYNCER_API_URL, SYNCER_API_KEY, SYNCER_FORMAT and SYNCER_TRUST over the sources of the file, in place."""
    url = _read_word(env.get("SYNCER_API_URL"), rules.URL, "SYNCER_API_URL: url", mistakes)
    name = _read_word(env.get("SYNCER_FORMAT"), rules.NAME, "SYNCER_FORMAT", mistakes)
    unknown = None if name is None else formats.find_unknown(name, own)
    if unknown:
        mistakes.add(f"SYNCER_FORMAT: {unknown}")
        name = None
    given = {key: word for key, word in (("url", url), ("format", name)) if word is not None}
    default = next((one for one in drafts if one.values.get("name", "default") == "default"), None)
    if default is None and given:
        # Without a URL it is the provider of the format that is meant.
        called = str(given.get("format", "default")) if url is None else "default"
        default = next((one for one in drafts if one.values.get("name") == called), None)
        if default is None:
            default = _Draft({"name": called}, frozenset(), "", None)
            drafts.append(default)  # at the end: the places of those in the file stay right
    if default is not None:
        default.values.update(given)
        if _API_KEY in env or (default.where is None and _needs_key(default.values, own)):
            default.values.pop("api_key_file", None)
            default.values["api_key_env"] = _API_KEY
    trust = _trust(env, mistakes)
    if trust is not None:
        for one in drafts:
            one.values["trust"] = trust


def _read_word(word: str | None, rule: rules.Rule, place: str, mistakes: Mistakes) -> str | None:
    """A word that is not of the file, as its rule reads it; None if it is wrong, too."""
    if word is None:
        return None
    try:
        return str(rule.read(word))
    except UnfitError:
        given = f" = {quoted(word)}" if rule.quoted else ""
        mistakes.add(f"{place}{given} cannot be used. Expected: {rule.expected}.")
        return None


def _trust(env: Mapping[str, str], mistakes: Mistakes) -> bool | None:
    word = env.get("SYNCER_TRUST")
    if not word:
        return None
    if word.lower() not in {"on", "off"}:
        mistakes.add(f"SYNCER_TRUST = {quoted(word)} cannot be used. Expected: on or off.")
    return word.lower() == "on"


def _source(draft: _Draft, folder: Path, own: formats.Tables, mistakes: Mistakes) -> SourceSettings:
    """The source of these values; what they cannot be together is a mistake."""
    values = dict(draft.values)
    name = values.get("format", DEFAULT_FORMAT)
    values["formats"] = own
    unknown = None if name in own or name == DEFAULT_FORMAT else formats.find_unknown(name, own)
    if unknown:
        mistakes.add(f"{draft.place}{unknown}", draft.at("format"))
    if "url" not in values:
        url = "" if {"url", "format"} & (draft.given - values.keys()) else _format_url(name, own)
        values["url"] = url or ""
        if url is None:
            mistakes.add(f"{draft.place}url is missing. Expected: {rules.URL.expected}.", draft.where)
    if "name" in draft.given - values.keys():
        values["name"] = draft.place  # refused already; no twin of another
    if "api_key_file" in values:
        values["api_key_file"] = str(folder / values["api_key_file"])
    if "cron" in values:
        values.setdefault("interval", _cron_interval(draft, values["cron"], mistakes))
    source = SourceSettings(**values)
    _check(source, draft, mistakes)
    _check_request(source, draft, mistakes)
    return source


def _check(source: SourceSettings, draft: _Draft, mistakes: Mistakes) -> None:
    if source.api_key_env is not None and source.api_key_file is not None:
        both = "api_key_env and api_key_file are both given. Keep the one that holds the key."
        mistakes.add(f"{draft.place}{both}", draft.at("api_key_file"))
    if source.deadline >= source.lease:
        deadline, lease = format_duration(source.deadline), format_duration(source.lease)
        late = f"deadline = {deadline} must be shorter than lease = {lease}, or a slow fetch loses its lease."
        mistakes.add(f"{draft.place}{late}", draft.at("deadline" if "deadline" in draft.given else "lease"))


def _check_request(source: SourceSettings, draft: _Draft, mistakes: Mistakes) -> None:
    """What a source says of pages is held against the grammar of formats, if its format is one."""
    if isinstance(source.pages, str | None) or _compiled(source.format, source.formats) is None:
        return
    try:
        formats.compile_format(source.format, source.formats, draft.place.removesuffix(": "), {"pages": source.pages})
    except SettingsError as error:
        mistakes.add(str(error), draft.at("pages"))


def _cron_interval(draft: _Draft, cron: str, mistakes: Mistakes) -> timedelta:
    """What a source with this expression is late by."""
    try:
        return longest_gap(read_cron(cron))
    except ValueError as error:
        mistakes.add(f"{draft.place}cron = {quoted(cron)} {error}.", draft.at("cron"))
        return timedelta(hours=1)


def _needs_key(values: Mapping[str, Any], own: formats.Tables) -> bool:
    """Whether the format of a source that only the environment describes asks for a key."""
    name = values.get("format", DEFAULT_FORMAT)
    if name == DEFAULT_FORMAT and name not in own:
        return True
    compiled = _compiled(name, own)
    return compiled is not None and compiled.auth != "none"


def _format_url(name: str, own: formats.Tables) -> str | None:
    """The address that a format brings, None if it has none; "" if it is no format, which was said elsewhere."""
    if name == DEFAULT_FORMAT and name not in own:
        return None
    compiled = _compiled(name, own)
    return compiled.url if compiled else ""


def _compiled(name: str, own: formats.Tables) -> "CompiledFormat | None":
    """A format, if it is one: what is wrong with it was said where it stands."""
    if formats.find_unknown(name, own):
        return None
    try:
        return formats.compile_format(name, own, f"formats.{name}")
    except SettingsError:
        return None


# --- alerts -----------------------------------------------------------------------------------------------------------


def _alerts(file: _File, mistakes: Mistakes) -> tuple[AlertSettings, ...]:
    tables = _tables(file, "alerts", mistakes)
    found = [_alert(raw, number, file.folder, mistakes) for number, raw in enumerate(tables)]
    alerts = tuple(alert for alert in found if alert is not None)
    _refuse_twins("alerts", alerts, mistakes)
    return alerts


def _alert(raw: Mapping[str, Any], number: int, folder: Path, mistakes: Mistakes) -> AlertSettings | None:
    """The consumer of this table; None if it cannot be one, which is a mistake."""
    where = ("alerts", number)
    place = f"alerts[{number}]" + (f" (name {quoted(raw['name'])})" if "name" in raw else "") + ": "
    kinds, consumer = sinks.kinds(), dict(rules_of(AlertSettings))
    addresses = [key for key in kinds if key in raw]
    if "name" not in raw:
        mistakes.add(f"{place}name is missing. Expected: {rules.NAME.expected}.", where)
    if len(addresses) != 1:
        given = f"{' and '.join(addresses)} are given" if addresses else "nothing says where its events go"
        mistakes.add(f"{place}{given}. Expected: exactly one of {', '.join(kinds)}.", (*where, *addresses[1:2]))
    chosen = dict.fromkeys(kinds[key] for key in addresses or kinds)
    own = {key: rule for kind in chosen for key, rule in rules_of(kind).items()}
    strange = _other_sinks(raw, own.keys() | consumer.keys(), place, where, mistakes)
    values = read_table({key: raw[key] for key in raw if key not in strange}, consumer | own, place, where, mistakes)
    if len(chosen) != 1 or "name" not in values or not values.keys() & addresses:
        return None
    (kind,) = chosen
    to = kind(**{key: values.pop(key) for key in own if key in values})
    wrong = to.find_mistake()
    if wrong:
        mistakes.add(f"{place}{wrong}", where)
    return AlertSettings(to=to.placed_in(folder), **values)


def _other_sinks(
    raw: Mapping[str, Any], known: Collection[str], place: str, where: Where, mistakes: Mistakes
) -> frozenset[str]:
    """The keys in `raw` that belong to a sink that is not the chosen one: a mistake each."""
    owners = {key: kind for kind in sinks.kinds().values() for key in rules_of(kind)}
    strange = [key for key in raw if key not in known and key in owners]
    for key in strange:
        whose = " or ".join(owners[key].ADDRESSES)
        mistakes.add(f"{place}{key} belongs to {whose}, which is not given. Remove it.", (*where, key))
    return frozenset(strange)


def _refuse_twins(key: str, tables: Iterable[SourceSettings | AlertSettings], mistakes: Mistakes) -> None:
    seen: set[str] = set()
    for number, table in enumerate(tables):
        if table.name in seen:
            mistakes.add(f"Two [[{key}]] are named {table.name!r}. Give each its own name.", (key, number, "name"))
        seen.add(table.name)
