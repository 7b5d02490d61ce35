"""Rules: what a setting expects, in words, and how its value is read. Each stands on the field that it is for.

    interval: Annotated[timedelta, duration("1s", "366d")] = timedelta(hours=1)

- A rule reads what TOML can hold, and raises UnfitError for what is not as expected; who reads a table words the rest.
- A value that may be a secret by mistake (a URL, the place of a key) is never quoted: `quoted` is False (law 11).
- A number with a fraction stays the decimal that was written (law 4).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from syncer.core.masking import MASK, mask_url
from syncer.errors import SettingsError
from syncer.settings.durations import EXPECTED, format_duration, parse_duration


class UnfitError(Exception):
    """A value that is not what its setting expects."""


class Number(Decimal):
    """A number with a fraction in the file, exact, that a message shows as it was written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self) if self.is_finite() else repr(float(self))


class Secret:
    """A text that shows itself only when asked with `reveal()`: `str` and `repr` are `***` (law 11)."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "***"

    def reveal(self) -> str:
        """The text itself: for the header that carries it, and for masking it in messages."""
        return self._text


class Masked(str):
    """What is shown of a value that is secret, or may be: not what was written."""

    __slots__ = ()


def plain(value: Any) -> Any:  # noqa: ANN401
    """A value as JSON and TOML have it; a secret is Masked."""
    if isinstance(value, Secret):
        return Masked(MASK)
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value


class Rule(NamedTuple):
    """What a setting expects, how it is read, and how its value is shown; `read` raises UnfitError.

    `holds` is for the name of an environment variable: the rule for what is in the variable.
    """

    expected: str
    read: Callable[[Any], Any]
    quoted: bool = True
    holds: "Rule | None" = None
    shown: Callable[[Any], Any] = plain


# --- numbers, durations and flags -------------------------------------------------------------------------------------


def duration(low: str, high: str) -> Rule:
    """A duration from `low` to `high`."""
    shortest, longest = parse_duration(low), parse_duration(high)

    def read(value: Any) -> timedelta:  # noqa: ANN401 - TOML holds anything
        found = _duration(value)
        if not shortest <= found <= longest:
            raise UnfitError
        return found

    return Rule(f"{EXPECTED}, from {low} to {high}", read)


def duration_or_never(low: str, high: str) -> Rule:
    """A duration from `low` to `high`, or "never": None."""
    rule = duration(low, high)
    return Rule(
        f'{rule.expected}, or "never"',
        lambda value: None if value == "never" else rule.read(value),
        shown=lambda value: "never" if value is None else plain(value),
    )


def whole(low: int, high: int) -> Rule:
    """An integer from `low` to `high`."""

    def read(value: Any) -> int:  # noqa: ANN401
        if type(value) is not int or not low <= value <= high:  # a bool is an int, but not here
            raise UnfitError
        return value

    return Rule(f"a whole number from {low} to {high}", read)


def number(expected: str, fits: Callable[[Decimal], bool], kind: Callable[[Decimal], Any] = float) -> Rule:
    """A number that `fits`, as `kind`."""

    def read(value: Any) -> Any:  # noqa: ANN401
        exact = _decimal(value)
        if not fits(exact):
            raise UnfitError
        return kind(exact)

    return Rule(expected, read)


def _duration(value: Any) -> timedelta:  # noqa: ANN401
    if not isinstance(value, str):
        raise UnfitError
    try:
        return parse_duration(value)
    except SettingsError:
        raise UnfitError from None


def _decimal(value: Any) -> Decimal:  # noqa: ANN401
    """The exact value of a number of usual size."""
    if type(value) not in {int, Number}:
        raise UnfitError
    exact = Decimal(value)
    if not exact.is_finite() or exact.copy_abs() > 10**12:
        raise UnfitError
    return exact


def _flag(value: Any) -> bool:  # noqa: ANN401
    if not isinstance(value, bool):
        raise UnfitError
    return value


FLAG = Rule("true or false", _flag)


# --- texts ------------------------------------------------------------------------------------------------------------


def text(expected: str, pattern: str, *, quoted: bool = True) -> Rule:
    """A text that `pattern` matches as a whole."""

    def read(value: Any) -> str:  # noqa: ANN401
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise UnfitError
        return value

    return Rule(expected, read, quoted=quoted)


def choice(*words: str) -> Rule:
    """One of these words."""
    return text(" or ".join(f'"{word}"' for word in words), "|".join(map(re.escape, words)))


def words(expected: str, *, known: Iterable[str] | None = None, pattern: str | None = None, few: int = 1) -> Rule:
    """A list of at least `few` texts that are not blank: of those `known`, or that match `pattern`."""
    allowed = None if known is None else frozenset(known)

    def read(value: Any) -> tuple[str, ...]:  # noqa: ANN401
        if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() for word in value):
            raise UnfitError
        strange = allowed is not None and not allowed.issuperset(value)
        if strange or len(value) < few or (pattern and not all(re.fullmatch(pattern, word) for word in value)):
            raise UnfitError
        return tuple(value)

    return Rule(expected, read)


def secret(rule: Rule) -> Rule:
    """What `rule` reads, as a Secret."""
    return Rule(rule.expected, lambda value: Secret(rule.read(value)), quoted=False)


def variable(holds: Rule) -> Rule:
    """The name of an environment variable, and the rule for what is in it.

    Capitals only, so that a key pasted here by mistake is refused, and a right one can be named in messages.
    """
    expected = "the NAME of an environment variable, in capitals (the key itself never stands in the file)"
    return text(expected, _VARIABLE, quoted=False)._replace(holds=holds)


def _url(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str) or not re.fullmatch(r"[^\s\x00-\x1f\x7f]+", value):
        raise UnfitError
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a bad port or a broken IPv6 address
        raise UnfitError from None
    if not good or "@" in parts.netloc or parts.fragment:
        raise UnfitError
    return value


def _shown_url(value: str) -> str:
    masked = mask_url(value)
    return value if masked == value else Masked(masked)


def _shown_key_file(value: str | None) -> str | None:
    """People paste the key itself where its file should be named."""
    return value if value is None or Path(value).is_file() else Masked(MASK)


def _timezone(value: Any) -> str:  # noqa: ANN401
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only who names a zone pays for them

    try:
        return ZoneInfo(value).key
    except (ValueError, TypeError, OSError, ZoneInfoNotFoundError):
        raise UnfitError from None


_VARIABLE = r"[A-Z_][A-Z0-9_]*"
_PRINTABLE = r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*"
TEXT = text("a text that is not empty", _PRINTABLE)
DATABASE_URL = text("a text that is not empty", _PRINTABLE, quoted=False)._replace(shown=_shown_url)
KEY_FILE = text("a text that is not empty", _PRINTABLE, quoted=False)._replace(shown=_shown_key_file)
NAME = text("1 to 64 letters, digits, dots, dashes or underscores", r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
URL = Rule(
    "http:// or https://, a host and perhaps a path; the key, user and password never stand in it",
    _url,
    quoted=False,
    shown=_shown_url,
)
SECRET_URL = secret(Rule("http:// or https://, a host and a path, without user and password", _url))
# The HTTP library would refuse another one later, and quote it.
API_KEY = secret(text("a key that an HTTP header can carry, without white space", r"[!-~]+"))
TIMEZONE = Rule('the name of a time zone such as "Europe/Berlin"', _timezone)
HEADER = r"[A-Za-z][A-Za-z0-9-]{0,63}"
HEADER_VALUE = secret(text("printable ASCII that an HTTP header can carry", r"[ -~]+"))


# --- tables of a source -----------------------------------------------------------------------------------------------

_CREDENTIAL = re.compile(r"(?i)auth|key|token|secret|passw|cookie|session|credential")
_COMPONENT = r"[a-z0-9_]+(@[!#-&(-.0-\[\]-~]{1,40})?"


def _headers(value: Any) -> dict[str, str | dict[str, str]]:  # noqa: ANN401
    """Header -> its value, or {env = NAME}; one that looks like a credential only by the name of its variable."""
    if not isinstance(value, Mapping) or not value:
        raise UnfitError
    for name, given in value.items():
        named = isinstance(given, Mapping) and given.keys() == {"env"} and _matches(_VARIABLE, given["env"])
        plain = _matches(r"[ -~]*[!-~]", given) and not _CREDENTIAL.search(name)
        if not re.fullmatch(HEADER, name) or not (named or plain):
            raise UnfitError
    return {name: given if isinstance(given, str) else dict(given) for name, given in value.items()}


def _header_variables(value: Any) -> dict[str, str]:  # noqa: ANN401
    if not isinstance(value, Mapping) or not value:
        raise UnfitError
    if not all(re.fullmatch(HEADER, name) and _matches(_VARIABLE, given) for name, given in value.items()):
        raise UnfitError
    return dict(value)


def _matches(pattern: str, value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _price_units(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """Component -> (quantity, word); of `price`, by the model's type."""
    if not isinstance(value, Mapping) or not all(re.fullmatch(_COMPONENT, component) for component in value):
        raise UnfitError
    return {
        component: _units_by_type(unit) if component == "price" else _unit(unit) for component, unit in value.items()
    }


