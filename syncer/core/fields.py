"""Each tracked field once: how it is read, what its column is, what JSON says of it.

- A field is one line of FIELDS, one of `Tracked` in core/model.py, one at the end of `catalog`'s two .sql files, and
  one migration. Whichever is forgotten is named by an assertion at import or by a test; all else derives from here.
- A reader takes a JSON value that is not null, and gives what is kept: None where the value says that there is nothing.
  It raises ValueError where the value cannot be read; the message continues a sentence about it.
- `digest()` is over names, column types and the version of each reader: raise a reader's version when the same JSON
  value would be read differently, and everything is read anew, as a new reading and not as news.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from syncer.core import prices

MAX_SHORT = 255
MAX_URL = 2_048
MAX_DESCRIPTION = 50_000
MAX_INTEGER = 2**63 - 1

_NO_END = 2090
"""A year from which on "expires" means "never": OpenRouter writes 2098-12-31."""
_FIRST_SECOND = Decimal(10) ** 9  # 2001: a smaller number is a date or a mistake, but not unix seconds
_LAST_SECOND = Decimal(4) * 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt ](\S.*))?")

Column = Literal["text", "name", "integer", "time"]


class Field(msgspec.Struct, frozen=True):
    """One tracked field. `comment` is the database's comment on its columns."""

    name: str
    column: Column
    read: Callable[[Any], Any]
    version: int
    json: Mapping[str, Any]
    comment: str


def _text(limit: int) -> Callable[[Any], str | None]:
    """A reader of text; a list of texts is read sorted and joined by `+`."""

    def read(value: object) -> str | None:
        if isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                raise ValueError("is a list of something else than text")
            if not value:
                return None
            value = "+".join(sorted(value))
        if not isinstance(value, str):
            raise ValueError("is not text")
        if len(value) > limit:
            raise ValueError(f"is {len(value):,} characters long; at most {limit:,} are kept")
        if "\0" in value:
            raise ValueError("has a NUL character")
        return value

    return read


_page = _text(MAX_URL)


def _hugging_face(value: object) -> str | None:
    """The address of a page; a bare `owner/name` is that of the model there."""
    text = _page(value)
    return f"https://huggingface.co/{text}" if text and _REPOSITORY.fullmatch(text) else text


def _count(value: object) -> int | None:
    """A count of tokens: an integer, a numeric string or an integral float, 0 to 2**63 - 1; empty text is unknown."""
    if type(value) is int and 0 <= value <= MAX_INTEGER:
        return value
    if value == "":
        return None
    number = prices.published(value)
    if number != number.to_integral_value():
        raise ValueError("is a fraction")
    if not 0 <= number <= MAX_INTEGER:
        raise ValueError("is negative" if number < 0 else "is out of range")
    return int(number)  # small by now: int() of 1E+999999999 would be a gigabyte


def _instant(value: object) -> datetime | None:
    """When upstream says that a model goes; 0, empty text and a year of 2090 or later are no end at all.

    An instant, a date (its first instant in UTC; months and days may have one digit), unix seconds, or an object of
    year, month and day, whose missing parts are the first ones.
    """
    if isinstance(value, str):
        text = value.strip()
        found = _DATE.fullmatch(text)
        return _moment(found) if found else _unix_seconds(value) if text else None
    if isinstance(value, Mapping):
        year, month, day = (_count(value.get(key) or 0) or 0 for key in ("year", "month", "day"))
        return _date(year, month or 1, day or 1) if year else None
    return _unix_seconds(value)


def _moment(found: re.Match[str]) -> datetime | None:
    day = _date(int(found[1]), int(found[2]), int(found[3]))
    if found[4] is None or day is None:
        return day
    try:
        moment = datetime.fromisoformat(f"{day:%Y-%m-%d}T{found[4].upper()}")
    except ValueError:
        raise ValueError("is not a time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _date(year: int, month: int, day: int) -> datetime | None:
    if year >= _NO_END:
        return None
    if year <= 1:
        raise ValueError("is not a date")
    try:
        return datetime(year, month, day, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a date") from None


def _unix_seconds(value: object) -> datetime | None:
    number = prices.published(value)
    if number == 0 or number >= _LAST_SECOND:
        return None
    if number < _FIRST_SECOND:
        raise ValueError("is not a time in unix seconds")
    moment = _EPOCH + timedelta(microseconds=int(number.scaleb(6)))
    return moment if moment.year < _NO_END else None


FIELDS: tuple[Field, ...] = (
    Field("alias", "name", _text(MAX_SHORT), 1, {"type": ["string", "null"]}, "a name that is easy to interpret"),
    Field("type", "name", _text(MAX_SHORT), 1, {"type": ["string", "null"]}, "the kind of data that the model gives"),
    Field("context_length", "integer", _count, 1, {"type": ["integer", "null"]}, "tokens"),
    Field("max_completion_tokens", "integer", _count, 1, {"type": ["integer", "null"]}, "tokens of one response"),
    Field("description", "text", _text(MAX_DESCRIPTION), 1, {"type": ["string", "null"]}, "upstream's own words"),
    Field("huggingface_url", "text", _hugging_face, 1, {"type": ["string", "null"]}, "the model's page"),
    Field(
        "expires_at",
        "time",
        _instant,
        1,
        {"type": ["string", "null"], "format": "date-time"},
        "when upstream says that the model goes",
    ),
)


def digest(fields: tuple[Field, ...] = FIELDS) -> str:
    """The fingerprint of the field table: other names, types or readers give another one."""
    stated = [[field.name, field.column, field.version] for field in fields]
    return blake2b(msgspec.json.encode(stated), digest_size=8).hexdigest()
