"""The settings, each with its rule: the one place that says its name, type, range and default.

A field without a rule is not a key of the file: it is filled in by who reads it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from syncer.core.masking import mask_url
from syncer.core.model import Kind
from syncer.core.notices import NoticeKind
from syncer.errors import SettingsError, UsageError
from syncer.settings import rules
from syncer.settings.rules import Secret, duration, duration_or_never, number, text, variable, whole, words
from syncer.settings.sinks import SinkSettings
from syncer.settings.wording import nearest

FILE = "syncer.toml"
DEFAULT_DATABASE = "sqlite:///syncer.db"
DEFAULT_FORMAT = "serverless"
_KINDS = (*Kind, *NoticeKind)
_CRON = text('five cron fields: "7 * * * *" (minute, hour, day, month, weekday)', r"[^\x00-\x1f\x7f]+")
_AUTH = text('"bearer", "none", or the name of the header that carries the key', rules.HEADER)
_MOVE = number("a number from 0", lambda value: value >= 0, kind=Decimal)


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[sources]]` table: where a catalog is, how it is fetched and read, and when its news is believed.

    `url` is that of the format where the file gives none. What is None (or empty) of `auth`, `headers`, `currency`,
    `price_units` and `pages` is as the format says (syncer.settings.format_of); `formats` are the tables
    `[formats.NAME]` of the file, which `format` may name instead of a built-in one. A header is its value or
    {"env": NAME}. `price_units` is component -> (quantity, word), for `price` by the model's type. `max_body` is in
    bytes of the decoded body; `deadline` is for a whole fetch with its retries and shorter than `lease`.
    `removal_limit_percent` is 0 to 100; `patience` None is "never". The rules from `trust` on are those of
    `syncer.core.decide`.
    """

    name: Annotated[str, rules.NAME] = "default"
    url: Annotated[str, rules.URL]
    format: Annotated[str, rules.NAME] = DEFAULT_FORMAT
    api_key_env: Annotated[str | None, variable(rules.API_KEY)] = None
    api_key_file: Annotated[str | None, rules.KEY_FILE] = None
    auth: Annotated[str | None, _AUTH] = None
    headers: Annotated[Mapping[str, str | Mapping[str, str]], rules.HEADERS] = {}
    interval: Annotated[timedelta, duration("1s", "366d")] = timedelta(hours=1)
    cron: Annotated[str | None, _CRON] = None
    timezone: Annotated[str, rules.TIMEZONE] = "UTC"
    currency: Annotated[str | None, text('1 to 16 letters such as "USD"', r"[A-Za-z]{1,16}")] = None
    price_units: Annotated[Mapping[str, Any], rules.PRICE_UNITS] = {}
    pages: Annotated[str | Mapping[str, Any] | None, rules.PAGES] = None
    deadline: Annotated[timedelta, duration("1s", "30m")] = timedelta(minutes=2)
    max_body: Annotated[int, whole(1, 2**40)] = 64 * 1024 * 1024
    lease: Annotated[timedelta, duration("2s", "30m")] = timedelta(minutes=10)
    revalidate_after: Annotated[timedelta, duration("1m", "366d")] = timedelta(hours=24)
    trust_date: Annotated[bool, rules.FLAG] = True
    trust: Annotated[bool, rules.FLAG] = True
    removal_limit_count: Annotated[int, whole(0, 10**9)] = 10
    removal_limit_percent: Annotated[float, number("a number from 0 to 100", lambda value: 0 <= value <= 100)] = 10
    removal_confirmations: Annotated[int, whole(1, 1000)] = 2
    removal_after: Annotated[timedelta, duration("0s", "366d")] = timedelta(hours=26)
    patience: Annotated[timedelta | None, duration_or_never("0s", "366d")] = timedelta(days=3)
    price_after: Annotated[timedelta, duration("0s", "366d")] = timedelta(hours=12)
    price_factor_limit: Annotated[float, number("a number above 1", lambda value: value > 1)] = 100
    required: Annotated[tuple[str, ...], words("a list of model names", few=0)] = ()
    formats: Mapping[str, Mapping[str, Any]] = {}


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[alerts]]` table: where a consumer's events go (`to`, of the sink that its keys chose), and which of them.

    Of the filters, an empty one passes everything, but `kinds` not what is told on request only (`missing`, `returned`,
    `reread`). `models` are globs. A repricing is told for what one of its `components` did: `min_percent` and
    `min_absolute` are how much a price moves at least, `quiet_minutes` for how long it is then left alone.
    """

    name: Annotated[str, rules.NAME]
    to: SinkSettings
    kinds: Annotated[tuple[str, ...], words(f"a list of some of {', '.join(_KINDS)}", known=_KINDS)] = ()
    models: Annotated[tuple[str, ...], words('a list of model names or patterns such as "deepseek-ai/*"')] = ()
    types: Annotated[tuple[str, ...], words('a list of model types such as "Text"')] = ()
    sources: Annotated[tuple[str, ...], words("a list of source names")] = ()
    components: Annotated[tuple[str, ...], rules.COMPONENTS] = ()
    direction: Annotated[Literal["up", "down"] | None, rules.choice("up", "down")] = None
    min_percent: Annotated[Decimal | None, _MOVE] = None
    min_absolute: Annotated[Decimal | None, _MOVE] = None
    quiet_minutes: Annotated[int, whole(0, 366 * 24 * 60)] = 0
    net: Annotated[bool, rules.FLAG] = False
    digest: Annotated[timedelta | None, duration("1m", "366d")] = None
    start: Annotated[Literal["end", "beginning"], rules.choice("end", "beginning")] = "end"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be configured. `save_bodies` is a directory; `path` the file that was read, if any.

    The heartbeat's address is a secret: it is given itself, or the variable that holds it. `formats` are the tables
    `[formats.NAME]` as they were written.
    """

    database_url: Annotated[str, rules.DATABASE_URL] = DEFAULT_DATABASE
    save_bodies: Annotated[str | None, rules.TEXT] = None
    heartbeat_url: Annotated[Secret | None, rules.SECRET_URL] = None
    heartbeat_url_env: Annotated[str | None, variable(rules.SECRET_URL)] = None
    sources: tuple[SourceSettings, ...] = ()
    alerts: tuple[AlertSettings, ...] = ()
    formats: Mapping[str, Mapping[str, Any]] = {}
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
                "SYNCER_API_KEY, or SYNCER_FORMAT to the name of a built-in format; for several, write a [[sources]] "
                f"table with name, url and api_key_env for each in {FILE}."
            )
        by_name = {source.name: source for source in self.sources}
        for name in names:
            if name not in by_name:
                raise UsageError(f"There is no source {name!r}{nearest(name, by_name)} Sources: {', '.join(by_name)}.")
        return tuple(by_name[name] for name in dict.fromkeys(names)) or self.sources
