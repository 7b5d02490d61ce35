"""`syncer.toml` and `SYNCER_*`, read once, to one frozen `Settings`. Nothing else in syncer reads the environment.

    syncer.toml                                environment (wins over the file; an empty variable counts as unset)
    database_url = "sqlite:///syncer.db"       SYNCER_DATABASE_URL
    save_bodies = "bodies"                     SYNCER_API_URL   the url of the source `default`, made if need be
    heartbeat_url_env = "BEAT_URL"
    [[sources]]                                SYNCER_API_KEY   the key of the source `default`
    name = "main"                              SYNCER_TRUST     on | off, for *every* source, whatever the file says
    url = "https://..."
    api_key_env = "MAIN_KEY"

    [[alerts]]                                 a consumer of the feed; exactly one of url, url_env, apprise,
    name = "team"                              apprise_env, command, file, redis and redis_env says where its
    url_env = "TEAM_WEBHOOK"                   events go

- A source that only the environment describes needs SYNCER_API_KEY; one in the file without `api_key_env` and
  `api_key_file` is open and gets no key.
- `save_bodies`, `api_key_file`, an alert's `file` and a program with a "/" in it (./on-change) are relative to the
  folder of the file that names them. A relative path within `database_url` is relative to the current directory, as
  SQLAlchemy has it.
- A key that nobody knows is refused with the nearest right name: a setting that is silently ignored is worse than none.
- No secret is in a message (law 11). Settings that may hold one by mistake (URLs, where a key is) are never quoted; an
  address to which alerts go is a secret itself.
- A number with a fraction stays the decimal that was written (law 4).
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from syncer.core.cron import longest_gap, read_cron
from syncer.core.model import Kind
from syncer.core.notices import NoticeKind
from syncer.errors import SettingsError, UsageError

FILE = "syncer.toml"
_MASK = "***"
_DEFAULT_DATABASE = "sqlite:///syncer.db"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36525)
_DURATION = 'a duration such as "30s", "15m", "6h", "7d" or "2w"'
_ADDRESSES = ("url", "url_env", "apprise", "apprise_env", "command", "file", "redis", "redis_env")
_NEVER_QUOTED = frozenset(
    {
        "database_url",
        "api_key_env",
        "api_key_file",
        "secret_env",
        "previous_secret_env",
        "heartbeat_url",
        "heartbeat_url_env",
        *_ADDRESSES,
    }
    - {"file"}
)
_ALERT_KINDS = (*Kind, *NoticeKind)


class Secret:
    """A text that shows itself only when asked with `reveal()`: `str` and `repr` are `***` (law 11)."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return _MASK

    def reveal(self) -> str:
        """The text itself: for the header that carries it, and for blotting it out of messages."""
        return self._text


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[sources]]` table: where a catalog is, how it is fetched, and when its news is believed.

    `max_body` is in bytes of the decoded body; `deadline` is for a whole fetch with its retries and shorter than
    `lease`. `price_units` maps a model type to (quantity, word): {"Text": (1000000, "token")}. `removal_limit_percent`
    is 0 to 100; the rules from `trust` on are those of `syncer.core.decide`.
    """

    name: str = "default"
    url: str
    api_key_env: str | None = None
    api_key_file: str | None = None
    interval: timedelta = timedelta(hours=1)
    cron: str | None = None
    timezone: str = "UTC"
    currency: str | None = None
    price_units: dict[str, tuple[int, str]] = {}
    deadline: timedelta = timedelta(minutes=2)
    max_body: int = 64 * 1024 * 1024
    lease: timedelta = timedelta(minutes=10)
    trust: bool = True
    removal_limit_count: int = 10
    removal_limit_percent: float = 10
    removal_confirmations: int = 2
    removal_after: timedelta = timedelta(hours=6)
    price_factor_limit: float = 100
    required: tuple[str, ...] = ()


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[alerts]]` table: where a consumer's events go, and which of the feed it is told.

    Exactly one of the addresses is given: `url` (a webhook), `apprise` (any URL of that library), `redis`
    (redis://host/stream), each in the file or, as `..._env`, in the variable of that name; `command`, whose program
    gets the events on stdin; or `file`. `secret_env` and `previous_secret_env` name the variables of the secrets that
    sign a webhook. Of the filters, an empty one passes everything; `models` are globs, `min_percent` and
    `min_absolute` how much a price moves at least, `quiet_minutes` for how long a model is then left alone.
    """

    name: str
    url: Secret | None = None
    url_env: str | None = None
    secret_env: str | None = None
    previous_secret_env: str | None = None
    apprise: Secret | None = None
    apprise_env: str | None = None
    command: tuple[str, ...] = ()
    file: str | None = None
    redis: Secret | None = None
    redis_env: str | None = None
    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    direction: Literal["up", "down"] | None = None
    min_percent: Decimal | None = None
    min_absolute: Decimal | None = None
    quiet_minutes: int = 0
    net: bool = False
    digest: timedelta | None = None
    start: Literal["end", "beginning"] = "end"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An http(s) URL, and the secrets that sign what is sent there, the newest first; none: it is not signed."""

    url: Secret
    secrets: tuple[Secret, ...]


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One URL of the Apprise library."""

    url: Secret


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A program and its arguments."""

    argv: tuple[str, ...]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file that events are appended to."""

    path: Path


class RedisStream(msgspec.Struct, frozen=True, kw_only=True):
    """redis[s]://[user:password@]host[:port]/[database/]stream."""

    url: Secret


Target = Webhook | Chat | Command | File | RedisStream


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be configured. `save_bodies` is a directory; `path` the file that was read, if any.

    The heartbeat's address is a secret: it is given itself, or the variable that holds it (`read_heartbeat_url`).
    """

    database_url: str = _DEFAULT_DATABASE
    save_bodies: str | None = None
    heartbeat_url: Secret | None = None
    heartbeat_url_env: str | None = None
    sources: tuple[SourceSettings, ...] = ()
    alerts: tuple[AlertSettings, ...] = ()
    path: Path | None = None

    def __repr__(self) -> str:
        shown = f"sources={self.sources!r}, alerts={self.alerts!r}, path={self.path!r}"
        return f"Settings(database_url={mask_url(self.database_url)!r}, {shown})"

    def select(self, names: Sequence[str] = ()) -> tuple[SourceSettings, ...]:
        """The sources called `names`, each once and in that order; all of them if there are none.

        Raises UsageError for a name that is not configured, SettingsError if no source is configured at all.
        """
        if not self.sources:
            raise SettingsError(
                "No source is configured. For one source, set SYNCER_API_URL (the base URL of the provider's API) and "
                f"SYNCER_API_KEY; for several, write a [[sources]] table with name, url and api_key_env for each "
                f"in {FILE}."
            )
        by_name = {source.name: source for source in self.sources}
        for name in names:
            if name not in by_name:
                raise UsageError(f"There is no source {name!r}{_nearest(name, by_name)} Sources: {', '.join(by_name)}.")
        return tuple(by_name[name] for name in dict.fromkeys(names)) or self.sources


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
    path = None if table is not None else _find(config, cwd)
    table = _read_toml(path) if path else table or {}
    place = str(path or FILE)
    if database is not None:
        environ = {**environ, "SYNCER_DATABASE_URL": database if "://" in database else f"sqlite:///{cwd / database}"}
    _refuse_unknown(
        table, ("database_url", "save_bodies", "heartbeat_url", "heartbeat_url_env", "sources", "alerts"), place
    )
    if "heartbeat_url" in table and "heartbeat_url_env" in table:
        raise SettingsError(f"{place}: heartbeat_url and heartbeat_url_env are both given. Keep one.")
    tables = _tables(table, "sources", place)
    env = {key: value.strip() for key, value in environ.items() if key.startswith("SYNCER_") and value.strip()}
    _overlay(tables, env)
    folder = path.parent if path else cwd
    sources = tuple(_source(raw, _place(number, raw), folder) for number, raw in enumerate(tables))
    _refuse_twins("sources", sources)
    alerts = tuple(_alert(raw, number, folder) for number, raw in enumerate(_tables(table, "alerts", place)))
    _refuse_twins("alerts", alerts)
    save_bodies = _read(table, "save_bodies", _TEXT, place)
    return Settings(
        database_url=env.get("SYNCER_DATABASE_URL") or _read(table, "database_url", _TEXT, place) or _DEFAULT_DATABASE,
        save_bodies=None if save_bodies is None else str(folder / save_bodies),
        heartbeat_url=_read(table, "heartbeat_url", _HEARTBEAT, place),
        heartbeat_url_env=_read(table, "heartbeat_url_env", _VARIABLE, place),
        sources=sources,
        alerts=alerts,
        path=path,
    )


def read_api_key(source: SourceSettings, environ: Mapping[str, str]) -> Secret | None:
    """The key of `source` as it is now (a rotated file is seen), without outer white space; None for an open source.

    Raises SettingsError, which never quotes what it read, if the key is missing, unreadable or no key.
    """
    if source.api_key_env is not None:
        place = f"the variable {source.api_key_env} (api_key_env of source {source.name!r})"
        text = environ.get(source.api_key_env, "")
    elif source.api_key_file is not None:
        place = f"the api_key_file of source {source.name!r}"
        text = _read_key_file(Path(source.api_key_file), place)
    else:
        return None
    key = text.strip()
    if not key:
        raise SettingsError(f"There is no API key for source {source.name!r}: {place} is not set or empty.")
    if not re.fullmatch(r"[!-~]+", key):  # the HTTP library would refuse it later, and quote it
        raise SettingsError(
            f"The API key of source {source.name!r} cannot be right: {place} holds white space or a "
            "character that no HTTP header can carry."
        )
    return Secret(key)


def read_heartbeat_url(settings: Settings, environ: Mapping[str, str]) -> Secret | None:
    """The address of the dead-man switch as it is now, None if none is configured.

    Raises SettingsError, which never quotes what it read, if its variable is missing, empty or holds no URL.
    """
    if settings.heartbeat_url_env is None:
        return settings.heartbeat_url
    place = f"the variable {settings.heartbeat_url_env} (heartbeat_url_env)"
    text = environ.get(settings.heartbeat_url_env, "").strip()
    if not text:
        raise SettingsError(f"The heartbeat cannot be sent: {place} is not set or empty.")
    try:
        url: Secret = _HEARTBEAT.read(text)
    except _UnfitError:
        raise SettingsError(f"What {place} holds cannot be used. Expected: {_HEARTBEAT.expected}.") from None
    return url


def sink_target(alert: AlertSettings, environ: Mapping[str, str]) -> Target:
    """Where the events of `alert` go as it is now: what stands in variables is read at this moment.

    Raises SettingsError, which never quotes what it read, if a variable is missing, empty or holds no such thing.
    """
    if alert.command:
        return Command(argv=alert.command)
    if alert.file is not None:
        return File(path=Path(alert.file))
    if alert.apprise or alert.apprise_env:
        return Chat(url=_address(alert, "apprise", environ))
    if alert.redis or alert.redis_env:
        return RedisStream(url=_address(alert, "redis", environ))
    given = [("secret_env", alert.secret_env), ("previous_secret_env", alert.previous_secret_env)]
    secrets = tuple(_from_variable(alert, key, name, _SIGNING_SECRET, environ) for key, name in given if name)
    return Webhook(url=_address(alert, "url", environ), secrets=secrets)


def _address(alert: AlertSettings, key: str, environ: Mapping[str, str]) -> Secret:
    address: Secret | None = getattr(alert, key)
    name = getattr(alert, f"{key}_env")
    return address or _from_variable(alert, f"{key}_env", name, _ALERT_RULES[key], environ)


def _from_variable(alert: AlertSettings, key: str, name: str, rule: "_Rule", environ: Mapping[str, str]) -> Secret:
    place = f"the variable {name} ({key} of alert {alert.name!r})"
    text = environ.get(name, "").strip()
    if not text:
        raise SettingsError(f"Alert {alert.name!r} cannot be delivered: {place} is not set or empty.")
    try:
        secret: Secret = rule.read(text)
    except _UnfitError:
        raise SettingsError(f"What {place} holds cannot be used. Expected: {rule.expected}.") from None
    return secret


def describe(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """The effective configuration as plain JSON values, secrets masked.

    `api_key_set` and `address_set` say if the key, or the address and its secrets, can be read now.
    """
    return {
        "config": None if settings.path is None else str(settings.path),
        "database_url": mask_url(settings.database_url),
        "save_bodies": settings.save_bodies,
        "heartbeat_url": _plain(settings.heartbeat_url),
        "heartbeat_url_env": settings.heartbeat_url_env,
        "sources": [_describe_source(source, environ) for source in settings.sources],
        "alerts": [_describe_alert(alert, environ) for alert in settings.alerts],
    }


def parse_duration(text: str) -> timedelta:
    """One number and one unit: 30s, 15m, 6h, 7d or 2w, up to 100 years. Raises SettingsError for anything else."""
    try:
        return _duration(text)
    except _UnfitError:
        raise SettingsError(f"{_quoted(text)} is not {_DURATION}.") from None


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `duration` (whole seconds): "6h", "90s", "14d"."""
    seconds = int(duration.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def mask_url(url: str) -> str:
    """A database URL with each password blotted out. In doubt it masks too much, for a password may hold any sign."""
    scheme, found, rest = url.partition("://")
    if not found:
        return _MASK
    user, at, place = rest.rpartition("@")
    if "?" in user:  # a password with a ? in it, or a query with an @: who knows where a secret begins
        return f"{scheme}://{_MASK}"
    # A URL that goes on with "/" (sqlite:///C:/a@b.db) has neither user nor host.
    if ":" in user and not rest.startswith("/"):
        user = f"{user.partition(':')[0]}:{_MASK}"
    place = re.sub(r"(?i)([?&][^=&]*(?:pass|pwd|secret|token|key)[^=&]*=)[^&]*", rf"\g<1>{_MASK}", place)
    return f"{scheme}://{user}{at}{place}"


# --- one value -------------------------------------------------------------------------------------------------


class _UnfitError(Exception):
    """A value that is not what its setting expects; `_read` says so with its place."""


class _Number(Decimal):
    """A number with a fraction in the file, exact, that a message shows as it was written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self) if self.is_finite() else repr(float(self))


class _Rule(NamedTuple):
    """What a setting expects, in words, and how it is read. `read` raises _UnfitError."""

    expected: str
    read: Callable[[Any], Any]


def _duration(value: Any) -> timedelta:  # noqa: ANN401 - TOML holds anything
    found = re.fullmatch(r"([0-9]{1,12})([smhdw])", value) if isinstance(value, str) else None
    if found is None:
        raise _UnfitError
    # Compared as seconds first: a timedelta itself overflows.
    seconds = int(found[1]) * int(timedelta(**{_UNITS[found[2]]: 1}).total_seconds())
    if seconds > _LONGEST.total_seconds():
        raise _UnfitError
    return timedelta(seconds=seconds)


def _duration_rule(low: str, high: str) -> _Rule:
    def read(value: Any) -> timedelta:  # noqa: ANN401
        duration = _duration(value)
        if not parse_duration(low) <= duration <= parse_duration(high):
            raise _UnfitError
        return duration

    return _Rule(f"{_DURATION}, from {low} to {high}", read)


def _whole_rule(low: int, high: int) -> _Rule:
    def read(value: Any) -> int:  # noqa: ANN401
        if type(value) is not int or not low <= value <= high:  # a bool is an int, but not here
            raise _UnfitError
        return value

    return _Rule(f"a whole number from {low} to {high}", read)


def _number_rule(expected: str, fits: Callable[[float], bool]) -> _Rule:
    def read(value: Any) -> float:  # noqa: ANN401
        number = float(_decimal(value))
        if not fits(number):
            raise _UnfitError
        return number

    return _Rule(expected, read)


def _decimal(value: Any) -> Decimal:  # noqa: ANN401
    """The exact value of a number of usual size."""
    if type(value) not in {int, _Number}:  # a bool is an int, but not here
        raise _UnfitError
    number = Decimal(value)
    if not number.is_finite() or number.copy_abs() > 10**12:
        raise _UnfitError
    return number


def _text_rule(expected: str, pattern: str) -> _Rule:
    def read(value: Any) -> str:  # noqa: ANN401
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise _UnfitError
        return value

    return _Rule(expected, read)


def _url(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str) or not re.fullmatch(r"[^\s\x00-\x1f\x7f]+", value):
        raise _UnfitError
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a bad port or a broken IPv6 address
        raise _UnfitError from None
    if not good or "@" in parts.netloc or parts.fragment:
        raise _UnfitError
    return value


def _flag(value: Any) -> bool:  # noqa: ANN401
    if not isinstance(value, bool):
        raise _UnfitError
    return value


def _names(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise _UnfitError
    return tuple(value)


def _timezone(value: Any) -> str:  # noqa: ANN401
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only who names a zone pays for them

    try:
        return ZoneInfo(value).key
    except (ValueError, TypeError, OSError, ZoneInfoNotFoundError):
        raise _UnfitError from None


def _price_units(value: Any) -> dict[str, tuple[int, str]]:  # noqa: ANN401
    if not isinstance(value, dict):
        raise _UnfitError
    return {kind: _price_unit(unit) for kind, unit in value.items()}


def _price_unit(value: Any) -> tuple[int, str]:  # noqa: ANN401
    if not isinstance(value, list) or len(value) != 2:
        raise _UnfitError
    quantity, word = value
    if type(quantity) is not int or quantity < 1 or not isinstance(word, str) or not word.strip():
        raise _UnfitError
    return quantity, word


def _move(value: Any) -> Decimal:  # noqa: ANN401
    number = _decimal(value)
    if number < 0:
        raise _UnfitError
    return number


def _secret_rule(expected: str, read: Callable[[Any], str]) -> _Rule:
    return _Rule(expected, lambda value: Secret(read(value)))


def _signing_secret(value: Any) -> str:  # noqa: ANN401
    """A secret of the Standard Webhooks scheme."""
    try:
        size = len(base64.b64decode(value.removeprefix("whsec_"), validate=True))
    except ValueError:
        raise _UnfitError from None
    if not 24 <= size <= 64:
        raise _UnfitError
    return str(value)


def _redis_url(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str) or not re.fullmatch(r"rediss?://[!-~]+", value):
        raise _UnfitError
    try:
        parts = urlsplit(value)
        good = parts.hostname and parts.port != 0 and not parts.query and not parts.fragment
    except ValueError:
        raise _UnfitError from None
    # A path of digits alone is a database by the custom of Redis URLs: the stream was forgotten.
    if not good or not re.fullmatch(r"(/[0-9]{1,4})?/(?![0-9]+$)[A-Za-z0-9._:-]{1,200}", parts.path):
        raise _UnfitError
    return value


def _command(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise _UnfitError
    if not value or not value[0].strip():
        raise _UnfitError
    return tuple(value)


def _list_rule(expected: str, *, known: Iterable[str] | None = None) -> _Rule:
    def read(value: Any) -> tuple[str, ...]:  # noqa: ANN401
        words = _names(value)
        if not words or (known is not None and not set(words) <= set(known)):
            raise _UnfitError
        return words

    return _Rule(expected, read)


def _choice_rule(*words: str) -> _Rule:
    return _text_rule(" or ".join(f'"{word}"' for word in words), "|".join(words))


_TEXT = _text_rule("a text that is not empty", r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*")
_URL = _Rule("http:// or https://, a host and perhaps a path; the key, user and password never stand in it", _url)

_NAME = _text_rule("1 to 64 letters, digits, dots, dashes or underscores", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Capitals only, so that a key pasted here by mistake is refused, and a right one can be named in messages.
_VARIABLE = _text_rule(
    "the NAME of an environment variable, in capitals (the key itself never stands in the file)", r"[A-Z_][A-Z0-9_]*"
)
_FLAG = _Rule("true or false", _flag)

_CRON = _text_rule('five cron fields: "7 * * * *" (minute, hour, day, month, weekday)', r"[^\x00-\x1f\x7f]+")

_RULES: dict[str, _Rule] = {
    "name": _NAME,
    "url": _URL,
    "api_key_env": _VARIABLE,
    "api_key_file": _TEXT,
    "interval": _duration_rule("1s", "366d"),
    "cron": _CRON,
    "timezone": _Rule('the name of a time zone such as "Europe/Berlin"', _timezone),
    "currency": _text_rule('1 to 16 letters such as "USD"', r"[A-Za-z]{1,16}"),
    "price_units": _Rule('a table of model type to quantity and word: {Text = [1000000, "token"]}', _price_units),
    "deadline": _duration_rule("1s", "30m"),
    "max_body": _whole_rule(1, 2**40),
    "lease": _duration_rule("2s", "30m"),
    "trust": _FLAG,
    "removal_limit_count": _whole_rule(0, 10**9),
    "removal_limit_percent": _number_rule("a number from 0 to 100", lambda number: 0 <= number <= 100),
    "removal_confirmations": _whole_rule(1, 1000),
    "removal_after": _duration_rule("0s", "366d"),
    "price_factor_limit": _number_rule("a number above 1", lambda number: number > 1),
    "required": _Rule("a list of model names", _names),
}

_HEARTBEAT = _secret_rule("http:// or https://, a host and a path, without user and password", _url)

_SIGNING_SECRET = _secret_rule(
    "whsec_ and the base64 of 24 to 64 random bytes, as `openssl rand -base64 32` makes them", _signing_secret
)

_ALERT_RULES: dict[str, _Rule] = {
    "name": _NAME,
    "url": _secret_rule("http:// or https://, a host and a path, without user and password", _url),
    "url_env": _VARIABLE,
    "secret_env": _VARIABLE,
    "previous_secret_env": _VARIABLE,
    "apprise": _secret_rule(
        "one URL of the Apprise library such as slack://...",
        _text_rule("", r"[A-Za-z][A-Za-z0-9+.-]*://[^\x00-\x20\x7f]*").read,
    ),
    "apprise_env": _VARIABLE,
    "command": _Rule('a list of a program and its arguments: ["./on-change", "--fast"]', _command),
    "file": _TEXT,
    "redis": _secret_rule(
        "redis://host/stream, with a port or a database if need be: rediss://host:6380/2/stream", _redis_url
    ),
    "redis_env": _VARIABLE,
    "kinds": _list_rule(f"a list of some of {', '.join(_ALERT_KINDS)}", known=_ALERT_KINDS),
    "models": _list_rule('a list of model names or patterns such as "deepseek-ai/*"'),
    "types": _list_rule('a list of model types such as "Text"'),
    "sources": _list_rule("a list of source names"),
    "direction": _choice_rule("up", "down"),
    "min_percent": _Rule("a number from 0", _move),
    "min_absolute": _Rule("a number from 0", _move),
    "quiet_minutes": _whole_rule(0, 366 * 24 * 60),
    "net": _FLAG,
    "digest": _duration_rule("1m", "366d"),
    "start": _choice_rule("end", "beginning"),
}


def _read(table: Mapping[str, Any], key: str, rule: _Rule, place: str) -> Any:  # noqa: ANN401
    """`table[key]` as its rule reads it; None where it is not given."""
    if key not in table:
        return None
    try:
        return rule.read(table[key])
    except _UnfitError:
        given = "" if key in _NEVER_QUOTED else f" = {_quoted(table[key])}"
        raise SettingsError(f"{place}: {key}{given} cannot be used. Expected: {rule.expected}.") from None


def _quoted(value: object) -> str:
    """A value as a person wrote it, short enough for a message."""
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


# --- the file, and the environment over it ------------------------------------------------------------------------


def _find(config: Path | None, cwd: Path) -> Path | None:
    if config is not None:
        return cwd / config
    path = cwd / FILE
    return path if path.exists() else None


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8-sig"), parse_float=_Number)  # some editors begin a file with a BOM
    except OSError as error:
        raise SettingsError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"The configuration {path} is not UTF-8 (byte {error.start}).") from None
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        raise SettingsError(f"The configuration {path} is not valid TOML: {error}.") from None
    except ArithmeticError:
        raise SettingsError(f"The configuration {path} holds a number that is too large or too small.") from None


def _tables(table: Mapping[str, Any], key: str, place: str) -> list[dict[str, Any]]:
    tables = table.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(raw, dict) for raw in tables):
        raise SettingsError(f"{place}: {key} must be tables, each under a line [[{key}]] with two brackets.")
    return [dict(raw) for raw in tables]


def _overlay(tables: list[dict[str, Any]], env: Mapping[str, str]) -> None:
    """Lay SYNCER_API_URL, SYNCER_API_KEY and SYNCER_TRUST over the sources of the file, in place."""
    default = next((raw for raw in tables if raw.get("name", "default") == "default"), None)
    if "SYNCER_API_URL" in env:
        if default is None:
            default = {"name": "default", "api_key_env": "SYNCER_API_KEY"}
            tables.append(default)  # at the end: the places of those in the file stay right
        default["url"] = _read({"url": env["SYNCER_API_URL"]}, "url", _URL, "SYNCER_API_URL")
    if "SYNCER_API_KEY" in env and default is not None:
        default.pop("api_key_file", None)
        default["api_key_env"] = "SYNCER_API_KEY"
    trust = _trust(env.get("SYNCER_TRUST"))
    if trust is not None:
        for raw in tables:
            raw["trust"] = trust


def unconfigured_trust(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a source that stands in no configuration (an imported one) is judged: SYNCER_TRUST, else yes.

    Raises SettingsError for a name that no source may have.
    """
    _read({"name": name}, "name", _NAME, "--source")
    return _trust(environ.get("SYNCER_TRUST")) is not False


def _trust(word: str | None) -> bool | None:
    if word is None:
        return None
    if word.lower() not in {"on", "off"}:
        raise SettingsError(f"SYNCER_TRUST = {_quoted(word)} cannot be used. Expected: on or off.")
    return word.lower() == "on"


def _source(raw: Mapping[str, Any], place: str, folder: Path) -> SourceSettings:
    _refuse_unknown(raw, _RULES, place)
    if "url" not in raw:
        raise SettingsError(f"{place}: url is missing. Expected: {_URL.expected}.")
    values = {key: _read(raw, key, rule, place) for key, rule in _RULES.items() if key in raw}
    if "api_key_file" in values:
        values["api_key_file"] = str(folder / values["api_key_file"])
    if "cron" in values:
        values.setdefault("interval", _cron_interval(values["cron"], place))
    source = SourceSettings(**values)
    if source.api_key_env is not None and source.api_key_file is not None:
        raise SettingsError(f"{place}: api_key_env and api_key_file are both given. Keep the one that holds the key.")
    if source.deadline >= source.lease:
        raise SettingsError(
            f"{place}: deadline = {format_duration(source.deadline)} must be shorter than "
            f"lease = {format_duration(source.lease)}, or a slow fetch loses its lease."
        )
    return source


def _cron_interval(cron: str, place: str) -> timedelta:
    """What a source with this expression is late by."""
    try:
        return longest_gap(read_cron(cron))
    except ValueError as error:
        raise SettingsError(f"{place}: cron = {_quoted(cron)} {error}.") from None


def _alert(raw: Mapping[str, Any], number: int, folder: Path) -> AlertSettings:
    place = f"alerts[{number}]" + (f" (name {_quoted(raw['name'])})" if "name" in raw else "")
    _refuse_unknown(raw, _ALERT_RULES, place)
    if "name" not in raw:
        raise SettingsError(f"{place}: name is missing. Expected: {_NAME.expected}.")
    values = {key: _read(raw, key, rule, place) for key, rule in _ALERT_RULES.items() if key in raw}
    given = [key for key in _ADDRESSES if key in values]
    if len(given) != 1:
        found = f"{' and '.join(given)} are given" if given else "nothing says where its events go"
        raise SettingsError(f"{place}: {found}. Expected: exactly one of {', '.join(_ADDRESSES)}.")
    if "secret_env" in values and not {"url", "url_env"} & values.keys():
        raise SettingsError(f"{place}: secret_env signs a webhook, and {given[0]} is none. Remove it.")
    if "previous_secret_env" in values and "secret_env" not in values:
        raise SettingsError(f"{place}: previous_secret_env is given without secret_env, the secret that is new.")
    if "file" in values:
        values["file"] = str(folder / values["file"])
    if "command" in values:
        program, *arguments = values["command"]
        values["command"] = (str(folder / program) if "/" in program else program, *arguments)
    return AlertSettings(**values)


def _place(number: int, raw: Mapping[str, Any]) -> str:
    return f"sources[{number}] (name {_quoted(raw.get('name', 'default'))})"


def _refuse_unknown(table: Iterable[str], known: Iterable[str], place: str) -> None:
    known = tuple(known)
    for key in table:
        if key not in known:
            raise SettingsError(f"{place}: there is no setting {_quoted(key)}{_nearest(key, known)}")


def _refuse_twins(key: str, tables: Iterable[SourceSettings | AlertSettings]) -> None:
    seen: set[str] = set()
    for table in tables:
        if table.name in seen:
            raise SettingsError(f"Two [[{key}]] are named {table.name!r}. Give each its own name.")
        seen.add(table.name)


def _nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that refuses `word`: the nearest right one, or nothing but the full stop."""
    from difflib import get_close_matches

    near = get_close_matches(word, tuple(known), n=1, cutoff=0.5)
    return f". Did you mean {near[0]!r}?" if near else "."


def _read_key_file(path: Path, place: str) -> str:
    # The path stays out of the message: people paste the key itself where its file should be named.
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{place[0].upper()}{place[1:]} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, ValueError):  # ValueError: a NUL within the path
        raise SettingsError(f"{place[0].upper()}{place[1:]} is not text.") from None


# --- describing ---------------------------------------------------------------------------------------------------


def _describe_source(source: SourceSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    shown = {field: _plain(getattr(source, field)) for field in source.__struct_fields__}
    return shown | {"api_key_set": _has_key(source, environ)}


def _describe_alert(alert: AlertSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    shown = {field: _plain(getattr(alert, field)) for field in alert.__struct_fields__}
    return shown | {"address_set": _has_target(alert, environ)}


def _has_target(alert: AlertSettings, environ: Mapping[str, str]) -> bool:
    try:
        sink_target(alert, environ)
    except SettingsError:
        return False
    return True


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Secret):
        return _MASK
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, dict):
        return {key: list(unit) for key, unit in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _has_key(source: SourceSettings, environ: Mapping[str, str]) -> bool:
    try:
        return read_api_key(source, environ) is not None
    except SettingsError:
        return False