def _units_by_type(value: Any) -> dict[str, tuple[int, str]]:  # noqa: ANN401
    if not isinstance(value, Mapping):
        raise UnfitError
    return {kind: _unit(unit) for kind, unit in value.items()}


def _unit(value: Any) -> tuple[int, str]:  # noqa: ANN401
    if not isinstance(value, list) or len(value) != 2:
        raise UnfitError
    quantity, word = value
    if type(quantity) is not int or quantity < 1 or not _matches(_PRINTABLE, word):
        raise UnfitError
    return quantity, word


def _pages(value: Any) -> str | dict[str, Any]:  # noqa: ANN401
    """What it says is held against the format's grammar where the format is read."""
    if value == "whole":
        return "whole"
    if not isinstance(value, Mapping) or not value:
        raise UnfitError
    return dict(value)


COMPONENTS = words('a list of price components such as "input", "output"', pattern=_COMPONENT)
HEADERS = Rule(
    'a table of header to value: {anthropic-version = "2023-06-01"}; a credential stands in a variable: '
    '{X-Api-Key = {env = "NAME"}}',
    _headers,
    quoted=False,
)
HEADER_VARIABLES = Rule(
    'a table of header to the NAME of the environment variable that holds its value: {X-Token = "TEAM_TOKEN"}',
    _header_variables,
    quoted=False,
    holds=HEADER_VALUE,
)
PRICE_UNITS = Rule(
    'a table of price component to quantity and word: {input = [1000000, "token"]}; for the component `price`, '
    'by the model\'s type: {price = {Text = [1000000, "token"]}}',
    _price_units,
)
PAGES = Rule('"whole", or how the pages are turned: {cursor = "last_id", parameter = "after_id"}', _pages)
