"""Headers: which of a user's may be sent, and what an answer's say of time."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from syncer.http_client.redaction import escape

LONGEST_RETRY_AFTER = 10**9  # 31 years in seconds: the sum with any present date is still a date
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = frozenset({
    "host", "connection", "content-length", "content-encoding", "transfer-encoding", "te", "trailer", "upgrade",
    "accept-encoding", "if-none-match", "if-modified-since", "range", "expect", "proxy-authorization",
})  # fmt: skip


def header_fault(name: str, value: str = "") -> str | None:
    """Why a header of the user's cannot be sent, as the end of a sentence; None if it can. It never shows the value."""
    if not _HEADER_NAME.fullmatch(name):
        return f"{escape(name[:80])!r} is not the name of a header; write letters, digits and hyphens"
    if name.lower() in _OUR_HEADERS:
        return f"the header {name} is set by syncer itself; remove it"
    if value != value.strip() or not value.isascii() or not value.isprintable():
        return f"the value of the header {name} has a control character, a non-ASCII character or outer white space"
    return None


def retry_after(text: str | None, now: datetime) -> float:
    """Seconds that a Retry-After asks for: a number or an HTTP date; 0 where it is missing, past or unreadable."""
    seconds = delta_seconds(text)
    if seconds is not None:
        return float(seconds)
    date = http_date(text)
    return min(max((date - now).total_seconds(), 0.0), float(LONGEST_RETRY_AFTER)) if date else 0.0


def delta_seconds(text: str | None) -> int | None:
    """The number of seconds that a header holds (Age, Retry-After), at most 31 years; None if it holds no such."""
    text = (text or "").strip()
    if not text.isascii() or not text.isdigit():
        return None
    return int(text) if len(text) < 10 else LONGEST_RETRY_AFTER


def http_date(text: str | None) -> datetime | None:
    """The aware instant that a header holds (Date, Retry-After); None if it holds none that can be read."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000": UTC of an unknown place
