"""The query of a URL, read: what it asks for as values, or a sentence that says what would have fitted.

A parameter that is there and empty counts as absent: so forms send them.
"""

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from urllib.parse import quote

from syncer.core.words import did_you_mean
from syncer.errors import UsageError
from syncer.settings.moments import FORMS, parse_moment

MOST_ID = 2**63 - 1
LONGEST = 255
"""Of a text, as of a name."""
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_LOST_PLUS = re.compile(r"(\d) (\d\d:?\d\d)$")  # a "+" that nobody encoded arrives as a space


class BadQuery(UsageError):  # noqa: N818 - the question is what is bad
    """A parameter that cannot be read; the message says what fits."""


class Contradiction(BadQuery):
    """Parameters of which each can be read, and which together ask for nothing that there could be."""


class Query:
    """The parameters of one request; `present` is the moment that relative times count from."""

    def __init__(self, pairs: Iterable[tuple[str, str]], present: datetime) -> None:
        self.pairs = tuple((name, text) for name, text in pairs if text)
        self.present = present

    def require_known(self, known: Collection[str], *, repeated: Collection[str] = ()) -> None:
        """Raise BadQuery for a parameter that nobody reads, or that stands twice: it would be ignored in silence."""
        seen: set[str] = set()
        for name, _ in self.pairs:
            if name not in known:
                raise BadQuery(f"there is no parameter {name!r}{did_you_mean(name, known) or '.'}")
            if name in seen and name not in repeated:
                raise BadQuery(f"the parameter {name} is given twice.")
            seen.add(name)

    def raw(self, name: str) -> str:
        """What was written, empty if nothing: to fill in a form again."""
        return next((text for given, text in reversed(self.pairs) if given == name), "")

    def text(self, name: str) -> str | None:
        """A text, None if there is none."""
        text = self.raw(name)
        _require_text(name, text)
        return text or None

    def all(self, name: str) -> list[str]:
        """Each text of a parameter that may be repeated, once."""
        found = [text for given, text in self.pairs if given == name]
        for text in found:
            _require_text(name, text)
        return list(dict.fromkeys(found))

    def one_of(self, name: str, choices: Collection[str], default: str) -> str:
        """One of `choices`."""
        text = self.raw(name) or default
        if text not in choices:
            raise BadQuery(f"{name} is {text!r}. Expected: one of {', '.join(choices)}.")
        return text

    def number(self, name: str, default: int | None = None, *, least: int = 0, most: int = MOST_ID) -> int | None:
        """A whole number."""
        text = self.raw(name)
        if not text:
            return default
        number = int(text) if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) else -1
        if not least <= number <= most:
            raise BadQuery(f"{name} is {text!r}. Expected: a whole number from {least} to {most}.")
        return number

    def whole(self, name: str, default: int, *, least: int = 0, most: int = MOST_ID) -> int:
        """The same where there is a default."""
        number = self.number(name, default, least=least, most=most)
        return default if number is None else number

    def moment(self, name: str) -> datetime | None:
        """An instant in UTC, None if there is none."""
        text = _LOST_PLUS.sub(r"\1+\2", self.raw(name)) if "T" in self.raw(name) else self.raw(name)
        if not text:
            return None
        try:
            return parse_moment(text, self.present)
        except (ValueError, OverflowError):
            raise BadQuery(f"{name} is {text!r}, which is not a time. Expected: {FORMS}.") from None

    def require_forward(self, since: str, until: str) -> None:
        """Raise Contradiction where the one time is later than the other."""
        begin, end = self.moment(since), self.moment(until)
        if begin is not None and end is not None and begin > end:
            raise Contradiction(f"{since} is later than {until}.")

    def with_(self, **changes: object) -> str:
        """The query string of the same question, with these parameters set, or left out where they are None."""
        kept = [(name, text) for name, text in self.pairs if name not in changes]
        added = [(name, str(value)) for name, value in changes.items() if value is not None]
        return encoded([*kept, *added])


def _require_text(name: str, text: str) -> None:
    if _CONTROL.search(text):
        raise BadQuery(f"{name} holds a control character.")
    if len(text) > LONGEST:
        raise BadQuery(f"{name} is longer than {LONGEST} characters.")


def encoded(pairs: Iterable[tuple[str, str]]) -> str:
    """A query string with its question mark, empty for no pairs: names hold slashes, spaces and worse."""
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    return f"?{text}" if text else ""
